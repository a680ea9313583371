package bench

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/lab/labtest"
)

// fake is an environment whose first env:up after env:down takes 100 s, and 10 s longer
// each time.
type fake struct {
	now    time.Time
	calls  []string
	ups    int
	ready  bool
	failUp bool
}

func (f *fake) BuildNodeImage(context.Context) error {
	f.calls = append(f.calls, "build")
	return nil
}

func (f *fake) Up(context.Context) error {
	f.calls = append(f.calls, "up")
	if f.failUp {
		return errors.New("no node")
	}
	took := time.Second
	if !f.ready {
		took = time.Duration(100+10*f.ups) * time.Second
		f.ups++
	}
	f.ready, f.now = true, f.now.Add(took)
	return nil
}

func (f *fake) Seconds() (map[string]float64, error) {
	return map[string]float64{"move": float64(f.ups)}, nil
}

func (f *fake) Down(ctx context.Context) error {
	f.calls, f.ready = append(f.calls, "down"), false
	return ctx.Err()
}

func TestRun(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	f := &fake{}
	l.Now = func() time.Time { return f.now }
	var out bytes.Buffer
	l.Out = &out
	var name string
	err := Run(t.Context(), l.Lab, func(l *lab.Lab) Environment { name = l.Config.ClusterName; return f })
	if err != nil {
		t.Fatal(err)
	}
	if name != benchName {
		t.Errorf("the environment is %q", name)
	}
	run := []string{"down", "up", "up"}
	if want := slices.Concat([]string{"build"}, run, run, run, []string{"down"}); !slices.Equal(f.calls, want) {
		t.Errorf("calls = %q, want %q", f.calls, want)
	}
	for _, want := range []string{"move                 1.0     2.0      3.0", "env:up, whole        100.0   110.0    120.0", "env:up when ready    1.0     1.0      1.0"} {
		if !slices.ContainsFunc(strings.Split(out.String(), "\n"), func(line string) bool {
			return slices.Equal(strings.Fields(line), strings.Fields(want))
		}) {
			t.Errorf("printed\n%s\nwant %q", &out, want)
		}
	}
}

// TestRunRemovesItsEnvironment: also after a failure, and after an interruption.
func TestRunRemovesItsEnvironment(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, ctx := range map[string]context.Context{"failed": t.Context(), "interrupted": ctx} {
		f := &fake{failUp: true}
		err := Run(ctx, labtest.New(t, nil).Lab, func(*lab.Lab) Environment { return f })
		if err == nil || f.calls[len(f.calls)-1] != "down" {
			t.Errorf("%s: %v after %q", name, err, f.calls)
		}
	}
}
