package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	Managers         = stepCompile
	NodeImage        = stepImages
	ManagementTarget = stepInit
	WorkloadTarget   = stepNodes
	Ready            = "ready"
)

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
	mgmt     *kube.Client
	workload *kube.Client
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
	return l.locked(command, func() error { return l.up(ctx, target) })
}

func (l *Lab) up(ctx context.Context, target string) error {
	start := l.now()
	info, err := l.preflight(ctx)
	if err != nil {
		return err
	}
	ready, err := l.takeStock(ctx)
	if err != nil {
		return err
	}
	if ready {
		l.log.Printf("environment %q is ready; verified in %.1f s", l.cfg.ClusterName, l.now().Sub(start).Seconds())
		return l.Status(ctx)
	}
	c := &creation{Lab: l, info: info}
	timings, err := runSteps(ctx, l.log, l.now, upTo(c.steps(), target))
	if err != nil {
		var failed *StepError
		if errors.As(err, &failed) {
			l.log.Printf("\nWhat was made stays as it is. Type the command again to go on from there, `go tool mage env:status` to look, or `go tool mage env:down` to remove it.")
		}
		return err
	}
	if target != Ready {
		return nil
	}
	return l.summary(ctx, c, timings)
}

// upTo returns the steps that target needs, itself included.
func upTo(steps []step, target string) []step {
	if target == Ready {
		return steps
	}
	needed := map[string]bool{target: true}
	for i := len(steps) - 1; i >= 0; i-- {
		if needed[steps[i].name] {
			for _, n := range steps[i].needs {
				needed[n] = true
			}
		}
	}
	return slices.DeleteFunc(steps, func(s step) bool { return !needed[s.name] })
}

// steps are in an order in which each comes after what it needs.
func (c *creation) steps() []step {
	return []step{
		{name: stepFetch, usually: 5 * time.Second, run: c.fetch},
		{name: stepNode, usually: 8 * time.Minute, run: c.nodeImage},
		{name: stepCompile, needs: []string{stepFetch}, usually: 4 * time.Minute, run: c.compile},
		{name: stepRender, needs: []string{stepFetch}, usually: 2 * time.Second, run: c.render},
		{name: stepImages, needs: []string{stepNode, stepCompile, stepRender}, usually: 15 * time.Second, run: c.bake},
		{name: stepManagement, needs: []string{stepImages}, usually: 20 * time.Second, run: c.createManagement},
		{name: stepInit, needs: []string{stepManagement}, usually: 15 * time.Second, run: c.initManagement},
		{name: stepControl, needs: []string{stepInit}, usually: 30 * time.Second, run: c.createControlPlane},
		{name: stepNodes, needs: []string{stepControl}, usually: 30 * time.Second, run: c.joinNodes},
		{name: stepPivotInit, needs: []string{stepControl}, usually: 30 * time.Second, run: c.initWorkload},
		{name: stepMove, needs: []string{stepNodes, stepPivotInit}, usually: 3 * time.Second, run: c.move},
		{name: stepVerify, needs: []string{stepMove}, usually: 5 * time.Second, run: c.verify},
		{name: stepDelete, needs: []string{stepMove}, usually: 2 * time.Second, run: c.deleteManagement},
	}
}

func (c *creation) fetch(ctx context.Context, progress func(string)) (err error) {
	c.tree, err = source.Fetch(ctx, c.clusterAPI(), c.sourceOptions(progress))
	if err == nil {
		progress(c.cfg.ClusterAPI.Tag() + " from " + c.tree.Origin)
	}
	return err
}

func (c *creation) nodeImage(ctx context.Context, progress func(string)) (err error) {
	c.base, err = node.Base(ctx, c.nodeOptions(c.info.Arch(), progress))
	if err == nil {
		progress("from " + c.base.Origin)
	}
	return err
}

func (c *creation) compile(ctx context.Context, progress func(string)) error {
	requests := c.programs(c.tree, c.info.Arch())
	cached := 0
	for _, name := range []string{build.Core, build.Bootstrap, build.ControlPlane, build.Docker, build.Clusterctl} {
		result, err := build.Build(ctx, requests[name], build.Options{
			Runner: c.runner, Progress: func(text string) { progress(name + ": " + text) },
		})
		if err != nil {
			return err
		}
		if result.Cached {
			cached++
		}
	}
	progress(fmt.Sprintf("%d built, %d up to date", len(requests)-cached, cached))
	return nil
}

func (c *creation) render(ctx context.Context, _ func(string)) (err error) {
	c.repo, err = repository.Write(ctx, repository.Options{
		Tree: c.tree.Dir, Version: c.cfg.ClusterAPI.Version, Dir: c.repositoryDir(), CertManager: c.cfg.CertManager,
	})
	return err
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
		c.managers[p.Image], err = image.Assemble(image.Spec{
			Arch: c.info.Arch(), Entrypoint: []string{"/manager"}, WorkDir: "/", User: user,
			Files: []image.File{
				{Path: "/manager", Source: requests[p.Program].Output, Mode: 0o755},
				ca,
				{Path: "/tmp", Dir: true, Mode: 0o777 | os.ModeSticky},
			},
		})
		if err != nil {
			return fmt.Errorf("assemble the image of %s: %w", p.Program, err)
		}
	}
	return nil
}

func (c *creation) bake(ctx context.Context, progress func(string)) error {
	if err := c.assembleManagers(); err != nil {
		return err
	}
	ref, err := node.Bake(ctx, c.base.Node, c.managers, c.nodeOptions(c.info.Arch(), progress))
	c.image = ref
	if err == nil {
		progress(ref)
	}
	return err
}

