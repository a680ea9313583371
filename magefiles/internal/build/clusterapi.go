package build

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/capi/release"
)

// The managers of Cluster API, named as their images are.
const (
	Core         = "cluster-api-controller"
	Bootstrap    = "kubeadm-bootstrap-controller"
	ControlPlane = "kubeadm-control-plane-controller"
	Docker       = "capd-manager"
)

const (
	// Clusterctl is the command of Cluster API, which runs on this machine.
	Clusterctl = "clusterctl"
	// DockerCLI is the docker command, which the image of an old Docker provider
	// contains.
	DockerCLI = "docker"
)

// ClusterAPI is a tree of Cluster API whose managers are to be built.
type ClusterAPI struct {
	// Dir is the tree's root.
	Dir string
	// Version decides the layout. Tag is the version that the programs state.
	Version *version.Version
	Tag     string
	// Commit may be empty. Dirty says that the working tree has changes.
	Commit string
	Dirty  bool
	// ID identifies the tree's content, as Request.ID.
	ID string
	// Arch is the containers' architecture.
	Arch string
	// OutDir is the folder for the binaries.
	OutDir string
	// Components is the folder with the lab's modules of programs that are not Cluster
	// API's.
	Components string
}

// Programs returns the names of the programs in the order in which to build them: the
// managers, the docker command if the Docker provider starts it, and clusterctl if the lab
// runs the release's own.
func (c ClusterAPI) Programs() []string {
	facts := release.Of(c.Version)
	names := []string{Core, Bootstrap, ControlPlane, Docker}
	if facts.RunsDocker {
		names = append(names, DockerCLI)
	}
	if facts.OwnClusterctl() {
		names = append(names, Clusterctl)
	}
	return names
}

// Requests returns the builds of the programs, by their names.
func (c ClusterAPI) Requests() map[string]Request {
	facts := release.Of(c.Version)
	layout := facts.Layout
	requests := map[string]Request{
		Core:         c.request(Core, ".", layout.CoreMain),
		Bootstrap:    c.request(Bootstrap, ".", layout.BootstrapMain),
		ControlPlane: c.request(ControlPlane, ".", layout.ControlPlaneMain),
		Docker:       c.request(Docker, layout.DockerModule, layout.DockerMain),
	}
	if facts.RunsDocker {
		dir := filepath.Join(c.Components, "dockercli")
		requests[DockerCLI] = Request{
			Dir: dir, Packages: []string{"github.com/docker/cli/cmd/docker"},
			Output: filepath.Join(c.OutDir, DockerCLI), ID: pinsID(dir), Arch: c.Arch,
		}
	}
	if facts.OwnClusterctl() {
		requests[Clusterctl] = c.Clusterctl()
	}
	return requests
}

// Clusterctl returns the build of the release's clusterctl, which runs on this machine.
func (c ClusterAPI) Clusterctl() Request {
	r := c.request(Clusterctl, ".", "./cmd/clusterctl")
	r.Host = true
	return r
}

// CheckLayout refuses a tree whose main packages are not where the release has
// them. It needs Dir and Version.
func (c ClusterAPI) CheckLayout() error {
	var errs []error
	for name, r := range c.Requests() {
		if name == DockerCLI {
			continue // in another tree
		}
		main := filepath.Join(r.Dir, r.Packages[0], "main.go")
		if _, err := os.Stat(main); err != nil {
			errs = append(errs, fmt.Errorf("the main package of %s in release %s is missing: %w", name, c.Version, err))
		}
	}
	return errors.Join(errs...)
}

func (c ClusterAPI) request(name, module, pkg string) Request {
	return Request{
		Dir: filepath.Join(c.Dir, filepath.FromSlash(module)), Packages: []string{pkg}, Output: filepath.Join(c.OutDir, name),
		ID: c.ID, Arch: c.Arch, LDFlags: c.ldflags(), Toolchain: release.Of(c.Version).Toolchain,
	}
}

// pinsID returns a digest of go.mod and go.sum, which identifies a module without Go files.
// It is empty if one of these files cannot be read. go build then reports the error.
func pinsID(dir string) string {
	id, _ := FilesID(dir, "go.mod", "go.sum")
	return id
}

func (c ClusterAPI) ldflags() []string {
	pkg := release.Of(c.Version).Layout.VersionPackage
	state := "clean"
	if c.Dirty {
		state = "dirty"
	}
	major, minor := release.MajorMinor(c.Version)
	var flags []string
	for _, kv := range [][2]string{
		{"gitMajor", fmt.Sprint(major)},
		{"gitMinor", fmt.Sprint(minor)},
		{"gitVersion", c.Tag},
		{"gitCommit", c.Commit},
		{"gitTreeState", state},
		// With the real date every build would give a different binary.
		{"buildDate", "1970-01-01T00:00:00Z"},
	} {
		flags = append(flags, "-X", strings.Join([]string{pkg + "." + kv[0], kv[1]}, "="))
	}
	return flags
}
