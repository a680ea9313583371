package node

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/run"
)

// names is an engine that has the IDs of images by their names. If fail is not 0, that
// command and all after it fail.
type names struct {
	ids         map[string]string
	count, fail int
}

func (n *names) Run(_ context.Context, c run.Cmd) (run.Result, error) {
	if n.count++; n.fail > 0 && n.count >= n.fail {
		return run.Result{}, &run.Error{Cmd: c, Err: errors.New("killed")}
	}
	line := c.String()
	name := c.Args[len(c.Args)-1]
	switch {
	case strings.HasPrefix(line, "docker image ls"):
		ref := strings.TrimPrefix(name, "reference=")
		for have, id := range n.ids {
			if have == ref || strings.HasPrefix(have, ref+":") {
				return run.Result{Stdout: []byte(id + "\n")}, nil
			}
		}
		return run.Result{}, nil
	case strings.HasPrefix(line, "docker image tag") && n.ids[c.Args[2]] != "":
		n.ids[name] = n.ids[c.Args[2]]
		return run.Result{}, nil
	case strings.HasPrefix(line, "docker image rm") && n.ids[name] != "":
		delete(n.ids, name)
		return run.Result{}, nil
	}
	return run.Result{}, &run.Error{Cmd: c, Err: errors.New("the engine refuses it")}
}

const upstreamName = "kindest/haproxy:2.1.1-alpine"

var (
	labBalancer      = release.LoadBalancer{Repository: repository + "/bounded", Tag: "x-4000"}
	upstreamBalancer = release.LoadBalancer{Repository: "kindest", Tag: "2.1.1-alpine"}
)

func newNames(upstream string) *names {
	n := &names{ids: map[string]string{labBalancer.Image(): "lab"}}
	if upstream != "" {
		n.ids[upstreamName] = upstream
	}
	return n
}

// TestLend: while do runs, the name belongs to the lab's image. Afterwards it belongs to
// the image that had it before, whether do fails or not. Names that an earlier release of
// the lab has not returned are removed.
func TestLend(t *testing.T) {
	t.Parallel()
	for upstream, after := range map[string]string{"": "", "user": "user", "lab": ""} {
		for _, fails := range []error{nil, errors.New("no cluster")} {
			n := newNames(upstream)
			during := ""
			err := Lend(t.Context(), engine.New(n), labBalancer, upstreamBalancer, func() error { during = n.ids[upstreamName]; return fails })
			if !errors.Is(err, fails) || during != "lab" {
				t.Errorf("the name was %q, then %q: %v", upstream, during, err)
			}
			if want := newNames(after).ids; !maps.Equal(n.ids, want) {
				t.Errorf("the name was %q, and these are left: %v, want %v", upstream, n.ids, want)
			}
		}
	}
}

// TestLendPull: an image that the user pulls meanwhile stays.
func TestLendPull(t *testing.T) {
	t.Parallel()
	n := newNames("user")
	err := Lend(t.Context(), engine.New(n), labBalancer, upstreamBalancer, func() error { n.ids[upstreamName] = "pulled"; return nil })
	if want := newNames("pulled").ids; err != nil || !maps.Equal(n.ids, want) {
		t.Errorf("these are left: %v, %v; want %v", n.ids, err, want)
	}
}

// TestLendKilled: wherever a run is killed, the next one and env:down return the name.
func TestLendKilled(t *testing.T) {
	t.Parallel()
	for _, upstream := range []string{"", "user"} {
		for at := 1; at <= 20; at++ {
			n := newNames(upstream)
			killed := &names{ids: n.ids, fail: at}
			_ = Lend(t.Context(), engine.New(killed), labBalancer, upstreamBalancer, func() error { return nil })
			left := maps.Clone(n.ids)
			if err := ReturnNames(t.Context(), engine.New(n)); err != nil {
				t.Errorf("killed at command %d: %v", at, err)
			}
			if n.ids[upstreamName] != upstream {
				t.Errorf("killed at command %d, with %v left: env:down leaves %v", at, left, n.ids)
			}
			if err := Lend(t.Context(), engine.New(&names{ids: left}), labBalancer, upstreamBalancer, func() error { return nil }); err != nil {
				t.Errorf("killed at command %d: %v", at, err)
			}
			if want := newNames(upstream).ids; !maps.Equal(left, want) {
				t.Errorf("killed at command %d: the next run leaves %v, want %v", at, left, want)
			}
		}
	}
}
