package env

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/kube"
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

// Targets of Up: how far to go.
const (
	ManagementTarget = stepInit
	WorkloadTarget   = stepNodes
	Ready            = "ready"
)

// bakedWithin is how long the management cluster waits for the managers to be
// compiled: everything built, they are there by then. If not, it starts without
// them and has them loaded.
const bakedWithin = 3 * time.Second

// creation is what the steps of one Up hand to each other. A step writes its
// own fields, and only steps that need it read them.
type creation struct {
	*Lab
	info     engine.Info
	tree     *source.Tree
	base     node.Images
	repo     *repository.Repository
	managers map[string]v1.Image
	image    string
	owner    string
	mgmt     *kube.Client
	workload *kube.Client
	// stopRecording ends what records the workload cluster's timeline.
	stopRecording func()
	// compiled and baked are closed when those steps are done, for a step that
	// is better off with them and does not need them.
	compiled, baked chan struct{}
}

func (l *Lab) creation(info engine.Info) *creation {
	return &creation{Lab: l, info: info, stopRecording: func() {}, compiled: make(chan struct{}), baked: make(chan struct{})}
}

// Up makes the environment ready, or goes as far as target says. It takes up
// what an interrupted run left.
func (l *Lab) Up(ctx context.Context, target string) error {
	command := "env:up"
	switch target {
	case ManagementTarget:
		command = "cluster:management"
	case WorkloadTarget:
		command = "cluster:workload"
	}
	return l.locked(command, func() error {
		err := l.up(ctx, target)
		if err != nil && (errors.As(err, new(*steps.Error)) || ctx.Err() != nil) {
			l.log.Printf("\nWhat was made stays as it is. Type the command again to go on from there, `go tool mage env:status` to look, or `%s` to remove it.\nThe full log is %s.", downOf(l.cfg.ClusterName), l.logFile())
		}
		return err
	})
}

func (l *Lab) up(ctx context.Context, target string) error {
	start := l.now()
	if err := l.cfg.CheckEnvironment(); err != nil {
		return err
	}
	if err := l.checkCheckout(ctx); err != nil {
		return err
	}
	info, err := l.askEngine(ctx)
	if err != nil {
		return err
	}
	if err := l.onEngine(ctx, info); err != nil {
		return err
	}
	found, err := l.takeStock(ctx)
	if err != nil {
		return err
	}
	if found.ready {
		if err := l.tellChanges(); err != nil {
			return err
		}
		l.log.Printf("environment %q is ready; verified in %.1f s", l.cfg.ClusterName, l.now().Sub(start).Seconds())
		return l.Status(ctx)
	}
	if err := l.preflight(ctx, info); err != nil {
		return err
	}
	if found.remake != nil {
		// Only now: what is refused above leaves everything as it was.
		l.log.Printf("what is there cannot be taken up (%v): making everything anew", found.remake)
		if err := l.removeClusters(ctx); err != nil {
			return err
		}
	}
	anew := found.fresh || found.remake != nil
	if anew {
		if err := l.newTimeline(); err != nil {
			return err
		}
	}
	// Also of what is taken up: the steps that are left go by these settings.
	if err := l.recordMade(); err != nil {
		return err
	}
	c := l.creation(info)
	defer func() { c.stopRecording() }()
	nodeUsually := node.Usually(ctx, c.nodeOptions(info.Arch(), nil))
	if anew {
		more := ""
		if nodeUsually < compileUsually {
			more = fmt.Sprintf(", and up to %s more if the managers are to be compiled", compileUsually)
		}
		l.log.Printf("making environment %q: usually some %s on 2 cores%s", l.cfg.ClusterName, (nodeUsually + clustersUsually).Round(time.Minute), more)
	}
	all := c.steps(nodeUsually)
	if target != Ready {
		if all, err = steps.UpTo(all, target); err != nil {
			return err
		}
	}
	timings, err := steps.Run(ctx, l.log, l.now, l.onTimeline(all))
	l.upOnTimeline(err)
	if err != nil {
		return err
	}
	if target != Ready {
		return nil
	}
	return l.summary(ctx, c, timings)
}

