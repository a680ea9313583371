package kube_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

// node returns a node with a UID that is or is not ready.
func node(name, uid, ready string) *unstructured.Unstructured {
	n := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Node",
		"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": ready}}},
	}}
	n.SetName(name)
	n.SetUID(types.UID(uid))
	return n
}

func edit(s *kubetest.Server, name, value string) {
	s.Edit(kube.Nodes, "", name, func(n *unstructured.Unstructured) { n.SetLabels(map[string]string{"now": value}) })
}

// follower follows a kind in a bubble of testing/synctest.
type follower struct {
	t       *testing.T
	changes []string
	errs    []error
	ended   chan struct{}
	end     func()
}

// follow begins to follow a kind until the test ends.
func follow(t *testing.T, s *kubetest.Server, kind schema.GroupKind) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &follower{t: t, ended: make(chan struct{}), end: cancel}
	of := func(o *unstructured.Unstructured) string {
		if o == nil {
			return "-"
		}
		return fmt.Sprintf("%s/%s%s", o.GetName(), o.GetUID(), o.GetLabels()["now"])
	}
	c := s.Client()
	go func() {
		defer close(f.ended)
		c.Follow(ctx, kube.Follower{
			Kind:     kind,
			OnChange: func(change kube.Change) { f.changes = append(f.changes, of(change.Before)+" "+of(change.After)) },
			OnSynced: func() { f.changes = append(f.changes, "synced") },
			OnError:  func(err error) { f.errs = append(f.errs, err) },
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-f.ended
	})
	return f
}

// expect lets time pass, which may be zero, and compares the changes that were reported
// since its last call.
func (f *follower) expect(after time.Duration, want ...string) {
	f.t.Helper()
	time.Sleep(after)
	synctest.Wait()
	if !slices.Equal(f.changes, want) {
		f.t.Errorf("reported %q, want %q", f.changes, want)
	}
	f.changes = nil
}

var nodeKinds = []schema.GroupVersionKind{{Version: "v1", Kind: "Node"}}

// refusal returns an interceptor that refuses every request with that verb.
type refusal struct {
	verb string
	err  error
	want string
}

