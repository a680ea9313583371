package environment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/bringup"
	"caslab/magefiles/internal/environment/settings"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/steps"
)

// StepNames returns the names of the steps of env:up.
func StepNames() []string { return bringup.Names() }

// Targets of Up: how far to go.
const (
	ManagementTarget = bringup.InitManagement
	WorkloadTarget   = bringup.Nodes
	Ready            = "ready"
)

// Up makes the environment ready, or goes as far as target. It continues from where
// an interrupted run stopped.
func (e *Environment) Up(ctx context.Context, target string) error {
	command := "env:up"
	switch target {
	case ManagementTarget:
		command = "cluster:management"
	case WorkloadTarget:
		command = "cluster:workload"
	}
	if err := e.checkOwn(command); err != nil {
		return err
	}
	return e.locked(command, func() error { return e.up(ctx, target) })
}

func (e *Environment) up(ctx context.Context, target string) (err error) {
	start := e.Now()
	defer func() {
		if err != nil && !e.Temporary && (errors.As(err, new(*steps.Error)) || ctx.Err() != nil) {
			e.Log.Printf("\n%s\nThe full log is %s.failed.", e.whatStays(context.WithoutCancel(ctx)), e.home().LogFile())
		}
	}()
	if err := e.Config.CheckEnvironment(); err != nil {
		return err
	}
	if err := e.checkCheckout(ctx); err != nil {
		return err
	}
	info, err := e.askEngine(ctx)
	if err != nil {
		return err
	}
	if err := e.home().OnEngine(ctx, info); err != nil {
		return err
	}
	found, err := e.takeSurvey(ctx)
	if err != nil {
		return err
	}
	if found.ready {
		if err := e.printChanges(); err != nil {
			return err
		}
		e.Log.Printf("environment %q is ready; verified in %.1f s", e.Config.ClusterName, e.Now().Sub(start).Seconds())
		return e.Status(ctx)
	}
	if err := e.preflight(ctx, info); err != nil {
		return err
	}
	if found.replace != nil {
		// Not earlier: a refusal above must leave everything as it was.
		e.Log.Printf("the existing clusters cannot be used (%v): creating them again", found.replace)
		if err := e.home().RemoveClusters(ctx); err != nil {
			return err
		}
	}
	return e.create(ctx, info, target, found.empty || found.replace != nil)
}

// create runs the steps up to target. anew is set if none of the clusters exists.
func (e *Environment) create(ctx context.Context, info engine.Info, target string, anew bool) error {
	recorder := e.recorders(e.Lab)
	b := e.bringUp(info, recorder)
	b.Anew = anew
	defer b.Close()
	if anew {
		if err := recorder.Begin(); err != nil {
			return err
		}
	}
	// Also after an interrupted run: the remaining steps use these settings.
	if err := settings.Record(e.home().SettingsFile(), e.Config.Values()); err != nil {
		return err
	}
	nodeUsually := node.Usually(ctx, b.Node)
	if anew {
		e.printUsually(nodeUsually)
	}
	all := b.Steps(nodeUsually)
	if target != Ready {
		var err error
		if all, err = steps.UpTo(all, target); err != nil {
			return err
		}
	}
	timings, err := steps.Run(ctx, e.Log, e.Now, recorded(recorder, all))
	if err != nil {
		verdict := "failed"
		if ctx.Err() != nil {
			verdict = "interrupted"
		}
		recorder.AddFact(verdict, err.Error())
		return err
	}
	recorder.AddFact("passed", "")
	if target != Ready {
		return nil
	}
	return e.summary(ctx, b, timings)
}

// printUsually says how long a new environment usually takes, of which the node image takes
// nodeImage.
func (e *Environment) printUsually(nodeImage time.Duration) {
	more := ""
	if nodeImage < bringup.CompileUsually {
		more = fmt.Sprintf(", and up to %s more if the managers have to be compiled", bringup.CompileUsually)
	}
	e.Log.Printf("creating environment %q: usually about %s on 2 cores%s", e.Config.ClusterName, (nodeImage + clustersUsually).Round(time.Minute), more)
}

// whatStays says what a run that did not reach its end leaves, and what to type.
func (e *Environment) whatStays(ctx context.Context) string {
	ctx, cancel := interrupt.WithTimeout(ctx, readTimeout)
	defer cancel()
	workload, management, err := e.containers(ctx)
	moving, _ := state.Exists(e.home().MovingFile())
	again := "Everything that was created stays. Type the command again to continue"
	switch {
	case err == nil && len(workload)+len(management) == 0:
		return "No cluster was created. What was fetched and built stays. Type the command again to continue."
	case moving:
		again = "Everything that was created stays. Type the command again: it continues if the move was complete, and creates the clusters again if not"
	}
	return fmt.Sprintf("%s. Type `%s` to look, or `%s` to remove it.", again, e.commandFor("env:status"), e.commandFor("env:down"))
}

// printChanges says which settings changed since the environment was created, and what to
// type to apply them.
func (e *Environment) printChanges() error {
	changes, err := settings.Changes(e.home().SettingsFile(), e.Config.Values())
	for _, c := range changes {
		e.Log.Printf("! it was created with %s=%s, and the settings want %q; to create it again, type: %s && %s", c.Env, c.Was, c.Value.Value, e.commandFor("env:down"), e.commandFor("env:up"))
	}
	return err
}

// bringUp returns the bring-up of the environment.
func (e *Environment) bringUp(info engine.Info, r Recorder) *bringup.BringUp {
	nodes := e.nodeOptions(info.Arch(), nil)
	nodes.EngineID, nodes.Warn = info.ID, e.Log.Printf
	return bringup.New(bringup.Options{
		Config: e.Config, Home: e.home(), Tools: e.tools, Runner: e.Runner, Info: info, Node: nodes,
		PrepareHollow: e.PrepareHollow, Record: r.Record, Warn: e.Log.Printf,
		Detail: func(format string, args ...any) { fmt.Fprintf(e.FullLog, format, args...) },
	})
}

// recorded returns the steps with the recording of each step's start added.
func recorded(r Recorder, all []steps.Step) []steps.Step {
	all = slices.Clone(all)
	for i, s := range all {
		all[i].Run = func(ctx context.Context, progress func(string)) (string, error) {
			r.AddFact("step", s.Name)
			return s.Run(ctx, progress)
		}
	}
	return all
}

// checkCheckout refuses a CAPI_DIR that is no checkout, or one of another release.
// It takes no time, so that a ready environment is checked too.
func (e *Environment) checkCheckout(ctx context.Context) error {
	if e.Config.ClusterAPI.Origin != config.OriginDir {
		return nil
	}
	if err := e.checkSource(ctx, component.ClusterAPI(e.Config)); err != nil {
		return err
	}
	return component.CheckLayout(e.Config, "CAPI_DIR="+e.Config.ClusterAPI.Dir, e.Config.ClusterAPI.Dir)
}

// clustersUsually is how long everything after the images usually takes.
const clustersUsually = 3 * time.Minute
