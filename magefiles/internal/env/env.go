// Package env knows the whole story: how an environment comes up, what it is,
// and how it goes.
package env

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
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
	cfg *config.Config
	log *ui.Log
	// out takes data; chatter, what a person reads of a process as it runs,
	// in colours if terminal.
	out, chatter io.Writer
	terminal     bool
	runner       run.Runner
	engine       *engine.Engine
	now          func() time.Time
	record       *state.Log
	bounds       bounds
}

// New returns the lab that cfg describes. Data is written to out; what a
// person follows is shown as the options say, on stderr. Close ends it.
func New(cfg *config.Config, shown ui.Options, out, stderr io.Writer) *Lab {
	rec := new(state.Log)
	shown.Record = rec
	runner := run.Recorded{Runner: run.Exec{}, Log: rec}
	return &Lab{
		cfg: cfg, log: ui.New(stderr, shown), out: out, chatter: stderr, terminal: shown.Terminal,
		runner: runner, engine: engine.New(runner), now: time.Now, record: rec, bounds: defaultBounds(),
	}
}

// Close ends what a person follows.
func (l *Lab) Close() { l.log.Close() }

func (l *Lab) path(elem ...string) string {
	return filepath.Join(append([]string{l.cfg.StateDir()}, elem...)...)
}

func (l *Lab) kubeconfig() string           { return l.path("kubeconfig", l.cfg.ClusterName) }
func (l *Lab) managementKubeconfig() string { return l.path("kubeconfig", l.cfg.ManagementName()) }
func (l *Lab) repositoryDir() string        { return l.path("repository", l.cfg.ClusterName) }

// movingFile is there while a move is not known to have come to its end;
// readyFile from when the environment managed itself until it is removed.
func (l *Lab) movingFile() string { return l.path("owner", l.cfg.ClusterName+".moving") }
func (l *Lab) readyFile() string  { return l.path("owner", l.cfg.ClusterName+".ready") }

// engineFile has the ID of the engine that the environment is on.
func (l *Lab) engineFile() string { return l.path("owner", l.cfg.ClusterName+".engine") }

func (l *Lab) logFile() string { return l.path("logs", l.cfg.ClusterName+".log") }

// autoscalerLog is of the autoscaler that runs here against a cluster.
func (l *Lab) autoscalerLog(s *subject) string {
	return l.path("logs", filepath.Base(l.timelineDir(s.uid))+"-autoscaler.log")
}

// InUseError is returned while another command changes the environment.
type InUseError struct{ Environment, Holder string }

func (e *InUseError) Error() string {
	return fmt.Sprintf("environment %q is in use by %s; wait for it to end, or stop it and type the command again", e.Environment, e.Holder)
}

// locked runs do while it holds the environment's lock, and keeps a full log.
func (l *Lab) locked(command string, do func() error) (err error) {
	lock, err := l.state().Lock(l.cfg.ClusterName, command)
	if held := new(state.HeldError); errors.As(err, &held) {
		return &InUseError{Environment: l.cfg.ClusterName, Holder: held.Holder}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if err := l.record.Open(l.logFile()); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			fmt.Fprintln(l.record, "Error:", err)
		}
		err = errors.Join(err, l.record.Close())
	}()
	return do()
}

// Work that environments share.
const (
	workFetch   = "build.sources"
	workCompile = "build.managers"
	workNode    = "build.node"
	// Compiling the autoscaler, and Delve.
	workAutoscaler = "build.autoscaler"
	// Starting stopped containers: placeholders of one environment of the
	// checkout would hold the addresses of another's.
	workStart = "start.containers"
)

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
		tree, err := l.fetchTree(ctx, s, step.Progress)
		step.Done("", err)
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

func (l *Lab) fetchTree(ctx context.Context, s source.Spec, progress func(string)) (tree *source.Tree, err error) {
	err = l.state().Exclusively(ctx, workFetch, progress, func() error {
		tree, err = source.Fetch(ctx, s, l.sourceOptions(progress))
		return err
	})
	return tree, err
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
		LoadBalancer: release.Of(l.cfg.ClusterAPI.Version).LoadBalancer,
		Root:         l.cfg.Root, StateDir: l.cfg.StateDir(), Mirror: l.cfg.RegistryMirror,
		Engine: l.engine, Runner: l.runner, Progress: progress,
	}
}

func (l *Lab) management(progress func(string)) capi.Management {
	return capi.Management{Name: l.cfg.ManagementName(), Kubeconfig: l.managementKubeconfig(), Progress: progress}
}

func (l *Lab) programs(tree *source.Tree, arch string) map[string]build.Request {
	out := filepath.Join("bin", "cluster-api", l.cfg.ClusterAPI.Tag()+"-"+tree.Origin+"-"+shortSum(tree.Dir))
	return build.ClusterAPI{
		Dir: tree.Dir, Version: l.cfg.ClusterAPI.Version, Tag: l.cfg.ClusterAPI.Tag(),
		Commit: tree.Commit, Dirty: tree.Dirty, ID: tree.ID, Arch: arch, OutDir: l.path(out),
	}.Requests()
}

// shortSum tells trees apart whose versions are the same.
func shortSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
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
	marks, err := l.marks()
	if err != nil {
		return nil, nil, err
	}
	for _, c := range slices.Concat(workload, management) {
		owned := l.isMark(c.Mounts[capi.OwnerMount], marks)
		if !owned && isLoadBalancer(c) {
			owned = len(marks) > 0 // Cluster API mounts nothing there
		}
		if !owned {
			foreign := &ForeignError{Container: c.Name, Environment: l.cfg.ClusterName, Cluster: c.Labels[clusterLabel], Mark: c.Mounts[capi.OwnerMount]}
			_, err := os.Stat(foreign.Mark)
			foreign.Lost = errors.Is(err, fs.ErrNotExist)
			return nil, nil, foreign
		}
	}
	return workload, management, nil
}

