package kube

import (
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/restmapper"
)

// kinds finds the resources of kinds by discovery. It reads all kinds at once, and
// again for every kind that it does not know: a definition may have been added
// since.
//
// restmapper.NewDeferredDiscoveryRESTMapper is not enough: it leaves out a group
// whose discovery fails for a moment, and so reports its kinds as not served.
type kinds struct {
	client discovery.DiscoveryInterface

	mu sync.Mutex
	// known is nil before the first discovery.
	known meta.RESTMapper
	// failed has an error for each group with a version that could not be read.
	failed map[string]error
}

// mapping returns the resource of a kind, in the preferred version or in one of
// the given versions. The error satisfies meta.IsNoMatchError only if the API
// server does not serve the kind.
func (k *kinds) mapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known != nil {
		if mapping, err := k.find(kind, versions); err == nil {
			return mapping, nil
		}
	}
	if err := k.read(); err != nil {
		return nil, err
	}
	return k.find(kind, versions)
}

// forget makes the next mapping read all kinds again.
func (k *kinds) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known = nil
}

func (k *kinds) find(kind schema.GroupKind, versions []string) (*meta.RESTMapping, error) {
	if err := k.failed[kind.Group]; err != nil {
		return nil, err
	}
	return k.known.RESTMapping(kind, versions...)
}

func (k *kinds) read() error {
	groups, lists, err := k.client.ServerGroupsAndResources()
	failed, partly := discovery.GroupDiscoveryFailedErrorGroups(err)
	if err != nil && !partly {
		return err
	}
	byVersion := map[string]*restmapper.APIGroupResources{}
	var all []*restmapper.APIGroupResources
	for _, group := range groups {
		resources := &restmapper.APIGroupResources{Group: *group, VersionedResources: map[string][]metav1.APIResource{}}
		all = append(all, resources)
		for _, version := range group.Versions {
			byVersion[version.GroupVersion] = resources
		}
	}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if resources := byVersion[list.GroupVersion]; err == nil && resources != nil {
			resources.VersionedResources[gv.Version] = list.APIResources
		}
	}
	k.known, k.failed = restmapper.NewDiscoveryRESTMapper(all), map[string]error{}
	for gv, err := range failed {
		k.failed[gv.Group] = err
	}
	return nil
}
