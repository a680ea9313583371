package kube

import (
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/restmapper"
)

// mapper finds the resources of kinds.
type mapper interface {
	// RESTMapping returns the resource of a kind, in the preferred version or in
	// one of the given versions. The error satisfies meta.IsNoMatchError only if
	// the API server does not serve the kind.
	RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error)
}

// discovered finds kinds by discovery. It reads all kinds at once, and again for
// every kind that it does not know: a definition may have been added since.
//
// restmapper.NewDeferredDiscoveryRESTMapper is not enough: it leaves out a group
// whose discovery fails for a moment, and so reports its kinds as not served.
type discovered struct {
	client discovery.DiscoveryInterface

	mu sync.Mutex
	// known is nil before the first discovery.
	known meta.RESTMapper
	// failed has the error of each group of which a version could not be read.
	failed map[string]error
}

func (d *discovered) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known != nil {
		if mapping, err := d.find(kind, versions); err == nil {
			return mapping, nil
		}
	}
	if err := d.read(); err != nil {
		return nil, err
	}
	return d.find(kind, versions)
}

func (d *discovered) find(kind schema.GroupKind, versions []string) (*meta.RESTMapping, error) {
	if err := d.failed[kind.Group]; err != nil {
		return nil, err
	}
	return d.known.RESTMapping(kind, versions...)
}

func (d *discovered) read() error {
	groups, lists, err := d.client.ServerGroupsAndResources()
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
	d.known, d.failed = restmapper.NewDiscoveryRESTMapper(all), map[string]error{}
	for gv, err := range failed {
		d.failed[gv.Group] = err
	}
	return nil
}
