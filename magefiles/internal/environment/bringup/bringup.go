// Package bringup has the steps that make an environment ready: from the sources to a cluster
// that manages itself. A step first looks whether its work is done.
package bringup

import (
	"context"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/home"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/repository"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/steps"
)

// The names of the steps of env:up.
const (
	Fetch          = "fetch Cluster API"
	NodeImage      = "node image"
	Compile        = "compile managers"
	Render         = "render providers"
	Images         = "bake managers into the node image"
	Management     = "management cluster"
	InitManagement = "providers in it"
	ControlPlane   = "workload control plane"
	Nodes          = "workload network and nodes"
	InitWorkload   = "providers in the workload cluster"
	Move           = "move"
	Delete         = "delete the management cluster"
	Verify         = "machines seen by their own cluster"
)

// Export is a step beside those of env:up.
const Export = "programs and files for the commands by hand"

// Names returns the names of the steps of env:up.
func Names() []string {
	var names []string
	for _, s := range new(BringUp).Steps(0) {
		names = append(names, s.Name)
	}
	return names
}

// CompileUsually is how long it usually takes to compile the managers.
const CompileUsually = 6 * time.Minute

// Steps returns the steps of env:up. Each one follows the steps that it needs.
// nodeUsually is how long the node image usually takes on this machine.
func (b *BringUp) Steps(nodeUsually time.Duration) []steps.Step {
	return []steps.Step{
		{Name: Fetch, Usually: 5 * time.Second, Run: b.fetch},
		{Name: NodeImage, Usually: nodeUsually, Run: b.nodeImage},
		{Name: Compile, Needs: []string{Fetch}, Usually: CompileUsually, Run: b.compile},
		{Name: Render, Needs: []string{Fetch}, Usually: 2 * time.Second, Run: b.render},
		{Name: Images, Needs: []string{NodeImage, Compile, Render}, Usually: 15 * time.Second, Run: b.bake},
		{Name: Management, Needs: []string{Images}, Usually: 30 * time.Second, Run: b.createManagement},
		{Name: InitManagement, Needs: []string{Management}, Usually: 15 * time.Second, Run: b.whileManaged(b.initManagement)},
		{Name: ControlPlane, Needs: []string{InitManagement}, Usually: 45 * time.Second, Run: b.whileManaged(b.createControlPlane)},
		{Name: Nodes, Needs: []string{ControlPlane}, Usually: 45 * time.Second, Run: b.whileManaged(b.joinNodes)},
		{Name: InitWorkload, Needs: []string{ControlPlane}, Usually: 30 * time.Second, Run: b.initWorkload},
		{Name: Move, Needs: []string{Nodes, InitWorkload}, Usually: 3 * time.Second, Run: b.whileManaged(b.move)},
		{Name: Verify, Needs: []string{Move}, Usually: 5 * time.Second, Run: b.verify},
		{Name: Delete, Needs: []string{Move}, Usually: 2 * time.Second, Run: b.deleteManagement},
	}
}

// Options of a bring-up.
type Options struct {
	// Config has the versions, the sources and the size of the environment.
	Config *config.Config
	Home   home.Home
	Tools  Tools
	Runner run.Runner
	// Info is what the engine says about itself.
	Info engine.Info
	// Node has the options of the node image, without Progress.
	Node node.Options
	// Anew is true if there were no clusters, or none that could be used.
	Anew bool
	// PrepareHollow makes the workload cluster ready for hollow machines. It is called before the
	// move, if the management cluster has the kinds of hollow machines.
	PrepareHollow func(ctx context.Context, cluster *kube.Client) error
	// Record records what happens in the cluster that manages itself until stop is called.
	Record func(ctx context.Context, cluster *kube.Client) (stop func())
	// Warn shows a person what a step noticed. Detail writes to the full log only.
	Warn, Detail func(format string, args ...any)
}

// stepFunc does a step, as steps.Step's Run does.
type stepFunc = func(ctx context.Context, progress func(string)) (string, error)

// BringUp has the values that the steps of one bring-up hand to each other. A step writes
// its own fields. Only steps that need that step read them.
type BringUp struct {
	Options
	tree     *source.Tree
	base     node.Images
	repo     *repository.Repository
	managers map[string]v1.Image
	image    string
	mark     string
	mgmt     *kube.Client
	workload *kube.Client
	// stopRecording ends the recording of the cluster that manages itself.
	stopRecording func()
}

// New returns a bring-up that has done nothing yet. The caller calls Close.
func New(o Options) *BringUp { return &BringUp{Options: o, stopRecording: func() {}} }

// Close ends the recording of the cluster.
func (b *BringUp) Close() { b.stopRecording() }

// Sources says where the sources of Cluster API come from, and why, if there was a choice. The step
// Fetch finds it out.
func (b *BringUp) Sources() (origin, why string) { return b.tree.Origin, b.tree.Why }

// NodeImageOrigin says where the node image comes from. The step NodeImage finds it out.
func (b *BringUp) NodeImageOrigin() string { return b.base.Origin }

// LoadBalancer returns the load balancer's image, which the step NodeImage makes.
func (b *BringUp) LoadBalancer() string { return b.base.LoadBalancer.Image() }

// Image returns the node image with the managers in it, which the step Images makes.
func (b *BringUp) Image() string { return b.image }

// Managers assembles the managers' images, and returns them by their references. refs has the
// references in the order of the providers. It needs the steps Compile and Render.
func (b *BringUp) Managers() (refs []string, images map[string]v1.Image, err error) {
	if err := b.assembleManagers(); err != nil {
		return nil, nil, err
	}
	for _, p := range b.repo.Providers {
		refs = append(refs, p.Image)
	}
	return refs, b.managers, nil
}

// nodeOptions returns the options of the node image, with progress.
func (b *BringUp) nodeOptions(progress func(string)) node.Options {
	o := b.Node
	o.Progress = progress
	return o
}

// allowCgroupV1 reports whether the kubelets need a setting to run, because the
// engine has cgroup v1.
func (b *BringUp) allowCgroupV1() bool {
	return b.Info.CgroupVersion == "1" && release.OfKubernetes(b.Config.Kubernetes).RefusesCgroupV1
}

func (b *BringUp) management(progress func(string)) capi.Management {
	return capi.Management{Name: b.Config.ManagementName(), Kubeconfig: b.Home.ManagementKubeconfig(), Progress: progress}
}

// programs returns the programs that are built from a tree of Cluster API.
func (b *BringUp) programs(tree *source.Tree, arch string) build.ClusterAPI {
	out := filepath.Join("bin", "cluster-api", b.Config.ClusterAPI.Tag()+"-"+tree.Origin+"-"+state.ShortSum(tree.Dir))
	return build.ClusterAPI{
		Dir: tree.Dir, Version: b.Config.ClusterAPI.Version, Tag: b.Config.ClusterAPI.Tag(),
		Commit: tree.Commit, Dirty: tree.Dirty, ID: tree.ID, Arch: arch, OutDir: b.Home.State.Path(out),
		Components: filepath.Join(b.Config.Root, "magefiles", "components"),
	}
}
