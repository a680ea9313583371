package environment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/settings"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/repository"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/steps"
)

// The steps of env:up.
const (
	stepFetch      = "fetch Cluster API"
	stepNode       = "node image"
	stepCompile    = "compile managers"
	stepRender     = "render providers"
	stepImages     = "bake managers into the node image"
	stepManagement = "management cluster"
	stepInit       = "providers in it"
	stepControl    = "workload control plane"
	stepNodes      = "workload network and nodes"
	stepPivotInit  = "providers in the workload cluster"
	stepMove       = "move"
	stepDelete     = "delete the management cluster"
	stepVerify     = "machines seen by their own cluster"
)

// stepExport is a step of Export.
const stepExport = "programs and files for the commands by hand"

// StepNames returns the names of the steps of env:up.
func StepNames() []string {
	var names []string
	for _, s := range new(bringUp).steps(0) {
		names = append(names, s.Name)
	}
	return names
}

// Targets of Up: how far to go.
const (
	ManagementTarget = stepInit
	WorkloadTarget   = stepNodes
	Ready            = "ready"
)

// stepFunc does a step, as steps.Step's Run does.
type stepFunc = func(ctx context.Context, progress func(string)) (string, error)

// bringUp has the values that the steps of one Up hand to each other. A step writes
// its own fields. Only steps that need that step read them.
type bringUp struct {
	*Environment
	// anew is true if there were no clusters, or none that could be used.
	anew     bool
	info     engine.Info
	tree     *source.Tree
	base     node.Images
	repo     *repository.Repository
	managers map[string]v1.Image
	image    string
	mark     string
	mgmt     *kube.Client
	workload *kube.Client
	recorder Recorder
	// stopRecording ends the recording of the cluster that manages itself.
	stopRecording func()
}

func (e *Environment) newBringUp(info engine.Info) *bringUp {
	return &bringUp{Environment: e, info: info, recorder: e.recorders(e.Lab), stopRecording: func() {}}
}

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
	c := e.newBringUp(info)
	c.anew = found.empty || found.replace != nil
	defer func() { c.stopRecording() }()
	if c.anew {
		if err := c.recorder.Begin(); err != nil {
			return err
		}
	}
	// Also after an interrupted run: the remaining steps use these settings.
	if err := settings.Record(e.home().SettingsFile(), e.Config.Values()); err != nil {
		return err
	}
	nodeUsually := node.Usually(ctx, c.nodeOptions(info.Arch(), nil))
	if c.anew {
		more := ""
		if nodeUsually < compileUsually {
			more = fmt.Sprintf(", and up to %s more if the managers have to be compiled", compileUsually)
		}
		e.Log.Printf("creating environment %q: usually about %s on 2 cores%s", e.Config.ClusterName, (nodeUsually + clustersUsually).Round(time.Minute), more)
	}
	all := c.steps(nodeUsually)
	if target != Ready {
		if all, err = steps.UpTo(all, target); err != nil {
			return err
		}
	}
	timings, err := steps.Run(ctx, e.Log, e.Now, c.recorded(all))
	if err != nil {
		verdict := "failed"
		if ctx.Err() != nil {
			verdict = "interrupted"
		}
		c.recorder.AddFact(verdict, err.Error())
		return err
	}
	c.recorder.AddFact("passed", "")
	if target != Ready {
		return nil
	}
	return e.summary(ctx, c, timings)
}

// whatStays says what a run that did not reach its end leaves, and what to type.
func (e *Environment) whatStays(ctx context.Context) string {
	ctx, cancel := lab.WithTimeout(ctx, readTimeout)
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

// recorded returns the steps with the recording of each step's start added.
func (c *bringUp) recorded(all []steps.Step) []steps.Step {
	all = slices.Clone(all)
	for i, s := range all {
		all[i].Run = func(ctx context.Context, progress func(string)) (string, error) {
			c.recorder.AddFact("step", s.Name)
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
	if err := e.tools.check(ctx, component.ClusterAPI(e.Config)); err != nil {
		return err
	}
	return e.checkLayout("CAPI_DIR="+e.Config.ClusterAPI.Dir, e.Config.ClusterAPI.Dir)
}

// checkLayout refuses a tree of another release than that of the settings. setting is what
// chose the tree.
func (e *Environment) checkLayout(setting, tree string) error {
	want := e.Config.ClusterAPI
	err := build.ClusterAPI{Dir: tree, Version: want.Version}.CheckLayout()
	if err == nil {
		return nil
	}
	its := "its release"
	if based, ok := release.OfTree(tree); ok {
		its += ", such as " + config.Tag(based)
	}
	return fmt.Errorf("%s is not a tree of release %s; set CAPI_VERSION to %s: %w", setting, want.Tag(), its, err)
}

// How long it usually takes to compile the managers, and to do everything after the
// images.
const (
	compileUsually  = 6 * time.Minute
	clustersUsually = 3 * time.Minute
)

// steps returns the steps of env:up. Each one follows the steps that it needs.
// nodeUsually is how long the node image usually takes on this machine.
func (c *bringUp) steps(nodeUsually time.Duration) []steps.Step {
	return []steps.Step{
		{Name: stepFetch, Usually: 5 * time.Second, Run: c.fetch},
		{Name: stepNode, Usually: nodeUsually, Run: c.nodeImage},
		{Name: stepCompile, Needs: []string{stepFetch}, Usually: compileUsually, Run: c.compile},
		{Name: stepRender, Needs: []string{stepFetch}, Usually: 2 * time.Second, Run: c.render},
		{Name: stepImages, Needs: []string{stepNode, stepCompile, stepRender}, Usually: 15 * time.Second, Run: c.bake},
		{Name: stepManagement, Needs: []string{stepImages}, Usually: 30 * time.Second, Run: c.createManagement},
		{Name: stepInit, Needs: []string{stepManagement}, Usually: 15 * time.Second, Run: c.whileManaged(c.initManagement)},
		{Name: stepControl, Needs: []string{stepInit}, Usually: 45 * time.Second, Run: c.whileManaged(c.createControlPlane)},
		{Name: stepNodes, Needs: []string{stepControl}, Usually: 45 * time.Second, Run: c.whileManaged(c.joinNodes)},
		{Name: stepPivotInit, Needs: []string{stepControl}, Usually: 30 * time.Second, Run: c.initWorkload},
		{Name: stepMove, Needs: []string{stepNodes, stepPivotInit}, Usually: 3 * time.Second, Run: c.whileManaged(c.move)},
		{Name: stepVerify, Needs: []string{stepMove}, Usually: 5 * time.Second, Run: c.verify},
		{Name: stepDelete, Needs: []string{stepMove}, Usually: 2 * time.Second, Run: c.deleteManagement},
	}
}
