// Package lab is what every command is given: the settings, the state folder,
// how processes start, and where data and chatter go.
package lab

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

// Lab is the lab on this machine, with the settings of one command.
type Lab struct {
	Config *config.Config
	// Log shows a person what is done.
	Log *ui.Log
	// Out takes data. Chatter takes what a process prints as it runs, for a
	// person.
	Out, Chatter io.Writer
	Runner       run.Runner
	Now          func() time.Time
	// State is the folder .caslab.
	State state.Dir
	// FullLog takes everything of a run that changes the environment.
	FullLog *state.Log
}

// New returns the lab that cfg describes. Data is written to out; what a person
// follows is shown as the options say, on stderr. Close ends it.
func New(cfg *config.Config, shown ui.Options, out, stderr io.Writer) *Lab {
	full := new(state.Log)
	shown.Record = full
	return &Lab{
		Config: cfg, Log: ui.New(stderr, shown), Out: out, Chatter: stderr,
		Runner: run.Recorded{Runner: run.Exec{}, Log: full}, Now: time.Now, State: state.Dir(cfg.StateDir()), FullLog: full,
	}
}

// Close ends what a person follows.
func (l *Lab) Close() { l.Log.Close() }

// With returns a lab with other settings, on the same machine.
func (l *Lab) With(change func(*config.Config)) *Lab {
	cfg, other := *l.Config, *l
	change(&cfg)
	other.Config = &cfg
	return &other
}

// Within bounds a wait; the error then says which bound it was.
func Within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("not within %s", d))
}

// EnvironmentKubeconfig is the path of the environment's kubeconfig.
func (l *Lab) EnvironmentKubeconfig() string { return l.State.Kubeconfig(l.Config.ClusterName) }

// TimelineDir is the folder of a cluster's timeline: named after the
// environment, or after the UID of a cluster that the lab did not make.
func (l *Lab) TimelineDir(uid string) string {
	if l.Config.WorkloadKubeconfig == "" || uid == "" {
		return l.State.Path("timeline", l.Config.ClusterName)
	}
	return l.State.Path("timeline", "cluster-"+uid)
}

// AutoscalerLog is the log of the autoscaler that runs on this machine against
// the cluster of that UID.
func (l *Lab) AutoscalerLog(uid string) string {
	return l.State.Path("logs", filepath.Base(l.TimelineDir(uid))+"-autoscaler.log")
}

// AutoscalerRelease is the release that decides flags, annotations and API: a
// checkout's own, if it says which that is, or else the settings'.
func (l *Lab) AutoscalerRelease() *version.Version {
	if l.Config.Autoscaler.Dir != "" {
		if v := build.AutoscalerVersion(l.Config.Autoscaler.Dir); v != nil {
			return v
		}
	}
	return l.Config.Autoscaler.Version
}

// ClusterAPI and Autoscaler are the two components, as the settings have them.
func (l *Lab) ClusterAPI() source.Spec {
	return from(source.ClusterAPI(l.Config.ClusterAPI.Tag()), l.Config.ClusterAPI)
}

// Autoscaler is the autoscaler, as the settings have it.
func (l *Lab) Autoscaler() source.Spec {
	return from(source.Autoscaler(l.Config.Autoscaler.Version.String()), l.Config.Autoscaler)
}

func from(spec source.Spec, s config.Source) source.Spec {
	spec.Origin, spec.URL, spec.Path, spec.Commit = s.Origin, s.Git, s.Dir, s.Commit
	return spec
}

// SourceOptions are the options with which trees are fetched and checked.
func (l *Lab) SourceOptions(progress func(string)) source.Options {
	return source.Options{Dir: l.State.Path("src"), Runner: l.Runner, Progress: progress}
}

// fetching is the lock of the folder of fetched trees, which environments share.
const fetching = "build.sources"

// FetchTree fetches a component's tree, or finds that it is there.
func (l *Lab) FetchTree(ctx context.Context, s source.Spec, progress func(string)) (tree *source.Tree, err error) {
	err = l.State.Exclusively(ctx, fetching, progress, func() error {
		tree, err = source.Fetch(ctx, s, l.SourceOptions(progress))
		return err
	})
	return tree, sourceAdvice(err)
}

// FetchSources fetches the tree of the component, or those of both if it is
// empty, and prints where they are.
func (l *Lab) FetchSources(ctx context.Context, component string) error {
	specs := []source.Spec{l.ClusterAPI(), l.Autoscaler()}
	known := false
	for _, s := range specs {
		if component != "" && component != s.Name {
			continue
		}
		known = true
		step := l.Log.Start("fetch "+s.Name, 10*time.Second)
		tree, err := l.FetchTree(ctx, s, step.Progress)
		step.Done("", err)
		if err != nil {
			return err
		}
		fmt.Fprintf(l.Out, "%s\t%s\t%s\n", s.Name, s.Version, describe(tree))
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
