package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/list"
	"caslab/magefiles/internal/state"
)

// fault is a row of the table.
type fault struct {
	name string
	// does says what is done.
	does string
	// ready is set if the fault begins from a ready environment, which has a node group and
	// a workload. Otherwise there is no environment.
	ready bool
	// nodes is how many nodes the environment has; 0 means as many as the settings say.
	nodes int
	// engine is set if the fault concerns other containers of the engine too.
	engine bool
	// root is set if only root can do it.
	root bool
	// loses says what cannot survive; empty if everything must.
	loses string
	// skip says why the fault cannot be made.
	skip string
	// strike makes the fault and returns its immediate effect, or an error if it could not
	// be made.
	strike func(ctx context.Context, s *site) (came string, err error)
	// cure, if set, is what a user does before env:up or env:down.
	cure func(ctx context.Context, s *site) error
}

// ControlPlaneStep is the step of env:up in which the management cluster creates the workload
// cluster.
const ControlPlaneStep = "workload control plane"

// moments is how many random moments are tried.
const moments = 10

// table returns the faults. steps are the names of the steps of env:up, and nodes are the
// numbers of nodes with which the engine is killed.
func table(steps []string, nodes []int, seed uint64) []fault {
	all := slices.Clone(readyFaults) // first, so that one environment serves several
	for _, step := range steps {
		all = append(all, fault{
			name: "killed-in/" + strings.ReplaceAll(step, " ", "-"), does: fmt.Sprintf("SIGKILL of env:up when its step %q begins", step),
			strike: func(ctx context.Context, s *site) (string, error) {
				return s.during(ctx, s.cmd(s.Config.ClusterName, "env:up"), s.begun(step), killed)
			},
		})
	}
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range moments {
		part := random.Float64()
		all = append(all, fault{
			name: "killed-at/" + strconv.Itoa(i), does: fmt.Sprintf("SIGKILL of env:up after %.0f %% of its usual time", 100*part),
			strike: func(ctx context.Context, s *site) (string, error) {
				return s.during(ctx, s.cmd(s.Config.ClusterName, "env:up"), after(time.Duration(part*float64(s.usually))), killed)
			},
		})
	}
	all = append(all, bringUpFaults...)
	for _, n := range nodes {
		all = append(all, fault{
			name: fmt.Sprintf("engine-killed/%d", n), does: fmt.Sprintf("SIGKILL of dockerd with %d nodes, and its start", n),
			ready: true, engine: true, nodes: n, strike: restartEngine("-KILL"),
		})
	}
	return append(all, engineFaults...)
}

func killed(kill func()) error {
	kill()
	return nil
}

