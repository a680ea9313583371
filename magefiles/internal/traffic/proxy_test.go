package traffic

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"caslab/magefiles/internal/kube"
)

// start returns a proxy in front of an API server with that handler, and a client that has
// the proxy's kubeconfig.
func start(t *testing.T, handler http.HandlerFunc) (*Proxy, *http.Client, string) {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: server.URL, InsecureSkipTLSVerify: true}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: "the server's"}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	config.CurrentContext = "x"
	data, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Server: filepath.Join(dir, "server"), Kubeconfig: filepath.Join(dir, "counted")}
	if err := kube.WriteKubeconfig(p.Server, data); err != nil {
		t.Fatal(err)
	}
	stop, err := p.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(p.Kubeconfig); err == nil {
			t.Error("the kubeconfig is still there")
		}
	})
	through, err := clientcmd.BuildConfigFromFlags("", p.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(through)
	if err != nil {
		t.Fatal(err)
	}
	return p, client, through.Host
}

// do sends a request and returns the status and the body of the answer.
func do(t *testing.T, c *http.Client, method, url, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(data)
}

// TestProxyCounts: requests reach the server with its credentials, and are counted by kind.
func TestProxyCounts(t *testing.T) {
	t.Parallel()
	p, client, host := start(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer the server's" {
			t.Errorf("the server got the credentials %q", got)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.Contains(r.URL.Path, "/gone/") {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, "12345")
	})
	const groups = "/apis/cluster.x-k8s.io/v1beta2/namespaces/default/machinedeployments/"
	for _, name := range []string{"web", "gone"} {
		do(t, client, http.MethodGet, host+groups+name+"/scale", "")
	}
	before := p.Counts()
	if status, body := do(t, client, http.MethodPatch, host+groups+"web/scale", "123"); status != http.StatusOK || body != "12345" {
		t.Errorf("the answer is %d %q", status, body)
	}
	of := Request{"get", "/apis/cluster.x-k8s.io/v1beta2/namespaces/{namespace}/machinedeployments/{name}/scale"}
	if c := p.Counts()[of]; c.Requests != 2 || c.Failed != 1 || c.Received != 10 || c.Waited <= 0 {
		t.Errorf("%v was counted as %+v", of, c)
	}
	since := p.Counts().Since(before)
	of.Verb = "patch"
	if c := since[of]; len(since) != 1 || c.Requests != 1 || c.Sent != 3 || c.Received != 5 {
		t.Errorf("since then, %v was counted", since)
	}
}

// TestProxyForwardsEvents: an event of a watch arrives while the watch goes on.
func TestProxyForwardsEvents(t *testing.T) {
	t.Parallel()
	p, client, host := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "event")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, host+"/api/v1/pods?watch=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	event := make([]byte, len("event"))
	if _, err := io.ReadFull(answer.Body, event); err != nil || string(event) != "event" {
		t.Errorf("read %q: %v", event, err)
	}
	if c := p.Counts()[Request{"watch", "/api/v1/pods"}]; c.Requests != 1 || c.Received != 5 {
		t.Errorf("the watch was counted as %+v", c)
	}
}

// TestProxyNeedsItsToken: another program of this machine does not get the rights of the
// server's kubeconfig.
func TestProxyNeedsItsToken(t *testing.T) {
	t.Parallel()
	p, _, host := start(t, func(http.ResponseWriter, *http.Request) { t.Error("the request reached the server") })
	without, err := clientcmd.BuildConfigFromFlags("", p.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := rest.HTTPClientFor(rest.AnonymousClientConfig(without))
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := do(t, stranger, http.MethodGet, host+"/api/v1/secrets", ""); status != http.StatusUnauthorized {
		t.Errorf("the answer is %d", status)
	}
	if c := p.Counts(); len(c) > 0 {
		t.Errorf("%v was counted", c)
	}
	info, err := os.Stat(p.Kubeconfig)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the kubeconfig has the mode %v: %v", info.Mode(), err)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	const list = "/api/v1/namespaces/{namespace}/pods"
	for _, tc := range []struct{ method, target, verb, path string }{
		{http.MethodGet, "/api", "get", "/api"},
		{http.MethodGet, "/apis", "get", "/apis"},
		{http.MethodGet, "/apis/cluster.x-k8s.io/v1beta2", "get", "/apis/cluster.x-k8s.io/v1beta2"},
		{http.MethodGet, "/api/v1/pods", "list", "/api/v1/pods"},
		{http.MethodGet, "/api/v1/nodes/n1", "get", "/api/v1/nodes/{name}"},
		{http.MethodGet, "/api/v1/namespaces", "list", "/api/v1/namespaces"},
		{http.MethodGet, "/api/v1/namespaces/default", "get", "/api/v1/namespaces/{name}"},
		{http.MethodPut, "/api/v1/namespaces/default/finalize", "update", "/api/v1/namespaces/{namespace}/finalize"},
		{http.MethodGet, "/api/v1/namespaces/default/pods", "list", list},
		{http.MethodGet, "/api/v1/namespaces/default/pods?watch=1", "watch", list},
		{http.MethodDelete, "/api/v1/namespaces/default/pods", "deletecollection", list},
		{http.MethodDelete, "/api/v1/namespaces/default/pods/a", "delete", list + "/{name}"},
		{http.MethodPost, "/api/v1/namespaces/default/pods/a/eviction", "create", list + "/{name}/eviction"},
		{http.MethodPut, "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/l", "update", "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"},
		{http.MethodGet, "/version", "get", "/version"},
		{http.MethodGet, "/", "get", "/"},
	} {
		got := parse(httptest.NewRequestWithContext(t.Context(), tc.method, tc.target, nil))
		if want := (Request{tc.verb, tc.path}); got != want {
			t.Errorf("%s %s: %v, want %v", tc.method, tc.target, got, want)
		}
	}
}
