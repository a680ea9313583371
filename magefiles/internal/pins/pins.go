// Package pins knows the places in the tree that hold the versions of what the
// lab builds and runs. It finds out which pins have newer releases, and changes
// a pin in all its places.
package pins

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"caslab/magefiles/internal/source"
)

// Names of pins with rules of their own.
const (
	clusterAPI = source.ClusterAPIName
	autoscaler = source.AutoscalerName
	kubernetes = "kubernetes"
	etcd       = "etcd"
	coreDNS    = "coredns"
	crictl     = "crictl"
)

// Files that hold pins, relative to the root of the checkout, with slashes.
const (
	settingsFile = "magefiles/internal/config/settings.go"
	checkFile    = "magefiles/internal/check/check.go"
	digestsFile  = "magefiles/internal/node/registry.go"
	components   = "magefiles/components/"
)

// documents are the texts for readers that contain the pinned versions of
// Cluster API, the autoscaler and Kubernetes.
var documents = []string{
	"README.md", ".github/actions/lab/action.yml", ".github/workflows/scenarios.yml", "scripts/action-inputs.sh",
}

// Pin is a version that the tree holds.
type Pin struct {
	// Name is the pin's name for Bump.
	Name string
	// Version is the one that is pinned.
	Version string
	// module is the module for which the Go module proxy is asked, unless a
	// source.Spec has the pin's name.
	module string
	// constant is the Go constant with the version, in file; empty if there is none.
	constant, file string
	// folders have go.mod files that require modules at the version.
	folders []string
	modules []string
	// hold, if not empty, is the prefix of the releases that the pin may have,
	// such as "v1.7.".
	hold string
	// Follows says what else decides the version, or is empty.
	Follows string
	// after is what has to be done by hand after a bump, each a sentence without a full
	// stop.
	after []string
}

// pinned returns the table of pins without their versions, in the order in which they are
// printed.
func pinned() []Pin {
	const byKubeadm = "kubeadm of the pinned Kubernetes names it"
	facts := "read upstream's release notes, and add what changed to the table in magefiles/internal/capi/release"
	return []Pin{
		{
			Name: clusterAPI, constant: "defaultClusterAPI", file: settingsFile,
			folders: []string{"."}, modules: []string{"sigs.k8s.io/cluster-api", "sigs.k8s.io/cluster-api/api"},
			after: []string{facts},
		},
		{Name: autoscaler, constant: "defaultAutoscaler", file: settingsFile, after: []string{
			facts, "decide whether it becomes the default of a Cluster API in magefiles/internal/capi/release/clusterapi.go", "look for new flags and new lines of the log: magefiles/internal/autoscaler/history.go and speech",
		}},
		{
			Name: kubernetes, constant: "defaultKubernetes", file: settingsFile, module: "k8s.io/kubernetes",
			folders: []string{components + "kubernetes", components + "predicates"}, modules: []string{"k8s.io/kubernetes"},
			Follows: "the pinned Cluster API supports a range", after: []string{
				"decide whether standardKubernetes in magefiles/internal/capi/release/clusterapi.go should have it too",
				"build the node image once: go tool mage image:node",
				"test the scheduler's filters, whose reasons magefiles/internal/timeline/predicates/words.go knows: go -C magefiles/components/predicates test ./...",
			},
		},
		component(etcd, "go.etcd.io/etcd/server/v3", "etcd", byKubeadm),
		component(coreDNS, "github.com/coredns/coredns", "coredns", byKubeadm),
		component(crictl, "sigs.k8s.io/cri-tools", "nodetools", ""),
		component("containerd", "github.com/containerd/containerd/v2", "containerd", ""),
		held(component("containerd-1.7", "github.com/containerd/containerd", "containerd-1.7", "the last series for a kubelet that speaks CRI v1alpha2 alone"), "v1.7."),
		held(component("coredns-1.10", "github.com/coredns/coredns", "coredns-1.10", "the last release that reads the old APIs of endpoints"), "v1.10.1"),
		component("cni-plugins", "github.com/containernetworking/plugins", "cni", ""),
		{Name: "kind", module: "sigs.k8s.io/kind", folders: []string{"."}, modules: []string{"sigs.k8s.io/kind"},
			after: []string{"build the node image once, because it contains kind's files: go tool mage image:node"}},
		{Name: "mage", module: "github.com/magefile/mage", folders: []string{"."}, modules: []string{"github.com/magefile/mage"}},
		{Name: "delve", module: "github.com/go-delve/delve", folders: []string{"magefiles/tools/delve"}, modules: []string{"github.com/go-delve/delve"}},
		{
			Name: "controller-runtime", module: "sigs.k8s.io/controller-runtime", folders: []string{components + "hollow"}, modules: []string{"sigs.k8s.io/controller-runtime"},
			after: []string{"test the controller of hollow machines: go -C magefiles/components/hollow test ./..."},
		},
		linter("gotestsum", "gotest.tools/gotestsum", "gotestsum"),
		linter("golangci-lint", "github.com/golangci/golangci-lint/v2", "golangciLint"),
		linter("actionlint", "github.com/rhysd/actionlint", "actionlint"),
		linter("govulncheck", "golang.org/x/vuln", "govulncheck"),
	}
}