// checkCheckout refuses a CAPI_DIR that is none, or of another release. That
// costs nothing: an environment that is ready is checked too.
func (l *Lab) checkCheckout(ctx context.Context) error {
	if l.cfg.ClusterAPI.Origin != config.OriginDir {
		return nil
	}
	if err := source.Check(ctx, l.clusterAPI(), l.sourceOptions(nil)); err != nil {
		return err
	}
	if err := (build.ClusterAPI{Dir: l.cfg.ClusterAPI.Dir, Version: l.cfg.ClusterAPI.Version}).CheckLayout(); err != nil {
		return fmt.Errorf("CAPI_DIR=%s is no tree of release %s; set CAPI_VERSION to the release that it is of: %w", l.cfg.ClusterAPI.Dir, l.cfg.ClusterAPI.Tag(), err)
	}
	return nil
}

// How long it takes to compile the managers, and all that comes after the images.
const (
	compileUsually  = 6 * time.Minute
	clustersUsually = 3 * time.Minute
)

// steps are in an order in which each comes after what it needs. nodeUsually
// is how long the node image tends to take here.
func (c *creation) steps(nodeUsually time.Duration) []steps.Step {
	return []steps.Step{
		{Name: stepFetch, Usually: 5 * time.Second, Run: c.fetch},
		{Name: stepNode, Usually: nodeUsually, Run: c.nodeImage},
		{Name: stepCompile, Needs: []string{stepFetch}, Usually: compileUsually, Run: c.compile},
		{Name: stepRender, Needs: []string{stepFetch}, Usually: 2 * time.Second, Run: c.render},
		{Name: stepImages, Needs: []string{stepNode, stepCompile, stepRender}, Usually: 15 * time.Second, Run: c.bake},
		{Name: stepManagement, Needs: []string{stepNode}, Usually: 30 * time.Second, Run: c.createManagement},
		{Name: stepInit, Needs: []string{stepManagement, stepImages}, Usually: 15 * time.Second, Run: c.initManagement},
		{Name: stepControl, Needs: []string{stepInit}, Usually: 45 * time.Second, Run: c.createControlPlane},
		{Name: stepNodes, Needs: []string{stepControl}, Usually: 45 * time.Second, Run: c.joinNodes},
		{Name: stepPivotInit, Needs: []string{stepControl}, Usually: 30 * time.Second, Run: c.initWorkload},
		{Name: stepMove, Needs: []string{stepNodes, stepPivotInit}, Usually: 3 * time.Second, Run: c.move},
		{Name: stepVerify, Needs: []string{stepMove}, Usually: 5 * time.Second, Run: c.verify},
		{Name: stepDelete, Needs: []string{stepVerify}, Usually: 2 * time.Second, Run: c.deleteManagement},
	}
}

func (c *creation) fetch(ctx context.Context, progress func(string)) (_ string, err error) {
	c.tree, err = c.fetchTree(ctx, c.clusterAPI(), progress)
	if err != nil {
		return "", err
	}
	return c.cfg.ClusterAPI.Tag() + " from " + c.tree.Origin, nil
}

func (c *creation) nodeImage(ctx context.Context, progress func(string)) (_ string, err error) {
	err = c.state().Exclusively(ctx, workNode, progress, func() error {
		c.base, err = node.Base(ctx, c.nodeOptions(c.info.Arch(), progress))
		return err
	})
	if err != nil {
		return "", err
	}
	return "from " + c.base.Origin, nil
}

