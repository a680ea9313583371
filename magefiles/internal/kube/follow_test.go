package kube

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
)

// version is a node with a UID and a resource version.
func version(name, uid, resourceVersion string) *unstructured.Unstructured {
	n := node(name, "True")
	n.SetUID(types.UID(uid))
	n.SetResourceVersion(resourceVersion)
	return n
}

// told writes a change for a test to compare.
func told(c Change) string {
	of := func(o *unstructured.Unstructured) string {
		if o == nil {
			return "-"
		}
		return o.GetName() + "/" + string(o.GetUID()) + "@" + o.GetResourceVersion()
	}
	return of(c.Before) + " " + of(c.After)
}

// script is an API server whose lists and watches a test has in its hand.
type script struct {
	t       *testing.T
	store   *dynamicfake.FakeDynamicClient
	watches chan *watch.FakeWatcher
	told    chan string
	trouble chan string
}

// followed follows nodes until the test ends.
func followed(t *testing.T, c *Client) *script {
	t.Helper()
	s := &script{t: t, store: c.dynamic.(*dynamicfake.FakeDynamicClient), watches: make(chan *watch.FakeWatcher), told: make(chan string, 64), trouble: make(chan string, 64)}
	s.store.PrependWatchReactor("nodes", func(clienttesting.Action) (bool, watch.Interface, error) {
		w := watch.NewFakeWithChanSize(8, false)
		select {
		case s.watches <- w:
		case <-t.Context().Done():
		}
		return true, w, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Follow(ctx, Follower{
			Kind: nodeKind,
			On:   func(change Change) { s.told <- told(change) },
			Synced: func() {
				s.told <- "synced"
			},
			Trouble: func(err error) {
				select {
				case s.trouble <- err.Error():
				default:
				}
			},
		})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Error("Follow goes on after its context")
		}
	})
	return s
}

func (s *script) expect(want ...string) {
	s.t.Helper()
	var got []string
	for range want {
		select {
		case text := <-s.told:
			got = append(got, text)
		case <-time.After(10 * time.Second):
			s.t.Fatalf("told %q, and nothing more; want %q", got, want)
		}
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("told %q, want %q", got, want)
	}
	select {
	case text := <-s.told:
		s.t.Errorf("told of %q too", text)
	case <-time.After(50 * time.Millisecond):
	}
}

// watching is the watch that is asked for next.
func (s *script) watching() *watch.FakeWatcher {
	s.t.Helper()
	select {
	case w := <-s.watches:
		return w
	case <-time.After(10 * time.Second):
		s.t.Fatal("nobody watches")
		return nil
	}
}

func TestFollowTellsEveryChange(t *testing.T) {
	t.Parallel()
	s := followed(t, client(t, version("b", "1", "1"), version("a", "2", "2")))
	w := s.watching()
	s.expect("- a/2@2", "- b/1@1", "synced")
	w.Add(version("c", "3", "3"))
	w.Modify(version("a", "2", "4"))
	w.Delete(version("b", "1", "5"))
	w.Add(version("b", "6", "6"))
	s.expect("- c/3@3", "a/2@2 a/2@4", "b/1@5 -", "- b/6@6")
}

// TestFollowMissesNothing: what changed between one watch and the next is told
// as one change, and what did not change is not told again.
func TestFollowMissesNothing(t *testing.T) {
	t.Parallel()
	s := followed(t, client(t, version("same", "1", "1"), version("changed", "2", "1"), version("gone", "3", "1"), version("replaced", "4", "1")))
	w := s.watching()
	s.expect("- changed/2@1", "- gone/3@1", "- replaced/4@1", "- same/1@1", "synced")
	ctx := t.Context()
	resource := s.store.Resource(nodes)
	for _, err := range []error{
		resource.Delete(ctx, "gone", metav1.DeleteOptions{}),
		resource.Delete(ctx, "replaced", metav1.DeleteOptions{}),
		second(resource.Create(ctx, version("replaced", "5", "2"), metav1.CreateOptions{})),
		second(resource.Update(ctx, version("changed", "2", "2"), metav1.UpdateOptions{})),
		second(resource.Create(ctx, version("new", "6", "2"), metav1.CreateOptions{})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.Stop() // as watches do, every few minutes
	w = s.watching()
	s.expect("gone/3@1 -", "replaced/4@1 -", "changed/2@1 changed/2@2", "- new/6@2", "- replaced/5@2")
	w.Modify(version("new", "6", "3"))
	s.expect("new/6@2 new/6@3")
}

func second(_ *unstructured.Unstructured, err error) error { return err }

func TestFollowOutlivesTrouble(t *testing.T) {
	t.Parallel()
	c := client(t, version("a", "1", "1"))
	refuse := make(chan struct{})
	c.dynamic.(*dynamicfake.FakeDynamicClient).PrependReactor("list", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		select {
		case <-refuse:
			return false, nil, nil
		default:
			return true, nil, errors.New("not now")
		}
	})
	s := followed(t, c)
	select {
	case text := <-s.trouble:
		if !strings.Contains(text, "not now") {
			t.Errorf("trouble: %s", text)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not say what failed")
	}
	close(refuse)
	w := s.watching()
	s.expect("- a/1@1", "synced")
	w.Error(&metav1.Status{Reason: metav1.StatusReasonExpired, Message: "too old resource version"})
	w = s.watching()
	s.expect() // nothing changed meanwhile
	w.Delete(version("a", "1", "2"))
	s.expect("a/1@2 -")
}

// TestFollowWaitsForAKind: one that is not served yet is trouble, and no end.
func TestFollowWaitsForAKind(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	troubles := 0
	client(t).Follow(ctx, Follower{
		Kind: schema.GroupKind{Group: "example.com", Kind: "Machine"},
		On:   func(Change) { t.Error("told of an object") },
		Trouble: func(error) {
			if troubles++; troubles == 2 {
				cancel()
			}
		},
	})
	if troubles != 2 {
		t.Errorf("%d times trouble", troubles)
	}
}
