package environment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/home"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/restart"
	"caslab/magefiles/internal/state"
)

// Kubeconfig prints the path of the environment's kubeconfig and nothing
// else. If the engine answers at once, the environment must be there, and the
// kubeconfig then has the port that its cluster is published at now.
func (e *Environment) Kubeconfig(ctx context.Context) error {
	if err := e.checkOwn("env:kubeconfig"); err != nil {
		return err
	}
	if there, err := state.Exists(e.EnvironmentKubeconfig()); err != nil {
		return err
	} else if !there {
		return e.missingError()
	}
	limited, cancel := interrupt.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// A stopped engine changes no port. Containers that the lab did not create are
	// refused by the commands that change something.
	if workload, management, err := e.containers(limited); err == nil {
		if len(workload)+len(management) == 0 {
			return e.whyMissing(limited)
		}
		if err := e.home().RefreshKubeconfig(workload); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(e.Out, e.EnvironmentKubeconfig())
	return err
}

// whyMissing returns why the engine has no container of the environment: there is no
// environment, or it is on another engine.
func (e *Environment) whyMissing(ctx context.Context) error {
	info, err := e.engine.Info(ctx)
	if err == nil {
		err = e.home().OnEngine(ctx, info)
	}
	if other := new(owner.OtherEngineError); errors.As(err, &other) {
		return other
	}
	return e.missingError()
}

// reach returns a client of an API server that answers.
func (e *Environment) reach(ctx context.Context, kubeconfig string, progress func(string)) (*kube.Client, error) {
	client, err := e.tools.Open(kubeconfig)
	if err != nil {
		return nil, err
	}
	progress("waiting for its API server")
	return client, client.WaitAnswers(ctx)
}

// reachWorkload is reach for the workload cluster, whose published port may have
// changed in a restart. A lost kubeconfig is read from the control plane's node.
func (e *Environment) reachWorkload(ctx context.Context, workload []engine.Container, progress func(string)) (*kube.Client, error) {
	data, err := os.ReadFile(e.EnvironmentKubeconfig())
	if errors.Is(err, fs.ErrNotExist) {
		progress("reading its kubeconfig from a node")
		data, err = e.adminKubeconfig(ctx, workload)
	}
	if err != nil {
		return nil, fmt.Errorf("read the environment's kubeconfig: %w", err)
	}
	progress("waiting for its load balancer")
	if err := e.home().WriteKubeconfig(ctx, data); err != nil {
		return nil, err
	}
	if !e.answers(ctx, e.EnvironmentKubeconfig()) {
		progress("looking at its certificate")
		server := restart.Server{Names: capi.ServerNames, ServiceCIDR: home.ServiceCIDR, Kubernetes: config.Tag(e.Config.Kubernetes)}
		if err := (restart.Cluster{Engine: e.engine}).RenewAll(ctx, e.controlPlane, server, progress); err != nil {
			return nil, err
		}
	}
	return e.reach(ctx, e.EnvironmentKubeconfig(), progress)
}

// controlPlane returns the nodes of the control plane.
func (e *Environment) controlPlane(ctx context.Context) ([]engine.Container, error) {
	workload, _, err := e.containers(ctx)
	return slices.DeleteFunc(workload, func(c engine.Container) bool { return !owner.IsControlPlane(c) }), err
}

// adminKubeconfig returns the kubeconfig that kubeadm wrote on the control plane.
func (e *Environment) adminKubeconfig(ctx context.Context, workload []engine.Container) ([]byte, error) {
	i := slices.IndexFunc(workload, owner.IsControlPlane)
	if i < 0 {
		return nil, errors.New("it is lost, and there is no control plane to read it from")
	}
	res, err := e.engine.Exec(ctx, workload[i].ID, nil, "cat", "/etc/kubernetes/admin.conf")
	return res.Stdout, err
}

// SelfManaged returns the kubeconfig of the environment if it manages itself and runs, and
// an error that says what to type if not.
func (e *Environment) SelfManaged(ctx context.Context) (kubeconfig string, err error) {
	workload, management, err := e.existing(ctx)
	if err != nil {
		return "", err
	}
	if there, err := state.Exists(e.EnvironmentKubeconfig()); err != nil || len(management) > 0 || !there {
		return "", errors.Join(err, fmt.Errorf("environment %q does not manage itself yet; type: %s", e.Config.ClusterName, e.Config.Command("env:up")))
	}
	return e.EnvironmentKubeconfig(), e.checkRuns(workload, management)
}
