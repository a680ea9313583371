package kube

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// discovery is an API server that answers discovery alone: it serves Machines
// in v1beta1 and v1beta2.
type discoveryServer struct {
	mu sync.Mutex
	// fail is the status of the answer for a path, if it is not to be OK.
	fail map[string]int
	// hidden are the groups that are not served yet.
	hidden bool
	asked  map[string]int
}

func (s *discoveryServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *discoveryServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[r.URL.Path]++
	if code := s.fail[r.URL.Path]; code != 0 {
		http.Error(w, "not now", code)
		return
	}
	machines := func(gv string) any {
		return metav1.APIResourceList{GroupVersion: gv, APIResources: []metav1.APIResource{{Name: "machines", Kind: "Machine", Namespaced: true}}}
	}
	group := metav1.APIGroup{Name: "example.com", Versions: []metav1.GroupVersionForDiscovery{
		{GroupVersion: "example.com/v1beta2", Version: "v1beta2"}, {GroupVersion: "example.com/v1beta1", Version: "v1beta1"},
	}}
	group.PreferredVersion = group.Versions[0]
	groups := metav1.APIGroupList{Groups: []metav1.APIGroup{group}}
	if s.hidden {
		groups.Groups = nil
	}
	answer, ok := map[string]any{
		"/api":                      metav1.APIVersions{Versions: []string{"v1"}},
		"/api/v1":                   metav1.APIResourceList{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "nodes", Kind: "Node"}}},
		"/apis":                     groups,
		"/apis/example.com/v1beta1": machines("example.com/v1beta1"),
		"/apis/example.com/v1beta2": machines("example.com/v1beta2"),
	}[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// TestServes: a discovery that fails, as a whole or for one version, is an
// error. The answer is no only where the API server says so.
func TestServes(t *testing.T) {
	t.Parallel()
	machines := schema.GroupKind{Group: "example.com", Kind: "Machine"}
	for _, path := range []string{"", "/apis", "/apis/example.com/v1beta2"} {
		s := &discoveryServer{fail: map[string]int{path: http.StatusServiceUnavailable}, asked: map[string]int{}}
		c := opened(t, s.ServeHTTP)
		if path != "" {
			if serves, err := c.Serves(machines, "v1beta2"); err == nil || meta.IsNoMatchError(err) {
				t.Errorf("Serves() while %s fails = %v, %v", path, serves, err)
			}
			if _, err := c.List(t.Context(), machines, ""); err == nil || meta.IsNoMatchError(err) {
				t.Errorf("List() while %s fails = %v: taken for a kind that is not served", path, err)
			}
			s.set(func() { clear(s.fail) })
		}
		for version, want := range map[string]bool{"v1beta2": true, "v1beta1": true, "v1alpha4": false} {
			if serves, err := c.Serves(machines, version); err != nil || serves != want {
				t.Errorf("Serves(%s) = %v, %v", version, serves, err)
			}
		}
		if serves, err := c.Serves(schema.GroupKind{Group: "example.org", Kind: "Machine"}, "v1"); err != nil || serves {
			t.Errorf("Serves() of another group = %v, %v", serves, err)
		}
	}
}

// TestServesWhatIsNew: a kind that is defined later is found, though the API
// server was asked for its kinds before.
func TestServesWhatIsNew(t *testing.T) {
	t.Parallel()
	machines := schema.GroupKind{Group: "example.com", Kind: "Machine"}
	s := &discoveryServer{hidden: true, asked: map[string]int{}}
	c := opened(t, s.ServeHTTP)
	if serves, err := c.Serves(machines, "v1beta2"); err != nil || serves {
		t.Errorf("Serves() = %v, %v", serves, err)
	}
	s.set(func() { s.hidden = false })
	for range 3 {
		if serves, err := c.Serves(machines, "v1beta2"); err != nil || !serves {
			t.Errorf("Serves() of a new kind = %v, %v", serves, err)
		}
	}
	s.set(func() {
		if s.asked["/apis"] != 2 {
			t.Errorf("asked %d times for the groups; want one more for what it did not know", s.asked["/apis"])
		}
	})
}
