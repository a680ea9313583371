package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/kube"
)

// How long an API server may take to answer: one that runs, and one whose
// container was just started.
const (
	answerWithin  = 10 * time.Second
	restartWithin = 90 * time.Second
)

// takeStock looks at what there is. It returns true if the environment is
// ready, starts what is stopped, and removes what cannot be taken up, so that
// the steps find either nothing or something that works.
func (l *Lab) takeStock(ctx context.Context) (ready bool, err error) {
	workload, management, err := l.containers(ctx)
	if err != nil {
		return false, err
	}
	if len(workload)+len(management) == 0 {
		return false, l.forgetManagement()
	}
	restarted, err := l.startStopped(ctx, append(workload[:len(workload):len(workload)], management...))
	if err != nil {
		return false, err
	}
	wait := answerWithin
	if restarted {
		wait = restartWithin
	}
	_, movingErr := os.Stat(l.movingFile())
	moving := movingErr == nil
	if len(management) == 0 || moving {
		problem := l.selfManaged(ctx, wait)
		if problem == nil {
			if len(management) == 0 {
				return true, nil
			}
			l.log.Printf("the move was finished and the management cluster not deleted: deleting it")
			return true, errors.Join(l.engine.Remove(ctx, ids(management)...), l.forgetManagement())
		}
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		l.log.Printf("a cluster is there that cannot be taken up (%v): making it anew", problem)
		return false, l.removeClusters(ctx)
	}
	if err := l.answers(ctx, l.managementKubeconfig(), wait); err != nil {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		l.log.Printf("the management cluster of an interrupted run cannot be taken up (%v): making everything anew", err)
		return false, l.removeClusters(ctx)
	}
	l.log.Printf("going on with the management cluster of an interrupted run")
	return false, nil
}

// startStopped starts containers that a hard stop of the engine left behind,
// oldest first: they tend to get the addresses back that they had.
func (l *Lab) startStopped(ctx context.Context, containers []engine.Container) (bool, error) {
	var stopped []engine.Container
	for _, c := range containers {
		if !c.Running {
			stopped = append(stopped, c)
		}
	}
	if len(stopped) == 0 {
		return false, nil
	}
	l.log.Printf("starting %d stopped containers of the environment", len(stopped))
	slices.SortFunc(stopped, func(a, b engine.Container) int {
		if a.Created < b.Created {
			return -1
		}
		return 1
	})
	for _, c := range stopped {
		if err := l.engine.Start(ctx, c.ID); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (l *Lab) answers(ctx context.Context, kubeconfig string, within time.Duration) error {
	client, err := kube.Open(kubeconfig)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not within %s", within))
	defer cancel()
	return client.WaitAnswers(ctx)
}

// selfManaged returns nil if the workload cluster holds its own Cluster API
// objects, is not paused, and every machine in it has a Ready node.
func (l *Lab) selfManaged(ctx context.Context, within time.Duration) error {
	// The published port may be another after a restart.
	if data, err := os.ReadFile(l.kubeconfig()); err == nil {
		ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, errors.New("no load balancer runs"))
		defer cancel()
		if err := l.writeKubeconfig(ctx, data); err != nil {
			return err
		}
	}
	if err := l.answers(ctx, l.kubeconfig(), within); err != nil {
		return err
	}
	client, err := kube.Open(l.kubeconfig())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not within %s", within))
	defer cancel()
	cluster, err := client.Get(ctx, capi.Clusters, namespace, l.cfg.ClusterName)
	if err != nil {
		return fmt.Errorf("look for the cluster's own objects in it: %w", err)
	}
	if kube.Field(cluster, "spec", "paused") == "true" {
		return errors.New("the Cluster is paused, as in the middle of a move")
	}
	if err := capi.WaitMovable(ctx, client, namespace, l.cfg.ClusterName, 1, nil); err != nil {
		return err
	}
	machines, err := client.List(ctx, capi.Machines, namespace)
	if err != nil {
		return err
	}
	return capi.WaitNodes(ctx, client, len(machines), nil)
}

// removeClusters removes both clusters' containers and kubeconfigs.
func (l *Lab) removeClusters(ctx context.Context) error {
	// A manager that still runs would make nodes again: repeat until there are none.
	for range 5 {
		workload, management, err := l.containers(ctx)
		if err != nil {
			return err
		}
		all := append(management, workload...)
		if len(all) == 0 {
			return errors.Join(l.forgetManagement(), removeIfThere(l.kubeconfig()))
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
		if _, err := l.engine.Info(ctx); err != nil {
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
			err = removeIfThere(l.ownerFile())
		}
		step.Done(err)
		if err != nil {
			return err
		}
		l.log.Printf("environment %q is gone; built images, caches and logs stay in %s and in the engine", l.cfg.ClusterName, l.cfg.StateDir())
		return nil
	})
}
