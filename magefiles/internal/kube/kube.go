// Package kube is the client of API servers: it applies manifests, reads, follows
// and waits for objects, reads the logs of pods, and writes kubeconfigs.
package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"caslab/magefiles/internal/state"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// manager owns the fields that the lab applies.
const manager = "caslab"

// Client reaches one API server.
type Client struct {
	dynamic dynamic.Interface
	kinds   *kinds
	// core reaches what is not an object, such as logs.
	core rest.Interface
}

// Open returns a client for the kubeconfig at path. It sends no request yet.
func Open(path string) (*Client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig %s: %w", path, err)
	}
	c, err := ForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of %s: %w", path, err)
	}
	return c, nil
}

// ForConfig returns a client of the API server that config reaches. It sends no
// request yet.
func ForConfig(config *rest.Config) (*Client, error) {
	config = rest.CopyConfig(config)
	// client-go's defaults, 5 requests a second, are for clusters with many users.
	config.QPS, config.Burst = 100, 200
	// API servers warn of deprecated APIs, which the user did not choose.
	config.WarningHandler = noWarnings{}
	dynamicClient, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	kinds, err := newKinds(config)
	if err != nil {
		return nil, err
	}
	core, err := coreClient(config)
	if err != nil {
		return nil, err
	}
	return &Client{dynamic: dynamicClient, kinds: kinds, core: core}, nil
}

type noWarnings struct{}

func (noWarnings) HandleWarningHeader(int, string, string) {}

// Answers returns nil if the API server says that it is ready, within 5 s.
func (c *Client) Answers(ctx context.Context) error {
	body, err := c.core.Get().AbsPath("/readyz").Timeout(5 * time.Second).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("ask the API server whether it is ready: %w", err)
	}
	if string(body) != "ok" {
		return fmt.Errorf("the API server is not ready: %s", body)
	}
	return nil
}

// WaitAnswers waits until the API server is ready.
func (c *Client) WaitAnswers(ctx context.Context) error {
	return Retry(ctx, "the API server to be ready", retryEvery, c.Answers)
}

// Decode reads the objects of a YAML stream.
func Decode(data []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := new(unstructured.Unstructured)
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the manifest's object %d: %w", len(objects)+1, err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// Apply applies every object of a YAML stream with server-side apply. It retries until
// the object is accepted or refused for good, or ctx is done, because its kind or a
// webhook may just be starting.
func (c *Client) Apply(ctx context.Context, manifest []byte) error {
	objects, err := Decode(manifest)
	if err != nil {
		return err
	}
	for _, object := range objects {
		what := fmt.Sprintf("%s %s", object.GetKind(), object.GetName())
		if err := Retry(ctx, what+" to be accepted", retryEvery, func(ctx context.Context) error { return c.apply(ctx, object) }); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) apply(ctx context.Context, object *unstructured.Unstructured) error {
	gvk := object.GroupVersionKind()
	mapping, err := c.kinds.mapping(ctx, gvk.GroupKind(), gvk.Version)
	if err != nil {
		return err
	}
	var resource dynamic.ResourceInterface = c.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		resource = c.dynamic.Resource(mapping.Resource).Namespace(object.GetNamespace())
	}
	_, err = resource.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: manager, Force: true})
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return Permanent(err)
	}
	return err
}

// Get returns one object, in the version of its kind that the API server prefers.
// The error satisfies apierrors.IsNotFound if there is no such object, and
// meta.IsNoMatchError if there is no such kind.
func (c *Client) Get(ctx context.Context, kind schema.GroupKind, namespace, name string) (object *unstructured.Unstructured, err error) {
	err = c.withResource(ctx, kind, namespace, func(r dynamic.ResourceInterface) error {
		object, err = r.Get(ctx, name, metav1.GetOptions{})
		return err
	})
	return object, err
}

// Serves reports whether the API server serves a kind in one of the versions, or in any version if there
// are none. A discovery that fails is an error, not a no.
func (c *Client) Serves(ctx context.Context, kind schema.GroupKind, versions ...string) (bool, error) {
	_, err := c.kinds.mapping(ctx, kind, versions...)
	if meta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil && len(versions) == 0 {
		return false, fmt.Errorf("find the kind %s: %w", kind, err)
	}
	if err != nil {
		return false, fmt.Errorf("find the kind %s in version %s: %w", kind, strings.Join(versions, " or "), err)
	}
	return true, nil
}

