package environment

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/repository"
)

func (c *bringUp) fetch(ctx context.Context, progress func(string)) (_ string, err error) {
	c.tree, err = c.tools.fetch(ctx, component.ClusterAPI(c.Config), progress)
	if err != nil {
		return "", err
	}
	want := c.Config.ClusterAPI
	if want.Commit != "" {
		if err := c.checkLayout("CAPI_COMMIT="+want.Commit, c.tree.Dir); err != nil {
			return "", err
		}
	}
	text := want.Tag() + " from " + c.tree.Origin
	if based, ok := release.OfTree(c.tree.Dir); ok && release.Of(based).Series() != release.Of(want.Version).Series() {
		text += ", a tree of " + release.Of(based).Series()
	}
	return text, nil
}

func (c *bringUp) nodeImage(ctx context.Context, progress func(string)) (_ string, err error) {
	err = c.State.Exclusively(ctx, workNode, progress, func() error {
		o := c.nodeOptions(c.info.Arch(), progress)
		if c.base, err = c.tools.base(ctx, o); err != nil {
			return err
		}
		if !release.Of(c.Config.ClusterAPI.Version).HAProxyTemplate {
			c.base.LoadBalancer, err = c.tools.bound(ctx, c.base.LoadBalancer, o)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return "from " + c.base.Origin, nil
}

func (c *bringUp) compile(ctx context.Context, progress func(string)) (string, error) {
	programs := c.programs(c.tree, c.info.Arch())
	byName := programs.Requests()
	var requests []build.Request
	for _, name := range programs.Programs() {
		requests = append(requests, byName[name])
	}
	cached, err := c.build(ctx, requests, progress)
	if err != nil {
		return "", err
	}
	if own, ok := byName[build.Clusterctl]; ok {
		err = c.home().KeepClusterctl(release.Of(c.Config.ClusterAPI.Version), own.Output)
	}
	return fmt.Sprintf("%d built, %d up to date", len(requests)-cached, cached), err
}

// build compiles programs, and returns how many were up to date.
func (c *bringUp) build(ctx context.Context, requests []build.Request, progress func(string)) (cached int, err error) {
	err = c.State.Exclusively(ctx, workCompile, progress, func() error {
		cached, err = c.tools.compile(ctx, requests, build.Options{Runner: c.Runner, Progress: progress})
		return err
	})
	return cached, err
}

func (c *bringUp) render(ctx context.Context, _ func(string)) (string, error) {
	manifest, err := c.cluster().Manifest()
	if err != nil {
		return "", err
	}
	objects, err := kube.Decode(manifest)
	if err != nil {
		return "", err
	}
	c.repo, err = c.tools.render(ctx, repository.Options{
		Tree: c.tree.Dir, Version: c.Config.ClusterAPI.Version, Dir: c.home().Repository(), CertManager: c.Config.CertManager, Objects: objects,
	})
	if errors.As(err, new(*repository.MisfitError)) {
		return "", fmt.Errorf("%w, which the cluster of release %s needs; set CAPI_VERSION to the release that the tree is based on", err, c.Config.ClusterAPI.Tag())
	}
	return "", err
}

// assembleManagers assembles the managers' images from their binaries.
func (c *bringUp) assembleManagers() (err error) {
	requests := c.programs(c.tree, c.info.Arch()).Requests()
	c.managers = map[string]v1.Image{}
	for _, p := range c.repo.Providers {
		user := "65532" // unprivileged, as in upstream's images
		if p.Program == build.Docker {
			user = "" // it opens the engine's socket
		}
		commands := map[string]string{}
		if cli, ok := requests[build.DockerCLI]; ok && p.Program == build.Docker {
			commands["/usr/bin/docker"] = cli.Output
		}
		if c.managers[p.Image], err = c.tools.assemble(c.info.Arch(), requests[p.Program].Output, user, commands); err != nil {
			return err
		}
	}
	return nil
}

func (c *bringUp) bake(ctx context.Context, progress func(string)) (_ string, err error) {
	if err := c.assembleManagers(); err != nil {
		return "", err
	}
	c.image, err = c.bakeWith(ctx, c.managers, progress)
	return c.image, err
}

// bakeWith returns the node image with those managers in it.
func (c *bringUp) bakeWith(ctx context.Context, managers map[string]v1.Image, progress func(string)) (ref string, err error) {
	err = c.State.Exclusively(ctx, workNode, progress, func() error {
		ref, err = c.tools.bake(ctx, c.base.Node, managers, c.nodeOptions(c.info.Arch(), progress))
		return err
	})
	return ref, err
}
