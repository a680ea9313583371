package kube

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/tools/clientcmd"
)

var (
	nodeKind = schema.GroupKind{Kind: "Node"}
	nodes    = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
)

func client(t *testing.T, objects ...runtime.Object) *Client {
	t.Helper()
	m := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Version: "v1"}})
	m.Add(schema.GroupVersionKind{Version: "v1", Kind: "Node"}, meta.RESTScopeRoot)
	return &Client{
		dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
			map[schema.GroupVersionResource]string{nodes: "NodeList"}, objects...),
		mapper: m,
	}
}

func node(name, ready string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": name},
		"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": ready}}},
	}}
}

func allReady(objects []*unstructured.Unstructured) (bool, string) {
	for _, o := range objects {
		if !True(o, "Ready") {
			return false, "node " + o.GetName()
		}
	}
	return len(objects) == 2, "two nodes"
}

func TestWaitSeesWhatChanges(t *testing.T) {
	t.Parallel()
	c := client(t, node("a", "True"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	said := make(chan string, 16)
	done := make(chan error, 1)
	go func() { done <- c.Wait(ctx, nodeKind, "", allReady, func(s string) { said <- s }) }()

	expect := func(want string) {
		t.Helper()
		select {
		case got := <-said:
			if got != want {
				t.Fatalf("it waits for %q, want %q", got, want)
			}
		case err := <-done:
			t.Fatalf("Wait() = %v while %s was missing", err, want)
		}
	}
	expect("two nodes")
	// The fake's watch begins when it is asked for: give it that time.
	time.Sleep(100 * time.Millisecond)
	if _, err := c.dynamic.Resource(nodes).Create(ctx, node("b", "False"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	expect("node b")
	if _, err := c.dynamic.Resource(nodes).Update(ctx, node("b", "True"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Wait() = %v", err)
	}
}

func TestWaitEndsWithItsReason(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("not within a blink"))
	defer cancel()
	err := client(t, node("a", "False")).Wait(ctx, nodeKind, "", allReady, nil)
	if err == nil || !strings.Contains(err.Error(), "node a") || !strings.Contains(err.Error(), "not within a blink") {
		t.Errorf("Wait() = %v; want what was missing and the bound", err)
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	objects, err := Decode([]byte("# a comment\n---\nkind: A\n---\n---\nkind: B\n"))
	if err != nil || len(objects) != 2 || objects[1].GetKind() != "B" {
		t.Errorf("Decode() = %v, %v", objects, err)
	}
	if _, err := Decode([]byte("kind: A\n---\n- not an object\n")); err == nil || !strings.Contains(err.Error(), "object 2") {
		t.Errorf("Decode() of a list = %v", err)
	}
}

func TestField(t *testing.T) {
	t.Parallel()
	o := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(3), "paused": true}}}
	for path, want := range map[string]string{"replicas": "3", "paused": "true", "gone": ""} {
		if got := Field(o, "spec", path); got != want {
			t.Errorf("Field(%s) = %q, want %q", path, got, want)
		}
	}
}

func TestKubeconfig(t *testing.T) {
	t.Parallel()
	data, err := WithServer([]byte("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://172.18.0.3:6443'}}]\n"), "https://127.0.0.1:32771")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), "https://127.0.0.1:32771") || strings.Contains(string(data), "172.18") {
		t.Errorf("WithServer() = %s", data)
	}
	if _, err := WithServer([]byte("{"), "x"); err == nil {
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
				if err := WriteKubeconfig(path, data); err != nil {
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
	if err := WriteKubeconfig(filepath.Join(path, "kubeconfig"), nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("WriteKubeconfig() below a file = %v", err)
	}
}

// FuzzDecode: a stream of any text is read or refused, and no object is empty.
func FuzzDecode(f *testing.F) {
	f.Add("# a comment\n---\nkind: A\n---\n---\nkind: B\n")
	f.Add("kind: A\n---\n- not an object\n")
	f.Add(`{"kind": "A"}{"kind": "B"}`)
	f.Add("---")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		objects, err := Decode([]byte(text))
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

// FuzzWithServer: what comes out of a kubeconfig is one, with the server.
func FuzzWithServer(f *testing.F) {
	f.Add("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://172.18.0.3:6443'}}]\n", "https://127.0.0.1:32771")
	f.Add("apiVersion: v1\nkind: Config\n", "")
	f.Add("clusters: [{}]", "x")
	f.Add("{", "x")
	f.Fuzz(func(t *testing.T, text, server string) {
		out, err := WithServer([]byte(text), server)
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