func TestFollow(t *testing.T) {
	t.Parallel()
	bubble("every change", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		s.Put(node("b", "1", "True"), node("a", "2", "True"))
		f := follow(t, s, kube.Nodes)
		f.expect(0, "- a/2", "- b/1", "synced")
		s.Put(node("c", "3", "True"))
		edit(s, "a", "X")
		s.Remove(kube.Nodes, "", "b")
		s.Put(node("b", "6", "True"))
		s.Put(node("a", "7", "True"))
		f.expect(0, "- c/3", "a/2 a/2X", "b/1 -", "- b/6", "a/2X -", "- a/7")
		if len(f.errs) > 0 {
			t.Errorf("trouble: %v", f.errs)
		}
	})

	// The changes of an object between two lists are reported as one change, and objects that
	// did not change are not reported again.
	bubble("nothing is missed", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		s.Put(node("same", "1", "True"), node("changed", "2", "True"), node("gone", "3", "True"), node("replaced", "4", "True"))
		f := follow(t, s, kube.Nodes)
		f.expect(0, "- changed/2", "- gone/3", "- replaced/4", "- same/1", "synced")
		var blocked atomic.Bool
		s.Intercept(func(q kubetest.Request) error {
			if q.Verb == "watch" && blocked.Load() {
				return kubetest.ErrHangUp
			}
			return nil
		})
		blocked.Store(true)
		s.CutWatches()
		time.Sleep(time.Millisecond)
		synctest.Wait()
		s.Remove(kube.Nodes, "", "gone")
		s.Remove(kube.Nodes, "", "replaced")
		s.Put(node("new", "6", "True"), node("replaced", "5", "True"))
		edit(s, "changed", "X")
		edit(s, "changed", "Y")
		s.Forget()
		blocked.Store(false)
		f.expect(10*time.Second, "gone/3 -", "replaced/4 -", "changed/2 changed/2Y", "- new/6", "- replaced/5")
		edit(s, "new", "Z")
		f.expect(0, "new/6 new/6Z")
	})

	// Watches end every few minutes. Nothing is listed then, and every change is reported.
	bubble("watches end", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		s.Put(node("a", "1", "True"))
		f := follow(t, s, kube.Nodes)
		f.expect(time.Hour, "- a/1", "synced")
		s.Remove(kube.Nodes, "", "a")
		s.Put(node("a", "2", "True"))
		f.expect(0, "a/1 -", "- a/2")
		if lists, watches := s.Count("list", "nodes"), s.Count("watch", "nodes"); lists != 1 || watches < 6 {
			t.Errorf("%d lists and %d watches in an hour, want 1 list", lists, watches)
		}
	})

	bubble("trouble", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		s.Put(node("a", "1", "True"))
		var refused atomic.Pointer[refusal]
		refused.Store(&refusal{verb: "list", err: apierrors.NewServiceUnavailable("not now")})
		s.Intercept(func(q kubetest.Request) error {
			if r := refused.Load(); q.Verb == r.verb {
				return r.err
			}
			return nil
		})
		f := follow(t, s, kube.Nodes)
		for _, r := range []refusal{
			{"list", apierrors.NewServiceUnavailable("not now"), "not now"},
			{"watch", apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "", errors.New("not you")), "not you"},
			{"watch", apierrors.NewTooManyRequests("not so fast", 0), "not so fast"},
		} {
			refused.Store(&r)
			s.CutWatches()
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(f.errs) == 0 || !strings.Contains(f.errs[len(f.errs)-1].Error(), r.want) {
				t.Errorf("trouble %v, want %q", f.errs, r.want)
			}
			f.errs = nil
		}
		refused.Store(new(refusal))
		f.expect(time.Minute, "- a/1", "synced") // once, however often it was listed
		lists := s.Count("list", "nodes")
		s.Forget()
		s.CutWatches()
		f.expect(time.Minute) // nothing changed meanwhile
		if n := s.Count("list", "nodes") - lists; n != 1 {
			t.Errorf("listed %d times after the server forgot its history, want once", n)
		}
		s.Remove(kube.Nodes, "", "a")
		f.expect(0, "a/1 -")
	})

	// The objects of a kind are reported soon after it is served, and until then there are few
	// requests.
	bubble("a kind that is not served yet", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		machine := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Machine"}
		f := follow(t, s, machine.GroupKind())
		f.expect(time.Minute)
		if asked := s.Count("discover", "/apis"); asked > 24 {
			t.Errorf("%d discoveries in a minute, want one in 3 s", asked)
		}
		if len(f.errs) == 0 || !strings.Contains(f.errs[0].Error(), "Machine.example.com") {
			t.Errorf("trouble: %v", f.errs)
		}
		s.Define(machine)
		s.PutYAML("{apiVersion: example.com/v1, kind: Machine, metadata: {name: m, namespace: default, uid: '1'}}")
		f.expect(4*time.Second, "- m/1", "synced")
	})

	bubble("nothing after its end", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		stuck := make(chan struct{})
		s.Intercept(func(q kubetest.Request) error {
			if q.Verb == "list" {
				<-stuck
			}
			return nil
		})
		f := follow(t, s, kube.Nodes)
		f.expect(time.Minute)
		f.end()
		<-f.ended
		close(stuck)
		f.expect(time.Minute)
		if len(f.errs) > 0 {
			t.Errorf("trouble after its end: %v", f.errs)
		}
	})
}

func TestFollowOneNamespace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := kubetest.New(t, []schema.GroupVersionKind{{Version: "v1", Kind: "Pod"}}, "")
		var changes []string
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := s.Client()
		go func() {
			time.Sleep(time.Second)
			for _, namespace := range []string{"ours", "theirs"} {
				s.PutYAML("{apiVersion: v1, kind: Pod, metadata: {name: new, namespace: " + namespace + "}}")
			}
		}()
		s.PutYAML("{apiVersion: v1, kind: Pod, metadata: {name: old, namespace: ours}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: old, namespace: theirs}}")
		c.Follow(ctx, kube.Follower{Kind: kube.Pods, Namespace: "ours", OnChange: func(change kube.Change) {
			changes = append(changes, change.After.GetNamespace()+"/"+change.After.GetName())
		}})
		if want := []string{"ours/old", "ours/new"}; !slices.Equal(changes, want) {
			t.Errorf("reported %q, want %q", changes, want)
		}
	})
}
