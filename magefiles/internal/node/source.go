package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
	"caslab/manifests"
)

// revision is part of the images' tags. Raise it when this package builds them in
// another way.
const revision = "2"

const (
	kindModule = "sigs.k8s.io/kind"
	cnidImage  = repository + "/cnid:v1"
	// kubernetesFolder is the folder of magefiles/components with the pinned Kubernetes.
	kubernetesFolder = "kubernetes"
	networkManifest  = "default-cni.yaml"
)

var kubernetesTools = []string{
	"kubeadm", "kubectl", "kubelet", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler",
}

// CanBuild returns nil if the engine has both images already. Otherwise, it returns a
// *CannotBuildError if this machine cannot build them, and a *build.ToolchainError if the
// Go that an old Kubernetes needs is missing.
func CanBuild(ctx context.Context, o Options) error {
	has := func(program string) bool {
		_, err := o.Runner.Run(ctx, run.Cmd{Name: program, Args: []string{"--version"}})
		return err == nil
	}
	cannot := canBuild(runtime.GOOS, os.Geteuid(), has)
	r, err := recipeFor(o.Kubernetes)
	if err != nil {
		return errors.Join(cannot, err)
	}
	if cannot == nil && r.facts.Toolchain == "" {
		return nil
	}
	images, _, err := sourceImages(ctx, o)
	if err != nil {
		return errors.Join(cannot, err)
	}
	if have, err := haveAll(ctx, o, images.Node, images.LoadBalancer.Image()); err != nil || have {
		return err
	}
	if cannot != nil {
		return cannot
	}
	return build.CheckToolchain(ctx, r.facts.Toolchain, build.Options{Runner: o.Runner, Progress: o.Progress})
}

// CannotBuildError is returned on a machine that cannot build the node image.
type CannotBuildError struct {
	// Reason is what the machine lacks and, where possible, how to get it.
	Reason string
}

func (e *CannotBuildError) Error() string { return e.Reason }

func canBuild(system string, user int, has func(program string) bool) error {
	switch {
	case system != "linux":
		return &CannotBuildError{"the node image can be built on Debian and Ubuntu only, and this is " + system}
	case user != 0:
		return &CannotBuildError{"building the node image needs root, for debootstrap; run the command as root"}
	case !has("apt-get") && !has("debootstrap"):
		return &CannotBuildError{"building the node image needs debootstrap, and neither it nor apt-get, which could install it, is here; install debootstrap"}
	}
	return nil
}

// sourceImages returns the names of the images that are built here, and the folder
// of kind's module.
func sourceImages(ctx context.Context, o Options) (images Images, kind string, err error) {
	if kind, err = moduleDir(ctx, o, kindModule); err != nil {
		return Images{}, "", err
	}
	r, err := recipeFor(o.Kubernetes)
	if err != nil {
		return Images{}, "", err
	}
	id, err := sourceID(o, r, kind)
	if err != nil {
		return Images{}, "", fmt.Errorf("read the node image's inputs: %w", err)
	}
	return Images{
		Node:         fmt.Sprintf("%s/node-base:%s-%s", repository, o.Kubernetes, id),
		LoadBalancer: release.LoadBalancer{Repository: repository, Tag: id},
		Origin:       Source,
		OwnNetwork:   true,
	}, kind, nil
}

