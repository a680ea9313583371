package env

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/state"
)

// bounds are how long an API server may take to answer: one that runs, perhaps
// on a busy machine, and one whose container was just started; and how long a
// cluster whose API server answers may take to be well.
type bounds struct{ answer, restart, well time.Duration }

func defaultBounds() bounds {
	return bounds{answer: time.Minute, restart: 90 * time.Second, well: 2 * time.Minute}
}

// stock is what there is of the environment.
type stock struct {
	// fresh is true if nothing is there.
	fresh bool
	// ready is true for an environment that manages itself and is well.
	ready bool
	// remake says why nothing can be made of what is there; nil if something
	// can, or if nothing is there.
	remake error
	// text says what was found to a person.
	text string
}

// downOf is the command that removes an environment and no other, wherever the
// name of the next command's comes from.
func downOf(name string) string { return typed(name, "env:down") }

func typed(name, target string) string { return "CLUSTER_NAME=" + name + " go tool mage " + target }

// NotWellError is an environment that is there and does not work. It stays.
type NotWellError struct {
	Name string
	Err  error
}

func (e *NotWellError) Error() string {
	return fmt.Sprintf("environment %q is there and is not well, and nothing of it was removed: %v\ntype `go tool mage env:up` to look again, `go tool mage env:status` to see what runs, or `%s` to remove it", e.Name, e.Err, downOf(e.Name))
}

// Unwrap returns the cause.
func (e *NotWellError) Unwrap() error { return e.Err }

// takeStock looks at what there is, and starts what is stopped. It removes
// nothing but what is left of a management cluster whose objects moved. What
// stands in the way, and is not to be remade, is an error.
func (l *Lab) takeStock(ctx context.Context) (stock, error) {
	workload, management, err := l.containers(ctx)
	if err != nil {
		return stock{}, err
	}
	if len(workload)+len(management) == 0 {
		return stock{fresh: true}, errors.Join(l.forgetManagement(), state.Remove(l.readyFile()))
	}
	step := l.log.Start("look at the cluster that is there", 0)
	found, err := l.takeUp(ctx, workload, management, step.Progress)
	if ctx.Err() != nil {
		found, err = stock{}, context.Cause(ctx)
	}
	step.Done(found.text, errors.Join(err, found.remake))
	if err != nil || !found.ready {
		return found, err
	}
	return found, errors.Join(l.markReady(ctx), l.engine.Remove(ctx, ids(management)...), l.forgetManagement())
}

// takeUp says what can be made of the containers that are there.
func (l *Lab) takeUp(ctx context.Context, workload, management []engine.Container, progress func(string)) (found stock, err error) {
	wasReady, err := state.Exists(l.readyFile())
	if err != nil {
		return stock{}, err
	}
	moving, err := state.Exists(l.movingFile())
	if err != nil {
		return stock{}, err
	}
	defer func() {
		if wasReady && found.remake != nil {
			// It worked once, and may hold what somebody wants to keep.
			found, err = stock{}, &NotWellError{Name: l.cfg.ClusterName, Err: found.remake}
		}
	}()
	restarted, err := l.startStopped(ctx, slices.Concat(workload, management), progress)
	if err != nil {
		return stock{remake: err}, nil
	}
	bound := l.bounds.answer
	if restarted {
		bound = l.bounds.restart
	}
	reaching, cancel := within(ctx, bound)
	defer cancel()
	if len(management) > 0 && !moving && !wasReady {
		client, err := l.reach(reaching, l.managementKubeconfig(), progress)
		if err != nil {
			return stock{remake: err}, nil
		}
		ctx, cancel := within(ctx, l.bounds.well)
		defer cancel()
		if err := l.sameVersions(ctx, client); err != nil {
			return stock{}, err
		}
		return stock{text: "going on with the management cluster of an interrupted run"}, nil
	}
	client, err := l.reachWorkload(reaching, workload, progress)
	if err != nil {
		return stock{remake: err}, nil
	}
	ctx, cancelLooking := within(ctx, l.bounds.well)
	defer cancelLooking()
	paused, err := l.ownCluster(ctx, client)
	switch {
	case isAbsent(err):
		return stock{remake: err}, nil
	case err != nil:
		return stock{}, &NotWellError{Name: l.cfg.ClusterName, Err: err}
	case paused && len(management) > 0 && !wasReady:
		// Only a move that came to its end is taken up; halves are not.
		return stock{remake: errors.New("the Cluster is paused, as in the middle of a move")}, nil
	}
	return l.selfManaged(ctx, client, paused, progress)
}

// selfManaged looks whether the environment that manages itself is well.
func (l *Lab) selfManaged(ctx context.Context, client *kube.Client, paused bool, progress func(string)) (stock, error) {
	if err := l.sameVersions(ctx, client); err != nil {
		return stock{}, err
	}
	err := insist(ctx, func() error {
		return capi.WaitWell(ctx, client, namespace, l.cfg.ClusterName, paused, progress)
	})
	if err != nil {
		return stock{}, &NotWellError{Name: l.cfg.ClusterName, Err: err}
	}
	text := "it manages itself"
	if paused {
		text += ", and is paused"
	}
	return stock{ready: true, text: text}, nil
}