// Create creates an object. The error satisfies apierrors.IsAlreadyExists if the name is
// taken.
func (c *Client) Create(ctx context.Context, object *unstructured.Unstructured) error {
	resource, err := c.resource(ctx, object.GroupVersionKind().GroupKind())
	if err != nil {
		return err
	}
	resource.Version = object.GroupVersionKind().Version
	_, err = c.dynamic.Resource(resource).Namespace(object.GetNamespace()).Create(ctx, object, metav1.CreateOptions{FieldManager: manager})
	return err
}

// Patch merges a patch into an object.
func (c *Client) Patch(ctx context.Context, kind schema.GroupKind, namespace, name string, patch map[string]any) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("write the patch of %s %s: %w", kind.Kind, name, err)
	}
	err = c.withResource(ctx, kind, namespace, func(r dynamic.ResourceInterface) error {
		_, err := r.Patch(ctx, name, types.MergePatchType, data, metav1.PatchOptions{FieldManager: manager})
		return err
	})
	if err != nil {
		return fmt.Errorf("change the %s %s: %w", kind.Kind, name, err)
	}
	return nil
}

// Delete deletes an object; the objects that it owns are deleted after it.
func (c *Client) Delete(ctx context.Context, kind schema.GroupKind, namespace, name string) error {
	return c.delete(ctx, kind, namespace, name, nil)
}

// Kill deletes an object as Delete does, and a pod without the time that it has to end.
func (c *Client) Kill(ctx context.Context, kind schema.GroupKind, namespace, name string) error {
	return c.delete(ctx, kind, namespace, name, new(int64))
}

func (c *Client) delete(ctx context.Context, kind schema.GroupKind, namespace, name string, grace *int64) error {
	background := metav1.DeletePropagationBackground
	return c.withResource(ctx, kind, namespace, func(r dynamic.ResourceInterface) error {
		return r.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background, GracePeriodSeconds: grace})
	})
}

// List returns the objects of a kind in a namespace, or in all if it is empty. The
// error satisfies meta.IsNoMatchError if there is no such kind.
func (c *Client) List(ctx context.Context, kind schema.GroupKind, namespace string) ([]unstructured.Unstructured, error) {
	list, err := c.list(ctx, kind, namespace)
	if err != nil {
		return nil, fmt.Errorf("list the objects of the kind %s: %w", kind, err)
	}
	return list.Items, nil
}

func (c *Client) list(ctx context.Context, kind schema.GroupKind, namespace string) (list *unstructured.UnstructuredList, err error) {
	err = c.withResource(ctx, kind, namespace, func(r dynamic.ResourceInterface) error {
		list, err = r.List(ctx, metav1.ListOptions{})
		return err
	})
	return list, err
}

// withResource calls do with the resource of a kind, and again if the API server no longer
// serves that resource: its answer is the same as for an object that does not exist.
func (c *Client) withResource(ctx context.Context, kind schema.GroupKind, namespace string, do func(dynamic.ResourceInterface) error) error {
	for first := true; ; first = false {
		resource, err := c.resource(ctx, kind)
		if err != nil {
			return err
		}
		err = do(c.dynamic.Resource(resource).Namespace(namespace))
		if !first || !apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) || !apierrors.IsNotFound(err) {
			return err
		}
		if err := c.kinds.forget(ctx); err != nil {
			return err
		}
	}
}

// resource finds the preferred served resource of a kind.
func (c *Client) resource(ctx context.Context, kind schema.GroupKind) (schema.GroupVersionResource, error) {
	mapping, err := c.kinds.mapping(ctx, kind)
	if err != nil {
		return schema.GroupVersionResource{}, fmt.Errorf("find the kind %s: %w", kind, err)
	}
	return mapping.Resource, nil
}

// WriteKubeconfig replaces the kubeconfig at path, and makes its directory. Only
// the user can read it. Readers see the old file or the new one, never a part,
// even while several processes write it.
func WriteKubeconfig(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write the kubeconfig %s: %w", path, err)
	}
	return state.WriteFile(path, data, 0o600)
}

// Authority returns the certificates, in PEM, of the CA of the cluster to which the
// kubeconfig at path leads.
func Authority(path string) (string, error) {
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return "", fmt.Errorf("read the kubeconfig %s: %w", path, err)
	}
	return string(config.CAData), nil
}

// WithServer returns the kubeconfig with every cluster at the URL server.
func WithServer(kubeconfig []byte, server string) ([]byte, error) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	for _, cluster := range config.Clusters {
		cluster.Server = server
	}
	data, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("write the cluster's kubeconfig: %w", err)
	}
	return data, nil
}