// fromSource builds both images here.
func fromSource(ctx context.Context, o Options, why string) (Images, error) {
	images, kind, err := sourceImages(ctx, o)
	if err != nil {
		return Images{}, err
	}
	images.Why = why
	have := true
	for _, ref := range []string{images.Node, images.LoadBalancer.Image()} {
		ok, err := o.has(ctx, ref)
		if err != nil {
			return Images{}, err
		}
		have = have && ok
	}
	if have {
		return images, nil
	}
	r, err := recipeFor(o.Kubernetes)
	if err != nil {
		return Images{}, err
	}
	rootfs := filepath.Join(o.StateDir, "node", "rootfs")
	var bins map[string]string
	// The root file system is downloaded while the compiler runs.
	err = together(ctx,
		func(ctx context.Context) error { return ensureRootfs(ctx, o, rootfs) },
		func(ctx context.Context) (err error) {
			bins, err = compile(ctx, o, r, images.LoadBalancer.Tag)
			return err
		})
	if err != nil {
		return Images{}, err
	}
	if err := assemble(ctx, o, r, images, kind, rootfs, bins); err != nil {
		return Images{}, err
	}
	return images, nil
}

// together runs two functions at the same time. When one fails, the other is
// cancelled, and the error is the first one's.
func together(ctx context.Context, first, second func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	half := func(do func(context.Context) error) {
		if err := do(ctx); err != nil {
			cancel(err)
		}
	}
	go func() {
		defer close(ended)
		half(first)
	}()
	half(second)
	<-ended
	return context.Cause(ctx)
}

