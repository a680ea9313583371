package build

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	version "github.com/hashicorp/go-version"
)

// Programs of Cluster API, named as their images or binaries are.
const (
	Core         = "cluster-api-controller"
	Bootstrap    = "kubeadm-bootstrap-controller"
	ControlPlane = "kubeadm-control-plane-controller"
	Docker       = "capd-manager"
	Clusterctl   = "clusterctl"
)

// ClusterAPI describes a tree of Cluster API to build programs of.
type ClusterAPI struct {
	// Dir is the tree's root.
	Dir string
	// Version decides the layout; Tag is what the programs say they are.
	Version *version.Version
	Tag     string
	// Commit may be empty. Dirty marks a working tree with changes.
	Commit string
	Dirty  bool
	// ID identifies the tree's content, as Request.ID.
	ID string
	// Arch is the containers' architecture.
	Arch string
	// OutDir takes the binaries.
	OutDir string
}

var (
	v0_4  = version.Must(version.NewSemver("0.4.0-beta.0"))
	v1_14 = version.Must(version.NewSemver("1.14.0-beta.1"))
)

// Requests are the builds of the managers and of clusterctl, by program. Where
// the mains are, and the package of the version variables, is read off the
// tags from v0.3.5 to v1.14.0.
func (c ClusterAPI) Requests() map[string]Request {
	core, docker := ".", filepath.Join("test", "infrastructure", "docker")
	if c.Version.GreaterThanOrEqual(v1_14) {
		core = "./core"
	}
	requests := map[string]Request{
		Core:         c.request(Core, c.Dir, core),
		Bootstrap:    c.request(Bootstrap, c.Dir, "./bootstrap/kubeadm"),
		ControlPlane: c.request(ControlPlane, c.Dir, "./controlplane/kubeadm"),
		Clusterctl:   c.request(Clusterctl, c.Dir, "./cmd/clusterctl"),
		Docker:       c.request(Docker, filepath.Join(c.Dir, "test"), "./infrastructure/docker"),
	}
	if c.Version.LessThan(v0_4) {
		requests[Docker] = c.request(Docker, filepath.Join(c.Dir, docker), ".")
	}
	ctl := requests[Clusterctl]
	ctl.Host = true
	requests[Clusterctl] = ctl
	return requests
}

// CheckLayout refuses a tree that does not have its programs where the release
// has them. Dir and Version are needed.
func (c ClusterAPI) CheckLayout() error {
	var errs []error
	for name, r := range c.Requests() {
		main := filepath.Join(r.Dir, r.Packages[0], "main.go")
		if _, err := os.Stat(main); err != nil {
			errs = append(errs, fmt.Errorf("%s of release %s has its main package there: %w", name, c.Version, err))
		}
	}
	return errors.Join(errs...)
}

func (c ClusterAPI) request(name, dir, pkg string) Request {
	return Request{
		Dir: dir, Packages: []string{pkg}, Output: filepath.Join(c.OutDir, name),
		ID: c.ID, Arch: c.Arch, LDFlags: c.ldflags(),
	}
}

func (c ClusterAPI) ldflags() []string {
	pkg := "sigs.k8s.io/cluster-api/version"
	if c.Version.LessThan(v0_4) {
		pkg = "sigs.k8s.io/cluster-api/cmd/version"
	}
	state := "clean"
	if c.Dirty {
		state = "dirty"
	}
	seg := c.Version.Segments()
	var flags []string
	for _, kv := range [][2]string{
		{"gitMajor", fmt.Sprint(seg[0])},
		{"gitMinor", fmt.Sprint(seg[1])},
		{"gitVersion", c.Tag},
		{"gitCommit", c.Commit},
		{"gitTreeState", state},
		// A build date would make every build another binary.
		{"buildDate", "1970-01-01T00:00:00Z"},
	} {
		flags = append(flags, "-X", strings.Join([]string{pkg + "." + kv[0], kv[1]}, "="))
	}
	return flags
}
