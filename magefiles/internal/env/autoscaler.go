package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	version "github.com/hashicorp/go-version"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

// compiled is an autoscaler ready to run on this machine.
type compiled struct {
	tree   *source.Tree
	binary string
	// state is what a developer wants to be sure of: what it was made of.
	state string
}

// AutoscalerBuild compiles the autoscaler and prints the program's path and
// what it was made of.
func (l *Lab) AutoscalerBuild(ctx context.Context, debug bool) error {
	c, err := l.compileAutoscaler(ctx, debug)
	if err != nil {
		return err
	}
	fmt.Fprintf(l.out, "%s\t%s\n", c.binary, c.state)
	return nil
}

// compileAutoscaler fetches and compiles the autoscaler for this machine's
// processor; the system is Linux where this machine's is.
func (l *Lab) compileAutoscaler(ctx context.Context, debug bool) (c compiled, err error) {
	if err := refuseOld(l.autoscalerRelease()); err != nil {
		return c, fmt.Errorf("%w; set AUTOSCALER_VERSION=%s or later", err, firstThatWorks())
	}
	step := l.log.Start("fetch the autoscaler", 10*time.Second)
	c.tree, err = l.fetchTree(ctx, l.autoscaler(), step.Progress)
	if err != nil {
		step.Done("", err)
		return c, err
	}
	if c.state, err = l.autoscalerState(ctx, c.tree); err != nil {
		step.Done("", err)
		return c, err
	}
	step.Done(c.state, nil)
	program := l.autoscalerProgram(c.tree, debug)
	c.binary = program.Output()
	return c, l.compileProgram(ctx, "compile the autoscaler", program)
}

// refuseOld refuses releases that cannot be compiled to any use.
func refuseOld(v *version.Version) error {
	if !release.OfAutoscaler(v).Works {
		return fmt.Errorf("autoscaler %s panics when today's Go compiles it, as all before %s: they pin github.com/modern-go/reflect2 v1.0.1", v, firstThatWorks())
	}
	return nil
}

func firstThatWorks() string {
	return release.FirstAutoscaler(func(a release.Autoscaler) bool { return a.Works })
}

func (l *Lab) compileProgram(ctx context.Context, say string, program build.Autoscaler) (err error) {
	step := l.log.Start(say, 2*time.Minute)
	defer func() { step.Done("", err) }()
	return l.state().Exclusively(ctx, workAutoscaler, step.Progress, func() error {
		request, err := program.Request()
		if err != nil {
			return err
		}
		_, err = build.Build(ctx, request, build.Options{Runner: l.runner, Progress: step.Progress})
		return err
	})
}

// autoscalerProgram is the build of a tree. Each tree has a folder of its own:
// two environments may run two.
func (l *Lab) autoscalerProgram(tree *source.Tree, debug bool) build.Autoscaler {
	name, called := l.cfg.Autoscaler.Version.String(), l.cfg.Autoscaler.Version.String()
	switch {
	case tree.Origin == source.Dir:
		name, called = "checkout", strings.TrimSuffix(l.autoscalerRelease().String(), "-dev")+"-dev"
	case l.cfg.Autoscaler.Commit != "":
		name, called = l.cfg.Autoscaler.Commit[:12], l.cfg.Autoscaler.Commit
	}
	from := strings.Join([]string{l.cfg.Autoscaler.Git, l.cfg.Autoscaler.Dir, l.cfg.AutoscalerCoreDir}, "\n")
	name += "-" + tree.Origin + "-" + l.cfg.AutoscalerProviders + "-" + shortSum(from)
	if debug {
		name += "-debug"
	}
	return build.Autoscaler{
		Dir: tree.Dir, CoreDir: l.cfg.AutoscalerCoreDir, Version: called, ID: tree.ID,
		Arch: runtime.GOARCH, Host: runtime.GOOS != "linux",
		AllProviders: l.cfg.AutoscalerProviders == config.ProvidersAll, Debug: debug,
		OutDir: l.path("bin", "autoscaler", name),
	}
}

// autoscalerRelease is the release that decides flags, annotations and API: a
// checkout's own, if it tells.
func (l *Lab) autoscalerRelease() *version.Version {
	if l.cfg.Autoscaler.Dir != "" {
		if v := build.AutoscalerVersion(l.cfg.Autoscaler.Dir); v != nil {
			return v
		}
	}
	return l.cfg.Autoscaler.Version
}

