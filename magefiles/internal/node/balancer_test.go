package node

import (
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/run/runtest"
)

// TestBoundBalancer: the image is built only once, and no container is left
// behind.
func TestBoundBalancer(t *testing.T) {
	t.Parallel()
	base := release.LoadBalancer{Repository: "kindest", Tag: "v1"}
	fake := &runtest.Fake{Answers: []runtest.Answer{
		{Prefix: "docker image ls"}, {Prefix: "docker run", Stdout: "abc\n"}, {Prefix: "docker commit"}, {Prefix: "docker rm"},
	}}
	got, err := BoundBalancer(t.Context(), base, Options{Engine: engine.New(fake), StateDir: t.TempDir()})
	if err != nil || got.Image() != "caslab.local/bounded/haproxy:v1-4000" {
		t.Fatalf("BoundBalancer() = %v, %v", got, err)
	}
	calls := fake.Calls()
	if last := calls[len(calls)-1]; !strings.HasPrefix(last, "docker rm ") || !strings.HasSuffix(last, " abc") {
		t.Errorf("the last command is %q", last)
	}
	if i := slices.IndexFunc(calls, func(c string) bool { return strings.HasPrefix(c, "docker commit") }); i < 0 || !strings.Contains(calls[i], `"-n", "4000"`) || !strings.HasSuffix(calls[i], " abc "+got.Image()) {
		t.Errorf("it ran %q", calls)
	}
	there := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker image ls", Stdout: "sha256:1\n"}}}
	if again, err := BoundBalancer(t.Context(), base, Options{Engine: engine.New(there), StateDir: t.TempDir()}); err != nil || again != got || len(there.Calls()) != 1 {
		t.Errorf("BoundBalancer() of one that is there = %v, %v, after %q", again, err, there.Calls())
	}
}
