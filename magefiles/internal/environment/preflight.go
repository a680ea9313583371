package environment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/node"
)

// Free disk that an environment needs, in bytes: the first time for builds and
// images, later for containers.
const (
	diskFirst = 10 << 30
	diskAfter = 3 << 30
)

const probeImage = "caslab.local/probe:1"

// Commands that start a probe. Each has a container of its own, so that they do not
// disturb each other.
const (
	probeUp     = "up"
	probeDoctor = "doctor"
)

// probeName returns the name of the probe container that who starts for this
// environment.
func (e *Environment) probeName(who string) string {
	return fmt.Sprintf("caslab-probe-%s-%s-%s", lab.ShortSum(e.Config.StateDir()), e.Config.ClusterName, who)
}

// askEngine returns what the engine says about itself. It refuses an engine that
// cannot run nodes.
func (e *Environment) askEngine(ctx context.Context) (info engine.Info, err error) {
	step := e.Log.Start("ask the Docker engine", 0)
	defer func() { step.Done(info.ServerVersion, err) }()
	if info, err = e.engine.Info(ctx); err != nil {
		return info, err
	}
	return info, suitable(info)
}

func suitable(info engine.Info) error {
	if info.OSType != "linux" {
		return fmt.Errorf("the engine runs %s containers; switch it to linux containers", info.OSType)
	}
	if info.Rootless() {
		return errors.New("the engine is rootless, and nodes need devices and limits that it may not give; point docker to one that runs as root, with `docker context use default` or DOCKER_HOST, or run scripts/docker-engine.sh as root where there is none")
	}
	return nil
}

// preflight refuses what cannot work, before anything is created.
func (e *Environment) preflight(ctx context.Context, info engine.Info) (err error) {
	step := e.Log.Start("check the machine", 5*time.Second)
	defer func() { step.Done("", err) }()
	step.Progress("disk")
	if _, _, err := e.checkDisk(info); err != nil {
		return err
	}
	step.Progress("where Cluster API comes from")
	if err := e.tools.check(ctx, e.ClusterAPI()); err != nil {
		return err
	}
	if e.Config.NodeImage == config.NodeImageSource {
		step.Progress("what the node image is built with")
		if err := node.CanBuild(ctx, e.nodeOptions(info.Arch(), nil)); err != nil {
			return fmt.Errorf("NODE_IMAGE=%s: %w", e.Config.NodeImage, err)
		}
	}
	step.Progress("a privileged container")
	return e.checkPrivileged(ctx, info, probeUp)
}

// checkDisk looks for free disk where the engine keeps its data, if that is on
// this machine, and where the lab does. It returns the least that is free, in
// bytes, and where that is, and an error if it is too little.
func (e *Environment) checkDisk(info engine.Info) (least int64, where string, err error) {
	for _, dir := range []string{info.DockerRootDir, e.Config.Root} {
		free, err := e.freeDisk(dir)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			continue // the engine is on another machine, in its own, or keeps its data from us
		}
		if err != nil {
			return 0, "", fmt.Errorf("look for free disk at %s: %w", dir, err)
		}
		if where == "" || free < least {
			least, where = free, dir
		}
	}
	if need := e.diskNeeded(); where != "" && least < need {
		return least, where, fmt.Errorf("%s has %.1f GiB free and the environment needs %d GiB; free some: `%s` removes images that the lab built and does not use, to be built again when needed, `docker image prune` and `docker builder prune` what nobody uses", where, gibibytes(least), need>>30, removeOldImages)
	}
	return least, where, nil
}

func gibibytes(n int64) float64 { return float64(n) / (1 << 30) }

// diskNeeded returns the free disk that the environment needs, in bytes. It is less
// once Cluster API was built.
func (e *Environment) diskNeeded() int64 {
	if _, err := os.Stat(e.State.Path("bin", "cluster-api")); err == nil {
		return diskAfter
	}
	return diskFirst
}

// removeOldImages is the command that removes those of the lab's images that no
// container uses.
const removeOldImages = "docker image rm $(docker image ls --format '{{.Repository}}:{{.Tag}}' 'caslab.local/*')"

// freeDisk returns the bytes that a user may still write to dir's file system.
func freeDisk(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // of other types on other systems
}

// checkPrivileged starts a privileged container. Nothing else proves that nodes will
// start. The container runs a program that does nothing.
func (e *Environment) checkPrivileged(ctx context.Context, info engine.Info, who string) error {
	if err := e.ensureProbe(ctx, info); err != nil {
		return err
	}
	id, err := e.engine.Run(ctx, e.probeName(who), "--privileged", "--network=none", probeImage)
	switch {
	case err == nil:
		ctx, cancel := interrupt.Cleanup(ctx, time.Minute)
		defer cancel()
		return e.engine.Remove(ctx, id)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("the engine starts no privileged container, and a node is one: %w\nrun scripts/docker-engine.sh as root, or `go tool mage env:doctor` for the cause", err)
}

func (e *Environment) ensureProbe(ctx context.Context, info engine.Info) error {
	if _, ok, err := e.engine.ImageID(ctx, probeImage); err != nil || ok {
		return err
	}
	r := build.Request{
		Dir: filepath.Join(e.Config.Root, "magefiles", "components", "nodetools"), Packages: []string{"./pause"},
		Output: e.State.Path("bin", "probe"), Arch: info.Arch(),
	}
	if _, err := build.Build(ctx, r, build.Options{Runner: e.Runner}); err != nil {
		return err
	}
	probe, err := image.Assemble(image.Spec{
		Arch: info.Arch(), Entrypoint: []string{"/pause"},
		Files: []image.File{{Path: "/pause", Source: r.Output, Mode: 0o755}},
	})
	if err != nil {
		return err
	}
	return e.engine.LoadImages(ctx, map[string]v1.Image{probeImage: probe})
}
