package serve

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/render"
)

// site is the page of a record.
type site struct {
	http.Handler
	file    string
	clock   time.Time
	trouble string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{file: filepath.Join(t.TempDir(), "record.jsonl"), clock: time.Now()}
	s.Handler = Handler(Options{
		File: s.file, Now: func() time.Time { return s.clock }, Trouble: func() string { return s.trouble },
		Page: func([]timeline.Fact) render.ReportOptions { return render.ReportOptions{Title: "What happened"} },
	})
	return s
}

func (s *site) add(t *testing.T, node string) {
	t.Helper()
	if err := timeline.Append(s.file, timeline.Fact{Time: s.clock, Kind: timeline.Node, What: timeline.Joined, Name: node, UID: node}); err != nil {
		t.Fatal(err)
	}
}

func (s *site) do(method, target, host string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, target, nil)
	r.Host = host
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func (s *site) get(t *testing.T, target string) string {
	t.Helper()
	w := s.do(http.MethodGet, target, "127.0.0.1:8480")
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d, %s", target, w.Code, w.Body)
	}
	return w.Body.String()
}

func (s *site) state(t *testing.T) (state State) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.get(t, "/state")), &state); err != nil {
		t.Fatal(err)
	}
	return state
}

// TestASecondFactAppears: the state names another version after each fact, and the page
// of that version has the fact.
func TestASecondFactAppears(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	empty := s.state(t)
	if page := s.get(t, "/"); !strings.Contains(page, "Nothing is on record") || !strings.Contains(page, `data-version="`+empty.Version+`"`) {
		t.Errorf("before there is a record, the page is\n%s", page)
	}
	seen := map[string]bool{empty.Version: true}
	for _, node := range []string{"first-node", "second-node"} {
		if strings.Contains(s.get(t, "/"), node) {
			t.Errorf("the page has %s before the record", node)
		}
		s.add(t, node)
		state := s.state(t)
		if seen[state.Version] {
			t.Errorf("the version with %s is an earlier one, %s", node, state.Version)
		}
		seen[state.Version] = true
		page := s.get(t, "/")
		if !strings.Contains(page, node) || !strings.Contains(page, `data-version="`+state.Version+`"`) {
			t.Errorf("the page of version %s lacks the version or %s", state.Version, node)
		}
		if s.get(t, "/") != page {
			t.Error("the same version has two pages")
		}
	}
}

func TestStateSaysWhatStopped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.add(t, "node")
	s.clock = s.clock.Add(5 * time.Minute)
	s.trouble = "the cluster does not answer"
	if state := s.state(t); state.QuietSeconds < 299 || state.QuietSeconds > 301 || state.Trouble != s.trouble {
		t.Errorf("the state is %+v, want that the record did not grow for 300 seconds, and the trouble", state)
	}
}

// TestOnlyLoopbackHostsAreAnswered: another site cannot read the record under a name that
// leads to this machine.
func TestOnlyLoopbackHostsAreAnswered(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.add(t, "secret-node")
	for host, want := range map[string]int{
		"127.0.0.1:8480": 200, "localhost:8480": 200, "localhost": 200, "[::1]:8480": 200, "[::1]": 200,
		"evil.example": 403, "evil.example:8480": 403, "127.0.0.1.evil.example": 403, "localhost.evil.example:8480": 403, "192.168.1.7:8480": 403, "": 403, "localhost@evil.example": 403,
	} {
		for _, path := range []string{"/", "/state"} {
			w := s.do(http.MethodGet, path, host)
			if w.Code != want || want != 200 && strings.Contains(w.Body.String(), "secret-node") {
				t.Errorf("%s at host %q: %d, want %d\n%.200s", path, host, w.Code, want, w.Body)
			}
		}
	}
}

func TestOnlyReading(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch} {
		if w := s.do(method, "/", "localhost"); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	if w := s.do(http.MethodHead, "/", "localhost"); w.Code != http.StatusOK {
		t.Errorf("HEAD: %d", w.Code)
	}
	for _, path := range []string{"/record.jsonl", "/../record.jsonl", "/x"} {
		if w := s.do(http.MethodGet, path, "localhost"); w.Code == http.StatusOK {
			t.Errorf("%s: %d\n%s", path, w.Code, w.Body)
		}
	}
}

// TestHeaders: every answer, also a refusal, has the headers that keep the page apart from
// other sites.
func TestHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, w := range []*httptest.ResponseRecorder{
		s.do(http.MethodGet, "/", "localhost"), s.do(http.MethodGet, "/state", "localhost"), s.do(http.MethodGet, "/x", "localhost"), s.do(http.MethodGet, "/", "evil.example"),
	} {
		policy := w.Header().Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "script-src 'sha256-"} {
			if !strings.Contains(policy, want) {
				t.Errorf("the policy %s lacks %s", policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
			t.Errorf("the policy is %s", policy)
		}
		if h := w.Header(); h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" || h.Get("Cache-Control") != "no-store" || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("the headers are %v", h)
		}
	}
}

func TestListensAtLoopbackAlone(t *testing.T) {
	t.Parallel()
	l, err := Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok || !address.IP.Equal(net.IPv4(127, 0, 0, 1)) || address.Port == 0 {
		t.Errorf("it listens at %v", l.Addr())
	}
	for _, port := range []int{address.Port, -1, 65536} {
		if other, err := Listen(t.Context(), port); err == nil || !strings.Contains(err.Error(), "0 for any free one") {
			if err == nil {
				_ = other.Close()
			}
			t.Errorf("Listen(%d) = %v", port, err)
		}
	}
}

// TestServeEndsWithItsContext: the server answers until its context ends, and an answer
// that is under way then arrives.
func TestServeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	l, err := Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			stop()
			_, _ = io.WriteString(w, "the answer")
		}))
	}()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "the answer" {
		t.Errorf("got %q, %v", body, err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve() = %v", err)
	}
	if again, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String()); err == nil {
		_ = again.Close()
		t.Error("something listens after the end")
	}
}
