package capi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/kube"
)

// apiServer answers lists of the given resources, and watches with nothing.
func apiServer(t *testing.T, lists map[string][]map[string]any) *kube.Client {
	t.Helper()
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("GET /api", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"kind": "APIVersions", "versions": []string{"v1"}})
	})
	mux.HandleFunc("GET /apis", func(w http.ResponseWriter, _ *http.Request) {
		version := map[string]any{"groupVersion": "cluster.x-k8s.io/v1beta2", "version": "v1beta2"}
		answer(w, map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": []any{
			map[string]any{"name": "cluster.x-k8s.io", "versions": []any{version}, "preferredVersion": version},
		}})
	})
	resource := func(name, kind string) map[string]any {
		return map[string]any{"name": name, "kind": kind, "namespaced": true, "verbs": []string{"list", "watch"}}
	}
	mux.HandleFunc("GET /api/v1", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"kind": "APIResourceList", "groupVersion": "v1", "resources": []any{resource("nodes", "Node")}})
	})
	mux.HandleFunc("GET /apis/cluster.x-k8s.io/v1beta2", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"kind": "APIResourceList", "groupVersion": "cluster.x-k8s.io/v1beta2",
			"resources": []any{resource("clusters", "Cluster"), resource("machines", "Machine")}})
	})
	for path, items := range lists {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("watch") != "" {
				<-r.Context().Done()
				return
			}
			answer(w, map[string]any{"kind": "List", "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": "1"}, "items": items})
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: '" + server.URL + "'}}]\ncontexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n"
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := kube.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func clusterObject(kind, name string, fields map[string]any) map[string]any {
	fields["apiVersion"], fields["kind"] = "cluster.x-k8s.io/v1beta2", kind
	fields["metadata"] = map[string]any{"name": name, "namespace": "default"}
	return fields
}

func provisioned(infrastructure, controlPlane bool) map[string]any {
	return clusterObject("Cluster", "work", map[string]any{"status": map[string]any{
		"initialization": map[string]any{"infrastructureProvisioned": infrastructure, "controlPlaneInitialized": controlPlane},
		"conditions":     []any{map[string]any{"type": "ControlPlaneInitialized", "status": "True"}},
	}})
}

// unconfirmed has the field, and not yet the condition that move looks at too.
func unconfirmed() map[string]any {
	cluster := provisioned(true, true)
	delete(cluster["status"].(map[string]any), "conditions")
	return cluster
}

func machine(name, node string) map[string]any {
	status := map[string]any{"phase": "Provisioned"}
	if node != "" {
		status = map[string]any{"phase": "Running", "nodeRef": map[string]any{"name": node}}
	}
	return clusterObject("Machine", name, map[string]any{"status": status})
}

func TestWaitMovable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cluster  map[string]any
		machines []map[string]any
		missing  string // empty: movable
	}{
		"all there":             {provisioned(true, true), []map[string]any{machine("a", "n1"), machine("b", "n2")}, ""},
		"another cluster's":     {clusterObject("Cluster", "other", map[string]any{}), nil, "the Cluster work"},
		"no infrastructure":     {provisioned(false, true), nil, "infrastructure"},
		"control plane to come": {provisioned(true, false), nil, "control plane"},
		"condition to come":     {unconfirmed(), nil, "control plane"},
		"a machine is missing":  {provisioned(true, true), []map[string]any{machine("a", "n1")}, "nodes for 0 of 2"},
		"a node is missing":     {provisioned(true, true), []map[string]any{machine("a", "n1"), machine("b", "")}, "nodes for 1 of 2 machines b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := apiServer(t, map[string][]map[string]any{
				"/apis/cluster.x-k8s.io/v1beta2/namespaces/default/clusters": {tc.cluster},
				"/apis/cluster.x-k8s.io/v1beta2/namespaces/default/machines": tc.machines,
			})
			ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errors.New("too long"))
			if tc.missing != "" {
				ctx, cancel = context.WithTimeoutCause(t.Context(), 300*time.Millisecond, errors.New("too long"))
			}
			defer cancel()
			err := WaitMovable(ctx, client, "default", "work", 2, nil)
			switch {
			case tc.missing == "" && err != nil:
				t.Errorf("WaitMovable() = %v", err)
			case tc.missing != "" && (err == nil || !strings.Contains(err.Error(), tc.missing) || !strings.Contains(err.Error(), "too long")):
				t.Errorf("WaitMovable() = %v; want %q in it", err, tc.missing)
			}
		})
	}
}
