// Package config holds every setting of the lab: its default and pin, how
// caslab.yaml and the environment override it, and what is allowed.
//
// Versions are pinned only here. The package neither uses the network nor starts
// a process.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"al.essio.dev/pkg/shellescape"
	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/redact"
)

// fileName is the optional settings file at the root of the repository.
const fileName = "caslab.yaml"

// Origins of a component's source.
const (
	OriginAuto   = "auto"
	OriginGit    = "git"
	OriginModule = "module"
	OriginDir    = "dir"
)

// Origins of the node image.
const (
	NodeImageAuto     = "auto"
	NodeImageRegistry = "registry"
	NodeImageSource   = "source"
)

// Cloud providers built into the autoscaler.
const (
	ProvidersClusterAPI = "clusterapi"
	ProvidersAll        = "all"
)

// Source says where a component's source comes from.
type Source struct {
	// Version is the release, such as v1.14.2. It decides the layout of the tree
	// and the API.
	Version *version.Version
	// Commit, if not empty, is fetched by git instead of the tag of Version.
	Commit string
	// Origin is one of the Origin constants.
	Origin string
	// Git is the repository's URL.
	Git string
	// Dir is the absolute path of a local checkout, or empty. It is only read.
	Dir string
}

// Tag returns the release with a leading v, as upstream tags it.
func (s Source) Tag() string { return Tag(s.Version) }

// Tag returns v with a leading "v", as Cluster API and Kubernetes tag it.
func Tag(v *version.Version) string { return "v" + v.String() }

// Config is the lab's settings, validated.
type Config struct {
	// Root is the repository's root, absolute.
	Root string
	// ClusterName names the environment, its workload cluster and, with a
	// suffix, its management cluster.
	ClusterName string
	// Workers is the size of the first MachineDeployment.
	Workers int
	// ClusterAPI and Autoscaler are the two components built from source.
	ClusterAPI, Autoscaler Source
	// Kubernetes is the version of both clusters.
	Kubernetes *version.Version
	// NodeImage is one of the NodeImage constants.
	NodeImage string
	// RegistryMirror, if not empty, is asked instead of every image's registry.
	RegistryMirror string
	// Force brings up versions that upstream does not support together.
	Force bool
	// CertManager installs cert-manager. Without it the lab issues certificates.
	CertManager bool
	// AutoscalerCoreDir is the absolute path of a checkout of the autoscaler's core,
	// for a tree that imports it, or empty.
	AutoscalerCoreDir string
	// AutoscalerProviders is one of the Providers constants.
	AutoscalerProviders string
	// AutoscalerFlags are flags of the autoscaler, as on a command line.
	AutoscalerFlags string
	// WorkloadKubeconfig, if not empty, is the kubeconfig of a cluster that the lab
	// did not create. ManagementKubeconfig is the kubeconfig of the cluster that has
	// its Cluster API objects, if that is another one. Both are absolute paths.
	WorkloadKubeconfig, ManagementKubeconfig string
	// Namespace is where the Cluster API objects are. For a cluster of the lab it is
	// always the default namespace.
	Namespace string

	values []Value
}

// Value is one setting as `mage config:show` prints it: URLs without credentials, and
// versions with a leading v, whether it was given or not.
type Value struct {
	Key, Env, Value, Origin, Doc string
}

// Values returns every setting with its origin, in the order of the table.
func (c *Config) Values() []Value { return c.values }

// StateDir is where the lab keeps caches, kubeconfigs and records.
func (c *Config) StateDir() string { return filepath.Join(c.Root, ".caslab") }

// NamedByVariable reports whether the environment's name comes from an environment
// variable, which the user's next command may lack.
func (c *Config) NamedByVariable() bool { return c.origin("clusterName") == "environment" }

// CommandFor returns what to type to run a target on the environment or the cluster of that
// name.
func CommandFor(name, target string) string {
	return "CLUSTER_NAME=" + shellescape.Quote(name) + " go tool mage " + target
}

// Command returns what to type to run a target with these settings. It names the environment
// if the user's next command may lack the name, and for a target that creates one, or checks
// whether that is possible, the versions.
func (c *Config) Command(target string) string {
	variables := []string{"CLUSTER_NAME"}
	if target == "env:up" || target == "env:doctor" {
		variables = append(variables, "CAPI_VERSION", "KUBERNETES_VERSION", "FORCE")
	}
	var set strings.Builder
	for _, v := range c.values {
		if v.Origin == "environment" && slices.Contains(variables, v.Env) {
			set.WriteString(v.Env + "=" + shellescape.Quote(v.Value) + " ")
		}
	}
	return set.String() + "go tool mage " + target
}

// AutoscalerVersionSet reports whether the user set the version of the autoscaler.
func (c *Config) AutoscalerVersionSet() bool {
	return slices.Contains([]string{fileName, "environment"}, c.origin("autoscaler.version"))
}

// ManagementName returns the name of the kind cluster that exists until the pivot.
func (c *Config) ManagementName() string { return c.ClusterName + managementSuffix }

// Load reads the settings of the checkout at root: defaults, then caslab.yaml if
// it exists, then environment variables through lookup. An empty variable counts as
// unset, except the environment's name, which is refused: a script whose own variable is
// missing must not remove the default environment. Load reports all errors at once, each
// with the value, what is allowed and what to type.
func Load(root string, lookup func(string) (string, bool)) (*Config, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("find the repository's root: %w", err)
	}
	fromFile, err := readFile(filepath.Join(abs, fileName))
	if err != nil {
		return nil, err
	}
	c := &Config{Root: abs}
	var errs []error
	c.values = make([]Value, len(settings))
	read := func(i int, s setting) {
		raw, origin := s.def, "default"
		if s.follows != nil {
			if value, from := s.follows(c); from != "" {
				raw, origin = value, from
			}
		}
		if v, ok := fromFile[s.key]; ok {
			raw, origin = v, fileName
		}
		switch v, set := lookup(s.env); {
		case v != "":
			raw, origin = v, "environment"
		case set && s.notEmpty:
			errs = append(errs, fmt.Errorf("%s is set but empty; want a value, such as %[1]s=%s, or unset it", s.env, s.def))
			return
		}
		value := shown(s.key, raw)
		if err := s.set(c, raw); err != nil {
			errs = append(errs, refused(s.key, s.env, raw, origin, err))
		} else if s.version != nil {
			value = Tag(s.version(c))
		}
		c.values[i] = Value{Key: s.key, Env: s.env, Value: value, Origin: origin, Doc: s.doc}
	}
	for turn := range 3 {
		for i, s := range settings {
			if s.turn == turn {
				read(i, s)
			}
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// refused says that a setting's value cannot be used. err says what is allowed and
// what to type.
func refused(key, env, value, origin string, err error) error {
	name := key
	if origin == "environment" {
		name = env
	}
	return fmt.Errorf("%s=%q (%s): %w", name, shown(key, value), origin, err)
}

// shown returns a setting's value for a reader, without the credentials of URLs.
func shown(key, raw string) string {
	if strings.HasSuffix(key, ".git") {
		return redact.URL(raw)
	}
	return redact.Text(raw)
}

func readFile(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	values, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return values, nil
}

func parseBool(raw string) (bool, error) {
	b, err := strconv.ParseBool(raw)
	if err != nil {
		return false, errors.New("want true or false")
	}
	return b, nil
}
