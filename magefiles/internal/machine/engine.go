package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/run"
)

// EngineChecks returns the checks of an engine that answers. They start no container.
func (m Machine) EngineChecks(info engine.Info) []Check {
	judge := func(name, found string, check func(ctx context.Context) error) Check {
		return Check{Name: name, Find: func(ctx context.Context) Finding {
			return Judge(name, found, check(ctx), Failure, "")
		}}
	}
	about := fmt.Sprintf("Docker %s on %s, %s, %d CPUs", info.ServerVersion, info.OperatingSystem, info.Architecture, info.NCPU)
	return []Check{
		judge("engine", about, func(ctx context.Context) error { return m.checkEngine(ctx, info) }),
		judge("engine's place", "this machine", m.CheckEndpoint),
		{Name: "cgroup", Find: func(context.Context) Finding { return m.cgroup(info) }},
		{Name: "image store", Find: func(context.Context) Finding { return imageStore(info) }},
		{Name: "memory", Find: func(context.Context) Finding { return m.memory(info) }},
		{Name: "disk", Find: func(context.Context) Finding { return m.disk(info) }},
		{Name: string(InotifyInstances), Find: func(context.Context) Finding { return m.limit(info, InotifyInstances) }},
		{Name: string(InotifyWatches), Find: func(context.Context) Finding { return m.limit(info, InotifyWatches) }},
		{Name: string(OpenFiles), Find: func(context.Context) Finding { return m.limit(info, OpenFiles) }},
		{Name: "network", Find: m.network},
		{Name: "proxy", Find: func(context.Context) Finding { return m.proxy(info) }},
	}
}

// PrivilegedCheck starts a privileged container for a moment, if the engine is suitable.
// who is one of the Probe constants.
func (m Machine) PrivilegedCheck(info engine.Info, who string) Check {
	const name = "privileged containers"
	return Check{Name: name, Find: func(ctx context.Context) Finding {
		err := Suitable(info)
		if err == nil {
			err = m.CheckPrivileged(ctx, info, who)
		}
		return Judge(name, "can be started, with the engine's socket in them", err, Failure, "run scripts/docker-engine.sh as root")
	}}
}

// ownEngine says how to get an engine that runs nodes.
const ownEngine = "point docker to an engine that runs as root on this machine (docker context use default, or unset DOCKER_HOST), or run scripts/docker-engine.sh as root where there is none"

// Suitable refuses an engine that cannot run nodes, by what it says about itself.
func Suitable(info engine.Info) error {
	if info.PodmanCommand() {
		return &problem{"the command docker is Podman's, and the Docker provider of Cluster API needs the API of a Docker engine", "install Docker; " + ownEngine}
	}
	if info.OSType != "linux" {
		return &problem{fmt.Sprintf("the engine runs %s containers", info.OSType), "switch it to linux containers"}
	}
	if info.Rootless() {
		return &problem{"the engine is rootless, and nodes need devices and limits that it may not give", ownEngine}
	}
	return nil
}

// checkEngine refuses an unsuitable engine, and Podman that answers as Docker would.
func (m Machine) checkEngine(ctx context.Context, info engine.Info) error {
	if err := Suitable(info); err != nil {
		return err
	}
	// An engine that does not report its components is taken for Docker.
	server, err := m.Engine.Server(ctx)
	if version, is := server.Podman(); err == nil && is {
		return &problem{fmt.Sprintf("the engine is Podman %s, and nodes, networks and mounts of the Docker provider of Cluster API need a Docker engine", version), ownEngine}
	}
	return context.Cause(ctx)
}

// CheckEndpoint refuses an engine on another machine.
func (m Machine) CheckEndpoint(ctx context.Context) error {
	endpoint := m.Engine.Endpoint(ctx)
	u, err := url.Parse(endpoint)
	if err != nil || slices.Contains([]string{"", "unix", "npipe", "fd"}, u.Scheme) {
		return context.Cause(ctx)
	}
	if isLoopback(u.Hostname()) {
		return context.Cause(ctx)
	}
	return &problem{
		fmt.Sprintf("docker reaches the engine at %s, on another machine; the lab reaches its clusters at 127.0.0.1, where that engine publishes nothing", redact.URL(endpoint)),
		"run the lab on that machine, or " + ownEngine,
	}
}

