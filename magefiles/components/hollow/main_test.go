package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"

	"caslab/components/hollow/api/v1beta2"
)

// TestCachesOfACluster: machines of other Clusters in the namespace are not seen.
func TestCachesOfACluster(t *testing.T) {
	caches := options{namespace: "n", clusterName: "a"}.caches()
	if _, ok := caches.DefaultNamespaces["n"]; !ok || len(caches.ByObject) != 1 {
		t.Fatalf("the cache has %+v", caches)
	}
	for kind, by := range caches.ByObject {
		if _, ok := kind.(*v1beta2.HollowMachine); !ok || by.Label.String() != "cluster.x-k8s.io/cluster-name=a" {
			t.Errorf("the cache selects %T by %s", kind, by.Label)
		}
	}
	if caches := (options{}).caches(); caches.ByObject != nil || caches.DefaultNamespaces != nil {
		t.Errorf("without options, the cache has %+v", caches)
	}
}

func TestNotReadyUntilAllCachesSynced(t *testing.T) {
	yes, no := true, false
	full, empty := &informertest.FakeInformers{Synced: &yes}, &informertest.FakeInformers{Synced: &no}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil)
	if err := synced(full, full)(request); err != nil {
		t.Error(err)
	}
	if err := synced(full, empty)(request); err == nil {
		t.Error("ready while a cache has not synced")
	}
}
