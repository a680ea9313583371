package kube

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// backoff is the pause before the next list or watch of a kind after one that failed.
// It grows, because each try for a kind that is not served costs a discovery. After a
// quiet time it is short again.
var backoff = wait.Backoff{Duration: retryEvery, Factor: 2, Jitter: 0.1, Steps: 8, Cap: 3 * time.Second}

const backoffReset = time.Minute

// Condition reports whether a wait is over, and if not, what is missing. It gets all objects, sorted
// by namespace and name, without their managed fields.
type Condition func(objects []*unstructured.Unstructured) (done bool, missing string)

// Wait watches a kind in a namespace, or in all if it is empty, until the
// condition holds or ctx is done. progress, if set, is called with what is missing.
// The error has what was missing last, the cause of the end, and the last error of the
// API server, if it has not answered since.
func (c *Client) Wait(ctx context.Context, kind schema.GroupKind, namespace string, condition Condition, progress func(string)) error {
	missing, done := "an answer", false
	var last error
	waiting, end := context.WithCancel(ctx)
	defer end()
	objects := &store{objects: map[string]*unstructured.Unstructured{}, onChange: func(change Change) {
		if change.After != nil {
			change.After.SetManagedFields(nil) // they are a large part of an object, and no condition reads them
		}
	}}
	objects.onUpdate = func() {
		if done {
			return
		}
		last = nil // the API server has answered since
		var text string
		if done, text = condition(sorted(objects.objects)); done {
			end()
			return
		}
		missing = text
		if progress != nil {
			progress(text)
		}
	}
	c.observe(waiting, kind, namespace, objects, func(err error) { last = err })
	switch {
	case done:
		return nil
	case last == nil:
		return fmt.Errorf("waited for %s: %w", missing, context.Cause(ctx))
	default:
		return fmt.Errorf("waited for %s: %w; last error: %w", missing, context.Cause(ctx), last)
	}
}

// WaitDeletion waits until an object that is being deleted is gone. It returns at once if the
// object is not being deleted, or does not exist. A cluster-wide kind has no namespace.
func (c *Client) WaitDeletion(ctx context.Context, kind schema.GroupKind, namespace, name string, progress func(string)) error {
	return c.Wait(ctx, kind, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		going := slices.ContainsFunc(all, func(o *unstructured.Unstructured) bool {
			return o.GetName() == name && o.GetDeletionTimestamp() != nil
		})
		return !going, "the end of the deletion of the " + kind.Kind + " " + name
	}, progress)
}

// Change is an object before and after it. Before is nil if the object is new,
// After if it is gone.
type Change struct{ Before, After *unstructured.Unstructured }

// Follower has the functions that Follow calls for the objects of a kind, one at a time,
// and not after Follow has returned.
type Follower struct {
	Kind schema.GroupKind
	// Namespace to look in; all if empty.
	Namespace string
	// OnChange is called for every existing object, as for a new one, and then for every
	// change. If an object is replaced by another one of the same name, OnChange is called
	// for the old one, which is gone, and for the new one.
	OnChange func(Change)
	// OnSynced, if set, is called once, after OnChange was called for all existing objects.
	OnSynced func()
	// OnError, if set, is called with errors; Follow tries again.
	OnError func(error)
}

// Follow calls f.OnChange for the objects of a kind until ctx is done. It waits for a kind
// that is not served yet. After a failure it may have to list the objects again; OnChange
// then gets one change for each object that differs, however often it changed.
func (c *Client) Follow(ctx context.Context, f Follower) {
	synced := sync.OnceFunc(func() {
		if f.OnSynced != nil {
			f.OnSynced()
		}
	})
	objects := &store{objects: map[string]*unstructured.Unstructured{}, onChange: f.OnChange, onUpdate: synced}
	c.observe(ctx, f.Kind, f.Namespace, objects, func(err error) {
		if f.OnError != nil {
			f.OnError(err)
		}
	})
}

// observe keeps a store up to date until ctx is done. It never calls the store and
// onError at the same time.
func (c *Client) observe(ctx context.Context, kind schema.GroupKind, namespace string, objects *store, onError func(error)) {
	report := func(err error) {
		if ctx.Err() == nil {
			onError(err)
		}
	}
	discard := logr.Discard() // onError is called with the error
	ctx = klog.NewContext(ctx, discard)
	reflector := cache.NewReflectorWithOptions(&source{client: c, kind: kind, namespace: namespace, onError: report}, nil, objects, cache.ReflectorOptions{
		Logger: &discard, Name: "caslab", TypeDescription: kind.String(), Backoff: &backoff,
	})
	// The reflector's Run does the same, but reports no error.
	_ = backoff.DelayWithReset(clock.RealClock{}, backoffReset).Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		if err := reflector.ListAndWatchWithContext(ctx); err != nil {
			report(err)
		}
		return false, nil
	})
}

// source lists and watches a kind for a reflector. It finds the kind's resource each
// time, since the kind may not be served yet.
type source struct {
	client    *Client
	kind      schema.GroupKind
	namespace string
	onError   func(error)
}

