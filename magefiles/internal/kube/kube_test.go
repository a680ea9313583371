package kube_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

func allReady(objects []*unstructured.Unstructured) (bool, string) {
	for _, o := range objects {
		if !kube.True(o, "Ready") {
			return false, "node " + o.GetName()
		}
	}
	return len(objects) == 2, "two nodes"
}

func TestWait(t *testing.T) {
	t.Parallel()
	late := errors.New("not within a minute")
	wait := func(t *testing.T, s *kubetest.Server) (said []string, took time.Duration, err error) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, late)
		defer cancel()
		begun := time.Now()
		err = s.Client().Wait(ctx, kube.Nodes, "", allReady, func(text string) { said = append(said, text) })
		return said, time.Since(begun), err
	}
	bubble("sees what changes", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		s.Put(node("a", "1", "True"))
		go func() {
			time.Sleep(time.Second)
			s.Put(node("b", "2", "False"))
			time.Sleep(time.Second)
			s.Put(node("b", "2", "True"))
		}()
		said, took, err := wait(t, s)
		if err != nil || took != 2*time.Second || !slices.Equal(said, []string{"two nodes", "node b"}) {
			t.Errorf("Wait() = %v after %s, having said %q", err, took, said)
		}
	})
	bubble("is over at once", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		s.Put(node("a", "1", "True"), node("b", "2", "True"))
		said, took, err := wait(t, s)
		if err != nil || took != 0 || len(said) != 0 {
			t.Errorf("Wait() = %v after %s, having said %q", err, took, said)
		}
	})
	bubble("gets the objects in order and without their managed fields", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		for _, name := range []string{"c", "a", "b"} {
			n := node(name, "1", "True")
			n.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubelet", Operation: metav1.ManagedFieldsOperationUpdate}})
			s.Put(n)
		}
		err := s.Client().Wait(t.Context(), kube.Nodes, "", func(all []*unstructured.Unstructured) (bool, string) {
			for i, o := range all {
				if want := string(rune('a' + i)); o.GetName() != want || len(o.GetManagedFields()) > 0 {
					t.Errorf("got %s with %d managed fields, want %s without", o.GetName(), len(o.GetManagedFields()), want)
				}
			}
			return len(all) == 3, "three nodes"
		}, nil)
		if err != nil {
			t.Error(err)
		}
	})
	bubble("sees what goes", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		s.Put(node("a", "1", "True"), node("b", "2", "True"), node("c", "3", "True"))
		go func() {
			time.Sleep(time.Second)
			s.Remove(kube.Nodes, "", "c")
		}()
		if said, took, err := wait(t, s); err != nil || took != time.Second || !slices.Equal(said, []string{"two nodes"}) {
			t.Errorf("Wait() = %v after %s, having said %q", err, took, said)
		}
	})
	// The next change may arrive before the watch ends.
	bubble("is over once", t, func(t *testing.T) {
		for range 20 {
			s := kubetest.New(t, nodeKinds, "")
			s.Put(node("a", "1", "True"))
			go func() {
				time.Sleep(time.Second)
				s.Put(node("b", "2", "True"), node("b", "2", "False"), node("b", "2", "False"))
			}()
			if said, took, err := wait(t, s); err != nil || took != time.Second || len(said) != 1 {
				t.Fatalf("Wait() = %v after %s, having said %q", err, took, said)
			}
		}
	})
	bubble("ends with its reason", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		s.Put(node("a", "1", "False"))
		_, took, err := wait(t, s)
		if took != time.Minute || !errors.Is(err, late) || err.Error() != "waited for node a: not within a minute" {
			t.Errorf("Wait() = %v after %s; want what was missing and the bound", err, took)
		}
	})
	bubble("outlives trouble", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		s.Put(node("a", "1", "True"), node("b", "2", "True"))
		var lists atomic.Int32
		s.Intercept(func(q kubetest.Request) error {
			if q.Verb == "list" && lists.Add(1) < 4 {
				return apierrors.NewServiceUnavailable("not now")
			}
			return nil
		})
		if _, took, err := wait(t, s); err != nil || took > 3*time.Second {
			t.Errorf("Wait() = %v after %s", err, took)
		}
	})
	bubble("ends with the last error", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		s.Intercept(func(q kubetest.Request) error {
			if q.Verb == "list" {
				return apierrors.NewServiceUnavailable("not now")
			}
			return nil
		})
		_, _, err := wait(t, s)
		if !errors.Is(err, late) || !apierrors.IsServiceUnavailable(err) || !strings.HasPrefix(err.Error(), "waited for an answer: not within a minute; last error: ") {
			t.Errorf("Wait() = %v", err)
		}
	})
	bubble("forgets errors that are over", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		s.Put(node("a", "1", "False"))
		var lists atomic.Int32
		s.Intercept(func(q kubetest.Request) error {
			if q.Verb == "list" && lists.Add(1) == 1 {
				return apierrors.NewServiceUnavailable("not now")
			}
			return nil
		})
		if _, _, err := wait(t, s); err == nil || err.Error() != "waited for node a: not within a minute" {
			t.Errorf("Wait() = %v", err)
		}
	})
	// The first list of a reflector may be older than the latest change.
	bubble("takes nothing old", t, func(t *testing.T) {
		s := kubetest.New(t, nodeKinds, "")
		s.Put(node("a", "1", "True"), node("b", "2", "True"))
		s.Intercept(func(q kubetest.Request) error {
			if v := q.Query.Get("resourceVersion"); q.Verb == "list" && v != "" {
				t.Errorf("listed resource version %s; want what there is now", v)
			}
			return nil
		})
		if _, _, err := wait(t, s); err != nil {
			t.Error(err)
		}
	})
}