func after(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// bringUpFaults begin without an environment.
var bringUpFaults = []fault{
	{
		name: "move-interrupted", does: "SIGKILL of env:up when the move has created the Cluster in the workload cluster, and before it deletes the source",
		strike: func(ctx context.Context, s *site) (string, error) {
			return s.during(ctx, s.cmd(s.Config.ClusterName, "env:up"), s.has, killed)
		},
	},
	{
		name: "management-deleted", does: "the management cluster's container is removed while it creates the workload cluster",
		strike: func(ctx context.Context, s *site) (string, error) {
			return s.during(ctx, s.cmd(s.Config.ClusterName, "env:up"), s.begun(ControlPlaneStep), func(func()) error {
				_, err := s.containers(ctx, s.Config.ClusterName) // refuses foreign ones
				if err == nil {
					err = s.engine.Remove(ctx, s.Config.ManagementName()+"-control-plane")
				}
				return err
			})
		},
	},
	{
		name: "fetch-cut/module", does: "the Go module proxy cuts each connection in the middle of an answer",
		strike: fetchCut(func(url, cache string) []string {
			return []string{"CAPI_SOURCE=module", "GOPROXY=" + url, "GONOSUMDB=*", "GOFLAGS=-modcacherw", "GOMODCACHE=" + cache}
		}),
	},
	{
		name: "fetch-cut/git", does: "the git server cuts each connection in the middle of an answer",
		strike: fetchCut(func(url, _ string) []string { return []string{"CAPI_SOURCE=git", "CAPI_GIT=" + url + "/capi.git"} }),
	},
	{
		name: "disk-full/images", does: "the disk is full while the programs of the images are written", root: true,
		strike: diskFull("bin", "16m"), cure: freed("bin"),
	},
	{
		name: "disk-full/timeline", does: "the disk is full while the timeline is written", root: true,
		strike: diskFull("timeline", "4k"), cure: freed("timeline"),
	},
}

// readyFaults begin from a ready environment.
var readyFaults = []fault{
	{name: "node-killed", does: "SIGKILL of the worker's container", ready: true, strike: docker(worker, "kill")},
	{name: "control-plane-killed", does: "SIGKILL of the control plane's container", ready: true, strike: docker(controlPlane, "kill")},
	{name: "load-balancer-killed", does: "SIGKILL of the load balancer's container", ready: true, strike: docker(loadBalancer, "kill")},
	{
		name: "stopped-by-hand", does: "docker stop of each container, and docker start in the same order", ready: true,
		strike: func(ctx context.Context, s *site) (string, error) {
			came, err := s.docker(ctx, "", "stop", "-t", "1")
			if err != nil {
				return "", err
			}
			started, err := s.docker(ctx, "", "start")
			return came + "; " + started, err
		},
	},
	{
		name: "two-environments", does: "a second environment comes up, and is removed", ready: true,
		strike: func(ctx context.Context, s *site) (string, error) {
			name := second(s)
			if err := s.do(ctx, s.cmd(name, "env:up")); err != nil {
				return "", err
			}
			return "the second environment is gone", s.do(ctx, s.cmd(name, "env:down"))
		},
	},
	{
		name: "state-deleted", does: "the folder .caslab is deleted", ready: true,
		loses: "the mark by which the lab knows its containers: env:up refuses them, and says how to remove them",
		strike: func(ctx context.Context, s *site) (string, error) {
			return ".caslab is deleted", os.RemoveAll(s.Config.StateDir())
		},
		cure: func(ctx context.Context, s *site) error {
			err := s.lab(ctx, "env:up")
			if said := outcome(err); !strings.Contains(said, "docker rm -f -v $(docker ps -aq --filter label=") {
				return fmt.Errorf("env:up does not say how to remove the containers, but ended: %s", said)
			}
			_, err = s.docker(ctx, "", "rm", "-f", "-v")
			return err
		},
	},
	{
		// Until 2026-11-26, .ready was empty, and the other two files did not exist.
		name: "state-before", does: "the folder .caslab has the layout of the lab before restarts were repaired", ready: true,
		strike: func(_ context.Context, s *site) (string, error) {
			owner := s.State.Path("owner", s.Config.ClusterName)
			return ".caslab is as before", errors.Join(os.Truncate(owner+".ready", 0), state.Remove(owner+".settings.json", owner+".removed"))
		},
	},
	{
		name: "clock", does: "the lab's clock is an hour off", ready: true,
		skip: "a Go program reads the clock of the machine, which nobody can change for one process",
	},
}

// engineFaults concern other containers of the engine too.
var engineFaults = []fault{
	{name: "engine-restarted", does: "SIGTERM of dockerd, and its start", ready: true, engine: true, strike: restartEngine("-TERM")},
	{
		name: "network-pruned", does: "env:stop, and docker network prune", ready: true, engine: true,
		strike: stoppedAnd("docker", "network", "prune", "-f"),
	},
	{
		name: "containers-pruned", does: "env:stop, and docker container prune", ready: true, engine: true,
		loses: "the containers", strike: stoppedAnd("docker", "container", "prune", "-f"),
	},
}

// second is the name of the second environment.
func second(s *site) string { return s.Config.ClusterName + "-2" }

func docker(role string, args ...string) func(context.Context, *site) (string, error) {
	return func(ctx context.Context, s *site) (string, error) { return s.docker(ctx, role, args...) }
}

// stoppedAnd stops the environment and runs another program.
func stoppedAnd(name string, args ...string) func(context.Context, *site) (string, error) {
	return func(ctx context.Context, s *site) (string, error) {
		if err := s.lab(ctx, "env:stop"); err != nil {
			return "", err
		}
		_, err := s.program(ctx, name, args...)
		return "it was stopped, and then: " + strings.Join(append([]string{name}, args...), " "), err
	}
}

// fetchCut makes env:up fetch from a server that cuts connections. settings returns the
// environment variables for its URL and for an empty folder of modules.
func fetchCut(settings func(url, cache string) []string) func(context.Context, *site) (string, error) {
	return func(ctx context.Context, s *site) (came string, err error) {
		url, stop, err := cutting(ctx)
		if err != nil {
			return "", err
		}
		cache := filepath.Join(s.Config.Root, ".caslab", "modcache")
		defer func() { err = errors.Join(err, stop(), os.RemoveAll(cache)) }()
		if err := os.RemoveAll(s.State.Path("src")); err != nil {
			return "", err
		}
		c := s.cmd(s.Config.ClusterName, "env:up")
		c.Env = append(c.Env, settings(url, cache)...)
		return failing(s.do(ctx, c))
	}
}

// failing returns how env:up ended, and an error if it succeeded in spite of the fault.
func failing(err error) (came string, none error) {
	if err == nil {
		return "", errors.New("env:up succeeded, so the fault had no effect")
	}
	return "env:up ended: " + outcome(err), nil
}

// diskFull lets env:up write a folder of the state into a small file system.
func diskFull(folder, size string) func(context.Context, *site) (string, error) {
	return func(ctx context.Context, s *site) (string, error) {
		if err := s.full(ctx, folder, size); err != nil {
			return "", err
		}
		err := s.lab(ctx, "env:up")
		return "env:up ended: " + outcome(err), context.Cause(ctx)
	}
}

func freed(folder string) func(context.Context, *site) error {
	return func(ctx context.Context, s *site) error { return s.free(ctx, folder) }
}

// pidFile has the process ID of dockerd.
const pidFile = "/var/run/docker.pid"

// restartEngine sends a signal to dockerd, waits for its end and starts it again.
func restartEngine(signal string) func(context.Context, *site) (string, error) {
	return func(ctx context.Context, s *site) (string, error) {
		pid, err := s.program(ctx, "cat", pidFile)
		if err != nil {
			return "", err
		}
		if _, err := s.program(ctx, "kill", signal, pid); err != nil {
			return "", err
		}
		err = kube.Retry(ctx, "the end of dockerd", time.Second, func(ctx context.Context) error {
			if _, err := s.program(ctx, "kill", "-0", pid); err == nil {
				return errors.New("it still runs")
			}
			return nil
		})
		if err != nil {
			return "", err
		}
		_, err = s.program(ctx, filepath.Join(s.Config.Root, "scripts", "docker-engine.sh"))
		return "kill " + signal + " of dockerd, and it runs again", err
	}
}

// choose returns the faults that names lists, separated by commas: names of faults, and
// beginnings of names that end with a slash. Without names, it returns all that do not
// concern the engine, and those too with engine.
func choose(all []fault, names string, engine bool) (chosen []fault, err error) {
	listed, err := list.Split(names)
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	var errs []error
	for _, name := range listed {
		found := false
		for _, f := range all {
			if f.name != name && (!strings.HasSuffix(name, "/") || !strings.HasPrefix(f.name, name)) {
				continue
			}
			found = true
			switch {
			case f.engine && !engine:
				errs = append(errs, fmt.Errorf("%s concerns all containers of the engine; to allow that, add -engine", f.name))
			case slices.ContainsFunc(chosen, func(other fault) bool { return other.name == f.name }):
				errs = append(errs, fmt.Errorf("%s is named twice", f.name))
			default:
				chosen = append(chosen, f)
			}
		}
		if !found {
			errs = append(errs, fmt.Errorf("there is no fault %q; faults:list prints all", name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	if strings.TrimSpace(names) == "" {
		chosen = slices.DeleteFunc(slices.Clone(all), func(f fault) bool { return f.engine && !engine })
	}
	return chosen, nil
}

// parseNodes reads numbers of nodes, separated by commas. An environment has a control plane
// and at least one worker.
func parseNodes(text string) (nodes []int, err error) {
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 2 || n > 10 {
			return nil, fmt.Errorf("-nodes=%s: %q: want numbers from 2 to 10, separated by commas", text, part)
		}
		if slices.Contains(nodes, n) {
			return nil, fmt.Errorf("-nodes=%s: %d is named twice", text, n)
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}
