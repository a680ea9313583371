// Package node provides the images that the containers of a cluster run: the node
// image, which contains the managers, and the load balancer's.
//
// Both come from a registry or are built here, from Debian packages and Go
// modules. The node image is pinned by digest for the versions of Kubernetes whose
// digests upstream publishes, and by its tag for all others. The load balancer's
// image is pinned by its tag, because upstream publishes no digest.
package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
)

// Origins of the node image.
const (
	Auto     = "auto"
	Registry = "registry"
	Source   = "source"
)

// repository names the images that the lab builds. No registry has that name.
const repository = "caslab.local"

// Options of Base and Bake.
type Options struct {
	// Origin is Auto, Registry or Source.
	Origin string
	// Kubernetes is the version with a leading v.
	Kubernetes string
	// LoadBalancer is the image to pull from a registry; it is not needed for Source.
	LoadBalancer release.LoadBalancer
	// Arch is the engine's architecture, as Go names it.
	Arch string
	// Root is the root of the lab's checkout. StateDir is the folder for build
	// results.
	Root, StateDir string
	// Mirror, if not empty, is a registry that is asked instead of the images' own.
	Mirror string

	Engine *engine.Engine
	Runner run.Runner
	// EngineID is the engine's own name for itself. It may be empty.
	EngineID string
	// Progress, if not nil, gets what is being done.
	Progress func(string)
	// Warn, if not nil, says that something is not as the lab made it, and is made again.
	Warn func(format string, args ...any)
}