// OtherEngineError is an environment that this engine has nothing of, and that
// was made on another.
type OtherEngineError struct{ Name, File string }

func (e *OtherEngineError) Error() string {
	return fmt.Sprintf("environment %q was made on another Docker engine, and this one has nothing of it; go back to that engine (docker context ls, DOCKER_HOST), choose another name with CLUSTER_NAME, or, if that engine is no more, type: rm %s", e.Name, e.File)
}

// onEngine refuses to take an environment for gone that is on another engine,
// and records the engine of one that is here.
func (l *Lab) onEngine(ctx context.Context, info engine.Info) error {
	workload, management, err := l.containers(ctx)
	if err != nil {
		return err
	}
	if len(workload)+len(management) > 0 {
		return l.recordEngine(info)
	}
	var id string
	there, err := state.ReadJSON(l.engineFile(), &id)
	if err != nil {
		return fmt.Errorf("look for the environment's engine: %w", err)
	}
	if !there {
		return nil
	}
	if id != info.ID {
		return &OtherEngineError{Name: l.cfg.ClusterName, File: l.engineFile()}
	}
	return nil
}

func (l *Lab) recordEngine(info engine.Info) error {
	if err := state.WriteJSON(l.engineFile(), info.ID); err != nil {
		return fmt.Errorf("record the environment's engine: %w", err)
	}
	return nil
}

// roleLabel is on every container of a cluster, kind's and Cluster API's.
const roleLabel = "io.x-k8s.kind.role"

func isLoadBalancer(c engine.Container) bool { return c.Labels[roleLabel] == "external-load-balancer" }

func isControlPlane(c engine.Container) bool { return c.Labels[roleLabel] == "control-plane" }

// token is what makes the name of a mark one that nobody else has.
var token = regexp.MustCompile(`^[0-9a-f]{16}$`)

// marks are the environment's owner files, NAME-TOKEN each. Every node has one
// mounted, so that the engine tells whose it is.
func (l *Lab) marks() ([]string, error) {
	entries, err := os.ReadDir(l.path("owner"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the environment's mark: %w", err)
	}
	var marks []string
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), l.cfg.ClusterName+"-")
		if ok && token.MatchString(rest) {
			marks = append(marks, l.path("owner", e.Name()))
		}
	}
	return marks, nil
}

// isMark reports whether the source of a mount is one of the marks. Engines
// give paths a prefix of their own, and checkouts move: the file's name, with
// its token, and the folders that the lab chose decide.
// Unless a file is there that is not the mark: then the checkout was copied, and
// the environment is the other's. A folder is what an engine makes of the source
// of a mount that is not there.
func (l *Lab) isMark(source string, marks []string) bool {
	return slices.ContainsFunc(marks, func(mark string) bool {
		if !strings.HasSuffix(source, "/.caslab/owner/"+filepath.Base(mark)) {
			return false
		}
		there, err := os.Stat(source)
		if err != nil || !there.Mode().IsRegular() {
			return true
		}
		own, err := os.Stat(mark)
		return err == nil && os.SameFile(there, own)
	})
}

// mark returns the environment's mark, and makes it if there is none.
func (l *Lab) mark() (string, error) {
	marks, err := l.marks()
	if err != nil {
		return "", err
	}
	if len(marks) > 0 {
		return marks[0], nil
	}
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("mark the environment as the lab's: %w", err)
	}
	path := l.path("owner", l.cfg.ClusterName+"-"+hex.EncodeToString(random))
	err = os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte("caslab environment "+l.cfg.ClusterName+"\n"), 0o644)
	}
	if err != nil {
		return "", fmt.Errorf("mark the environment as the lab's: %w", err)
	}
	return path, nil
}

// ForeignError is a container that has the environment's name and that this
// checkout of the lab did not make.
type ForeignError struct {
	Container, Environment string
	// Cluster is that of the container: the workload or the management cluster.
	Cluster string
	// Mark is the owner file of the checkout that made it; empty if none did.
	Mark string
	// Lost is whether that file is not to be seen from here: gone, so that no
	// checkout can take the environment down, or on another machine.
	Lost bool
}

func (e *ForeignError) Error() string {
	if checkout, _, found := strings.Cut(e.Mark, "/.caslab/owner/"); found && e.Lost {
		return fmt.Sprintf("the container %s of an environment named %q was made by the lab in %s, whose .caslab this command does not see; if that checkout is elsewhere, type there: %s; if it is gone: docker rm -f -v $(docker ps -aq --filter label=%s=%s); or choose another name with CLUSTER_NAME",
			e.Container, e.Environment, checkout, downOf(e.Environment), clusterLabel, e.Cluster)
	} else if found {
		return fmt.Sprintf("the container %s of an environment named %q belongs to another checkout of the lab, %s; type there: %s; or choose another name with CLUSTER_NAME",
			e.Container, e.Environment, checkout, downOf(e.Environment))
	}
	return fmt.Sprintf("the container %s of a cluster named %q was not made by this lab, which leaves it alone; choose another name with CLUSTER_NAME, or delete that cluster with the tool that made it", e.Container, e.Cluster)
}

func ids(containers []engine.Container) []string {
	all := make([]string, len(containers))
	for i, c := range containers {
		all[i] = c.ID
	}
	return all
}

func (l *Lab) state() state.Dir { return state.Dir(l.cfg.StateDir()) }
