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

	"caslab/magefiles/internal/engine"
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
// environment is removed. answers asks the API server at the address that the kubeconfig
// has at that time. While the environment is stopped, the command waits, and Visit says so.
func (e *Environment) Visit(ctx context.Context, command string, answers func(context.Context) error) (leave func() error, err error) {
	var before visited
	if before.removed, err = e.removed(); err != nil {
		return nil, err
	}
	if before.authority, err = kube.Authority(e.EnvironmentKubeconfig()); err != nil {
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
		said := ""
		for {
			select {
			case <-watching.Done():
				return
			case <-tick.C:
			}
			found := e.look(watching, guest, before, answers)
			switch {
			case found.gone != "":
				interrupt.Abandon(ctx, &interrupt.GoneError{Reason: found.gone})
				return
			case found.away != "" && found.away != said && watching.Err() == nil:
				e.Log.Printf("! %s", found.away)
				said = found.away
			case found.answers && said != "":
				e.Log.Printf("the environment %q answers again; %s goes on", e.Config.ClusterName, command)
				said = ""
			}
		}
	}()
	return func() error {
		stop()
		<-done
		return e.State.Leave(guest)
	}, nil
}

// visited is what a guest found when it came: what removed and kube.Authority returned.
type visited struct{ removed, authority string }

// sight is what a guest finds: that the API server answers, why the environment no longer
// exists, or why it is away and may come back. It is empty if nothing is known.
type sight struct {
	answers    bool
	gone, away string
}

// look finds out whether a guest's environment is there. It writes the current port of the
// API server into the kubeconfig.
func (e *Environment) look(ctx context.Context, guest *state.Lock, before visited, answers func(context.Context) error) sight {
	name := e.Config.ClusterName
	if removed, err := e.removed(); err == nil && removed != "" && removed != before.removed {
		return sight{gone: removed}
	}
	if guest.Lost() {
		return sight{gone: fmt.Sprintf("%s, with the kubeconfig and the records of the environment %q, was removed while this command ran", e.Config.StateDir(), name)}
	}
	if answers(ctx) == nil {
		return sight{answers: true}
	}
	if authority, err := kube.Authority(e.EnvironmentKubeconfig()); err == nil && authority != before.authority {
		return sight{gone: fmt.Sprintf("the environment %q was created anew while this command ran; type the command again", name)}
	}
	workload, _, err := e.containers(ctx)
	missing := err == nil && !slices.ContainsFunc(workload, isControlPlane)
	if err != nil || missing {
		info, err := e.engine.Info(ctx)
		if err == nil && missing {
			err = e.onEngine(ctx, info) // docker may reach another engine now
		}
		switch {
		case err != nil:
			return sight{away: fmt.Sprintf("this command waits for the environment %q: %v", name, err)}
		case missing:
			return sight{gone: fmt.Sprintf("the environment %q is gone: the engine has no container of its control plane", name)}
		}
		return sight{}
	}
	running := slices.DeleteFunc(workload, func(c engine.Container) bool { return !c.Running })
	if !slices.ContainsFunc(running, isControlPlane) || !slices.ContainsFunc(running, isLoadBalancer) {
		return sight{away: fmt.Sprintf("the environment %q is stopped; this command waits until it is started again: %s", name, commandFor(name, "env:start"))}
	}
	// The engine may have started it by itself. If this fails, the next look tries again.
	_ = e.refreshKubeconfig(running)
	return sight{}
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
