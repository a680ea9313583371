package environment

import (
	"context"
	"errors"
	"fmt"
	"os"

	"caslab/magefiles/internal/environment/bringup"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/state"
)

// Down removes everything that belongs to the environment, and says what. Commands that
// work on the environment end first.
func (e *Environment) Down(ctx context.Context) error {
	if err := e.checkOwn("env:down"); err != nil {
		return err
	}
	if never, err := e.neverExisted(ctx); err != nil {
		return err
	} else if never {
		e.Log.Printf("there was no environment %q", e.Config.ClusterName)
		return nil
	}
	return e.locked("env:down", func() (err error) {
		defer func() {
			if err != nil && ctx.Err() != nil {
				err = fmt.Errorf("env:down: %w; to remove what is left, type: %s", context.Cause(ctx), e.commandFor("env:down"))
			}
		}()
		info, err := e.engine.Info(ctx)
		if err != nil {
			return err
		}
		if err := e.home().OnEngine(ctx, info); err != nil {
			return err
		}
		workload, management, err := e.containers(ctx)
		if err != nil {
			return err
		}
		if err := e.removal().End(ctx, "env:down"); err != nil {
			return err
		}
		what := fmt.Sprintf("remove %d containers", len(workload)+len(management))
		if len(workload)+len(management) == 0 {
			what = "look for what earlier runs left"
		}
		step := e.Log.Start(what, 0)
		err = e.home().RemoveClusters(ctx)
		if err == nil {
			err = os.RemoveAll(e.home().Repository())
		}
		if err == nil {
			err = e.removeLeftovers(ctx)
		}
		step.Done("", err)
		if err != nil {
			return err
		}
		if len(workload)+len(management) == 0 {
			e.Log.Printf("there was no environment %q", e.Config.ClusterName)
			return nil
		}
		e.Log.Printf("environment %q is gone; built images, caches and logs stay in %s and in the engine", e.Config.ClusterName, e.Config.StateDir())
		return nil
	})
}

// neverExisted reports whether no command ever created something under the environment's
// name, so that nothing has to be written or removed.
func (e *Environment) neverExisted(ctx context.Context) (bool, error) {
	for _, file := range []string{e.home().LogFile(), e.home().EngineFile, e.EnvironmentKubeconfig()} {
		if there, err := state.Exists(file); there || err != nil {
			return false, err
		}
	}
	workload, management, err := e.containers(ctx)
	return err == nil && len(workload)+len(management) == 0, err
}

// removeLeftovers removes the environment's marks, and the containers other than nodes that
// killed runs left in the engine, and returns the names of images that these runs lent.
// Environments share build containers and names, which stay while somebody needs them.
func (e *Environment) removeLeftovers(ctx context.Context) error {
	marks, err := e.State.Marks(e.Config.ClusterName)
	if err != nil {
		return err
	}
	if err := state.Remove(append(marks, e.home().EngineFile)...); err != nil {
		return err
	}
	if err := e.machine().RemoveProbes(ctx); err != nil {
		return err
	}
	lock, err := e.State.Lock(bringup.WorkNode, "env:down")
	if errors.As(err, new(*state.HeldError)) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(node.RemoveLeftovers(ctx, e.engine, e.Config.StateDir()), node.ReturnNames(ctx, e.engine), lock.Release())
}