func (m Machine) cgroup(info engine.Info) Finding {
	if info.CgroupVersion == "1" && m.Kubernetes.RefusesCgroupV1 {
		return Finding{Check: "cgroup", Verdict: Note, Found: fmt.Sprintf("v1: the kubelet of Kubernetes v%s runs on it only because the lab sets failCgroupV1 to false; a later Kubernetes may need v2", m.Kubernetes.Version)}
	}
	return Finding{Check: "cgroup", Verdict: OK, Found: "v" + info.CgroupVersion}
}

// imageStore judges where the engine has its images. The lab loads archives of images, tags
// them, commits containers and looks images up by name. It never compares an image ID with
// a digest that it computed, because image IDs are digests of manifests in containerd's
// store, and of configurations in the engine's own.
func imageStore(info engine.Info) Finding {
	if info.ContainerdStore() {
		return Finding{Check: "image store", Verdict: OK, Found: "containerd's"}
	}
	return Finding{Check: "image store", Verdict: OK, Found: "the engine's own"}
}

// CheckVersions refuses releases that cannot run on the engine, because the
// Docker provider does not support its API or the kubelet does not support its
// cgroups.
func (m Machine) CheckVersions(ctx context.Context, info engine.Info) error {
	// An engine that does not report its oldest API accepts every one.
	server, err := m.Engine.Server(ctx)
	if minAPI := server.MinAPIVersion; err == nil && !m.ClusterAPI.Speaks(minAPI) {
		cure := "start dockerd with DOCKER_MIN_API_VERSION=" + m.ClusterAPI.MaxEngineAPI + " in its environment"
		if near, ok := m.ClusterAPI.Nearest(func(r release.Release) bool { return r.Speaks(minAPI) }); ok {
			cure = fmt.Sprintf("set CAPI_VERSION=v%s, or %s", near.Version, cure)
		}
		return &problem{fmt.Sprintf("the engine, Docker %s, accepts versions of its API from %s on, and the Docker provider of Cluster API v%s uses versions up to %s",
			info.ServerVersion, minAPI, m.ClusterAPI.Version, m.ClusterAPI.MaxEngineAPI), cure}
	}
	if info.CgroupVersion == "2" && !m.Kubernetes.CgroupV2 {
		instead := "v" + release.FirstKubernetes(knowsCgroupV2) + " or later"
		if near, ok := m.ClusterAPI.KubernetesThat(knowsCgroupV2); ok {
			instead = near
		}
		return &problem{fmt.Sprintf("the engine has cgroup v2, which the kubelet of Kubernetes v%s does not know", m.Kubernetes.Version),
			fmt.Sprintf("set KUBERNETES_VERSION=%s, or boot the engine's machine with systemd.unified_cgroup_hierarchy=0", instead)}
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
func (m Machine) probeName(who string) (string, error) {
	id, err := m.State.ID()
	return fmt.Sprintf("caslab-probe-%s-%s-%s", id, m.Environment, who), err
}

// socketMount mounts the engine's socket, as in every node. --mount fails if the socket
// does not exist, and --volume would create a folder.
const socketMount = "--mount=type=bind,source=/var/run/docker.sock,target=/var/run/docker.sock"

// CheckPrivileged starts a privileged container. Nothing else proves that nodes will
// start. The container runs a program that does nothing. who is one of the Probe
// constants.
func (m Machine) CheckPrivileged(ctx context.Context, info engine.Info, who string) error {
	if err := m.ensureProbe(ctx, info); err != nil {
		return err
	}
	name, err := m.probeName(who)
	if err != nil {
		return err
	}
	id, err := m.Engine.Run(ctx, name, "--privileged", "--network=none", socketMount, probeImage)
	switch {
	case err == nil:
		return m.Engine.CleanUp(ctx, id)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case namesSocket(err):
		return &problem{"the engine's machine has no socket /var/run/docker.sock, through which managers in nodes create further nodes: " + oneLine(err),
			"let dockerd listen at unix:///var/run/docker.sock too, which is its default"}
	}
	return fmt.Errorf("the engine starts no privileged container, which every node needs: %w\nrun scripts/docker-engine.sh as root, or `go tool mage env:doctor` to see the cause", err)
}

// namesSocket reports whether docker complains about the mount of the socket.
func namesSocket(err error) bool {
	failed := new(run.Error)
	return errors.As(err, &failed) && bytes.Contains(failed.Output, []byte("docker.sock"))
}

// RemoveProbes removes the containers that a killed CheckPrivileged left.
func (m Machine) RemoveProbes(ctx context.Context) error {
	var names []string
	for _, who := range []string{ProbeUp, ProbeDoctor} {
		name, err := m.probeName(who)
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	return m.Engine.Remove(ctx, names...)
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