// autoscalerState says of a tree, and of its core if that is another one, what
// a developer wants to be sure of.
func (l *Lab) autoscalerState(ctx context.Context, tree *source.Tree) (string, error) {
	state := release.Name(l.autoscalerRelease())
	if tree.Origin == source.Dir && build.AutoscalerVersion(tree.Dir) == nil {
		state = "a checkout that does not tell its release, taken for " + state + ","
	}
	state += " from " + stateOf(tree)
	if l.cfg.AutoscalerCoreDir == "" {
		return state, nil
	}
	core, err := source.State(ctx, l.cfg.AutoscalerCoreDir, l.runner)
	if err != nil {
		return "", err
	}
	return state + "; core from " + stateOf(core), nil
}

func stateOf(tree *source.Tree) string {
	state := tree.Origin
	if tree.Origin == source.Dir {
		state = tree.Dir
	}
	if tree.Commit != "" {
		state += ", commit " + tree.Commit[:12]
	}
	if tree.Dirty {
		state += ", with uncommitted changes"
	}
	return state
}

// overrides are the flags of the settings and of this run, which have been
// read once so that nothing starts if they are wrong.
func (l *Lab) overrides(flags string) ([]string, error) {
	all := []string{l.cfg.AutoscalerFlags, flags}
	for _, text := range all {
		if _, err := autoscaler.ParseFlags(text); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (l *Lab) autoscalerSettings(s *subject, address string) autoscaler.Settings {
	return autoscaler.Settings{
		Release: release.OfAutoscaler(l.autoscalerRelease()), ClusterName: s.name, Namespace: s.namespace, ConfigNamespace: s.configNamespace(),
		Kubeconfig: s.workloadPath, CloudConfig: s.managementPath, Address: address,
	}
}

// inClusterSettings are of an autoscaler that runs in the cluster.
func (l *Lab) inClusterSettings(s *subject) autoscaler.Settings {
	settings := l.autoscalerSettings(s, "")
	settings.InCluster, settings.Kubeconfig = true, ""
	return settings
}

// RunOptions of AutoscalerRun and AutoscalerDebug.
type RunOptions struct {
	// Flags add to those of the settings, as on a command line.
	Flags string
	// All shows every line of the log.
	All bool
}

// AutoscalerRun compiles the autoscaler and runs it here, against the cluster,
// until ctx is done.
func (l *Lab) AutoscalerRun(ctx context.Context, o RunOptions) error {
	return l.withAutoscaler(ctx, "autoscaler:run", false, o, func(p autoscaler.Process) error {
		l.log.Printf("running: Ctrl-C stops it\n  log      %s\n  metrics  http://%s/metrics", p.LogFile, valueOf(p.Flags, "address"))
		if err := p.Run(ctx, l.runner); err != nil {
			return err
		}
		l.log.Printf("the autoscaler was stopped; its log is %s", p.LogFile)
		return nil
	})
}

func valueOf(flags []autoscaler.Flag, name string) string {
	i := slices.IndexFunc(flags, func(f autoscaler.Flag) bool { return f.Name == name })
	if i < 0 {
		return ""
	}
	return flags[i].Value
}

// withAutoscaler compiles the autoscaler, checks its flags and has do run it,
// as the only one of the cluster.
func (l *Lab) withAutoscaler(ctx context.Context, command string, debug bool, o RunOptions, do func(autoscaler.Process) error) (err error) {
	overrides, err := l.overrides(o.Flags)
	if err != nil {
		return err
	}
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	unlock, err := l.onlyAutoscaler(ctx, s, command)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	c, err := l.compileAutoscaler(ctx, debug)
	if err != nil {
		return err
	}
	process, err := l.autoscalerProcess(ctx, s, c.binary, overrides)
	if err != nil {
		return err
	}
	console := autoscaler.NewConsole(l.chatter, autoscaler.ConsoleOptions{Color: l.terminal, All: o.All})
	defer console.Close()
	process.Shown = console
	defer l.recordTimeline(ctx, l.timelineOf(s))()
	return do(process)
}

// autoscalerProcess is an autoscaler to run on this machine, with flags that
// were checked. The caller says who is shown what it prints.
func (l *Lab) autoscalerProcess(ctx context.Context, s *subject, binary string, overrides []string) (p autoscaler.Process, err error) {
	address, err := autoscaler.FreeAddress(ctx)
	if err != nil {
		return p, err
	}
	environment, err := l.autoscalerEnvironment(s)
	if err != nil {
		return p, err
	}
	p = autoscaler.Process{Binary: binary, Env: environment, LogFile: l.autoscalerLog(s)}
	p.Flags, err = l.checkedFlags(ctx, binary, l.autoscalerSettings(s, address), overrides)
	return p, err
}

func autoscalerLock(s *subject) string { return "autoscaler." + s.uid }

// onlyAutoscaler refuses a second autoscaler of the cluster: one that the lab
// runs here, or one that is deployed. The lab's own deployment is no other to
// autoscaler:deploy.
func (l *Lab) onlyAutoscaler(ctx context.Context, s *subject, command string) (unlock func() error, err error) {
	lock, err := l.state().Lock(autoscalerLock(s), command)
	if held := new(state.HeldError); errors.As(err, &held) {
		return nil, fmt.Errorf("an autoscaler of the cluster %q runs already: %s; stop that one first", s.name, held.Holder)
	}
	if err != nil {
		return nil, err
	}
	found, err := s.deployed(ctx)
	if err == nil && found != "" && (command != deployCommand || found != s.namespace+"/"+autoscaler.Name) {
		err = fmt.Errorf("an autoscaler runs in the cluster: the deployment %s; type `go tool mage autoscaler:undeploy` if the lab made it, or scale it to 0", found)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return lock.Release, nil
}

const deployCommand = "autoscaler:deploy"

// deployed names a deployment of an autoscaler with pods, the lab's or
// another's; empty if there is none.
func (s *subject) deployed(ctx context.Context) (string, error) {
	for _, client := range []*kube.Client{s.workload, s.management} {
		all, err := client.List(ctx, kube.Deployments, "")
		if err != nil {
			return "", fmt.Errorf("look for an autoscaler in the cluster: %w", err)
		}
		for i := range all {
			d := &all[i]
			if autoscaler.Named(d.GetName(), managerImage(d)) && kube.Field(d, "spec", "replicas") != "0" && !scalesAnother(d, s.name) {
				return d.GetNamespace() + "/" + d.GetName(), nil
			}
		}
		if s.managementPath == "" {
			break
		}
	}
	return "", nil
}

// scalesAnother reports whether the flags of an autoscaler's deployment name
// clusters, and not this one: a management cluster may hold an autoscaler for
// each of its clusters.
func scalesAnother(d *unstructured.Unstructured, cluster string) bool {
	const discovery = "clusterName="
	another := false
	containers, _, _ := unstructured.NestedSlice(d.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		container, _ := c.(map[string]any)
		for _, field := range []string{"command", "args"} {
			words, _, _ := unstructured.NestedStringSlice(container, field)
			for _, word := range words {
				_, named, found := strings.Cut(word, discovery)
				if !found {
					continue
				}
				if named, _, _ = strings.Cut(named, ","); named == cluster {
					return false
				}
				another = true
			}
		}
	}
	return another
}

// autoscalerEnvironment is what the process needs in its environment.
func (l *Lab) autoscalerEnvironment(s *subject) ([]string, error) {
	newest, err := s.management.Serves(kube.MachineDeployments, release.V1Beta2)
	if err != nil {
		return nil, fmt.Errorf("ask for the versions of Cluster API that the cluster serves: %w", err)
	}
	return autoscaler.Environment(release.OfAutoscaler(l.autoscalerRelease()), newest, s.arch()), nil
}

func (l *Lab) checkedFlags(ctx context.Context, binary string, s autoscaler.Settings, overrides []string) ([]autoscaler.Flag, error) {
	flags, err := autoscaler.Flags(s, overrides...)
	if err != nil {
		return nil, err
	}
	known, err := autoscaler.KnownFlags(ctx, l.runner, binary)
	if err != nil {
		return nil, err
	}
	return flags, autoscaler.CheckFlags(flags, known, release.OfAutoscaler(l.autoscalerRelease()))
}

// AutoscalerFlags prints the command line that AutoscalerRun would run. If the
// program is there already, its flags are checked.
func (l *Lab) AutoscalerFlags(ctx context.Context, flags string) error {
	overrides, err := l.overrides(flags)
	if err != nil {
		return err
	}
	s := &subject{
		workloadPath: l.cfg.WorkloadKubeconfig, managementPath: l.cfg.ManagementKubeconfig,
		name: l.cfg.ClusterName, namespace: l.cfg.Namespace,
	}
	if s.workloadPath == "" {
		s.own, s.workloadPath = true, l.kubeconfig()
	} else if err := kubeconfigAt("WORKLOAD_KUBECONFIG", s.workloadPath); err != nil {
		return err
	}
	if s.managementPath != "" {
		if err := kubeconfigAt("MANAGEMENT_KUBECONFIG", s.managementPath); err != nil {
			return err
		}
	}
	settings := l.autoscalerSettings(s, "127.0.0.1:8085")
	origin := l.cfg.Autoscaler.Origin
	if origin == config.OriginAuto {
		origin = config.OriginGit
	}
	binary := l.autoscalerProgram(&source.Tree{Origin: origin}, false).Output()
	var rendered []autoscaler.Flag
	if _, serr := os.Stat(binary); serr == nil {
		rendered, err = l.checkedFlags(ctx, binary, settings, overrides)
	} else {
		l.log.Printf("not checked against the program, which is not built yet: go tool mage autoscaler:build")
		rendered, err = autoscaler.Flags(settings, overrides...)
	}
	if err != nil {
		return err
	}
	// As of every release of Cluster API that the lab drives: v1beta2 is served.
	environment := autoscaler.Environment(settings.Release, true, s.arch())
	fmt.Fprintln(l.out, autoscaler.CommandLine(environment, binary, rendered))
	return nil
}

// DebugOptions of AutoscalerDebug.
type DebugOptions struct {
	RunOptions
	// Listen is the host:port of a headless debugger.
	Listen string
	// Terminal debugs here instead.
	Terminal bool
	// Wait holds the autoscaler until the first client says continue.
	Wait bool
}

// AutoscalerDebug runs the autoscaler, compiled without optimisation, under
// Delve.
func (l *Lab) AutoscalerDebug(ctx context.Context, o DebugOptions) error {
	if err := autoscaler.CheckAddress(ctx, o.Listen); err != nil {
		return err
	}
	if o.Terminal {
		if err := run.CheckTerminal(); err != nil {
			return fmt.Errorf("-terminal: %w; leave it out to debug headless", err)
		}
	}
	return l.withAutoscaler(ctx, "autoscaler:debug", true, o.RunOptions, func(p autoscaler.Process) error {
		dlv, err := l.debugger(ctx)
		if err != nil {
			return err
		}
		d := autoscaler.Debugger{Binary: dlv, Address: o.Listen, Wait: o.Wait}
		if o.Terminal {
			return p.Interactive(ctx, l.runner, d)
		}
		l.log.Printf("Delve listens on %s, Ctrl-C stops it and the autoscaler; attach with\n  %s connect %s\nor an editor: go tool mage autoscaler:ide vscode, or goland\n  log  %s", o.Listen, dlv, o.Listen, p.LogFile)
		return p.Headless(ctx, l.runner, d)
	})
}

// debugger compiles Delve at the version that its module pins.
func (l *Lab) debugger(ctx context.Context) (string, error) {
	dir := filepath.Join(l.cfg.Root, "magefiles", "tools", "delve")
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return "", fmt.Errorf("read the pins of Delve: %w", err)
	}
	step := l.log.Start("compile Delve", 20*time.Second)
	request := build.Request{
		Dir: dir, Packages: []string{"github.com/go-delve/delve/cmd/dlv"}, Output: l.path("bin", "dlv"), Host: true, ID: string(sum),
	}
	err = l.state().Exclusively(ctx, workAutoscaler, step.Progress, func() error {
		_, err := build.Build(ctx, request, build.Options{Runner: l.runner, Progress: step.Progress})
		return err
	})
	step.Done("", err)
	return request.Output, err
}

// AutoscalerIDE prints how an editor attaches to the headless debugger at
// address.
func (l *Lab) AutoscalerIDE(editor, address string) error {
	switch editor {
	case "vscode":
		data, err := autoscaler.VSCode(address)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(l.out, "%s\n", data)
		return err
	case "goland":
		text, err := autoscaler.GoLand(address)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(l.out, text)
		return err
	}
	return fmt.Errorf("editor %q: want vscode (a .vscode/launch.json) or goland (a note)", editor)
}

// DeployOptions of AutoscalerDeploy.
type DeployOptions struct {
	Flags string
	// Image, if set, is deployed instead of one built from the source. It is
	// of the settings' release.
	Image string
}

// AutoscalerDeploy puts the autoscaler into the cluster that manages itself.
func (l *Lab) AutoscalerDeploy(ctx context.Context, o DeployOptions) (err error) {
	overrides, err := l.overrides(o.Flags)
	if err != nil {
		return err
	}
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	if s.managementPath != "" {
		return errors.New("autoscaler:deploy is for a cluster that manages itself; with MANAGEMENT_KUBECONFIG, use autoscaler:run")
	}
	if !s.own && o.Image == "" {
		return errors.New("no image can be loaded into the nodes of a cluster that the lab did not make; push one where they can pull it, and give it with -image=REFERENCE")
	}
	unlock, err := l.onlyAutoscaler(ctx, s, deployCommand)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	settings := l.inClusterSettings(s)
	var flags []autoscaler.Flag
	ref := o.Image
	if ref == "" {
		c, err := l.compileAutoscaler(ctx, false)
		if err != nil {
			return err
		}
		if flags, err = l.checkedFlags(ctx, c.binary, settings, overrides); err != nil {
			return err
		}
		if ref, err = l.loadAutoscaler(ctx, c); err != nil {
			return err
		}
	} else {
		l.log.Printf("the flags are of release %s and are not checked against the image; set AUTOSCALER_VERSION to the image's", settings.Release)
		if flags, err = autoscaler.Flags(settings, overrides...); err != nil {
			return err
		}
	}
	return l.applyAutoscaler(ctx, s, ref, flags)
}

// imageRepository is of the images that the lab makes of an autoscaler.
const imageRepository = "caslab.local/cluster-autoscaler"

// loadAutoscaler makes the autoscaler's image and gives it to the nodes of the
// control plane, where it will run.
func (l *Lab) loadAutoscaler(ctx context.Context, c compiled) (ref string, err error) {
	binary := c.binary
	if program := l.autoscalerProgram(c.tree, false); program.Host {
		program.Host, program.OutDir = false, program.OutDir+"-linux"
		if err := l.compileProgram(ctx, "compile the autoscaler for Linux", program); err != nil {
			return "", err
		}
		binary = program.Output()
	}
	ca, err := image.CACertificates()
	if err != nil {
		return "", err
	}
	img, err := image.Assemble(image.Program(runtime.GOARCH, "/cluster-autoscaler", binary, "65532", ca))
	if err != nil {
		return "", fmt.Errorf("assemble the autoscaler's image: %w", err)
	}
	digest, err := img.ConfigName()
	if err != nil {
		return "", fmt.Errorf("assemble the autoscaler's image: %w", err)
	}
	ref = imageRepository + ":" + digest.Hex[:12]
	nodes, _, err := l.containers(ctx)
	if err != nil {
		return "", err
	}
	for _, n := range nodes {
		if !isControlPlane(n) {
			continue
		}
		step := l.log.Start("load its image into "+n.Name, 5*time.Second)
		err := node.Load(ctx, l.engine, n.ID, map[string]v1.Image{ref: img})
		step.Done(ref, err)
		if err != nil {
			return "", err
		}
	}
	return ref, nil
}

func (l *Lab) applyAutoscaler(ctx context.Context, s *subject, ref string, flags []autoscaler.Flag) (err error) {
	d := autoscaler.Deployment{Namespace: s.namespace, Image: ref, Flags: flags, OnControlPlane: s.own}
	environment, err := l.autoscalerEnvironment(s)
	if err != nil {
		return err
	}
	for _, e := range environment {
		name, value, _ := strings.Cut(e, "=")
		d.Env = append(d.Env, autoscaler.EnvVar{Name: name, Value: value})
	}
	manifest, err := d.Manifest()
	if err != nil {
		return err
	}
	step := l.log.Start("deploy the autoscaler", 15*time.Second)
	defer func() { step.Done(s.namespace+"/"+autoscaler.Name, err) }()
	ctx, cancel := within(ctx, 2*time.Minute)
	defer cancel()
	if err := s.workload.Apply(ctx, manifest); err != nil {
		return err
	}
	err = s.workload.Wait(ctx, kube.Deployments, s.namespace, func(all []*unstructured.Unstructured) (bool, string) {
		for _, d := range all {
			if d.GetName() == autoscaler.Name && kube.Field(d, "status", "observedGeneration") == fmt.Sprint(d.GetGeneration()) &&
				kube.Field(d, "status", "updatedReplicas") == "1" && kube.Field(d, "status", "replicas") == "1" && kube.True(d, "Available") {
				return true, ""
			}
		}
		return false, "its pod to be available"
	}, step.Progress)
	if err != nil {
		return fmt.Errorf("%w\nlook with: kubectl -n %s describe pods -l app=%s; kubectl -n %s logs deployment/%s", err, s.namespace, autoscaler.Name, s.namespace, autoscaler.Name)
	}
	return nil
}

// AutoscalerUndeploy removes what AutoscalerDeploy made; doing it twice is
// fine.
func (l *Lab) AutoscalerUndeploy(ctx context.Context) (err error) {
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	step := l.log.Start("remove the autoscaler from the cluster", 5*time.Second)
	defer func() { step.Done("", err) }()
	ctx, cancel := within(ctx, time.Minute)
	defer cancel()
	return s.undeploy(ctx, step.Progress)
}

// undeploy removes the lab's deployment of an autoscaler, and its rights after
// it: it needs them until it has removed its status.
func (s *subject) undeploy(ctx context.Context, progress func(string)) error {
	manifest, err := autoscaler.Deployment{Namespace: s.namespace}.Manifest()
	if err != nil {
		return err
	}
	objects, err := kube.Decode(manifest)
	if err != nil {
		return err
	}
	for _, o := range slices.Backward(objects) {
		kind := o.GroupVersionKind().GroupKind()
		if err := s.workload.Delete(ctx, kind, o.GetNamespace(), o.GetName()); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete the %s %s: %w", o.GetKind(), o.GetName(), err)
		}
		if kind != kube.Deployments {
			continue
		}
		err := s.workload.Wait(ctx, kube.Pods, s.namespace, func(all []*unstructured.Unstructured) (bool, string) {
			return !slices.ContainsFunc(all, ofDeployment), "its pod to end"
		}, progress)
		if err != nil {
			return err
		}
	}
	return s.deleteLease(ctx)
}

// deleteLease deletes the lease of the lab's deployment, which an autoscaler
// that ends does not give back: the next one would wait for it.
func (s *subject) deleteLease(ctx context.Context) error {
	lease, err := s.workload.Get(ctx, kube.Leases, s.configNamespace(), autoscaler.Lease)
	if err == nil && strings.HasPrefix(kube.Field(lease, "spec", "holderIdentity"), autoscaler.Name) {
		err = s.workload.Delete(ctx, kube.Leases, s.configNamespace(), autoscaler.Lease)
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the lease %s: %w", autoscaler.Lease, err)
	}
	return nil
}

// AutoscalerStatus prints which autoscaler runs, and what it says of the
// cluster and its node groups.
func (l *Lab) AutoscalerStatus(ctx context.Context) error {
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	runs, err := l.whichRuns(ctx, s)
	if err != nil {
		return err
	}
	fmt.Fprintf(l.out, "Autoscaler: %s\n", or(runs.text, "none that the lab knows of; type: go tool mage autoscaler:run"))
	m, err := s.workload.Get(ctx, kube.ConfigMaps, s.configNamespace(), autoscaler.StatusConfigMap)
	if apierrors.IsNotFound(err) {
		fmt.Fprintf(l.out, "There is no status in the ConfigMap %s/%s: an autoscaler writes it in its first round, and deletes it when it is stopped.\n", s.configNamespace(), autoscaler.StatusConfigMap)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the autoscaler's status: %w", err)
	}
	text := kube.Field(m, "data", "status")
	status, err := autoscaler.ParseStatus(text)
	if errors.Is(err, autoscaler.ErrPlainStatus) {
		_, err = fmt.Fprintf(l.out, "\n%s\n", text)
		return err
	}
	if err != nil {
		return err
	}
	return l.printAutoscaler(status)
}

func (l *Lab) printAutoscaler(status autoscaler.Status) error {
	fmt.Fprintf(l.out, "Status: %s, %s\n", or(status.AutoscalerStatus, "unknown"), l.ageOf(status.Time))
	if status.Message != "" {
		fmt.Fprintln(l.out, status.Message)
	}
	fmt.Fprintln(l.out)
	w := l.table("NODE GROUP", "HEALTH", "MIN", "MAX", "TARGET", "READY", "UNREGISTERED", "SCALE-UP", "SCALE-DOWN", "WHY")
	groups := slices.Clone(status.NodeGroups)
	slices.SortFunc(groups, func(a, b autoscaler.GroupStatus) int { return strings.Compare(a.Name, b.Name) })
	for _, g := range groups {
		counts := g.Health.NodeCounts
		row(w, g.Name[strings.LastIndex(g.Name, "/")+1:], or(g.Health.Status, "-"),
			fmt.Sprint(g.Health.MinSize), fmt.Sprint(g.Health.MaxSize), fmt.Sprint(g.Health.CloudProviderTarget),
			fmt.Sprint(counts.Registered.Ready), fmt.Sprint(counts.Unregistered+counts.LongUnregistered),
			or(g.ScaleUp.Status, "-"), scaleDown(g), strings.TrimSpace(g.ScaleUp.BackoffInfo.ErrorCode+" "+g.ScaleUp.BackoffInfo.ErrorMessage))
	}
	all := status.ClusterWide
	row(w, "all", or(all.Health.Status, "-"), "", "", "", fmt.Sprint(all.Health.NodeCounts.Registered.Ready),
		fmt.Sprint(all.Health.NodeCounts.Unregistered+all.Health.NodeCounts.LongUnregistered), or(all.ScaleUp.Status, "-"), scaleDown(all), "")
	return w.Flush()
}

func scaleDown(g autoscaler.GroupStatus) string {
	if g.ScaleDown.Candidates > 0 {
		return fmt.Sprintf("%s (%d)", g.ScaleDown.Status, g.ScaleDown.Candidates)
	}
	return or(g.ScaleDown.Status, "-")
}

func (l *Lab) ageOf(written string) string {
	t, err := time.Parse(autoscaler.TimeLayout, written)
	if err != nil {
		return "written " + or(written, "at no time that it tells")
	}
	return "written " + ui.Round(l.now().Sub(t)) + " ago"
}

// running is an autoscaler that runs on a cluster, in words, and whether the
// lab compiled it; the words are empty if the lab knows of none.
type running struct {
	text     string
	compiled bool
}

// whichRuns says which autoscaler runs on the cluster, as far as the lab knows.
func (l *Lab) whichRuns(ctx context.Context, s *subject) (running, error) {
	who, err := l.state().Holder(autoscalerLock(s))
	if err != nil {
		return running{}, err
	}
	found, err := s.deployed(ctx)
	if err != nil {
		return running{}, err
	}
	if found == "" && who != "" {
		return running{text: "on this machine, " + who, compiled: true}, nil
	}
	if found == "" {
		return running{}, nil
	}
	if found != s.namespace+"/"+autoscaler.Name {
		return running{text: "in the cluster, deployment " + found + ", which the lab did not make"}, nil
	}
	d, err := s.workload.Get(ctx, kube.Deployments, s.namespace, autoscaler.Name)
	if err != nil {
		return running{}, fmt.Errorf("look for an autoscaler in the cluster: %w", err)
	}
	text := fmt.Sprintf("in the cluster, deployment %s/%s, image %s, %s of %s available", s.namespace, autoscaler.Name, managerImage(d),
		or(kube.Field(d, "status", "availableReplicas"), "0"), kube.Field(d, "spec", "replicas"))
	return running{text: text, compiled: strings.HasPrefix(managerImage(d), imageRepository)}, nil
}
