package environment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/state"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// visitEvery is how often a guest looks whether the environment is there.
	visitEvery = 2 * time.Second
	// guestsTimeout is how long env:down waits for guests to end.
	guestsTimeout = 15 * time.Second
)

// removedFile is the path of a file that says when the removal of the environment began,
// and by which command. The file stays, so that guests see it even if the next environment
// comes up at once.
func (e *Environment) removedFile() string { return e.ownerFile(".removed") }

// Visit makes a command a guest of the environment until leave is called: env:down names
// it, and the command of ctx ends, with the reason and without a clean-up, when the
// environment is removed, or started again at another port. answers asks the API server.
// An API server that does not answer is no reason: an engine or a node that was stopped may
// come back.
func (e *Environment) Visit(ctx context.Context, command string, answers func(context.Context) error) (leave func() error, err error) {
	var before visited
	if before.removed, err = e.removed(); err != nil {
		return nil, err
	}
	kubeconfig, err := os.ReadFile(e.EnvironmentKubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read the environment's kubeconfig: %w", err)
	}
	if before.server, err = kube.Server(kubeconfig); err != nil {
		return nil, err
	}
	guest, err := e.State.Enter(e.Config.ClusterName, command)
	if err != nil {
		return nil, err
	}
	// Also while the command cleans up.
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(visitEvery)
		defer tick.Stop()
		for reason := ""; reason == ""; {
			select {
			case <-watching.Done():
				return
			case <-tick.C:
			}
			if reason = e.whyGone(watching, guest, before, answers); reason != "" {
				interrupt.Abandon(ctx, &interrupt.GoneError{Reason: reason})
			}
		}
	}()
	return func() error {
		stop()
		<-done
		return e.State.Leave(guest)
	}, nil
}

// visited is what a guest found when it came: what removed returned, and the URL of the API
// server.
type visited struct{ removed, server string }

// whyGone returns why a guest's environment is gone; empty if it is there, or if that is
// not known.
func (e *Environment) whyGone(ctx context.Context, guest *state.Lock, before visited, answers func(context.Context) error) string {
	if removed, err := e.removed(); err == nil && removed != "" && removed != before.removed {
		return removed
	}
	if guest.Lost() {
		return fmt.Sprintf("%s, with the kubeconfig and the records of the environment %q, was removed while this command ran", e.Config.StateDir(), e.Config.ClusterName)
	}
	if answers(ctx) == nil {
		return ""
	}
	containers, err := e.engine.List(ctx, clusterLabel+"="+e.Config.ClusterName)
	if err != nil {
		return ""
	}
	if !slices.ContainsFunc(containers, isControlPlane) {
		return fmt.Sprintf("the environment %q is gone: the engine has no container of its control plane", e.Config.ClusterName)
	}
	if server := e.server(containers); server != "" && server != before.server {
		return fmt.Sprintf("the environment %q was started again while this command ran, and its API server is at another port now, %s; type the command again", e.Config.ClusterName, server)
	}
	return ""
}

// endGuests tells the guests that a command removes the environment. It waits until they
// have ended, at most for guestsTimeout.
func (e *Environment) endGuests(ctx context.Context, command string) error {
	text := fmt.Sprintf("the environment %q is gone: %s (process %d) began to remove it at %s", e.Config.ClusterName, command, os.Getpid(), e.Now().Format(time.DateTime))
	if err := state.WriteFile(e.removedFile(), []byte(text), 0o644); err != nil {
		return err
	}
	guests, err := e.State.Guests(e.Config.ClusterName)
	if err != nil || len(guests) == 0 {
		return err
	}
	step := e.Log.Start("wait for the end of "+strings.Join(guests, ", "), visitEvery)
	waiting, cancel := context.WithTimeout(ctx, guestsTimeout)
	defer cancel()
	err = wait.PollUntilContextCancel(waiting, visitEvery/10, true, func(context.Context) (bool, error) {
		guests, err = e.State.Guests(e.Config.ClusterName)
		return len(guests) == 0, err
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		step.Done("", err)
		e.Log.Printf("! not ended within %s: %s; end it by hand, because its environment is now removed", guestsTimeout, strings.Join(guests, ", "))
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	step.Done("", err)
	return err
}

// removed returns the content of removedFile; empty if there is none.
func (e *Environment) removed() (string, error) {
	text, err := os.ReadFile(e.removedFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look whether the environment was removed: %w", err)
	}
	return string(text), nil
}
