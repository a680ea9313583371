// Package labtest has a lab for tests. It has a temporary folder, starts no processes but
// answers from a test's script, and stores its output.
package labtest

import (
	"strings"
	"sync"
	"testing"
	"time"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

// Lab is a lab.Lab with its output.
type Lab struct {
	*lab.Lab
	// Printed is the data, and Logged the text for a person.
	Printed, Logged *Text
	// Processes answers for processes.
	Processes *runtest.Fake
}

// Text is what was written so far. It is safe for concurrent use.
type Text struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (t *Text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// New returns a lab in a new folder, with the settings of the variables.
func New(t testing.TB, variables map[string]string) *Lab {
	t.Helper()
	cfg, err := config.Load(t.TempDir(), func(key string) (string, bool) { v, ok := variables[key]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{Printed: new(Text), Logged: new(Text), Processes: new(runtest.Fake)}
	log := ui.New(l.Logged, ui.Options{})
	t.Cleanup(log.Close)
	l.Lab = &lab.Lab{
		Config: cfg, Log: log, Out: l.Printed, ProcessOutput: l.Logged, Runner: l.Processes, Now: time.Now,
		State: state.Dir(cfg.StateDir()), FullLog: new(state.Log),
	}
	return l
}