// ListWithContext lists the current objects and ignores the options. A reflector's
// first list asks for any state that the API server has in its cache, which may lack
// what the caller has just changed.
func (s *source) ListWithContext(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
	return s.client.list(ctx, s.kind, s.namespace)
}

func (s *source) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watcher watch.Interface, err error) {
	err = s.client.withResource(ctx, s.kind, s.namespace, func(r dynamic.ResourceInterface) error {
		if watcher, err = r.Watch(ctx, options); err != nil {
			return fmt.Errorf("watch %s: %w", s.kind, err)
		}
		return nil
	})
	if utilnet.IsConnectionRefused(err) || apierrors.IsTooManyRequests(err) {
		s.onError(err) // the reflector tries again and reports nothing
	}
	return watcher, err
}

// List and Watch make a cache.ListerWatcher of source; reflectors prefer the
// functions with a context.
func (s *source) List(options metav1.ListOptions) (runtime.Object, error) {
	return s.ListWithContext(context.Background(), options)
}

func (s *source) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return s.WatchWithContext(context.Background(), options)
}

// IsWatchListSemanticsUnSupported keeps reflectors from getting the list through the
// watch. API servers before 1.19 ignore that option, and the reflector would wait for
// the end of the list for ever.
func (s *source) IsWatchListSemanticsUnSupported() bool { return true }

// store has the objects that a reflector found, by key.
type store struct {
	objects map[string]*unstructured.Unstructured
	// onChange is called for each change, after it was stored.
	onChange func(Change)
	// onUpdate is called after each change, and after all changes of a list.
	onUpdate func()
}

func (s *store) Add(object any) error    { return s.Update(object) }
func (s *store) Resync() error           { return nil }
func (s *store) Update(object any) error { return s.convert(object, s.put) }
func (s *store) Delete(object any) error {
	return s.convert(object, func(o *unstructured.Unstructured) {
		delete(s.objects, key(o))
		s.onChange(Change{Before: o})
	})
}

func (s *store) convert(object any, do func(*unstructured.Unstructured)) error {
	o, ok := object.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("want an object, not a %T", object)
	}
	do(o)
	s.onUpdate()
	return nil
}

func (s *store) put(after *unstructured.Unstructured) {
	before := s.objects[key(after)]
	s.objects[key(after)] = after
	s.onChange(Change{Before: before, After: after})
}

// Replace compares the stored objects with those of a new list.
func (s *store) Replace(list []any, _ string) error {
	now := make(map[string]*unstructured.Unstructured, len(list))
	for _, object := range list {
		o, ok := object.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("want an object, not a %T", object)
		}
		now[key(o)] = o
	}
	for _, before := range sorted(s.objects) {
		if after := now[key(before)]; after == nil || after.GetUID() != before.GetUID() {
			delete(s.objects, key(before))
			s.onChange(Change{Before: before})
		}
	}
	for _, after := range sorted(now) {
		if before := s.objects[key(after)]; before == nil || before.GetResourceVersion() != after.GetResourceVersion() {
			s.put(after)
		}
	}
	s.onUpdate()
	return nil
}

// key is the namespace and name of an object, or its name if it has no namespace.
func key(o *unstructured.Unstructured) string { return path.Join(o.GetNamespace(), o.GetName()) }

// sorted returns the objects in the order of their keys.
func sorted(objects map[string]*unstructured.Unstructured) []*unstructured.Unstructured {
	all := make([]*unstructured.Unstructured, 0, len(objects))
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		all = append(all, objects[key])
	}
	return all
}

// Field returns the value at a path of fields in an object as text, or "" if it is
// not there. It is for Cluster API's objects, whose types differ by release; Pod,
// Node, Event and Deployment return typed objects.
func Field(o *unstructured.Unstructured, path ...string) string {
	value, found, err := unstructured.NestedFieldNoCopy(o.Object, path...)
	if err != nil || !found {
		return ""
	}
	return fmt.Sprint(value)
}

// OfControlPlane reports whether a node belongs to the control plane. kubeadm before
// v1.20 labels it as a master alone.
func OfControlPlane(node metav1.Object) bool {
	labels := node.GetLabels()
	_, is := labels["node-role.kubernetes.io/control-plane"]
	_, was := labels["node-role.kubernetes.io/master"]
	return is || was
}

// MachinesLabel is the label of a node with its kind of machine. Its value is Hollow for a node
// without a kubelet, which the lab's controller plays. Other nodes do not have it.
const (
	MachinesLabel = "caslab.local/machines"
	Hollow        = "hollow"
)

// IsHollow reports whether a node is played: its capacity is made up, and it has no images.
func IsHollow(node metav1.Object) bool { return node.GetLabels()[MachinesLabel] == Hollow }

// True reports whether the status of a condition of an object is True.
func True(o *unstructured.Unstructured, condition string) bool {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == condition {
			return m["status"] == "True"
		}
	}
	return false
}
