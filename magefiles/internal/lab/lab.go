// Package lab has what every command needs: the settings, the state folder, a runner of
// processes, and the writers for data and for a person.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

// Lab is the lab on this machine, with the settings of one command.
type Lab struct {
	Config *config.Config
	// Log shows a person what is done.
	Log *ui.Log
	// Out is for data. ProcessOutput is for the output of running processes, which a person
	// reads.
	Out, ProcessOutput io.Writer
	Runner             run.Runner
	Now                func() time.Time
	// State is the folder .caslab.
	State state.Dir
	// FullLog is the full log of a run that changes the environment.
	FullLog *state.Log
}

// New returns the lab that cfg describes. Data is written to out; progress is shown on
// stderr, as the options say. The caller calls Close.
func New(cfg *config.Config, shown ui.Options, out, stderr io.Writer) *Lab {
	full := new(state.Log)
	shown.Record = full
	return &Lab{
		Config: cfg, Log: ui.New(stderr, shown), Out: out, ProcessOutput: stderr,
		Runner: run.Recorded{Runner: run.Exec{}, Log: full}, Now: time.Now, State: state.Dir(cfg.StateDir()), FullLog: full,
	}
}

// Close ends the display of progress.
func (l *Lab) Close() { l.Log.Close() }

// With returns a lab with other settings, on the same machine.
func (l *Lab) With(change func(*config.Config)) *Lab {
	cfg, other := *l.Config, *l
	change(&cfg)
	other.Config = &cfg
	return &other
}

// AnswerWithin bounds requests to API servers that wait for nothing but the answer.
const AnswerWithin = time.Minute

// Waited returns an error that names what an operation waited for, if the operation ended because
// ctx ended. Otherwise it returns err. ctx is bounded by interrupt.WithTimeout.
func Waited(ctx context.Context, what string, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return fmt.Errorf("waited for the API server to %s: %w", what, err)
}

// EnvironmentKubeconfig is the path of the environment's kubeconfig.
func (l *Lab) EnvironmentKubeconfig() string { return l.State.Kubeconfig(l.Config.ClusterName) }

// AutoscalerKubeconfig is the path of the kubeconfig of the autoscaler that runs on this
// machine against the environment.
func (l *Lab) AutoscalerKubeconfig() string {
	return l.State.AutoscalerKubeconfig(l.Config.ClusterName)
}

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
