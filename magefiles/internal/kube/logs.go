package kube

import (
	"context"
	"fmt"
	"io"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// coreClient returns a client of the core group without a time limit, for logs: they
// are followed as long as the pod runs. The client for discovery gives up after half
// a minute.
func coreClient(config *rest.Config) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	version := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(scheme, version) // errors are read as a Status
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = "/api", &version
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.Timeout = 0
	return rest.RESTClientFor(config)
}

// Logs follows the log of a pod's container until the container ends or ctx is done.
// It begins with the lines since a time, which the API server rounds down to the
// second, or with the first line if the time is zero. Every line begins with its
// time in RFC 3339 and a space. The caller closes the log.
//
// The error satisfies apierrors.IsNotFound if there is no such pod, and
// apierrors.IsBadRequest if the container has not started yet.
func (c *Client) Logs(ctx context.Context, namespace, pod, container string, since time.Time) (io.ReadCloser, error) {
	request := c.core.Get().Namespace(namespace).Resource("pods").Name(pod).SubResource("log").
		Param("container", container).Param("follow", "true").Param("timestamps", "true")
	if !since.IsZero() {
		request = request.Param("sinceTime", since.UTC().Format(time.RFC3339))
	}
	log, err := request.Stream(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the log of the pod %s: %w", pod, err)
	}
	return log, nil
}

// FromPod returns what a pod answers to a GET request at one of its ports, through the API
// server. A status other than 200 is an error that has that status as an
// apierrors.APIStatus, together with the body.
func (c *Client) FromPod(ctx context.Context, namespace, pod, port, path string) ([]byte, error) {
	body, err := c.core.Get().Namespace(namespace).Resource("pods").Name(pod + ":" + port).SubResource("proxy").Suffix(path).DoRaw(ctx)
	if err != nil {
		return body, fmt.Errorf("ask the pod %s/%s at port %s: %w", namespace, pod, port, err)
	}
	return body, nil
}