func (c *creation) compile(ctx context.Context, progress func(string)) (string, error) {
	requests := c.programs(c.tree, c.info.Arch())
	cached := 0
	err := c.state().Exclusively(ctx, workCompile, progress, func() error {
		names := []string{build.Core, build.Bootstrap, build.ControlPlane, build.Docker, build.Clusterctl}
		for i, name := range names {
			result, err := build.Build(ctx, requests[name], build.Options{
				Runner: c.runner, Progress: func(text string) { progress(fmt.Sprintf("%s (%d of %d): %s", name, i+1, len(names), text)) },
			})
			if err != nil {
				return err
			}
			if result.Cached {
				cached++
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	close(c.compiled)
	return fmt.Sprintf("%d built, %d up to date", len(requests)-cached, cached), nil
}

func (c *creation) render(ctx context.Context, _ func(string)) (_ string, err error) {
	c.repo, err = repository.Write(ctx, repository.Options{
		Tree: c.tree.Dir, Version: c.cfg.ClusterAPI.Version, Dir: c.repositoryDir(), CertManager: c.cfg.CertManager,
	})
	return "", err
}

// assembleManagers makes the managers' images of their binaries.
func (c *creation) assembleManagers() error {
	ca, err := image.CACertificates()
	if err != nil {
		return err
	}
	requests := c.programs(c.tree, c.info.Arch())
	c.managers = map[string]v1.Image{}
	for _, p := range c.repo.Providers {
		user := "65532" // nobody special, as upstream's
		if p.Program == build.Docker {
			user = "" // it opens the engine's socket
		}
		c.managers[p.Image], err = image.Assemble(image.Program(c.info.Arch(), "/manager", requests[p.Program].Output, user, ca))
		if err != nil {
			return fmt.Errorf("assemble the image of %s: %w", p.Program, err)
		}
	}
	return nil
}

func (c *creation) bake(ctx context.Context, progress func(string)) (_ string, err error) {
	if err := c.assembleManagers(); err != nil {
		return "", err
	}
	err = c.state().Exclusively(ctx, workNode, progress, func() error {
		c.image, err = node.Bake(ctx, c.base.Node, c.managers, c.nodeOptions(c.info.Arch(), progress))
		return err
	})
	if err != nil {
		return "", err
	}
	close(c.baked)
	return c.image, nil
}

func (c *creation) createManagement(ctx context.Context, progress func(string)) (_ string, err error) {
	if c.owner, err = c.mark(); err != nil {
		return "", err
	}
	if err := c.recordEngine(c.info); err != nil {
		return "", err
	}
	workload, existing, err := c.containers(ctx)
	if err != nil {
		return "", err
	}
	if len(existing) > 0 {
		keep, err := c.keeps(ctx, workload, existing[0])
		if err != nil {
			return "", err
		}
		if !keep {
			progress("its images are others now: replacing it, and what it made")
			if err := c.removeClusters(ctx); err != nil {
				return "", err
			}
			if err := c.recordMade(); err != nil {
				return "", err
			}
			existing = nil
		}
	}
	m := c.management(progress)
	if len(existing) == 0 {
		m.CgroupV1, m.OwnerFile = c.info.CgroupVersion == "1", c.owner
		if m.NodeImage, err = c.imageSoon(ctx); err != nil {
			return "", err
		}
		if err := m.Create(ctx); err != nil {
			return "", err
		}
	} else if err := m.ExportKubeconfig(); err != nil {
		return "", err
	}
	c.mgmt, err = kube.Open(c.managementKubeconfig())
	return "", err
}

// imageSoon returns the node image with the managers baked in if that is a
// matter of seconds, and the one without them if there is something to compile.
func (c *creation) imageSoon(ctx context.Context) (string, error) {
	select {
	case <-c.compiled:
	case <-time.After(bakedWithin):
		return c.base.Node, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	select {
	case <-c.baked:
		return c.image, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// keeps reports whether what an interrupted run left has the images of this
// one: the nodes of the workload cluster, and the management cluster, whose
// managers may have come with its node image or after it.
func (c *creation) keeps(ctx context.Context, workload []engine.Container, management engine.Container) (bool, error) {
	select {
	case <-c.baked:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	for _, n := range workload {
		if !isLoadBalancer(n) && n.Image != c.image {
			return false, nil
		}
	}
	if management.Image != c.base.Node {
		return management.Image == c.image, nil
	}
	loaded, err := c.loaded(ctx, management)
	return loaded == "" || loaded == c.image, err
}

// loadedFile, in a management node that started without managers, names the
// node image whose managers were loaded.
const loadedFile = "/kind/caslab-managers"

func (c *creation) loaded(ctx context.Context, n engine.Container) (string, error) {
	res, err := c.engine.Exec(ctx, n.ID, nil, "sh", "-c", "cat "+loadedFile+" 2>/dev/null || true")
	if err != nil {
		return "", fmt.Errorf("look for loaded managers: %w", err)
	}
	return strings.TrimSpace(string(res.Stdout)), nil
}

// loadManagers gives the management cluster the managers, if it started from a
// node image without them.
func (c *creation) loadManagers(ctx context.Context, progress func(string)) error {
	_, management, err := c.containers(ctx)
	if err != nil {
		return err
	}
	for _, n := range management {
		if n.Image == c.image {
			continue
		}
		if loaded, err := c.loaded(ctx, n); err != nil || loaded == c.image {
			return err
		}
		progress("loading the managers")
		if err := node.Load(ctx, c.engine, n.ID, c.managers); err != nil {
			return fmt.Errorf("load the managers into %s: %w", n.Name, err)
		}
		if _, err := c.engine.Exec(ctx, n.ID, strings.NewReader(c.image), "tee", loadedFile); err != nil {
			return fmt.Errorf("record the loaded managers: %w", err)
		}
	}
	return nil
}

// install has clusterctl install the providers and waits until they answer.
func (c *creation) install(ctx context.Context, client *kube.Client, kubeconfig string, progress func(string)) error {
	ctx, cancel := within(ctx, 5*time.Minute)
	defer cancel()
	if !c.cfg.CertManager {
		if err := capi.StandIn(ctx, client, progress); err != nil {
			return err
		}
	}
	ctl, err := capi.NewClusterctl(ctx, c.repo.ConfigPath, progress)
	if err != nil {
		return err
	}
	if err := ctl.Init(ctx, kubeconfig, c.repo.Version); err != nil {
		return err
	}
	var namespaces []string
	for _, p := range c.repo.Providers {
		namespaces = append(namespaces, p.Namespace)
	}
	return capi.WaitProviders(ctx, client, namespaces, progress)
}

func (c *creation) initManagement(ctx context.Context, progress func(string)) (string, error) {
	if err := c.loadManagers(ctx, progress); err != nil {
		return "", err
	}
	return "", c.install(ctx, c.mgmt, c.managementKubeconfig(), progress)
}

func (c *creation) createControlPlane(ctx context.Context, progress func(string)) (string, error) {
	ctx, cancel := within(ctx, 5*time.Minute)
	defer cancel()
	manifest, err := capi.Cluster{
		Name: c.cfg.ClusterName, Namespace: namespace, Kubernetes: config.Tag(c.cfg.Kubernetes), Workers: c.cfg.Workers,
		NodeImage: c.image, LoadBalancer: c.base.LoadBalancer,
		PodCIDR: podCIDR, ServiceCIDR: serviceCIDR, CgroupV1: c.info.CgroupVersion == "1", OwnerFile: c.owner,
	}.Manifest()
	if err != nil {
		return "", err
	}
	progress("applying its objects")
	if err := c.mgmt.Apply(ctx, manifest); err != nil {
		return "", err
	}
	data, err := capi.Kubeconfig(ctx, c.mgmt, namespace, c.cfg.ClusterName, progress)
	if err != nil {
		return "", err
	}
	progress("its load balancer")
	if err := c.writeKubeconfig(ctx, data); err != nil {
		return "", err
	}
	if c.workload, err = kube.Open(c.kubeconfig()); err != nil {
		return "", err
	}
	progress("its API server")
	return "", c.workload.WaitAnswers(ctx)
}

// writeKubeconfig writes the workload cluster's kubeconfig for this machine,
// as soon as the load balancer has a published port.
func (l *Lab) writeKubeconfig(ctx context.Context, data []byte) error {
	for {
		workload, _, err := l.containers(ctx)
		if err != nil {
			return err
		}
		if server := l.server(workload); server != "" {
			data, err := kube.WithServer(data, server)
			if err != nil {
				return err
			}
			return kube.WriteKubeconfig(l.kubeconfig(), data)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for the container %s-lb: %w", l.cfg.ClusterName, context.Cause(ctx))
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// server is where this machine reaches the workload cluster: the load
// balancer's published port, which works where containers have no address of
// their own here, too. It is empty while there is none.
func (l *Lab) server(workload []engine.Container) string {
	for _, c := range workload {
		if port := c.Ports["6443/tcp"]; port != "" && c.Name == l.cfg.ClusterName+"-lb" {
			return "https://127.0.0.1:" + port
		}
	}
	return ""
}

func (c *creation) joinNodes(ctx context.Context, progress func(string)) (string, error) {
	ctx, cancel := within(ctx, 5*time.Minute)
	defer cancel()
	c.stopRecording = c.recordTimeline(context.WithoutCancel(ctx), c.timelineOfNew(c.workload, c.mgmt))
	network, err := c.network(ctx)
	if err != nil {
		return "", err
	}
	if err := c.workload.Apply(ctx, network); err != nil {
		return "", err
	}
	// One machine is the control plane's.
	if err := capi.WaitNodes(ctx, c.workload, 1+c.cfg.Workers, progress); err != nil {
		return "", err
	}
	return "", capi.WaitMovable(ctx, c.mgmt, namespace, c.cfg.ClusterName, 1+c.cfg.Workers, progress)
}

// network is the pod network's manifest: the lab's own, or the one that kind
// put into a pulled node image.
func (c *creation) network(ctx context.Context) ([]byte, error) {
	if c.base.OwnNetwork {
		return capi.Network(podCIDR)
	}
	res, err := c.engine.Exec(ctx, c.cfg.ManagementName()+"-control-plane", nil, "cat", "/kind/manifests/default-cni.yaml")
	if err != nil {
		return nil, fmt.Errorf("read the node image's network: %w", err)
	}
	return []byte(strings.ReplaceAll(string(res.Stdout), "{{ .PodSubnet }}", podCIDR)), nil
}

func (c *creation) initWorkload(ctx context.Context, progress func(string)) (string, error) {
	return "", c.install(ctx, c.workload, c.kubeconfig(), progress)
}

func (c *creation) move(ctx context.Context, progress func(string)) (string, error) {
	ctl, err := capi.NewClusterctl(ctx, c.repo.ConfigPath, progress)
	if err != nil {
		return "", err
	}
	// A move that is cut off leaves halves on both sides: the next run must know.
	if err := state.WriteFile(c.movingFile(), nil, 0o600); err != nil {
		return "", fmt.Errorf("record that the move begins: %w", err)
	}
	// A move deletes the objects in the one cluster and makes them in the
	// other: nothing of that happened to a machine.
	c.stopRecording()
	defer func() {
		moved := c.timelineOfNew(c.workload, c.workload)
		moved.Moved = true
		c.stopRecording = c.recordTimeline(context.WithoutCancel(ctx), moved)
	}()
	return "", ctl.Move(ctx, c.managementKubeconfig(), c.kubeconfig(), namespace)
}

func (c *creation) verify(ctx context.Context, progress func(string)) (string, error) {
	ctx, cancel := within(ctx, 3*time.Minute)
	defer cancel()
	return "", capi.WaitRunning(ctx, c.workload, namespace, 1+c.cfg.Workers, progress)
}

func (c *creation) deleteManagement(ctx context.Context, progress func(string)) (string, error) {
	// From here on the environment is one to lose: no later run may remake it,
	// also if this one is killed before the management cluster is gone.
	if err := c.markReady(ctx); err != nil {
		return "", err
	}
	if err := c.management(progress).Delete(ctx); err != nil {
		return "", err
	}
	return "", c.forgetManagement()
}

// forgetManagement removes what is known of the management cluster, and the
// lock that a killed run of kind's leaves beside its kubeconfig.
func (l *Lab) forgetManagement() error {
	return errors.Join(state.Remove(l.managementKubeconfig()), state.Remove(l.managementKubeconfig()+".lock"), state.Remove(l.movingFile()))
}

// within bounds a wait; the error then says which bound it was.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("not within %s", d))
}