func (o Options) progress(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

func (o Options) warn(format string, args ...any) {
	if o.Warn != nil {
		o.Warn(format, args...)
	}
}

// Images are the images that nodes and load balancers run.
type Images struct {
	// Node is the reference of the node image.
	Node string
	// LoadBalancer is the image in front of API servers.
	LoadBalancer release.LoadBalancer
	// Origin is Registry or Source. Why is the reason.
	Origin, Why string
	// OwnNetwork is set if the network manifest in the node image is the lab's, not
	// kind's.
	OwnNetwork bool
}

// Base builds or pulls the node image without managers, and the load balancer's. An image that is not
// the one that was built or pulled before is replaced.
func Base(ctx context.Context, o Options) (Images, error) {
	switch o.Origin {
	case Registry:
		return fromRegistry(ctx, o)
	case Source:
		return fromSource(ctx, o, "asked for")
	}
	images, err := fromRegistry(ctx, o)
	if err == nil || ctx.Err() != nil {
		return images, err
	}
	if cannot := CanBuild(ctx, o); cannot != nil {
		return Images{}, errors.Join(err, cannot)
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	o.progress("no registry has it: building it here")
	return fromSource(ctx, o, "no registry has it: "+line)
}

// Has reports whether the engine has a node image of that Kubernetes: built, pulled, or
// pulled by its digest for kind.
func Has(ctx context.Context, o Options) bool {
	// docker's filter takes patterns.
	refs := []string{
		fmt.Sprintf("%s/node-base:%s-*", repository, o.Kubernetes), fmt.Sprintf("%s/node-pulled:%s-*", repository, o.Kubernetes),
	}
	if digest, ok := nodeDigests[o.Kubernetes]; ok && o.Origin != Source {
		refs = append(refs, "kindest/node@"+digest)
	}
	return slices.ContainsFunc(refs, func(ref string) bool {
		_, ok, err := o.Engine.ImageID(ctx, ref)
		return err == nil && ok
	})
}

// Usually returns how long Base usually takes on 2 cores.
func Usually(ctx context.Context, o Options) time.Duration {
	if Has(ctx, o) {
		return 2 * time.Second
	}
	// An estimate is not worth a long wait.
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if o.Origin == Registry || o.Origin == Auto && RegistryAnswers(ctx, o) == nil {
		return time.Minute
	}
	return 15 * time.Minute
}

// buildPrefix begins the names of the checkout's build containers; stateDir is the
// checkout's state. A label would not do: a committed image has the labels of its
// container, so every node would count as a build container.
func buildPrefix(stateDir string) (string, error) {
	id, err := state.Dir(stateDir).ID()
	return "caslab-build-" + id + "-", err
}

// RemoveLeftovers removes the build containers that killed runs of a checkout left
// in the engine; stateDir is the checkout's state. The caller holds the lock of
// builds.
func RemoveLeftovers(ctx context.Context, e *engine.Engine, stateDir string) error {
	prefix, err := buildPrefix(stateDir)
	if err != nil {
		return err
	}
	left, err := e.Named(ctx, prefix)
	if err != nil {
		return err
	}
	var ids []string
	for _, c := range left {
		ids = append(ids, c.ID)
	}
	return e.Remove(ctx, ids...)
}

// MissingImageError is returned when the engine has no node image Ref.
type MissingImageError struct{ Ref string }

func (e *MissingImageError) Error() string {
	return fmt.Sprintf("the engine has no image %s", e.Ref)
}

// Bake adds the managers, by reference, to a node image, so that every node of a
// cluster can run them, and the script that prepares the cgroups of its kubelet. It
// returns the new image's reference. The tag is a digest of the content, and an existing
// image is not built again. There may be no managers.
func Bake(ctx context.Context, base string, managers map[string]v1.Image, o Options) (string, error) {
	v, err := version.NewSemver(strings.TrimPrefix(o.Kubernetes, "v"))
	if err != nil {
		return "", fmt.Errorf("Kubernetes version %q: %w", o.Kubernetes, err)
	}
	cgroups := cgroupScript(release.OfKubernetes(v))
	id, ok, err := o.Engine.ImageID(ctx, base)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", &MissingImageError{Ref: base}
	}
	h := sha256.New()
	fmt.Fprintln(h, id)
	fmt.Fprintln(h, cgroups)
	for _, ref := range slices.Sorted(maps.Keys(managers)) {
		digest, err := managers[ref].ConfigName()
		if err != nil {
			return "", fmt.Errorf("digest of %s: %w", ref, err)
		}
		fmt.Fprintln(h, ref, digest)
	}
	baked := fmt.Sprintf("%s/node:%s-%s", repository, o.Kubernetes, hex.EncodeToString(h.Sum(nil))[:12])
	if ok, err := o.has(ctx, baked); err != nil || ok {
		return baked, err
	}
	o.progress("importing %d managers", len(managers))
	return baked, derive(ctx, base, baked, o, func(c *container) error {
		if err := c.prepareKubelet(ctx, cgroups); err != nil || len(managers) == 0 {
			return err
		}
		return c.importImages(ctx, managers)
	})
}

// container is a running build container.
type container struct {
	id     string
	engine *engine.Engine
}

func (c *container) sh(ctx context.Context, script string) (string, error) {
	res, err := c.engine.Exec(ctx, c.id, nil, "bash", "-c", "set -eu\n"+script)
	return string(res.Stdout), err
}

// derive runs a container of the image base, starts its container runtime, calls
// change with it, and commits it as the image ref.
func derive(ctx context.Context, base, ref string, o Options, change func(*container) error) (err error) {
	if err := RemoveLeftovers(ctx, o.Engine, o.StateDir); err != nil {
		return fmt.Errorf("build %s: %w", ref, err)
	}
	prefix, err := buildPrefix(o.StateDir)
	if err != nil {
		return fmt.Errorf("build %s: %w", ref, err)
	}
	// Privileged, so that the container has the same capabilities as a node.
	id, err := o.Engine.Run(ctx, prefix+state.ShortSum(ref), "--privileged", "--network=none", "--entrypoint=sleep", base, "infinity")
	if err != nil {
		return fmt.Errorf("build %s: %w", ref, err)
	}
	defer func() { err = errors.Join(err, o.Engine.CleanUp(ctx, id)) }()
	c := &container{id: id, engine: o.Engine}
	if _, err := c.sh(ctx, startRuntime); err != nil {
		return fmt.Errorf("start containerd to build %s: %w", ref, err)
	}
	if err := change(c); err != nil {
		return fmt.Errorf("build %s: %w", ref, err)
	}
	if _, err := c.sh(ctx, stopRuntime); err != nil {
		return fmt.Errorf("build %s: %w", ref, err)
	}
	o.progress("committing %s", ref)
	err = o.Engine.Commit(ctx, id, ref,
		`ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]`, "CMD []")
	if err != nil {
		return err
	}
	return o.keep(ctx, ref)
}

// ReadFile returns the content of a file in the image ref.
func ReadFile(ctx context.Context, ref, path string, o Options) (_ []byte, err error) {
	prefix, err := buildPrefix(o.StateDir)
	if err != nil {
		return nil, fmt.Errorf("read %s in %s: %w", path, ref, err)
	}
	id, err := o.Engine.Run(ctx, prefix+state.ShortSum(ref), "--network=none", "--entrypoint=sleep", ref, "infinity")
	if err != nil {
		return nil, fmt.Errorf("read %s in %s: %w", path, ref, err)
	}
	defer func() { err = errors.Join(err, o.Engine.CleanUp(ctx, id)) }()
	return o.Engine.ReadFile(ctx, id, path)
}

const startRuntime = `
nohup containerd >/tmp/containerd.log 2>&1 &
for i in $(seq 100); do
  if [ -S /run/containerd/containerd.sock ] && ctr version >/dev/null 2>&1; then exit 0; fi
  sleep 0.1
done
tail -n 20 /tmp/containerd.log >&2
exit 1
`

const stopRuntime = `
pkill -x containerd
for i in $(seq 100); do
  pgrep -x containerd >/dev/null || break
  sleep 0.1
done
rm -rf /tmp/containerd.log /run/containerd/*
`

// importImages imports images into the container's runtime, as kind does. They are
// unpacked when they are first used.
func (c *container) importImages(ctx context.Context, images map[string]v1.Image) error {
	help, err := c.sh(ctx, "ctr images import --help")
	if err != nil {
		return err
	}
	command := []string{"ctr", "--namespace=k8s.io", "images", "import"}
	// Pinned images are not deleted when the disk is full. ctr of containerd 1 cannot pin
	// what it imports.
	if strings.Contains(help, "--label") {
		command = append(command, "--label=io.cri-containerd.pinned=pinned")
	}
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(image.Archive(writer, images)) }()
	_, err = c.engine.Exec(ctx, c.id, reader, append(command, "--all-platforms", "--no-unpack", "-")...)
	// Close the reader, so that the writer does not wait for it for ever.
	return errors.Join(err, reader.Close())
}

// adaptRuntime adapts the runtime's configuration to the engine: without
// CAP_SYS_RESOURCE no process may lower its oom_score_adj.
const adaptRuntime = `
bounding=$((0x$(awk '/^CapBnd:/ { print $2 }' /proc/1/status)))
if [ $((bounding >> 24 & 1)) -eq 0 ]; then
  sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' /etc/containerd/config.toml
fi
`

// pauseImage prints the image with which the runtime starts every pod.
const pauseImage = `sed -nE 's/^ *sandbox(_image)? *= *"([^"]+)".*/\2/p' /etc/containerd/config.toml | head -n 1`

// fileDigest adds a file's name and content to h.
func fileDigest(h io.Writer, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(h, "%s %d\n%s", filepath.Base(path), len(data), data)
	return err
}

func lines(data []byte) []string {
	var all []string
	for line := range bytes.Lines(data) {
		all = append(all, strings.TrimSpace(string(line)))
	}
	return all
}

// Load imports images, by their references, into a running node.
func Load(ctx context.Context, e *engine.Engine, node string, images map[string]v1.Image) error {
	return (&container{id: node, engine: e}).importImages(ctx, images)
}