func haveAll(ctx context.Context, o Options, refs ...string) (bool, error) {
	for _, ref := range refs {
		if _, ok, err := o.Engine.ImageID(ctx, ref); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// moduleDir returns the folder of a module that the lab's go.mod requires.
func moduleDir(ctx context.Context, o Options, module string) (string, error) {
	res, err := o.Runner.Run(ctx, run.Cmd{Name: "go", Args: []string{"list", "-m", "-f", "{{.Version}}", module}, Dir: o.Root})
	if err != nil {
		return "", fmt.Errorf("find the version of %s: %w", module, err)
	}
	return download(ctx, o, module+"@"+strings.TrimSpace(string(res.Stdout)))
}

func download(ctx context.Context, o Options, module string) (string, error) {
	res, err := o.Runner.Run(ctx, run.Cmd{Name: "go", Args: []string{"mod", "download", "-json", module}, Dir: o.Root})
	var info struct{ Dir, Error string }
	// The reason of a failure is in the JSON.
	if jerr := json.Unmarshal(res.Stdout, &info); jerr == nil && info.Error != "" {
		err = errors.New(info.Error)
	} else if err == nil {
		err = jerr
	}
	if err != nil {
		return "", fmt.Errorf("download %s: %w", module, err)
	}
	return info.Dir, nil
}

// sourceID is a short digest of all inputs of the images.
func sourceID(o Options, r recipe, kind string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, revision, o.Kubernetes, o.Arch, filepath.Base(kind))
	if err := fileDigest(h, filepath.Join(o.Root, "scripts", "node-rootfs.sh")); err != nil {
		return "", err
	}
	components := componentsDir(o)
	folders := r.components()
	// The modules of other versions follow from the version.
	if pinned, err := pinnedKubernetes(filepath.Join(components, kubernetesFolder)); err != nil {
		return "", err
	} else if pinned == o.Kubernetes {
		folders = append(folders, kubernetesFolder)
	}
	// The order of the names is part of the digest.
	slices.Sort(folders)
	for _, folder := range folders {
		if err := componentDigest(h, filepath.Join(components, folder)); err != nil {
			return "", err
		}
	}
	for _, name := range []string{"node/default-cni.yaml", "node/default-storage.yaml"} {
		data, err := manifests.FS.ReadFile(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s", data)
	}
	r.digest(h)
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

// componentDigest adds the files of a folder of magefiles/components to h. Tests are
// not in the image.
func componentDigest(h io.Writer, dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		return fileDigest(h, path)
	})
}

// componentID returns the digest of componentDigest.
func componentID(dir string) (string, error) {
	h := sha256.New()
	if err := componentDigest(h, dir); err != nil {
		return "", fmt.Errorf("read the component %s: %w", filepath.Base(dir), err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func componentsDir(o Options) string { return filepath.Join(o.Root, "magefiles", "components") }

// rootfsFiles are what the script of the root file system makes.
var rootfsFiles = []string{"rootfs.tar", "iptables.tar"}

// rootfsRecord says what made a root file system, and has the digests of its files.
type rootfsRecord struct {
	Script string            `json:"script"`
	Sums   map[string]string `json:"sums"`
}

// ensureRootfs runs the script of the root file system if it changed since its last run, or if the
// files that it made did.
func ensureRootfs(ctx context.Context, o Options, dir string) error {
	script := filepath.Join(o.Root, "scripts", "node-rootfs.sh")
	sum, err := state.FileSum(script)
	if err != nil {
		return fmt.Errorf("read the root file system's script: %w", err)
	}
	record := filepath.Join(dir, "made-by.json")
	was := rootfsRecord{}
	if _, err := state.ReadJSON(record, &was); err != nil {
		was = rootfsRecord{} // as if it were lost
	}
	if was.Script == sum {
		have, err := rootfsSums(dir)
		if err == nil && maps.Equal(have, was.Sums) {
			return nil
		}
		o.warn("! the root file system in %s is not as the lab made it: making it again", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the root file system: %w", err)
	}
	if _, err := o.Runner.Run(ctx, run.Cmd{Name: script, Args: []string{dir}}); err != nil {
		return fmt.Errorf("make the root file system: %w", err)
	}
	made := rootfsRecord{Script: sum}
	if made.Sums, err = rootfsSums(dir); err != nil {
		return fmt.Errorf("make the root file system: %w", err)
	}
	if err := state.WriteJSON(record, made); err != nil {
		return fmt.Errorf("make the root file system: %w", err)
	}
	return nil
}

// rootfsSums returns the digests of rootfsFiles by name.
func rootfsSums(dir string) (map[string]string, error) {
	sums := map[string]string{}
	for _, name := range rootfsFiles {
		sum, err := state.FileSum(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		sums[name] = sum
	}
	return sums, nil
}

// compile builds every program of the node and returns their paths by name. id
// identifies the inputs of the image. Go commands run one after the other, because
// each uses all processors.
func compile(ctx context.Context, o Options, r recipe, id string) (map[string]string, error) {
	components := componentsDir(o)
	kubernetes, err := kubernetesModule(ctx, o, r, filepath.Join(components, kubernetesFolder))
	if err != nil {
		return nil, err
	}
	out := filepath.Join(o.StateDir, "node", o.Kubernetes+"-"+o.Arch)
	requests := []build.Request{{
		Dir: kubernetes, Packages: prefixed("k8s.io/kubernetes/cmd/", kubernetesTools...), LDFlags: versionFlags(r.facts),
		ID: id, Output: filepath.Join(out, kubernetesFolder), Toolchain: r.facts.Toolchain, Vendor: vendored(r.facts),
	}}
	// The programs that are not part of Kubernetes are the same for many
	// versions.
	shared := filepath.Join(o.StateDir, "node", o.Arch)
	for _, p := range r.programs() {
		dir := filepath.Join(components, p.folder)
		sum, err := componentID(dir)
		if err != nil {
			return nil, err
		}
		output := filepath.Join(shared, p.folder)
		if p.name != "" {
			output = filepath.Join(output, p.name)
		}
		requests = append(requests, build.Request{
			Dir: dir, Packages: p.packages, Tags: p.tags, ID: sum, Output: output,
		})
	}
	bins := map[string]string{}
	for _, r := range requests {
		name := filepath.Base(r.Dir)
		r.Arch = o.Arch
		_, err := build.Build(ctx, r, build.Options{Runner: o.Runner, Progress: func(s string) { o.progress("%s: %s", name, s) }, Warn: o.Warn})
		if err != nil {
			return nil, fmt.Errorf("build %s for the node image: %w", name, err)
		}
		for _, path := range build.Outputs(r) {
			bins[filepath.Base(path)] = path
		}
	}
	return bins, nil
}

// versionFlags returns the linker's flags that set the version of Kubernetes programs.
func versionFlags(k release.Kubernetes) []string {
	major, minor := release.MajorMinor(k.Version)
	var flags []string
	for _, pkg := range k.VersionPackages {
		for _, variable := range []string{
			"gitVersion=v" + k.Version.String(), fmt.Sprintf("gitMajor=%d", major), fmt.Sprintf("gitMinor=%d", minor), "gitTreeState=clean",
		} {
			flags = append(flags, "-X", pkg+"."+variable)
		}
	}
	return flags
}

func prefixed(prefix string, names ...string) []string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = prefix + n
	}
	return all
}

// assemble assembles both images and loads them into the engine.
func assemble(ctx context.Context, o Options, r recipe, images Images, kind, rootfs string, bins map[string]string) error {
	o.progress("assembling the root file system")
	debian, err := tarLayer(filepath.Join(rootfs, "rootfs.tar"))
	if err != nil {
		return err
	}
	files, err := nodeFiles(o, r, kind, bins)
	if err != nil {
		return err
	}
	bare, err := image.Assemble(image.Spec{
		Arch: o.Arch, Layers: []v1.Layer{debian}, Files: files,
		Env: []string{"container=docker"}, Entrypoint: []string{"/usr/local/bin/entrypoint", "/sbin/init"}, StopSignal: "SIGRTMIN+3",
	})
	if err != nil {
		return fmt.Errorf("assemble the node image: %w", err)
	}
	balancer, err := image.Assemble(image.Spec{
		Arch: o.Arch, Layers: []v1.Layer{debian},
		Files:      []image.File{{Path: "/usr/local/etc/haproxy/haproxy.cfg", Data: []byte(emptyHAProxy), Mode: 0o644}},
		Entrypoint: []string{"haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"}, StopSignal: "SIGUSR1",
	})
	if err != nil {
		return fmt.Errorf("assemble the load balancer image: %w", err)
	}
	bareRef := strings.Replace(images.Node, "/node-base:", "/node-bare:", 1)
	o.progress("loading both images into the engine")
	if err := o.Engine.LoadImages(ctx, map[string]v1.Image{bareRef: bare, images.LoadBalancer.Image(): balancer}); err != nil {
		return err
	}
	if err := o.keep(ctx, images.LoadBalancer.Image()); err != nil {
		return err
	}
	return derive(ctx, bareRef, images.Node, o, func(c *container) error {
		if _, err := c.sh(ctx, r.setup()); err != nil {
			return err
		}
		pause, err := c.sh(ctx, pauseImage)
		if err != nil {
			return err
		}
		required, err := c.sh(ctx, "kubeadm config images list --kubernetes-version "+o.Kubernetes)
		if err != nil {
			return err
		}
		containers, err := controlPlaneImages(o, r, rootfs, bins, append(lines([]byte(required)), strings.TrimSpace(pause)))
		if err != nil {
			return err
		}
		o.progress("importing %d images", len(containers))
		return c.importImages(ctx, containers)
	})
}

func tarLayer(path string) (v1.Layer, error) {
	return image.TarLayer(func() (io.ReadCloser, error) { return os.Open(path) })
}

// emptyHAProxy is the configuration of the load balancer until Cluster API writes
// one. Without maxconn, HAProxy takes memory for as many connections as it may
// open files, and some engines do not limit those.
const emptyHAProxy = `global
  maxconn 4000

defaults
  timeout connect 5s
  timeout client 50s
  timeout server 50s

frontend stats
  mode http
  bind *:8404
  stats enable
  stats uri /stats
`

// containerSpec writes the base specification of all containers, with kind's hook
// for the product files and without resource limits.
const containerSpec = `
ctr oci spec |
  jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
  >/etc/containerd/cri-base.json
`

// nodeFiles returns the files of the node image that are not Debian's: kind's
// static files, where its images/base/Dockerfile puts them, and the programs.
func nodeFiles(o Options, r recipe, kind string, bins map[string]string) ([]image.File, error) {
	static := filepath.Join(kind, "images", "base", "files")
	var files []image.File
	err := filepath.WalkDir(static, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		at := "/" + filepath.ToSlash(strings.TrimPrefix(path, static+string(filepath.Separator)))
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(at, "/usr/local/bin/") || strings.HasPrefix(at, "/kind/bin/") {
			mode = 0o755
		}
		files = append(files, image.File{Path: at, Source: path, Mode: mode})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read kind's static files: %w", err)
	}
	for name, dir := range map[string]string{
		"kubeadm": "/usr/bin", "kubectl": "/usr/bin", "kubelet": "/usr/bin",
		"containerd": "/usr/local/bin", "ctr": "/usr/local/bin", "containerd-shim-runc-v2": "/usr/local/bin", "crictl": "/usr/local/bin",
		"host-local": "/opt/cni/bin", "loopback": "/opt/cni/bin", "ptp": "/opt/cni/bin", "portmap": "/opt/cni/bin",
	} {
		files = append(files, image.File{Path: dir + "/" + name, Source: bins[name], Mode: 0o755})
	}
	for _, unit := range []string{"kubelet", "containerd", "undo-mount-hacks"} {
		files = append(files, image.File{
			Path: "/etc/systemd/system/multi-user.target.wants/" + unit + ".service", Link: "/etc/systemd/system/" + unit + ".service",
		})
	}
	for _, name := range []string{networkManifest, "default-storage.yaml"} {
		data, err := manifests.FS.ReadFile("node/" + name)
		if err != nil {
			return nil, fmt.Errorf("read the manifest %s: %w", name, err)
		}
		if name == networkManifest {
			data = append(data, r.network...)
		}
		files = append(files, image.File{Path: "/kind/manifests/" + name, Data: data, Mode: 0o644})
	}
	return append(files,
		image.File{Path: "/kind/version", Data: []byte(o.Kubernetes), Mode: 0o644},
		image.File{Path: "/etc/kubernetes/manifests", Dir: true, Mode: 0o755},
	), nil
}

// controlPlaneImages assembles the container images that kubeadm requires, under
// the names that it requires, and the image of the lab's network daemon.
func controlPlaneImages(o Options, r recipe, rootfs string, bins map[string]string, required []string) (map[string]v1.Image, error) {
	iptables, err := tarLayer(filepath.Join(rootfs, "iptables.tar"))
	if err != nil {
		return nil, err
	}
	images := map[string]v1.Image{}
	for _, ref := range append(required, cnidImage) {
		parsed, err := name.ParseReference(ref)
		if err != nil {
			return nil, fmt.Errorf("read the images that kubeadm requires: %w", err)
		}
		program := path.Base(parsed.Context().RepositoryStr())
		bin, ok := bins[program]
		if !ok {
			return nil, fmt.Errorf("kubeadm requires %s, and the lab builds no %q", ref, program)
		}
		// kubeadm starts its programs by name, the add-ons by their entrypoint.
		spec := image.Spec{
			Arch: o.Arch, Entrypoint: []string{"/usr/local/bin/" + program}, WorkDir: "/",
			Env:   append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, r.env...),
			Files: []image.File{{Path: "/usr/local/bin/" + program, Source: bin, Mode: 0o755}},
		}
		if program == "kube-proxy" || program == "cnid" {
			spec.Layers = []v1.Layer{iptables}
			for _, link := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"} {
				spec.Files = append(spec.Files, image.File{Path: "/usr/sbin/" + link, Link: "xtables-nft-multi"})
			}
		}
		img, err := image.Assemble(spec)
		if err != nil {
			return nil, fmt.Errorf("assemble %s: %w", ref, err)
		}
		images[ref] = img
	}
	return images, nil
}