func (c *creation) createManagement(ctx context.Context, progress func(string)) (err error) {
	if err := c.writeOwner(); err != nil {
		return err
	}
	m := c.management(c.info.CgroupVersion == "1", c.image, progress)
	_, existing, err := c.containers(ctx)
	if err != nil {
		return err
	}
	if len(existing) > 0 && existing[0].Image != c.image {
		progress("its node image is another one now: replacing it")
		if err := c.engine.Remove(ctx, ids(existing)...); err != nil {
			return err
		}
		existing = nil
	}
	if len(existing) == 0 {
		if err := m.Create(ctx); err != nil {
			return err
		}
	} else if err := m.ExportKubeconfig(); err != nil {
		return err
	}
	c.mgmt, err = kube.Open(c.managementKubeconfig())
	return err
}

// writeOwner makes the file that every node mounts.
func (c *creation) writeOwner() error {
	if err := os.MkdirAll(filepath.Dir(c.ownerFile()), 0o755); err != nil {
		return fmt.Errorf("mark the environment as the lab's: %w", err)
	}
	if err := os.WriteFile(c.ownerFile(), []byte("caslab environment "+c.cfg.ClusterName+"\n"), 0o644); err != nil {
		return fmt.Errorf("mark the environment as the lab's: %w", err)
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

func (c *creation) initManagement(ctx context.Context, progress func(string)) error {
	return c.install(ctx, c.mgmt, c.managementKubeconfig(), progress)
}

func (c *creation) createControlPlane(ctx context.Context, progress func(string)) error {
	ctx, cancel := within(ctx, 5*time.Minute)
	defer cancel()
	manifest, err := capi.Cluster{
		Name: c.cfg.ClusterName, Namespace: namespace, Kubernetes: config.Tag(c.cfg.Kubernetes), Workers: c.cfg.Workers,
		NodeImage: c.image, LoadBalancerRepository: c.base.LoadBalancerRepository, LoadBalancerTag: c.base.LoadBalancerTag,
		PodCIDR: podCIDR, ServiceCIDR: serviceCIDR, CgroupV1: c.info.CgroupVersion == "1", OwnerFile: c.ownerFile(),
	}.Manifest()
	if err != nil {
		return err
	}
	progress("applying its objects")
	if err := c.mgmt.Apply(ctx, manifest); err != nil {
		return err
	}
	data, err := capi.Kubeconfig(ctx, c.mgmt, namespace, c.cfg.ClusterName, progress)
	if err != nil {
		return err
	}
	progress("its load balancer")
	if err := c.writeKubeconfig(ctx, data); err != nil {
		return err
	}
	if c.workload, err = kube.Open(c.kubeconfig()); err != nil {
		return err
	}
	progress("its API server")
	return c.workload.WaitAnswers(ctx)
}

// writeKubeconfig writes the workload cluster's kubeconfig for this machine,
// which reaches the cluster through the load balancer's published port: that
// works where containers have no address of their own here, too.
func (l *Lab) writeKubeconfig(ctx context.Context, data []byte) error {
	for {
		workload, _, err := l.containers(ctx)
		if err != nil {
			return err
		}
		for _, c := range workload {
			if port := c.Ports["6443/tcp"]; port != "" && c.Name == l.cfg.ClusterName+"-lb" {
				data, err := kube.WithServer(data, "https://127.0.0.1:"+port)
				if err != nil {
					return err
				}
				return kube.WriteKubeconfig(l.kubeconfig(), data)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for the container %s-lb: %w", l.cfg.ClusterName, context.Cause(ctx))
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (c *creation) joinNodes(ctx context.Context, progress func(string)) error {
	ctx, cancel := within(ctx, 5*time.Minute)
	defer cancel()
	network, err := c.network(ctx)
	if err != nil {
		return err
	}
	if err := c.workload.Apply(ctx, network); err != nil {
		return err
	}
	// One machine is the control plane's.
	if err := capi.WaitNodes(ctx, c.workload, 1+c.cfg.Workers, progress); err != nil {
		return err
	}
	return capi.WaitMovable(ctx, c.mgmt, namespace, c.cfg.ClusterName, 1+c.cfg.Workers, progress)
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

func (c *creation) initWorkload(ctx context.Context, progress func(string)) error {
	return c.install(ctx, c.workload, c.kubeconfig(), progress)
}

func (c *creation) move(ctx context.Context, progress func(string)) error {
	ctl, err := capi.NewClusterctl(ctx, c.repo.ConfigPath, progress)
	if err != nil {
		return err
	}
	// A move that is cut off leaves halves on both sides: the next run must know.
	if err := os.WriteFile(c.movingFile(), nil, 0o600); err != nil {
		return fmt.Errorf("record that the move begins: %w", err)
	}
	return ctl.Move(ctx, c.managementKubeconfig(), c.kubeconfig(), namespace)
}

func (c *creation) verify(ctx context.Context, progress func(string)) error {
	ctx, cancel := within(ctx, 3*time.Minute)
	defer cancel()
	return capi.WaitRunning(ctx, c.workload, namespace, 1+c.cfg.Workers, progress)
}

func (l *Lab) movingFile() string { return l.ownerFile() + ".moving" }

func (c *creation) deleteManagement(ctx context.Context, progress func(string)) error {
	if err := c.management(false, "", progress).Delete(ctx); err != nil {
		return err
	}
	return c.forgetManagement()
}

func (l *Lab) forgetManagement() error {
	return errors.Join(removeIfThere(l.managementKubeconfig()), removeIfThere(l.movingFile()))
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// within bounds a wait; the error then says which bound it was.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("not within %s", d))
}