func TestDecode(t *testing.T) {
	t.Parallel()
	objects, err := kube.Decode([]byte("# a comment\n---\nkind: A\n---\n---\nkind: B\n"))
	if err != nil || len(objects) != 2 || objects[1].GetKind() != "B" {
		t.Errorf("Decode() = %v, %v", objects, err)
	}
	if _, err := kube.Decode([]byte("kind: A\n---\n- not an object\n")); err == nil || !strings.Contains(err.Error(), "object 2") {
		t.Errorf("Decode() of a list = %v", err)
	}
}

func TestField(t *testing.T) {
	t.Parallel()
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(3), "paused": true}}}
	for path, want := range map[string]string{"replicas": "3", "paused": "true", "gone": ""} {
		if got := kube.Field(o, "spec", path); got != want {
			t.Errorf("Field(%s) = %q, want %q", path, got, want)
		}
	}
}

func TestKubeconfig(t *testing.T) {
	t.Parallel()
	data, err := kube.WithServer([]byte("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://172.18.0.3:6443'}}]\n"), "https://127.0.0.1:32771")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), "https://127.0.0.1:32771") || strings.Contains(string(data), "172.18") {
		t.Errorf("WithServer() = %s", data)
	}
	if _, err := kube.WithServer([]byte("{"), "x"); err == nil {
		t.Error("broken YAML was accepted")
	}
}

// TestWriteKubeconfig: several writers at once leave one whole file that only
// the user can read, and nothing beside it.
func TestWriteKubeconfig(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deep", "kubeconfig")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		data := bytes.Repeat([]byte{byte('a' + i)}, 1<<16)
		all.Go(func() {
			for range 10 {
				if err := kube.WriteKubeconfig(path, data); err != nil {
					t.Error(err)
				}
				read, err := os.ReadFile(path)
				if err != nil || len(read) != len(data) || len(bytes.TrimLeft(read, string(read[:1]))) != 0 {
					t.Errorf("read %d bytes, %v; want those of one writer", len(read), err)
				}
			}
		})
	}
	all.Wait()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("%d files are left, %v", len(entries), err)
	}
	if err := kube.WriteKubeconfig(filepath.Join(path, "kubeconfig"), nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("WriteKubeconfig() below a file = %v", err)
	}
}

// FuzzDecode: any text is read or refused, and no object that is read is empty.
func FuzzDecode(f *testing.F) {
	f.Add("# a comment\n---\nkind: A\n---\n---\nkind: B\n")
	f.Add("kind: A\n---\n- not an object\n")
	f.Add(`{"kind": "A"}{"kind": "B"}`)
	f.Add("---")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		objects, err := kube.Decode([]byte(text))
		if err != nil && objects != nil {
			t.Errorf("objects and the error %v", err)
		}
		for _, o := range objects {
			if len(o.Object) == 0 {
				t.Errorf("an empty object of %q", text)
			}
			_, _ = o.GetKind(), o.GetName()
		}
	})
}

// FuzzWithServer: the result for a kubeconfig is a kubeconfig that has the server.
func FuzzWithServer(f *testing.F) {
	f.Add("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://172.18.0.3:6443'}}]\n", "https://127.0.0.1:32771")
	f.Add("apiVersion: v1\nkind: Config\n", "")
	f.Add("clusters: [{}]", "x")
	f.Add("{", "x")
	f.Fuzz(func(t *testing.T, text, server string) {
		out, err := kube.WithServer([]byte(text), server)
		if err != nil {
			return
		}
		config, err := clientcmd.Load(out)
		if err != nil {
			t.Fatalf("WithServer(%q, %q) gives no kubeconfig: %v", text, server, err)
		}
		for name, c := range config.Clusters {
			if utf8.ValidString(server) && c.Server != server {
				t.Errorf("cluster %s is at %q, want %q", name, c.Server, server)
			}
		}
	})
}
