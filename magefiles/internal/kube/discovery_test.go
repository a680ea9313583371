package kube_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube/kubetest"
)

var (
	machineKind  = schema.GroupKind{Group: "example.com", Kind: "Machine"}
	machineKinds = []schema.GroupVersionKind{machineKind.WithVersion("v1beta2"), machineKind.WithVersion("v1beta1")}
)

// TestServes: a discovery that fails, completely or for one version, is an error. The
// answer is no only if the API server says so.
func TestServes(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/apis", "/apis/example.com/v1beta2", "/apis/example.com/v1beta1"} {
		s := kubetest.New(t, machineKinds, "")
		var fails atomic.Bool
		fails.Store(true)
		s.Intercept(func(q kubetest.Request) error {
			if fails.Load() && q.Path == path {
				return apierrors.NewServiceUnavailable("not now")
			}
			return nil
		})
		c := s.Client()
		if serves, err := c.Serves(t.Context(), machineKind, "v1beta2"); err == nil || meta.IsNoMatchError(err) {
			t.Errorf("Serves() while %s fails = %v, %v", path, serves, err)
		}
		for want, versions := range map[string][]string{
			"find the kind Machine.example.com: ": nil, "find the kind Machine.example.com in version v1 or v1beta2: ": {"v1", "v1beta2"},
		} {
			if _, err := c.Serves(t.Context(), machineKind, versions...); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("Serves(%v) while %s fails = %v, want %s", versions, path, err, want)
			}
		}
		if _, err := c.List(t.Context(), machineKind, ""); err == nil || meta.IsNoMatchError(err) {
			t.Errorf("List() while %s fails = %v: taken for a kind that is not served", path, err)
		}
		fails.Store(false)
		if serves, err := c.Serves(t.Context(), machineKind); err != nil || !serves {
			t.Errorf("Serves() in any version = %v, %v", serves, err)
		}
		for version, want := range map[string]bool{"v1beta2": true, "v1beta1": true, "v1alpha4": false} {
			if serves, err := c.Serves(t.Context(), machineKind, version); err != nil || serves != want {
				t.Errorf("Serves(%s) = %v, %v", version, serves, err)
			}
		}
		if serves, err := c.Serves(t.Context(), schema.GroupKind{Group: "example.org", Kind: "Machine"}, "v1"); err != nil || serves {
			t.Errorf("Serves() of another group = %v, %v", serves, err)
		}
	}
}

// TestAnotherGroupFails: a group whose discovery fails, such as that of an aggregated API
// server that is down, does not matter for the kinds of other groups.
func TestAnotherGroupFails(t *testing.T) {
	t.Parallel()
	metrics := schema.GroupVersionKind{Group: "metrics.k8s.io", Version: "v1beta1", Kind: "PodMetrics"}
	s := kubetest.New(t, append(machineKinds, metrics), "")
	s.Intercept(func(q kubetest.Request) error {
		if q.Path == "/apis/metrics.k8s.io/v1beta1" {
			return apierrors.NewServiceUnavailable("not now")
		}
		return nil
	})
	c := s.Client()
	if serves, err := c.Serves(t.Context(), machineKind, "v1beta2"); err != nil || !serves {
		t.Errorf("Serves() = %v, %v", serves, err)
	}
	if _, err := c.List(t.Context(), metrics.GroupKind(), ""); err == nil || meta.IsNoMatchError(err) {
		t.Errorf("List() of the group that fails = %v", err)
	}
}

// TestServesNewKinds: a kind that is defined after a discovery is found. For a known
// kind, there is no further request.
func TestServesNewKinds(t *testing.T) {
	t.Parallel()
	s := kubetest.New(t, nil, "")
	c := s.Client()
	if serves, err := c.Serves(t.Context(), machineKind, "v1beta2"); err != nil || serves {
		t.Errorf("Serves() = %v, %v", serves, err)
	}
	s.Define(machineKinds...)
	for range 3 {
		if serves, err := c.Serves(t.Context(), machineKind, "v1beta2"); err != nil || !serves {
			t.Errorf("Serves() of a new kind = %v, %v", serves, err)
		}
	}
	if asked := s.Count("discover", "/apis"); asked != 2 {
		t.Errorf("asked %d times for the groups, want twice", asked)
	}
}

// TestThePreferredVersion: objects are read in the preferred version.
func TestThePreferredVersion(t *testing.T) {
	t.Parallel()
	s := kubetest.New(t, machineKinds, "{apiVersion: example.com/v1beta1, kind: Machine, metadata: {name: m, namespace: default}}")
	m, err := s.Client().Get(t.Context(), machineKind, "default", "m")
	if err != nil || m.GetAPIVersion() != "example.com/v1beta2" {
		t.Errorf("Get() = %v, %v", m, err)
	}
}

// TestKindThatIsNoLongerServed: for a version that is no longer served, the answer is the
// same as for an object that does not exist.
func TestKindThatIsNoLongerServed(t *testing.T) {
	t.Parallel()
	const object = "{apiVersion: example.com/v1beta1, kind: Machine, metadata: {name: m, namespace: default}}"
	s := kubetest.New(t, machineKinds[1:], object)
	c := s.Client()
	if _, err := c.Get(t.Context(), machineKind, "default", "m"); err != nil {
		t.Fatal(err)
	}
	s.Undefine(machineKind)
	s.Define(machineKinds[0])
	s.PutYAML(object)
	m, err := c.Get(t.Context(), machineKind, "default", "m")
	if err != nil || m.GetAPIVersion() != "example.com/v1beta2" {
		t.Errorf("Get() = %v, %v; want it in the version that is served now", m, err)
	}
	if _, err := c.Get(t.Context(), machineKind, "default", "n"); !apierrors.IsNotFound(err) {
		t.Errorf("Get() of no object = %v", err)
	}
	if asked := s.Count("discover", "/apis"); asked != 2 {
		t.Errorf("asked %d times for the groups, want twice", asked)
	}
	s.Undefine(machineKind)
	if _, err := c.Get(t.Context(), machineKind, "default", "m"); !meta.IsNoMatchError(err) {
		t.Errorf("Get() of no kind = %v", err)
	}
	if _, err := c.List(t.Context(), machineKind, "default"); !meta.IsNoMatchError(err) {
		t.Errorf("List() of no kind = %v", err)
	}
}

// TestDiscoveryEndsWithItsContext: a discovery ends with its context, also for a caller
// that waits for another caller's discovery. An API server that does not answer must not
// delay Ctrl-C.
func TestDiscoveryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := kubetest.New(t, machineKinds, "")
	asked, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(release) })
	first := sync.OnceFunc(func() { close(asked) })
	s.Intercept(func(kubetest.Request) error {
		first()
		<-release
		return nil
	})
	c := s.Client()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	ended := make(chan error)
	list := func() {
		_, err := c.List(ctx, machineKind, "")
		ended <- err
	}
	go list()
	<-asked
	go list()
	cancel(stop)
	for range 2 {
		if err := <-ended; !errors.Is(err, stop) {
			t.Errorf("List() = %v, want the cause of the end", err)
		}
	}
}
