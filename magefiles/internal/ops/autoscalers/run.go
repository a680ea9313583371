// Package autoscalers compiles the autoscaler and runs it against any cluster: on
// this machine, under a debugger, or in the cluster.
package autoscalers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/ops/programs"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/ui"
)

// Autoscalers are the autoscalers of a cluster.
type Autoscalers struct {
	*lab.Lab
	// Open opens the cluster.
	Open target.Opener
	// Recorder records what happens while the autoscaler runs.
	Recorder Recorder
	// Nodes are the nodes of the environment.
	Nodes programs.Nodes
}

// Recorder records what happens in a cluster until stop is called.
type Recorder interface {
	Record(ctx context.Context, c *target.Cluster) (stop func())
	// AddStart records with which flags an autoscaler starts, and from what it was
	// compiled.
	AddStart(c *target.Cluster, flags []autoscaler.Flag, tree string)
	// AddEnd records that the autoscaler of this machine has ended: by itself with err, or
	// stopped by the lab if err is nil.
	AddEnd(c *target.Cluster, err error)
}

// With returns a copy that uses another lab, with other settings.
func (a *Autoscalers) With(l *lab.Lab) *Autoscalers {
	other := *a
	other.Lab = l
	return &other
}

// Of returns a copy whose autoscaler is which: a release, such as 1.35.2, or the folder of a
// checkout.
func (a *Autoscalers) Of(which string) (*Autoscalers, error) {
	if v, err := version.NewSemver(which); err == nil {
		if err := CheckRelease(v); err != nil {
			return nil, err
		}
		return a.With(a.Lab.With(func(cfg *config.Config) {
			cfg.Autoscaler.Version, cfg.Autoscaler.Commit, cfg.Autoscaler.Dir = v, "", ""
			cfg.AutoscalerCoreDir = "" // a release contains its core
			if cfg.Autoscaler.Origin == config.OriginDir {
				cfg.Autoscaler.Origin = config.OriginAuto
			}
		})), nil
	}
	dir, err := filepath.Abs(which)
	if err != nil {
		return nil, fmt.Errorf("autoscaler %q: %w", which, err)
	}
	if info, err := os.Stat(dir); which == "" || err != nil || !info.IsDir() {
		return nil, fmt.Errorf("autoscaler %q: want a release, such as 1.35.2, or the folder of a checkout", which)
	}
	return a.With(a.Lab.With(func(cfg *config.Config) { cfg.Autoscaler.Origin, cfg.Autoscaler.Dir = config.OriginDir, dir })), nil
}

// WithCore returns a copy whose autoscaler is compiled with the core in a folder.
func (a *Autoscalers) WithCore(dir string) *Autoscalers {
	return a.With(a.Lab.With(func(cfg *config.Config) { cfg.AutoscalerCoreDir = dir }))
}

