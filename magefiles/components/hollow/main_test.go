package main

import (
	"testing"

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
