// Package guests tells the commands that work on an environment that it is removed, and
// waits until they have ended.
package guests

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

const (
	// lookEvery is how often End looks whether the guests have ended.
	lookEvery = 200 * time.Millisecond
	// endWithin is how long End waits for them.
	endWithin = 15 * time.Second
)

// Removal is the removal of an environment.
type Removal struct {
	// Environment is the environment's name.
	Environment string
	// File is the path of the file that says when the removal began, and which command
	// began it. It stays, so that guests see it even if the next environment comes up at
	// once.
	File  string
	State state.Dir
	Log   *ui.Log
	Now   func() time.Time
}

// End tells the guests that a command removes the environment. It waits until they have
// ended, and says which of them have not ended in time.
func (r Removal) End(ctx context.Context, command string) error {
	text := fmt.Sprintf("the environment %q is gone: %s (process %d) began to remove it at %s", r.Environment, command, os.Getpid(), r.Now().Format(time.DateTime))
	if err := state.WriteFile(r.File, []byte(text), 0o644); err != nil {
		return err
	}
	guests, err := r.State.Guests(r.Environment)
	if err != nil || len(guests) == 0 {
		return err
	}
	step := r.Log.Start("wait for the end of "+strings.Join(guests, ", "), 2*time.Second)
	waiting, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	err = wait.PollUntilContextCancel(waiting, lookEvery, true, func(context.Context) (bool, error) {
		guests, err = r.State.Guests(r.Environment)
		return len(guests) == 0, err
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		step.Done("", err)
		r.Log.Printf("! not ended within %s: %s; end it by hand, because its environment is now removed", endWithin, strings.Join(guests, ", "))
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	step.Done("", err)
	return err
}

// Text returns what File says; empty if there is none.
func (r Removal) Text() (string, error) {
	text, err := os.ReadFile(r.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look whether the environment was removed: %w", err)
	}
	return string(text), nil
}
