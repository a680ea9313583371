package launch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/ui"
)

// compiler is a fake go command that prints names of packages and ends.
type compiler struct {
	names []string
	err   error
	asked run.Cmd
}

func (c *compiler) Run(_ context.Context, cmd run.Cmd) (run.Result, error) {
	c.asked = cmd
	for _, name := range c.names {
		if _, err := io.WriteString(cmd.Stderr, name+"\n"); err != nil {
			return run.Result{}, err
		}
	}
	return run.Result{}, c.err
}

func TestCompileShowsThatItCompiles(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		compiler compiler
		shown    []string
	}{
		"nothing to compile": {compiler{}, nil},
		"two packages":       {compiler{names: []string{"a", "b"}}, []string{"→ compile the lab (usually about 3m00s)", "✓ compile the lab"}},
		"failure":            {compiler{names: []string{"a"}, err: boom}, []string{"→ compile the lab", "✗ compile the lab"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			log := ui.New(&out, ui.Options{})
			root := t.TempDir()
			binary, err := compile(t.Context(), root, &tc.compiler, log)
			log.Close()
			if want := filepath.Join(root, ".caslab", "bin", "caslab"); tc.compiler.err == nil && (binary != want || err != nil) {
				t.Errorf("the binary is %s, %v; want %s", binary, err, want)
			}
			if !errors.Is(err, tc.compiler.err) {
				t.Errorf("the error is %v, want %v", err, tc.compiler.err)
			}
			for _, want := range tc.shown {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it shows %q, want %q", out.String(), want)
				}
			}
			if tc.shown == nil && out.Len() > 0 {
				t.Errorf("it shows %q for nothing", out.String())
			}
			cmd := tc.compiler.asked
			line := cmd.String()
			if !strings.HasPrefix(line, "go build -v -o "+filepath.Join(root, ".caslab", "bin", "caslab")) || !strings.HasSuffix(line, "./magefiles/internal/cmd/caslab") {
				t.Errorf("it runs %s", line)
			}
			if !slices.Equal(cmd.Env, []string{"CGO_ENABLED=0"}) {
				t.Errorf("it compiles with %q", cmd.Env)
			}
			if cmd.Dir != root {
				t.Errorf("it compiles in %s", cmd.Dir)
			}
		})
	}
}

func TestCompilationCountsPackages(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := ui.New(&out, ui.Options{})
	defer log.Close()
	c := &compilation{log: log}
	for _, text := range []string{"a\nb\n", "c", "\n"} {
		if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("Write(%q) = %d, %v", text, n, err)
		}
	}
	if c.count != 3 {
		t.Errorf("%d packages, want 3", c.count)
	}
}
