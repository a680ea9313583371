package node

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/run/runtest"
)

// compiler writes the output of go build, and records the archive that docker cp gets.
type compiler struct {
	*runtest.Fake
	unpacked map[string]string
}

func (c *compiler) Run(ctx context.Context, cmd run.Cmd) (run.Result, error) {
	if i := slices.Index(cmd.Args, "-o"); cmd.Name == "go" && i >= 0 {
		if err := os.WriteFile(cmd.Args[i+1], []byte("the program"), 0o600); err != nil {
			return run.Result{}, err
		}
	}
	if cmd.Name == "docker" && cmd.Args[0] == "cp" {
		c.unpacked = map[string]string{}
		for archive := tar.NewReader(cmd.Stdin); ; {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return run.Result{}, err
			}
			data, err := io.ReadAll(archive)
			if err != nil {
				return run.Result{}, err
			}
			c.unpacked[strings.TrimPrefix(header.Name, "/")] = string(data)
		}
	}
	return c.Fake.Run(ctx, cmd)
}

// TestBoundBalancer: the command haproxy of the image is the lab's, the image is built only
// once, and no container is left behind.
func TestBoundBalancer(t *testing.T) {
	t.Parallel()
	base := release.LoadBalancer{Repository: "kindest", Tag: "v1"}
	runner := &compiler{Fake: &runtest.Fake{Answers: []runtest.Answer{
		{Prefix: "docker image ls"}, {Prefix: "go version", Stdout: "go1.26.6"}, {Prefix: "go build"},
		{Prefix: "docker run", Stdout: "abc\n"}, {Prefix: "docker cp - abc:/"}, {Prefix: "docker commit"}, {Prefix: "docker rm"},
	}}}
	o := Options{Engine: engine.New(runner), Runner: runner, Arch: "amd64", Root: filepath.Join("..", "..", ".."), StateDir: t.TempDir()}
	got, err := BoundBalancer(t.Context(), base, o)
	if err != nil || !strings.HasPrefix(got.Image(), "caslab.local/bounded/haproxy:v1-") {
		t.Fatalf("BoundBalancer() = %v, %v", got, err)
	}
	if runner.unpacked["caslab/bin/haproxy"] != "the program" {
		t.Errorf("the image got %v", runner.unpacked)
	}
	calls := runner.Calls()
	if last := calls[len(calls)-1]; !strings.HasPrefix(last, "docker rm ") || !strings.HasSuffix(last, " abc") {
		t.Errorf("the last command is %q", last)
	}
	if i := slices.IndexFunc(calls, func(c string) bool { return strings.HasPrefix(c, "docker commit") }); i < 0 || !strings.Contains(calls[i], "ENV PATH=/caslab/bin:") || !strings.HasSuffix(calls[i], " abc "+got.Image()) {
		t.Errorf("it ran %q", calls)
	}
	there := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker image ls", Stdout: "sha256:1\n"}}}
	o.Engine, o.Runner = engine.New(there), there
	if again, err := BoundBalancer(t.Context(), base, o); err != nil || again != got || len(there.Calls()) != 1 {
		t.Errorf("BoundBalancer() of one that is there = %v, %v, after %q", again, err, there.Calls())
	}
}