// insist asks an API server again until it gives an answer that counts or ctx
// is done: one that just started refuses this and that.
func insist(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if err == nil || isAbsent(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// isAbsent reports whether an API server answered that it has no such object,
// or no such kind.
func isAbsent(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }

// ownCluster looks for the cluster's own object in it.
func (l *Lab) ownCluster(ctx context.Context, client *kube.Client) (paused bool, err error) {
	err = insist(ctx, func() error {
		cluster, err := client.Get(ctx, kube.Clusters, namespace, l.cfg.ClusterName)
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

// OtherVersionError is an environment of other versions than the settings'.
type OtherVersionError struct{ Environment, Component, Has, Want string }

func (e *OtherVersionError) Error() string {
	return fmt.Sprintf("environment %q has %s %s and the settings want %s; type `%s` first, or choose another CLUSTER_NAME", e.Environment, e.Component, e.Has, e.Want, downOf(e.Environment))
}

// sameVersions returns an *OtherVersionError if what is installed, as far as
// it is yet, is not what the settings want.
func (l *Lab) sameVersions(ctx context.Context, client *kube.Client) error {
	var have capi.Versions
	err := insist(ctx, func() (err error) {
		have, err = capi.Installed(ctx, client, namespace)
		return err
	})
	if err != nil {
		return &NotWellError{Name: l.cfg.ClusterName, Err: err}
	}
	for _, c := range []struct{ name, has, want string }{
		{"Cluster API", have.ClusterAPI, l.cfg.ClusterAPI.Tag()},
		{"Kubernetes", have.Kubernetes, config.Tag(l.cfg.Kubernetes)},
	} {
		if c.has != "" && c.has != c.want {
			return &OtherVersionError{Environment: l.cfg.ClusterName, Component: c.name, Has: c.has, Want: c.want}
		}
	}
	return nil
}

// reach returns a client of an API server that answers.
func (l *Lab) reach(ctx context.Context, kubeconfig string, progress func(string)) (*kube.Client, error) {
	client, err := kube.Open(kubeconfig)
	if err != nil {
		return nil, err
	}
	progress("waiting for its API server")
	return client, client.WaitAnswers(ctx)
}

// reachWorkload is reach for the workload cluster, whose published port may be
// another one after a restart. A kubeconfig that was lost is read from the
// control plane's node.
func (l *Lab) reachWorkload(ctx context.Context, workload []engine.Container, progress func(string)) (*kube.Client, error) {
	data, err := os.ReadFile(l.kubeconfig())
	if errors.Is(err, fs.ErrNotExist) {
		progress("reading its kubeconfig from a node")
		data, err = l.adminKubeconfig(ctx, workload)
	}
	if err != nil {
		return nil, fmt.Errorf("read the environment's kubeconfig: %w", err)
	}
	progress("waiting for its load balancer")
	if err := l.writeKubeconfig(ctx, data); err != nil {
		return nil, err
	}
	return l.reach(ctx, l.kubeconfig(), progress)
}

// adminKubeconfig is the one that kubeadm leaves on the control plane.
func (l *Lab) adminKubeconfig(ctx context.Context, workload []engine.Container) ([]byte, error) {
	for _, c := range workload {
		if isControlPlane(c) {
			res, err := l.engine.Exec(ctx, c.ID, nil, "cat", "/etc/kubernetes/admin.conf")
			return res.Stdout, err
		}
	}
	return nil, errors.New("it is lost, and there is no control plane to read it from")
}

// removeClusters removes both clusters' containers and kubeconfigs.
func (l *Lab) removeClusters(ctx context.Context) error {
	if err := errors.Join(state.Remove(l.readyFile()), state.Remove(l.madeFile())); err != nil {
		return err
	}
	if err := l.removeHolders(ctx); err != nil {
		return err
	}
	// A manager that still runs would make nodes again: repeat until there are none.
	for range 5 {
		workload, management, err := l.containers(ctx)
		if err != nil {
			return err
		}
		all := slices.Concat(management, workload)
		if len(all) == 0 {
			return errors.Join(l.forgetManagement(), state.Remove(l.kubeconfig()))
		}
		if err := l.engine.Remove(ctx, ids(all)...); err != nil {
			return err
		}
	}
	return errors.New("containers of the environment keep coming back; look at `docker ps` for what makes them")
}

// Down removes everything of the environment, and says what it removed.
func (l *Lab) Down(ctx context.Context) error {
	return l.locked("env:down", func() error {
		info, err := l.engine.Info(ctx)
		if err != nil {
			return err
		}
		if err := l.onEngine(ctx, info); err != nil {
			return err
		}
		workload, management, err := l.containers(ctx)
		if err != nil {
			return err
		}
		step := l.log.Start(fmt.Sprintf("remove %d containers", len(workload)+len(management)), 0)
		err = l.removeClusters(ctx)
		if err == nil {
			err = os.RemoveAll(l.repositoryDir())
		}
		if err == nil {
			err = l.removeLeftovers(ctx)
		}
		step.Done("", err)
		if err != nil {
			return err
		}
		if len(workload)+len(management) == 0 {
			l.log.Printf("there was no environment %q", l.cfg.ClusterName)
			return nil
		}
		l.log.Printf("environment %q is gone; built images, caches and logs stay in %s and in the engine", l.cfg.ClusterName, l.cfg.StateDir())
		return nil
	})
}

// removeLeftovers removes the environment's marks, and what killed runs left in
// the engine besides nodes. Build containers are all environments': they stay
// while somebody builds.
func (l *Lab) removeLeftovers(ctx context.Context) error {
	marks, err := l.marks()
	if err != nil {
		return err
	}
	for _, mark := range append(marks, l.engineFile()) {
		if err := state.Remove(mark); err != nil {
			return err
		}
	}
	if err := l.engine.Remove(ctx, l.probeName(probeUp), l.probeName(probeDoctor)); err != nil {
		return err
	}
	lock, err := l.state().Lock(workNode, "env:down")
	if errors.As(err, new(*state.HeldError)) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(node.RemoveLeftovers(ctx, l.engine, l.cfg.StateDir()), lock.Release())
}
