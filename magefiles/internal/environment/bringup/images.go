package bringup

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/repository"
)

// Names of locks that environments share. An environment's name has no dot, so its own lock
// differs.
const (
	workCompile = "build.managers"
	// WorkNode is the lock of everything that makes images of nodes.
	WorkNode = "build.node"
)

func (b *BringUp) fetch(ctx context.Context, progress func(string)) (_ string, err error) {
	b.tree, err = b.Tools.Fetch(ctx, component.ClusterAPI(b.Config), progress)
	if err != nil {
		return "", err
	}
	want := b.Config.ClusterAPI
	if want.Commit != "" {
		if err := component.CheckLayout(b.Config, "CAPI_COMMIT="+want.Commit, b.tree.Dir); err != nil {
			return "", err
		}
	}
	text := want.Tag() + " from " + b.tree.Origin
	if based, ok := release.OfTree(b.tree.Dir); ok && release.Of(based).Series() != release.Of(want.Version).Series() {
		text += ", a tree of " + release.Of(based).Series()
	}
	return text, nil
}

func (b *BringUp) nodeImage(ctx context.Context, progress func(string)) (_ string, err error) {
	err = b.Home.State.Exclusively(ctx, WorkNode, progress, func() error {
		o := b.nodeOptions(progress)
		if b.base, err = b.Tools.Base(ctx, o); err != nil {
			return err
		}
		if !release.Of(b.Config.ClusterAPI.Version).HAProxyTemplate {
			b.base.LoadBalancer, err = b.Tools.Bound(ctx, b.base.LoadBalancer, o)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return "from " + b.base.Origin, nil
}

func (b *BringUp) compile(ctx context.Context, progress func(string)) (string, error) {
	programs := b.programs(b.tree, b.Info.Arch())
	byName := programs.Requests()
	var requests []build.Request
	for _, name := range programs.Programs() {
		requests = append(requests, byName[name])
	}
	cached, err := b.build(ctx, requests, progress)
	if err != nil {
		return "", err
	}
	if own, ok := byName[build.Clusterctl]; ok {
		err = b.Home.KeepClusterctl(release.Of(b.Config.ClusterAPI.Version), own.Output)
	}
	return fmt.Sprintf("%d built, %d up to date", len(requests)-cached, cached), err
}

// clusterctl returns the clusterctl for the release of the settings.
func (b *BringUp) clusterctl(ctx context.Context, progress func(string)) (capi.Clusterctl, error) {
	o := b.Home.ClusterctlOptions(release.Of(b.Config.ClusterAPI.Version))
	o.Runner, o.Progress = b.Runner, progress
	return b.Tools.Clusterctl(ctx, o)
}

// build compiles programs, and returns how many were up to date.
func (b *BringUp) build(ctx context.Context, requests []build.Request, progress func(string)) (cached int, err error) {
	err = b.Home.State.Exclusively(ctx, workCompile, progress, func() error {
		cached, err = b.Tools.Compile(ctx, requests, build.Options{Runner: b.Runner, Progress: progress, Warn: b.Warn})
		return err
	})
	return cached, err
}

func (b *BringUp) render(ctx context.Context, _ func(string)) (string, error) {
	manifest, err := b.cluster().Manifest()
	if err != nil {
		return "", err
	}
	objects, err := kube.Decode(manifest)
	if err != nil {
		return "", err
	}
	b.repo, err = b.Tools.Render(ctx, repository.Options{
		Tree: b.tree.Dir, Version: b.Config.ClusterAPI.Version, Dir: b.Home.Repository(), CertManager: b.Config.CertManager, Objects: objects,
	})
	if errors.As(err, new(*repository.MisfitError)) {
		return "", fmt.Errorf("%w, which the cluster of release %s needs; set CAPI_VERSION to the release that the tree is based on", err, b.Config.ClusterAPI.Tag())
	}
	return "", err
}

// assembleManagers assembles the managers' images from their binaries.
func (b *BringUp) assembleManagers() (err error) {
	requests := b.programs(b.tree, b.Info.Arch()).Requests()
	b.managers = map[string]v1.Image{}
	for _, p := range b.repo.Providers {
		user := "65532" // unprivileged, as in upstream's images
		if p.Program == build.Docker {
			user = "" // it opens the engine's socket
		}
		commands := map[string]string{}
		if cli, ok := requests[build.DockerCLI]; ok && p.Program == build.Docker {
			commands["/usr/bin/docker"] = cli.Output
		}
		if b.managers[p.Image], err = b.Tools.Assemble(b.Info.Arch(), requests[p.Program].Output, user, commands); err != nil {
			return err
		}
	}
	return nil
}

func (b *BringUp) bake(ctx context.Context, progress func(string)) (_ string, err error) {
	if err := b.assembleManagers(); err != nil {
		return "", err
	}
	b.image, err = b.bakeWith(ctx, b.managers, progress)
	return b.image, err
}

// bakeWith returns the node image with those managers in it.
func (b *BringUp) bakeWith(ctx context.Context, managers map[string]v1.Image, progress func(string)) (ref string, err error) {
	err = b.Home.State.Exclusively(ctx, WorkNode, progress, func() error {
		ref, err = b.Tools.Bake(ctx, b.base.Node, managers, b.nodeOptions(progress))
		return err
	})
	return ref, err
}
