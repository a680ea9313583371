package environment

import (
	"context"
	"fmt"
	"slices"
	"time"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/guests"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/state"
)

// visitEvery is how often a guest looks whether the environment is there.
const visitEvery = 2 * time.Second

// removal returns the record of the environment's last removal.
func (e *Environment) removal() guests.Removal {
	return guests.Removal{Environment: e.Config.ClusterName, File: e.home().RemovedFile(), State: e.State, Log: e.Log, Now: e.Now}
}

// Visit makes a command a guest of the environment until leave is called: env:down names
// it, and the command of ctx ends, with the reason and without a clean-up, when the
// environment is removed. answers asks the API server at the address that the kubeconfig
// has at that time. While the environment is stopped, the command waits, and Visit says so.
func (e *Environment) Visit(ctx context.Context, command string, answers func(context.Context) error) (leave func() error, err error) {
	var before visited
	if before.removed, err = e.removal().Text(); err != nil {
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

// visited is what a guest found when it came: what Text and kube.Authority returned.
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
	if removed, err := e.removal().Text(); err == nil && removed != "" && removed != before.removed {
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
	missing := err == nil && !slices.ContainsFunc(workload, owner.IsControlPlane)
	if err != nil || missing {
		info, err := e.engine.Info(ctx)
		if err == nil && missing {
			err = e.home().OnEngine(ctx, info) // docker may reach another engine now
		}
		switch {
		case err != nil:
			return sight{away: fmt.Sprintf("this command waits for the environment %q: %v", name, err)}
		case missing:
			return sight{gone: fmt.Sprintf("the environment %q is gone: the engine has no container of its control plane", name)}
		}
		return sight{}
	}
	if stopped(workload) {
		return sight{away: fmt.Sprintf("the environment %q is stopped; this command waits until it is started again: %s", name, e.commandFor("env:start"))}
	}
	// The engine may have started it by itself. If this fails, the next look tries again.
	_ = e.home().RefreshKubeconfig(slices.DeleteFunc(workload, func(c engine.Container) bool { return !c.Running }))
	return sight{}
}
