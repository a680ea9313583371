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

// coreClient is a client of the core group without a time limit: a log is
// followed for as long as the pod lives, and discovery's client gives up after
// half a minute.
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

// Logs follows the log of a pod's container: the lines since a moment, by the
// second, or all if it is zero, and those to come until the container ends or
// ctx is done. Every line begins with its time as RFC 3339 has it, and a
// space. The caller closes it.
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