// component returns the pin of a module from which the node image is built.
func component(name, module, folder, follows string) Pin {
	return Pin{
		Name: name, module: module, folders: []string{components + folder}, modules: []string{module}, Follows: follows,
		after: []string{"build the node image once: go tool mage image:node"},
	}
}

// held returns the pin limited to releases that begin with prefix.
func held(p Pin, prefix string) Pin {
	p.hold = prefix
	return p
}

// linter returns the pin of a program that `go run` fetches.
func linter(name, module, constant string) Pin {
	return Pin{Name: name, module: module, constant: constant, file: checkFile, after: []string{"run it: go tool mage lint"}}
}

// Read returns the pins of the checkout at root. The error names a pin whose
// version is missing in one of its places, or differs between two of them.
func Read(root string) ([]Pin, error) {
	all := pinned()
	for i := range all {
		p := &all[i]
		var found []string
		if p.constant != "" {
			data, err := os.ReadFile(filepath.Join(root, p.file))
			if err != nil {
				return nil, fmt.Errorf("read the pin of %s: %w", p.Name, err)
			}
			match := constant(p.constant).FindSubmatch(data)
			if match == nil {
				return nil, fmt.Errorf("read the pin of %s: %s has no version in a constant %s", p.Name, p.file, p.constant)
			}
			found = append(found, string(match[2]))
		}
		for _, folder := range p.folders {
			mod, err := readMod(root, folder)
			if err != nil {
				return nil, fmt.Errorf("read the pin of %s: %w", p.Name, err)
			}
			for _, path := range p.modules {
				v := required(mod, path)
				if v == "" {
					return nil, fmt.Errorf("read the pin of %s: %s/go.mod does not require %s", p.Name, folder, path)
				}
				found = append(found, v)
			}
		}
		p.Version = found[0]
		if other := slices.IndexFunc(found, func(v string) bool { return v != p.Version }); other >= 0 {
			return nil, fmt.Errorf("the pins of %s differ: %s; want one version everywhere", p.Name, strings.Join(slices.Compact(found), " and "))
		}
	}
	return all, nil
}

// constant returns a pattern for the declaration of a Go constant whose value
// ends with a version.
func constant(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)(^\s*(?:const\s+)?` + name + `\s*=\s*"(?:[^"]*@)?)(v?[0-9][^"@]*)"`)
}

func readMod(root, folder string) (*modfile.File, error) {
	path := filepath.Join(root, folder, "go.mod")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return modfile.Parse(path, data, nil)
}

// required returns the version of a module that a go.mod requires, or "" if it
// does not require the module.
func required(mod *modfile.File, path string) string {
	i := slices.IndexFunc(mod.Require, func(r *modfile.Require) bool { return r.Mod.Path == path })
	if i < 0 {
		return ""
	}
	return mod.Require[i].Mod.Version
}

// find returns the pin of that name.
func find(all []Pin, name string) (Pin, error) {
	names := make([]string, len(all))
	for i, p := range all {
		if p.Name == name {
			return p, nil
		}
		names[i] = p.Name
	}
	return Pin{}, fmt.Errorf("no pin is called %q; want one of %s", name, strings.Join(names, ", "))
}

// canonical returns a version with a leading v, as Go modules write it, or "" if
// it is not a version.
func canonical(version string) string {
	if v := "v" + strings.TrimPrefix(version, "v"); semver.Canonical(v) == v {
		return v
	}
	return ""
}

// written returns a version with a leading v if model has one, and otherwise
// without it.
func written(version, model string) string {
	if strings.HasPrefix(model, "v") {
		return canonical(version)
	}
	return strings.TrimPrefix(version, "v")
}

// newest returns the highest release among the versions that begin with prefix, without
// pre-releases; empty if there is none.
func newest(versions []string, prefix string) string {
	var best string
	for _, v := range versions {
		c := canonical(v)
		if c == "" || semver.Prerelease(c) != "" || !strings.HasPrefix(c, prefix) {
			continue
		}
		if best == "" || semver.Compare(c, canonical(best)) > 0 {
			best = v
		}
	}
	return best
}

// series returns the prefix of all releases of a version's minor, such as
// "v1.36.".
func series(version string) string { return semver.MajorMinor(canonical(version)) + "." }