// Overrides returns the flags of the settings and those of this run, in this order. It
// refuses text that does not consist of flags.
func (a *Autoscalers) Overrides(flags string) ([]string, error) {
	all := []string{a.Config.AutoscalerFlags, flags}
	for _, text := range all {
		if _, err := autoscaler.ParseFlags(text); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Settings returns the settings of an autoscaler that runs on this machine and serves
// its metrics at address, a host:port.
func (a *Autoscalers) Settings(c *target.Cluster, address string) autoscaler.Settings {
	return autoscaler.Settings{
		Release: release.OfAutoscaler(component.AutoscalerRelease(a.Config)), ClusterName: c.Name, Namespace: c.Namespace, ConfigNamespace: c.ConfigNamespace(),
		Kubeconfig: c.WorkloadPath, CloudConfig: c.ManagementPath, Address: address,
	}
}

// InClusterSettings returns the settings of an autoscaler that runs in the cluster.
func (a *Autoscalers) InClusterSettings(c *target.Cluster) autoscaler.Settings {
	settings := a.Settings(c, "")
	settings.InCluster, settings.Kubeconfig = true, ""
	return settings
}

// RunOptions of Run and Debug.
type RunOptions struct {
	// Flags add to those of the settings, as on a command line.
	Flags string
	// All shows every line of the log.
	All bool
}

// Run compiles the autoscaler and runs it on this machine, against the cluster, until
// ctx is done.
func (a *Autoscalers) Run(ctx context.Context, o RunOptions) error {
	return a.withProcess(ctx, "autoscaler:run", false, o, func(p autoscaler.Process) error {
		a.Log.Printf("running: Ctrl-C stops it\n  log      %s\n  metrics  http://%s/metrics", p.LogFile, ValueOf(p.Flags, "address"))
		if err := p.Run(ctx, a.Runner); err != nil {
			return err
		}
		a.Log.Printf("the autoscaler was stopped; its log is %s", p.LogFile)
		return nil
	})
}

// ValueOf returns the value of the flag of that name; empty if there is none.
func ValueOf(flags []autoscaler.Flag, name string) string {
	i := slices.IndexFunc(flags, func(f autoscaler.Flag) bool { return f.Name == name })
	if i < 0 {
		return ""
	}
	return flags[i].Value
}

// withProcess compiles the autoscaler, checks its flags and calls do to run it as
// the cluster's only one.
func (a *Autoscalers) withProcess(ctx context.Context, command string, debug bool, o RunOptions, do func(autoscaler.Process) error) (err error) {
	overrides, err := a.Overrides(o.Flags)
	if err != nil {
		return err
	}
	c, err := a.Open(ctx)
	if err != nil {
		return err
	}
	unlock, err := a.Lock(ctx, c, command)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	built, err := a.Compile(ctx, debug)
	if err != nil {
		return err
	}
	process, err := a.Process(ctx, c, built, overrides)
	if err != nil {
		return err
	}
	console := autoscaler.NewConsole(a.ProcessOutput, autoscaler.ConsoleOptions{Color: ui.Color(a.ProcessOutput), All: o.All})
	defer console.Close()
	process.Output = console
	defer a.Recorder.Record(ctx, c)()
	return do(process)
}

// Process returns a compiled autoscaler to run on this machine, with checked flags. The
// caller sets the writer of what it prints.
func (a *Autoscalers) Process(ctx context.Context, c *target.Cluster, built Compiled, overrides []string) (p autoscaler.Process, err error) {
	address, err := autoscaler.FreeAddress(ctx)
	if err != nil {
		return p, err
	}
	environment, err := a.autoscalerEnvironment(ctx, c)
	if err != nil {
		return p, err
	}
	p = autoscaler.Process{Binary: built.Binary, Env: environment, LogFile: a.AutoscalerLog(c.UID), OnEnd: func(err error) { a.Recorder.AddEnd(c, err) }}
	settings := a.Settings(c, address)
	if c.Own {
		// The API server gets another port when the environment is started again.
		settings.Kubeconfig = a.AutoscalerKubeconfig()
		p.Relay = kube.Relay{Server: c.WorkloadPath, Kubeconfig: settings.Kubeconfig}
	}
	if p.Flags, err = a.CheckedFlags(ctx, built.Binary, settings, overrides); err != nil {
		return p, err
	}
	a.Recorder.AddStart(c, p.Flags, built.State)
	return p, errors.Join(a.recordRelease(c), a.recordAddress(c, p.Flags))
}

func autoscalerLock(c *target.Cluster) string { return c.LockName(reservation) }

// reservation is the name of what the lab's autoscaler reserves in a cluster.
const reservation = "autoscaler"

// Lock reserves the cluster for one autoscaler until unlock is called. It refuses a
// cluster for which a lab runs one, here or elsewhere, or in which one is deployed.
// The command autoscaler:deploy may replace the lab's own deployment.
func (a *Autoscalers) Lock(ctx context.Context, c *target.Cluster, command string) (unlock func() error, err error) {
	unlock, err = c.Claim(ctx, a.Lab, reservation, command)
	held, reserved := new(state.HeldError), new(target.ReservedError)
	switch {
	case errors.As(err, &held):
		return nil, fmt.Errorf("an autoscaler of the cluster %q is already running: %s; stop that one first", c.Name, held.Holder)
	case errors.As(err, &reserved):
		return nil, fmt.Errorf("an autoscaler of the cluster %q already runs elsewhere: %w; stop that one first", c.Name, err)
	case err != nil:
		return nil, err
	}
	found, err := deployed(ctx, c)
	if err == nil && found != nil && (command != deployCommand || !isOurs(found, c)) {
		err = fmt.Errorf("an autoscaler runs in the cluster: the deployment %s; type `%s` if the lab created it, or scale it to 0", fullName(found), a.Config.Command("autoscaler:undeploy"))
	}
	if err == nil {
		// The recorded release is that of the autoscaler before.
		err = state.Remove(a.releaseFile(c))
	}
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	return unlock, nil
}

// autoscalerEnvironment returns the variables that the process needs. It refuses a release
// that asks only for a version of the API that the cluster does not serve.
func (a *Autoscalers) autoscalerEnvironment(ctx context.Context, c *target.Cluster) ([]string, error) {
	facts := release.OfAutoscaler(component.AutoscalerRelease(a.Config))
	const asking = "ask for the versions of Cluster API that the cluster serves: %w"
	if facts.OnlyAPI {
		served, err := c.Management.Serves(ctx, kube.MachineDeployments, facts.OldestAPI)
		if err != nil {
			return nil, fmt.Errorf(asking, err)
		}
		if !served {
			return nil, fmt.Errorf("autoscaler %s reads Cluster API's objects as %s alone, and the cluster does not serve that version; set AUTOSCALER_VERSION=%s or later",
				facts, facts.OldestAPI, release.FirstAutoscaler(func(r release.Autoscaler) bool { return !r.OnlyAPI && r.AutoDiscovery }))
		}
	}
	newest, err := c.Management.Serves(ctx, kube.MachineDeployments, release.V1Beta2)
	if err != nil {
		return nil, fmt.Errorf(asking, err)
	}
	return autoscaler.Environment(facts, newest, c.Arch()), nil
}

// CheckedFlags returns the flags of the settings with the overrides. It refuses those
// that the program does not have.
func (a *Autoscalers) CheckedFlags(ctx context.Context, binary string, s autoscaler.Settings, overrides []string) ([]autoscaler.Flag, error) {
	flags, err := autoscaler.Flags(s, overrides...)
	if err != nil {
		return nil, err
	}
	known, err := autoscaler.KnownFlags(ctx, a.Runner, binary)
	if err != nil {
		return nil, err
	}
	return flags, autoscaler.CheckFlags(flags, known, release.OfAutoscaler(component.AutoscalerRelease(a.Config)))
}

// Flags prints the command line that Run would run. If the program exists already, the
// flags are checked against it.
func (a *Autoscalers) Flags(ctx context.Context, flags string) error {
	if err := a.checkRelease(); err != nil {
		return err
	}
	overrides, err := a.Overrides(flags)
	if err != nil {
		return err
	}
	c := &target.Cluster{
		WorkloadPath: a.Config.WorkloadKubeconfig, ManagementPath: a.Config.ManagementKubeconfig,
		Name: a.Config.ClusterName, Namespace: a.Config.Namespace,
	}
	if c.WorkloadPath == "" {
		c.Own, c.WorkloadPath = true, a.EnvironmentKubeconfig()
	} else if err := target.CheckKubeconfig("WORKLOAD_KUBECONFIG", c.WorkloadPath); err != nil {
		return err
	}
	if c.ManagementPath != "" {
		if err := target.CheckKubeconfig("MANAGEMENT_KUBECONFIG", c.ManagementPath); err != nil {
			return err
		}
	}
	settings := a.Settings(c, "127.0.0.1:8085")
	origin := a.Config.Autoscaler.Origin
	if origin == config.OriginAuto {
		origin = config.OriginGit
	}
	binary := a.autoscalerProgram(&source.Tree{Origin: origin}, false).Output()
	var rendered []autoscaler.Flag
	if _, serr := os.Stat(binary); serr == nil {
		rendered, err = a.CheckedFlags(ctx, binary, settings, overrides)
	} else {
		a.Log.Printf("not checked against the program, which is not built yet: %s", a.Config.Command("autoscaler:build"))
		rendered, err = autoscaler.Flags(settings, overrides...)
	}
	if err != nil {
		return err
	}
	v1beta2 := release.Of(a.Config.ClusterAPI.Version).API == release.V1Beta2
	environment := autoscaler.Environment(settings.Release, v1beta2, c.Arch())
	fmt.Fprintln(a.Out, autoscaler.CommandLine(environment, binary, rendered))
	return nil
}

// DebugOptions of Debug.
type DebugOptions struct {
	RunOptions
	// Listen is the host:port of a headless debugger.
	Listen string
	// Terminal debugs in the lab's terminal instead.
	Terminal bool
	// Wait holds the autoscaler until the first client says continue.
	Wait bool
}

// Debug runs the autoscaler, compiled without optimisation, under
// Delve.
func (a *Autoscalers) Debug(ctx context.Context, o DebugOptions) error {
	if err := autoscaler.CheckAddress(ctx, o.Listen); err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	if o.Terminal {
		if err := run.CheckTerminal(); err != nil {
			return fmt.Errorf("-terminal: %w; leave it out to debug headless", err)
		}
	}
	return a.withProcess(ctx, "autoscaler:debug", true, o.RunOptions, func(p autoscaler.Process) error {
		dlv, err := a.debugger(ctx)
		if err != nil {
			return err
		}
		d := autoscaler.Debugger{Binary: dlv, Address: o.Listen, Wait: o.Wait, OldGo: release.OfAutoscaler(component.AutoscalerRelease(a.Config)).Toolchain != ""}
		if o.Terminal {
			return p.Interactive(ctx, a.Runner, d)
		}
		a.Log.Printf("Delve listens on %s, Ctrl-C stops it and the autoscaler; attach with\n  %s connect %s\nor an editor: %s, or goland\n  log  %s", o.Listen, dlv, o.Listen, a.Config.Command("autoscaler:ide vscode"), p.LogFile)
		return p.Headless(ctx, a.Runner, d)
	})
}

// IDE prints how an editor attaches to the headless debugger at
// address.
func (a *Autoscalers) IDE(editor, address string) error {
	switch editor {
	case "vscode":
		data, err := autoscaler.VSCode(address)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Out, "%s\n", data)
		return err
	case "goland":
		text, err := autoscaler.GoLand(address)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Out, "%sStart it with Debug while `%s` runs.\n", text, a.Config.Command("autoscaler:debug"))
		return err
	}
	return fmt.Errorf("editor %q: want vscode (a .vscode/launch.json) or goland (a note)", editor)
}
