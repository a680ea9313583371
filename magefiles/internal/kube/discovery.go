package kube

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// kinds finds the resources of kinds by discovery. It reads all kinds at once, and
// again for every kind that it does not know: a definition may have been added
// since.
//
// restmapper.NewDeferredDiscoveryRESTMapper is not enough: it leaves out a group
// whose discovery fails for a moment, and so reports its kinds as not served.
type kinds struct {
	config    *rest.Config
	transport http.RoundTripper

	// turn holds at most one token. A caller that has put it in may use the
	// fields below. Unlike with a mutex, a caller can stop waiting when its
	// context is done.
	turn chan struct{}
	// known is nil before the first discovery.
	known meta.RESTMapper
	// failed has an error for each group with a version that could not be read.
	failed map[string]error
}

func newKinds(config *rest.Config) (*kinds, error) {
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	return &kinds{config: config, transport: transport, turn: make(chan struct{}, 1)}, nil
}

// mapping returns the resource of a kind, in the preferred version or in one of
// the given versions. The error satisfies meta.IsNoMatchError only if the API
// server does not serve the kind.
func (k *kinds) mapping(ctx context.Context, kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	if err := k.lock(ctx); err != nil {
		return nil, err
	}
	defer k.unlock()
	if k.known != nil {
		if mapping, err := k.find(kind, versions); err == nil {
			return mapping, nil
		}
	}
	if err := k.read(ctx); err != nil {
		return nil, err
	}
	return k.find(kind, versions)
}

// forget makes the next mapping read all kinds again.
func (k *kinds) forget(ctx context.Context) error {
	if err := k.lock(ctx); err != nil {
		return err
	}
	defer k.unlock()
	k.known = nil
	return nil
}

func (k *kinds) lock(ctx context.Context) error {
	select {
	case k.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (k *kinds) unlock() { <-k.turn }

func (k *kinds) find(kind schema.GroupKind, versions []string) (*meta.RESTMapping, error) {
	if err := k.failed[kind.Group]; err != nil {
		return nil, err
	}
	return k.known.RESTMapping(kind, versions...)
}

func (k *kinds) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, discoveredWithin, fmt.Errorf("discovery: no answer within %s", discoveredWithin))
	defer cancel()
	client, err := discovery.NewDiscoveryClientForConfigAndClient(k.config, &http.Client{Transport: endsWith{ctx, k.transport}})
	if err != nil {
		return err
	}
	groups, lists, err := client.ServerGroupsAndResources()
	if ctx.Err() != nil {
		return context.Cause(ctx) // what was read may be a part
	}
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

// discoveredWithin is how long a discovery may take.
const discoveredWithin = 32 * time.Second

// endsWith is a transport whose requests end with a context, because client-go's
// discovery takes no context.
type endsWith struct {
	ctx  context.Context
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (e endsWith) RoundTrip(r *http.Request) (*http.Response, error) {
	return e.next.RoundTrip(r.WithContext(e.ctx))
}
