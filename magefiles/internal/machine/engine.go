package machine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/state"
)

// memoryNeeded is the memory of an engine, in bytes, below which there is a warning.
const memoryNeeded = 4 << 30

// EngineFindings returns the findings about the engine. It starts a privileged
// container for a moment if the engine is suitable.
func (m Machine) EngineFindings(ctx context.Context, info engine.Info) []Finding {
	privileged := Suitable(info)
	if privileged == nil {
		privileged = m.CheckPrivileged(ctx, info, ProbeDoctor)
	}
	cgroup := Finding{Check: "cgroup", Verdict: OK, Found: "v" + info.CgroupVersion}
	if info.CgroupVersion == "1" {
		cgroup.Verdict = Note
		cgroup.Found = "v1: the kubelets of nodes since Kubernetes 1.35 run on it because the lab sets failCgroupV1 to false; a later Kubernetes will want v2"
	}
	memory := fmt.Sprintf("%.1f GiB", gibibytes(info.MemTotal))
	var little error
	if info.MemTotal < memoryNeeded {
		little = errors.New(memory + " for the engine")
	}
	free, where, tooLittle := m.disk(info)
	disk := "on another machine, as the engine's data"
	if where != "" {
		disk = fmt.Sprintf("%.1f GiB free at %s, and %d GiB needed", gibibytes(free), where, m.diskNeeded()>>30)
	}
	return []Finding{
		{Check: "engine", Verdict: OK, Found: fmt.Sprintf("Docker %s on %s, %s, %d CPUs", info.ServerVersion, info.OperatingSystem, info.Architecture, info.NCPU)},
		Judge("privileged containers", "can be started", privileged, Failure, "run scripts/docker-engine.sh as root; a rootless or restricted engine will not do"),
		cgroup,
		Judge("memory", memory, little, Warning, "an environment takes about 3 GiB, and each further node 110 MiB; give the engine more"),
		Judge("disk", disk, tooLittle, Failure, removeOldImages+", docker image prune, docker builder prune, or a larger disk"),
	}
}

// Suitable refuses an engine that cannot run nodes.
func Suitable(info engine.Info) error {
	if info.OSType != "linux" {
		return fmt.Errorf("the engine runs %s containers; switch it to linux containers", info.OSType)
	}
	if info.Rootless() {
		return errors.New("the engine is rootless, and nodes need devices and limits that it may not give; point docker to one that runs as root, with `docker context use default` or DOCKER_HOST, or run scripts/docker-engine.sh as root where there is none")
	}
	return nil
}

// CheckVersions refuses releases that cannot run on the engine, because the
// Docker provider does not support its API or the kubelet does not support its
// cgroups.
func (m Machine) CheckVersions(ctx context.Context, info engine.Info) error {
	// An engine that does not report its oldest API accepts every one.
	minAPI, err := m.Engine.MinAPI(ctx)
	if err == nil && !m.ClusterAPI.Speaks(minAPI) {
		cure := "start dockerd with DOCKER_MIN_API_VERSION=" + m.ClusterAPI.MaxEngineAPI + " in its environment"
		if near, ok := m.ClusterAPI.Nearest(func(r release.Release) bool { return r.Speaks(minAPI) }); ok {
			cure = fmt.Sprintf("set CAPI_VERSION=v%s, or %s", near.Version, cure)
		}
		return fmt.Errorf("the engine, Docker %s, accepts its API from version %s on, and the Docker provider of Cluster API v%s speaks it up to %s; %s",
			info.ServerVersion, minAPI, m.ClusterAPI.Version, m.ClusterAPI.MaxEngineAPI, cure)
	}
	if info.CgroupVersion == "2" && !m.Kubernetes.CgroupV2 {
		instead := "v" + release.FirstKubernetes(knowsCgroupV2) + " or later"
		if near, ok := m.ClusterAPI.KubernetesThat(knowsCgroupV2); ok {
			instead = near
		}
		return fmt.Errorf("the engine has cgroup v2, which the kubelet of Kubernetes v%s does not know; set KUBERNETES_VERSION=%s, or boot the engine's machine with systemd.unified_cgroup_hierarchy=0", m.Kubernetes.Version, instead)
	}
	return context.Cause(ctx)
}

func knowsCgroupV2(k release.Kubernetes) bool { return k.CgroupV2 }

const probeImage = "caslab.local/probe:1"

// Commands that start a probe. Each has its own container, so that they do not
// disturb each other.
const (
	ProbeUp     = "up"
	ProbeDoctor = "doctor"
)

// probeName returns the name of the probe container that who starts for the
// environment.
func (m Machine) probeName(who string) string {
	return fmt.Sprintf("caslab-probe-%s-%s-%s", state.ShortSum(string(m.State)), m.Environment, who)
}

// CheckPrivileged starts a privileged container. Nothing else proves that nodes will
// start. The container runs a program that does nothing. who is one of the Probe
// constants.
func (m Machine) CheckPrivileged(ctx context.Context, info engine.Info, who string) error {
	if err := m.ensureProbe(ctx, info); err != nil {
		return err
	}
	id, err := m.Engine.Run(ctx, m.probeName(who), "--privileged", "--network=none", probeImage)
	switch {
	case err == nil:
		return m.Engine.CleanUp(ctx, id)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return fmt.Errorf("the engine starts no privileged container, which every node needs: %w\nrun scripts/docker-engine.sh as root, or `go tool mage env:doctor` to see the cause", err)
}

// RemoveProbes removes the containers that a killed CheckPrivileged left.
func (m Machine) RemoveProbes(ctx context.Context) error {
	return m.Engine.Remove(ctx, m.probeName(ProbeUp), m.probeName(ProbeDoctor))
}

func (m Machine) ensureProbe(ctx context.Context, info engine.Info) error {
	if _, ok, err := m.Engine.ImageID(ctx, probeImage); err != nil || ok {
		return err
	}
	r := build.Request{
		Dir: filepath.Join(m.Root, "magefiles", "components", "nodetools"), Packages: []string{"./pause"},
		Output: m.State.Path("bin", "probe"), Arch: info.Arch(),
	}
	if _, err := build.Build(ctx, r, build.Options{Runner: m.Runner}); err != nil {
		return err
	}
	probe, err := image.Assemble(image.Spec{
		Arch: info.Arch(), Entrypoint: []string{"/pause"},
		Files: []image.File{{Path: "/pause", Source: r.Output, Mode: 0o755}},
	})
	if err != nil {
		return err
	}
	return m.Engine.LoadImages(ctx, map[string]v1.Image{probeImage: probe})
}
