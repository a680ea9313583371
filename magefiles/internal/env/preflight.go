package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/source"
)

// Free disk that an environment needs, in bytes: builds and images the first
// time, containers after that.
const (
	diskFirst = 10 << 30
	diskAfter = 3 << 30
)

const probeImage = "caslab.local/probe:1"

// preflight refuses what cannot work, before anything is made.
func (l *Lab) preflight(ctx context.Context) (engine.Info, error) {
	if err := l.cfg.CheckEnvironment(); err != nil {
		return engine.Info{}, err
	}
	info, err := l.engine.Info(ctx)
	if err != nil {
		return info, err
	}
	if info.OSType != "linux" {
		return info, fmt.Errorf("the engine runs %s containers; switch it to linux containers", info.OSType)
	}
	if err := l.checkDisk(info); err != nil {
		return info, err
	}
	if _, _, err := l.containers(ctx); err != nil {
		return info, err
	}
	if err := source.Check(ctx, l.clusterAPI(), l.sourceOptions(nil)); err != nil {
		return info, err
	}
	return info, l.checkPrivileged(ctx, info)
}

// checkDisk looks where the engine keeps its data, if that is on this machine,
// and where the lab does.
func (l *Lab) checkDisk(info engine.Info) error {
	need := int64(diskFirst)
	if _, err := os.Stat(l.path("bin", "cluster-api")); err == nil {
		need = diskAfter
	}
	for _, dir := range []string{info.DockerRootDir, l.cfg.Root} {
		free, err := freeDisk(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue // the engine is on another machine, or in its own
		}
		if err != nil {
			return fmt.Errorf("look for free disk at %s: %w", dir, err)
		}
		if free < need {
			return fmt.Errorf("%s has %.1f GiB free and the environment needs %d GiB; free some, for example with `docker system prune`", dir, float64(free)/(1<<30), need>>30)
		}
	}
	return nil
}

// freeDisk returns the bytes that a user may still write to dir's file system.
func freeDisk(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

// checkPrivileged starts a privileged container, which is the only proof that
// nodes will start. Its image is a program of ours that does nothing.
func (l *Lab) checkPrivileged(ctx context.Context, info engine.Info) error {
	if err := l.ensureProbe(ctx, info); err != nil {
		return err
	}
	id, err := l.engine.Run(ctx, "--privileged", "--network=none", probeImage)
	if id != "" {
		defer func() { _ = l.engine.Remove(context.WithoutCancel(ctx), id) }()
	}
	if err != nil {
		return fmt.Errorf("the engine starts no privileged container, and a node is one: %w\nrun scripts/docker-engine.sh as root, or `go tool mage env:doctor` for the cause", err)
	}
	return nil
}

func (l *Lab) ensureProbe(ctx context.Context, info engine.Info) error {
	if _, ok, err := l.engine.ImageID(ctx, probeImage); err != nil || ok {
		return err
	}
	r := build.Request{
		Dir: filepath.Join(l.cfg.Root, "magefiles", "components", "nodetools"), Packages: []string{"./pause"},
		Output: l.path("bin", "probe"), Arch: info.Arch(),
	}
	if _, err := build.Build(ctx, r, build.Options{Runner: l.runner}); err != nil {
		return err
	}
	probe, err := image.Assemble(image.Spec{
		Arch: info.Arch(), Entrypoint: []string{"/pause"},
		Files: []image.File{{Path: "/pause", Source: r.Output, Mode: 0o755}},
	})
	if err != nil {
		return err
	}
	return l.engine.LoadImages(ctx, map[string]v1.Image{probeImage: probe})
}
