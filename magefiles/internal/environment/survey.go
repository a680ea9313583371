package environment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/home"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/state"
)

// timeouts are how long to wait until an API server answers that runs, perhaps on a
// busy machine; until one answers whose container was just started; and until a
// cluster is well whose API server answers.
type timeouts struct{ answer, restart, healthy time.Duration }

func defaultTimeouts() timeouts {
	return timeouts{answer: time.Minute, restart: 90 * time.Second, healthy: 2 * time.Minute}
}

// survey is the state in which a command finds the environment.
type survey struct {
	// empty is true if nothing is there.
	empty bool
	// ready is true for an environment that manages itself and is well.
	ready bool
	// replace is the reason why what is there must be replaced; nil if it can be used,
	// or if nothing is there.
	replace error
	// text describes what was found.
	text string
	// client reaches the API server of a ready environment.
	client *kube.Client
}

// commandFor returns the command that runs a target on this environment. It names the
// environment, because the settings of the next command may have another name.
func (e *Environment) commandFor(target string) string {
	return config.CommandFor(e.Config.ClusterName, target)
}

// unhealthyError returns the error for an environment that exists and does not work.
func (e *Environment) unhealthyError(err error) error {
	return fmt.Errorf("environment %q exists and is not well; nothing of it was removed: %w\ntype `%s` to look again, `%s` to see what runs, or `%s` to remove it", e.Config.ClusterName, err, e.commandFor("env:up"), e.commandFor("env:status"), e.commandFor("env:down"))
}

// takeSurvey finds the environment's containers and starts those that are stopped. It
// removes only the rest of a management cluster whose objects were moved. It returns an
// error if what it finds must not be replaced.
func (e *Environment) takeSurvey(ctx context.Context) (survey, error) {
	workload, management, err := e.containers(ctx)
	if err != nil {
		return survey{}, err
	}
	if len(workload)+len(management) == 0 {
		return survey{empty: true}, errors.Join(e.home().ForgetManagement(), state.Remove(e.home().ReadyFile()))
	}
	step := e.Log.Start("look at the cluster that is there", 0)
	found, err := e.examine(ctx, workload, management, step.Progress)
	if ctx.Err() != nil {
		found, err = survey{}, context.Cause(ctx)
	}
	text := found.text
	if found.replace != nil {
		text = "it cannot be used"
	}
	step.Done(text, err)
	if err != nil || !found.ready {
		return found, err
	}
	return found, errors.Join(e.home().MarkReady(ctx, found.client), e.engine.Remove(ctx, home.IDs(management)...), e.home().ForgetManagement())
}

// examine finds out whether the containers that are there can be used.
func (e *Environment) examine(ctx context.Context, workload, management []engine.Container, progress func(string)) (found survey, err error) {
	wasReady, err := state.Exists(e.home().ReadyFile())
	if err != nil {
		return survey{}, err
	}
	moving, err := state.Exists(e.home().MovingFile())
	if err != nil {
		return survey{}, err
	}
	defer func() {
		if wasReady && found.replace != nil {
			// It was ready once, so somebody may need what runs in it.
			found, err = survey{}, e.unhealthyError(found.replace)
		}
	}()
	continues := len(management) > 0 && !moving && !wasReady
	kubeconfig := e.EnvironmentKubeconfig()
	if continues {
		kubeconfig = e.home().ManagementKubeconfig()
	}
	restarted, err := e.start(ctx, slices.Concat(workload, management), kubeconfig, progress)
	if err != nil {
		return survey{replace: err}, nil
	}
	bound := e.bounds.answer
	if restarted {
		bound = e.bounds.restart
		e.recorders(e.Lab).AddChange("started")
	}
	reaching, cancel := interrupt.WithTimeout(ctx, bound)
	defer cancel()
	if continues {
		client, err := e.reach(reaching, e.home().ManagementKubeconfig(), progress)
		if err != nil {
			return survey{replace: err}, nil
		}
		ctx, cancel := interrupt.WithTimeout(ctx, e.bounds.healthy)
		defer cancel()
		progress("its versions")
		if err := e.sameVersions(ctx, client); err != nil {
			return survey{}, err
		}
		return survey{text: "continuing with the management cluster of an interrupted run"}, nil
	}
	client, err := e.reachWorkload(reaching, workload, progress)
	if err != nil {
		return survey{replace: err}, nil
	}
	ctx, cancelLooking := interrupt.WithTimeout(ctx, e.bounds.healthy)
	defer cancelLooking()
	paused, err := e.ownCluster(ctx, client)
	switch {
	case kube.IsAbsent(err):
		return survey{replace: err}, nil
	case err != nil:
		return survey{}, e.unhealthyError(err)
	case paused && len(management) > 0 && !wasReady:
		// An interrupted move is not used.
		return survey{replace: errors.New("the Cluster is paused, as in the middle of a move")}, nil
	}
	return e.selfManaged(ctx, client, paused, progress)
}

// selfManaged checks that a self-managed environment is well.
func (e *Environment) selfManaged(ctx context.Context, client *kube.Client, paused bool, progress func(string)) (survey, error) {
	progress("its versions")
	if err := e.sameVersions(ctx, client); err != nil {
		return survey{}, err
	}
	err := kube.RetryUnlessAbsent(ctx, func() error {
		return capi.WaitWell(ctx, client, home.Namespace, e.Config.ClusterName, paused, progress)
	})
	if err != nil {
		return survey{}, e.unhealthyError(err)
	}
	text := "it manages itself"
	if paused {
		text += ", and is paused"
	}
	return survey{ready: true, text: text, client: client}, nil
}

// ownCluster looks for the Cluster object in the workload cluster itself, and
// reports whether it is paused.
func (e *Environment) ownCluster(ctx context.Context, client *kube.Client) (paused bool, err error) {
	err = kube.RetryUnlessAbsent(ctx, func() error {
		cluster, err := client.Get(ctx, kube.Clusters, home.Namespace, e.Config.ClusterName)
		if err != nil {
			return err
		}
		paused = kube.Field(cluster, "spec", "paused") == "true"
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("look for the cluster's own objects in it: %w", err)
	}
	return paused, nil
}

// sameVersions refuses installed versions other than those of the settings. What is
// not installed yet is not compared.
func (e *Environment) sameVersions(ctx context.Context, client *kube.Client) error {
	var have capi.Versions
	err := kube.RetryUnlessAbsent(ctx, func() (err error) {
		have, err = capi.Installed(ctx, client, home.Namespace)
		return err
	})
	if err != nil {
		return e.unhealthyError(err)
	}
	for _, c := range []struct{ name, has, want string }{
		{"Cluster API", have.ClusterAPI, e.Config.ClusterAPI.Tag()},
		{"Kubernetes", have.Kubernetes, config.Tag(e.Config.Kubernetes)},
	} {
		if c.has != "" && c.has != c.want {
			return fmt.Errorf("environment %q has %s %s and the settings want %s; type `%s` first, or choose another CLUSTER_NAME", e.Config.ClusterName, c.name, c.has, c.want, e.commandFor("env:down"))
		}
	}
	return nil
}
