package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	resource, err := c.resource(kind)
	if err != nil {
		return false, err
	}
	client := c.dynamic.Resource(resource).Namespace(namespace)
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, fmt.Errorf("list %s: %w", resource.Resource, err)
	}
	objects := map[string]*unstructured.Unstructured{}
	for i := range list.Items {
		objects[key(&list.Items[i])] = &list.Items[i]
	}
	check := func() bool {
		done, missing := holds(sorted(objects))
		if !done {
			report(missing)
		}
		return done
	}
	if check() {
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
		switch event.Type {
		case watch.Deleted:
			delete(objects, key(object))
		case watch.Added, watch.Modified:
			objects[key(object)] = object
		default:
			return false, fmt.Errorf("watch %s: %s", resource.Resource, event.Type)
		}
		if check() {
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
