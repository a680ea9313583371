package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"caslab/magefiles/internal/kube"
)

const (
	// seenWithin is how late a watch may be. listAgainAfter is the time after which its objects are
	// listed again: a watch never reports an object that was created and deleted while the watch
	// was down.
	seenWithin     = time.Minute
	listAgainAfter = time.Second
	// lookEvery is how often it is asked whether a watch has seen what a list has.
	lookEvery = 20 * time.Millisecond
)

// followed is a kind of objects that a world follows.
type followed struct {
	client    *kube.Client
	kind      schema.GroupKind
	namespace string

	mu sync.Mutex
	// there has the last seen resource version of each existing object, by UID, and gone that of
	// each deleted one.
	there, gone map[types.UID]uint64
}

// following adds a kind of objects to those that the world follows.
func (w *world) following(c *kube.Client, kind schema.GroupKind, namespace string) *followed {
	f := &followed{client: c, kind: kind, namespace: namespace, there: map[types.UID]uint64{}, gone: map[types.UID]uint64{}}
	w.followed = append(w.followed, f)
	return f
}

// see notes that the world has seen a change.
func (f *followed) see(change kube.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := change.After; o != nil {
		f.there[o.GetUID()] = versionOf(o)
		return
	}
	uid := change.Before.GetUID()
	f.gone[uid] = versionOf(change.Before)
	delete(f.there, uid)
}

// versionOf returns the resource version of an object, 0 if it has none. API servers count the versions of
// a kind upwards.
func versionOf(o *unstructured.Unstructured) uint64 {
	n, _ := strconv.ParseUint(o.GetResourceVersion(), 10, 64)
	return n
}

// has reports whether what was seen is at least as new as a list of all objects.
func (f *followed) has(list []unstructured.Unstructured) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	listed := map[types.UID]bool{}
	for i := range list {
		uid, version := list[i].GetUID(), versionOf(&list[i])
		listed[uid] = true
		seen, there := f.there[uid]
		if _, ended := f.gone[uid]; !ended && (!there || seen < version) {
			return false
		}
	}
	for uid := range f.there {
		if !listed[uid] {
			return false
		}
	}
	return true
}

// catchUp waits until the world has seen everything that the clusters have by now. Otherwise a check after
// an action might come true by the state before it, because a watch is late.
func (w *world) catchUp(ctx context.Context) error {
	limited, cancel := context.WithTimeoutCause(ctx, seenWithin, fmt.Errorf("not within %s", seenWithin))
	defer cancel()
	for _, f := range w.followed {
		if err := f.catchUp(limited); err != nil {
			return fmt.Errorf("wait until the watch of the kind %s shows what the actions changed: %w", f.kind, err)
		}
	}
	return nil
}

func (f *followed) catchUp(ctx context.Context) error {
	for {
		list, err := f.client.List(ctx, f.kind, f.namespace)
		for until := time.Now().Add(listAgainAfter); time.Now().Before(until); {
			if err == nil && f.has(list) {
				return nil
			}
			select {
			case <-time.After(lookEvery):
			case <-ctx.Done():
				return errors.Join(context.Cause(ctx), err)
			}
		}
	}
}
