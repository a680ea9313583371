// Package env knows the whole story: how an environment comes up, what it is,
// and how it goes.
package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/ui"
)

const (
	namespace   = "default"
	podCIDR     = "10.244.0.0/16"
	serviceCIDR = "10.96.0.0/16"
)

// clusterLabel is on every container of a cluster, kind's and Cluster API's.
const clusterLabel = "io.x-k8s.kind.cluster"

// Lab is one environment and the machine it is on.
type Lab struct {
	cfg    *config.Config
	log    *ui.Log
	out    io.Writer
	runner run.Runner
	engine *engine.Engine
	now    func() time.Time
}

// New returns the lab that cfg describes. Data is written to out, what a
// person follows to log.
func New(cfg *config.Config, log *ui.Log, out io.Writer) *Lab {
	runner := run.Exec{}
	return &Lab{cfg: cfg, log: log, out: out, runner: runner, engine: engine.New(runner), now: time.Now}
}

func (l *Lab) path(elem ...string) string {
	return filepath.Join(append([]string{l.cfg.StateDir()}, elem...)...)
}

func (l *Lab) kubeconfig() string           { return l.path("kubeconfig", l.cfg.ClusterName) }
func (l *Lab) managementKubeconfig() string { return l.path("kubeconfig", l.cfg.ManagementName()) }
func (l *Lab) ownerFile() string            { return l.path("owner", l.cfg.ClusterName) }
func (l *Lab) repositoryDir() string        { return l.path("repository", l.cfg.ClusterName) }

// locked runs do while it holds the environment's lock.
func (l *Lab) locked(command string, do func() error) error {
	unlock, err := lock(l.cfg.StateDir(), l.cfg.ClusterName, command)
	if err != nil {
		return err
	}
	return errors.Join(do(), unlock())
}

// specs of the two components, as the settings have them.
func (l *Lab) clusterAPI() source.Spec {
	return from(source.ClusterAPI(l.cfg.ClusterAPI.Tag()), l.cfg.ClusterAPI)
}

func (l *Lab) autoscaler() source.Spec {
	return from(source.Autoscaler(l.cfg.Autoscaler.Version.String()), l.cfg.Autoscaler)
}

func from(spec source.Spec, s config.Source) source.Spec {
	spec.Origin, spec.URL, spec.Path, spec.Commit = s.Origin, s.Git, s.Dir, s.Commit
	return spec
}

func (l *Lab) sourceOptions(progress func(string)) source.Options {
	return source.Options{Dir: l.path("src"), Runner: l.runner, Progress: progress}
}

// FetchSources fetches the trees of the named components, or of both, and
// prints where they are.
func (l *Lab) FetchSources(ctx context.Context, component string) error {
	specs := []source.Spec{l.clusterAPI(), l.autoscaler()}
	known := false
	for _, s := range specs {
		if component != "" && component != s.Name {
			continue
		}
		known = true
		step := l.log.Start("fetch "+s.Name, 10*time.Second)
		tree, err := source.Fetch(ctx, s, l.sourceOptions(step.Progress))
		step.Done(err)
		if err != nil {
			return err
		}
		fmt.Fprintf(l.out, "%s\t%s\t%s\n", s.Name, s.Version, describe(tree))
	}
	if !known {
		return fmt.Errorf("unknown component %q; want cluster-api or autoscaler", component)
	}
	return nil
}

func describe(t *source.Tree) string {
	text := t.Origin
	if t.Commit != "" {
		text += " " + t.Commit[:12]
	}
	if t.Dirty {
		text += " with uncommitted changes"
	}
	if t.Why != "" {
		text += " (" + t.Why + ")"
	}
	return text + "\t" + t.Dir
}

func (l *Lab) nodeOptions(arch string, progress func(string)) node.Options {
	return node.Options{
		Origin: l.cfg.NodeImage, Kubernetes: config.Tag(l.cfg.Kubernetes), Arch: arch,
		Root: l.cfg.Root, StateDir: l.cfg.StateDir(), Mirror: l.cfg.RegistryMirror,
		Engine: l.engine, Runner: l.runner, Progress: progress,
	}
}

func (l *Lab) management(cgroupV1 bool, image string, progress func(string)) capi.Management {
	return capi.Management{
		Name: l.cfg.ManagementName(), NodeImage: image, Kubeconfig: l.managementKubeconfig(),
		CgroupV1: cgroupV1, OwnerFile: l.ownerFile(), Progress: progress,
	}
}

func (l *Lab) programs(tree *source.Tree, arch string) map[string]build.Request {
	out := filepath.Join("bin", "cluster-api", l.cfg.ClusterAPI.Tag()+"-"+tree.Origin)
	return build.ClusterAPI{
		Dir: tree.Dir, Version: l.cfg.ClusterAPI.Version, Tag: l.cfg.ClusterAPI.Tag(),
		Commit: tree.Commit, Dirty: tree.Dirty, ID: tree.ID, Arch: arch, OutDir: l.path(out),
	}.Requests()
}

// containers returns the environment's containers: those of the workload and
// those of the management cluster. One that the lab did not make is an error.
func (l *Lab) containers(ctx context.Context) (workload, management []engine.Container, err error) {
	if workload, err = l.engine.List(ctx, clusterLabel+"="+l.cfg.ClusterName); err != nil {
		return nil, nil, err
	}
	if management, err = l.engine.List(ctx, clusterLabel+"="+l.cfg.ManagementName()); err != nil {
		return nil, nil, err
	}
	_, statErr := os.Stat(l.ownerFile())
	for _, c := range append(workload[:len(workload):len(workload)], management...) {
		owned := c.Mounts[capi.OwnerMount] == l.ownerFile()
		if !owned && c.Labels["io.x-k8s.kind.role"] == "external-load-balancer" {
			owned = statErr == nil // Cluster API mounts nothing there
		}
		if !owned {
			return nil, nil, &ForeignError{Container: c.Name, Cluster: c.Labels[clusterLabel]}
		}
	}
	return workload, management, nil
}

// ForeignError is a container that has the environment's name and that this
// checkout of the lab did not make.
type ForeignError struct{ Container, Cluster string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("the container %s of a cluster named %q was not made by this lab, which leaves it alone; choose another name with CLUSTER_NAME, or delete that cluster with the tool that made it", e.Container, e.Cluster)
}

func ids(containers []engine.Container) []string {
	all := make([]string, len(containers))
	for i, c := range containers {
		all[i] = c.ID
	}
	return all
}
