package environment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	version "github.com/hashicorp/go-version"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/bringup"
	"caslab/magefiles/internal/environment/home"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/environment/status"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/steps"
	"caslab/magefiles/internal/ui"
)

// readTimeout bounds commands that only read.
const readTimeout = 15 * time.Second

// missingError is the error of an environment that does not exist.
func (e *Environment) missingError() error {
	return fmt.Errorf("there is no environment %q; type: %s", e.Config.ClusterName, e.Config.Command("env:up"))
}

// stopped reports whether the API server of an environment with these containers cannot answer:
// its load balancer or its whole control plane does not run.
func stopped(workload []engine.Container) bool {
	running := slices.DeleteFunc(slices.Clone(workload), func(c engine.Container) bool { return !c.Running })
	return !slices.ContainsFunc(running, owner.IsControlPlane) || !slices.ContainsFunc(running, owner.IsLoadBalancer)
}

// checkRuns returns an error if an environment that manages itself is stopped. Without it, a
// command waits for an answer that cannot come.
func (e *Environment) checkRuns(workload, management []engine.Container) error {
	if len(management) > 0 || !stopped(workload) {
		return nil
	}
	return fmt.Errorf("environment %q is stopped; to start it again, type: %s", e.Config.ClusterName, e.commandFor("env:start"))
}

// existing returns the containers of an environment that exists, in any state. It
// makes sure that the kubeconfig has the port at which the cluster is published now.
func (e *Environment) existing(ctx context.Context) (workload, management []engine.Container, err error) {
	if workload, management, err = e.containers(ctx); err != nil {
		return nil, nil, err
	}
	if len(workload)+len(management) == 0 {
		return nil, nil, e.whyMissing(ctx)
	}
	return workload, management, e.home().RefreshKubeconfig(workload)
}

// Status prints the environment's nodes, machines, node groups, providers and
// images.
func (e *Environment) Status(ctx context.Context) error {
	if err := e.checkOwn("env:status"); err != nil {
		return err
	}
	workload, management, err := e.existing(ctx)
	if err != nil {
		return err
	}
	// Containers are printed even if the API server is down: then they matter most.
	cluster := e.printCluster(ctx, workload, management)
	w := ui.NewTable(e.Out, "CONTAINER", "STATE", "IMAGE", "ID")
	for _, c := range append(management, workload...) {
		id, _, err := e.engine.ImageID(ctx, c.Image)
		if err != nil {
			return err
		}
		state := "stopped"
		if c.Running {
			state = "running"
		}
		w.Row(c.Name, state, c.Image, status.ShortID(id))
	}
	return errors.Join(w.End(), cluster)
}

// printCluster prints what the API server knows.
func (e *Environment) printCluster(ctx context.Context, workload, management []engine.Container) error {
	path, what := e.manager(management)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("environment %q has no API server yet; type: %s", e.Config.ClusterName, e.Config.Command("env:up"))
	}
	if err := e.checkRuns(workload, management); err != nil {
		return err
	}
	client, err := e.tools.Open(path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readTimeout, errors.New("the API server does not answer; type: "+e.Config.Command("env:up")))
	defer cancel()
	if err := client.WaitAnswers(ctx); err != nil {
		return err
	}
	return status.Cluster{Client: client, Namespace: home.Namespace, Name: e.Config.ClusterName, Now: e.Now()}.Print(ctx, e.Out, what)
}

// manager returns the kubeconfig of the cluster that holds the Cluster API
// objects, and a description of the environment in that state.
func (e *Environment) manager(management []engine.Container) (kubeconfig, what string) {
	if len(management) > 0 {
		return e.home().ManagementKubeconfig(), "managed by " + e.Config.ManagementName() + ": not ready yet; type: " + e.Config.Command("env:up")
	}
	return e.EnvironmentKubeconfig(), "self-managed"
}

// Describe prints the tree of the environment's Cluster API objects, with their
// problems.
func (e *Environment) Describe(ctx context.Context) error {
	if err := e.checkOwn("cluster:describe"); err != nil {
		return err
	}
	workload, management, err := e.existing(ctx)
	if err != nil {
		return err
	}
	if err := e.checkRuns(workload, management); err != nil {
		return err
	}
	ctx, cancel := interrupt.WithTimeout(ctx, readTimeout)
	defer cancel()
	path, _ := e.manager(management)
	r, err := e.installedRelease(ctx, path)
	if err != nil {
		return err
	}
	ctl, err := e.clusterctl(ctx, r)
	if err != nil {
		return err
	}
	objects, err := ctl.Describe(ctx, path, home.Namespace, e.Config.ClusterName)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("environment %q has no Cluster object yet; to continue, type: %s: %w", e.Config.ClusterName, e.commandFor("env:up"), err)
	}
	if err != nil {
		return err
	}
	w := ui.NewTable(e.Out, "OBJECT", "AVAILABLE", "READY", "MESSAGE")
	for _, o := range objects {
		w.Row(strings.Repeat("  ", o.Depth)+o.Name, cmp.Or(o.Available, "-"), cmp.Or(o.Ready, "-"), strings.ReplaceAll(o.Message, "\n", " "))
	}
	return w.End()
}

// installedRelease returns the release of Cluster API that is installed in the cluster
// of a kubeconfig. If none is, it returns the release of the settings.
func (e *Environment) installedRelease(ctx context.Context, kubeconfig string) (release.Release, error) {
	client, err := e.tools.Open(kubeconfig)
	if err != nil {
		return release.Release{}, err
	}
	have, err := capi.Installed(ctx, client, home.Namespace)
	if err != nil {
		return release.Release{}, err
	}
	v, err := version.NewSemver(have.ClusterAPI)
	if err != nil {
		v = e.Config.ClusterAPI.Version
	}
	return release.Of(v), nil
}

// summary is printed at the end of env:up: what runs, how long each step took, what
// to type next.
func (e *Environment) summary(ctx context.Context, b *bringup.BringUp, timings []steps.Timing) error {
	fmt.Fprintln(e.Out)
	if err := e.Status(ctx); err != nil {
		return err
	}
	fmt.Fprintln(e.Out)
	if err := steps.Print(e.Out, timings); err != nil {
		return err
	}
	for _, doubt := range component.AutoscalerDoubts(e.Config) {
		fmt.Fprintln(e.Out, "!", doubt)
	}
	origin, why := b.Sources()
	named := ""
	if e.Config.NamedByVariable() {
		named = "\n  export CLUSTER_NAME=" + e.Config.ClusterName
	}
	fmt.Fprintf(e.Out, `
Cluster API from %s (%s); nodes from %s.
Next:%s
  export KUBECONFIG=$(go tool mage env:kubeconfig)
  go tool mage nodegroup:add work-md-1 1 4
  go tool mage autoscaler:run
  go tool mage env:down
`, origin, cmp.Or(why, "as set"), b.NodeImageOrigin(), named)
	return state.WriteJSON(e.home().SecondsFile(), steps.Seconds(timings))
}

// Seconds returns how long each step of the last env:up took, and "total", in seconds. It
// returns an error if that is not known.
func (e *Environment) Seconds() (map[string]float64, error) {
	seconds := map[string]float64{}
	there, err := state.ReadJSON(e.home().SecondsFile(), &seconds)
	if err == nil && !there {
		err = fmt.Errorf("the steps' times are not in %s", e.home().SecondsFile())
	}
	return seconds, err
}
