package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// Condition says of the objects that there are whether the wait is over, and
// what is missing if not.
type Condition func(objects []*unstructured.Unstructured) (done bool, missing string)

// Wait watches a kind in a namespace, or in all if it is empty, until the
// condition holds or ctx is done. progress, if set, is told what is missing.
func (c *Client) Wait(ctx context.Context, kind schema.GroupKind, namespace string, holds Condition, progress func(string)) error {
	missing := "an answer"
	report := func(text string) {
		missing = text
		if progress != nil {
			progress(text)
		}
	}
	var last error
	for {
		done, err := c.watch(ctx, kind, namespace, holds, report)
		if done {
			return nil
		}
		if err != nil {
			last = err
		}
		select {
		case <-ctx.Done():
			if last == nil {
				return fmt.Errorf("waited for %s: %w", missing, context.Cause(ctx))
			}
			return fmt.Errorf("waited for %s: %w; last error: %w", missing, context.Cause(ctx), last)
		case <-time.After(retryEvery):
		}
	}
}

// watch lists and watches once; it returns when the watch ends, as watches do.
func (c *Client) watch(ctx context.Context, kind schema.GroupKind, namespace string, holds Condition, report func(string)) (bool, error) {
	objects := map[string]*unstructured.Unstructured{}
	check := func() bool {
		done, missing := holds(sorted(objects))
		if !done {
			report(missing)
		}
		return done
	}
	return c.observe(ctx, kind, namespace, objects, check, func(Change) bool { return check() })
}

// Change is an object before and after it. Before is nil if the object is new,
// After if it is gone.
type Change struct{ Before, After *unstructured.Unstructured }

// Follower is told of the objects of a kind.
type Follower struct {
	Kind schema.GroupKind
	// Namespace to look in; all if empty.
	Namespace string
	// On is called for every object that there is, as for a new one, and then
	// for every change.
	On func(Change)
	// Synced, if set, is called once, when On was told of all that there is.
	Synced func()
	// Trouble, if set, is told of what failed; Follow tries again.
	Trouble func(error)
}

// Follow tells f of a kind's objects until ctx is done. Watches end now and
// then; what changed between one and the next is told as one change. A kind
// that is not served is waited for.
func (c *Client) Follow(ctx context.Context, f Follower) {
	objects := map[string]*unstructured.Unstructured{}
	told := map[string]*unstructured.Unstructured{}
	synced := sync.OnceFunc(func() {
		if f.Synced != nil {
			f.Synced()
		}
	})
	tell := func(change Change) bool {
		if change.After != nil {
			told[key(change.After)] = change.After
		} else {
			delete(told, key(change.Before))
		}
		f.On(change)
		return false
	}
	listed := func() bool {
		for _, before := range sorted(told) {
			after := objects[key(before)]
			if after == nil || after.GetUID() != before.GetUID() {
				tell(Change{Before: before})
			}
		}
		for _, after := range sorted(objects) {
			before := told[key(after)]
			if before == nil || before.GetResourceVersion() != after.GetResourceVersion() {
				tell(Change{Before: before, After: after})
			}
		}
		synced()
		return false
	}
	for ctx.Err() == nil {
		clear(objects)
		if _, err := c.observe(ctx, f.Kind, f.Namespace, objects, listed, tell); err != nil && ctx.Err() == nil && f.Trouble != nil {
			f.Trouble(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
}

// observe fills objects with what there is, calls listed, and then keeps
// objects up to date and calls changed after each change, until one of them
// says that it is enough, the watch ends or ctx is done.
func (c *Client) observe(ctx context.Context, kind schema.GroupKind, namespace string, objects map[string]*unstructured.Unstructured, listed func() bool, changed func(Change) bool) (enough bool, err error) {
	resource, err := c.resource(kind)
	if err != nil {
		return false, err
	}
	client := c.dynamic.Resource(resource).Namespace(namespace)
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, fmt.Errorf("list %s: %w", resource.Resource, err)
	}
	for i := range list.Items {
		objects[key(&list.Items[i])] = &list.Items[i]
	}
	if listed() {
		return true, nil
	}
	watcher, err := client.Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
	if err != nil {
		return false, fmt.Errorf("watch %s: %w", resource.Resource, err)
	}
	defer watcher.Stop()
	for {
		var event watch.Event
		select {
		case <-ctx.Done():
			return false, nil
		case e, open := <-watcher.ResultChan():
			if !open {
				return false, nil
			}
			event = e
		}
		object, ok := event.Object.(*unstructured.Unstructured)
		if !ok {
			return false, fmt.Errorf("watch %s: %v", resource.Resource, event.Object)
		}
		change := Change{Before: objects[key(object)], After: object}
		switch event.Type {
		case watch.Deleted:
			change = Change{Before: object}
			delete(objects, key(object))
		case watch.Added, watch.Modified:
			objects[key(object)] = object
		default:
			return false, fmt.Errorf("watch %s: %s", resource.Resource, event.Type)
		}
		if changed(change) {
			return true, nil
		}
	}
}

func key(o *unstructured.Unstructured) string { return o.GetNamespace() + "/" + o.GetName() }

func sorted(objects map[string]*unstructured.Unstructured) []*unstructured.Unstructured {
	all := make([]*unstructured.Unstructured, 0, len(objects))
	for _, o := range objects {
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b *unstructured.Unstructured) int { return strings.Compare(key(a), key(b)) })
	return all
}

// Field returns the text or number at path in an object, as text; empty if it
// is not there.
func Field(o *unstructured.Unstructured, path ...string) string {
	value, found, err := unstructured.NestedFieldNoCopy(o.Object, path...)
	if err != nil || !found {
		return ""
	}
	return fmt.Sprint(value)
}

// ContainerStatuses are those of a pod, each a ContainerStatus of the core API.
func ContainerStatuses(pod *unstructured.Unstructured) []map[string]any {
	all, _, _ := unstructured.NestedSlice(pod.Object, "status", "containerStatuses")
	statuses := make([]map[string]any, len(all))
	for i, c := range all {
		statuses[i], _ = c.(map[string]any)
	}
	return statuses
}

// OfControlPlane reports whether a node is one of the cluster's control plane.
func OfControlPlane(node *unstructured.Unstructured) bool {
	_, is := node.GetLabels()["node-role.kubernetes.io/control-plane"]
	return is
}

// True reports whether the object's condition of that type is True.
func True(o *unstructured.Unstructured, condition string) bool {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == condition {
			return m["status"] == "True"
		}
	}
	return false
}
