package config

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/capi/release"
)

// The pins. They were built and run together.
const (
	defaultClusterAPI = "v1.14.2"
	defaultAutoscaler = "v1.36.1"
	defaultKubernetes = "v1.36.1"

	clusterAPIGit = "https://github.com/kubernetes-sigs/cluster-api"
	autoscalerGit = "https://github.com/kubernetes/autoscaler"
)

const defaultNamespace = "default"

const managementSuffix = "-management"

// maxName is the longest name of an environment. The longest host name that begins
// with it ends with "-management-control-plane" and must have at most 63 bytes.
const maxName = maxLabel - len(managementSuffix+"-control-plane")

// maxLabel is the longest value of a label, and the longest host name.
const maxLabel = 63

const maxWorkers = 20

// setting is one row of the table of settings. Defaults, caslab.yaml, environment
// variables and `mage config:show` all use it.
type setting struct {
	key, env, def, doc string
	kind               kind
	// notEmpty refuses a variable that is set and empty.
	notEmpty bool
	set      func(c *Config, raw string) error
	// follows, if not nil, returns a default that depends on settings of earlier turns, and
	// the origin of that default. If the origin is empty, def is the default.
	follows func(c *Config) (value, origin string)
	// turn is when the setting is read: 0 if it follows no other setting, 1 for the release
	// of Cluster API, and 2 if it follows that release.
	turn int
	// version returns the value of a setting that is a version; nil for others.
	version func(c *Config) *version.Version
}

// kind is the YAML type of a setting in caslab.yaml.
type kind string

const (
	text    kind = "a string"
	boolean kind = "true or false"
	integer kind = "a whole number"
)

var settings = slices.Concat(
	[]setting{
		{key: "clusterName", env: "CLUSTER_NAME", def: "work-cluster", kind: text, notEmpty: true,
			doc: "name of the environment and of its workload cluster", set: setName},
		{key: "workers", env: "WORKERS", def: "1", kind: integer,
			doc: "machines of the first MachineDeployment, 1 to 20", set: setWorkers},
		{key: "kubernetesVersion", env: "KUBERNETES_VERSION", def: defaultKubernetes, kind: text,
			doc: "release of Kubernetes in both clusters, of a minor that the release of Cluster API supports. The v may be left out", set: setKubernetes,
			follows: ofRelease(func(r release.Release) string { return r.DefaultKubernetes }), turn: 2,
			version: func(c *Config) *version.Version { return c.Kubernetes }},
		{key: "nodeImage", env: "NODE_IMAGE", def: NodeImageAuto, kind: text,
			doc: "auto, registry (kindest/node, by digest where one is pinned) or source (built here)",
			set: oneOf(func(c *Config) *string { return &c.NodeImage }, NodeImageAuto, NodeImageRegistry, NodeImageSource)},
		{key: "registryMirror", env: "REGISTRY_MIRROR", kind: text,
			doc: "host[:port] asked instead of every image's own registry", set: setMirror},
		{key: "certManager", env: "CERT_MANAGER", def: "false", kind: boolean,
			doc: "install cert-manager instead of certificates issued by the lab", set: setCertManager},
		{key: "force", env: "FORCE", def: "false", kind: boolean,
			doc: "bring up versions that upstream does not support together", set: setForce},
	},
	sourceSettings("clusterAPI", "CAPI", defaultClusterAPI, clusterAPIGit,
		func(c *Config) *Source { return &c.ClusterAPI }, ofCheckout, 1),
	sourceSettings("autoscaler", "AUTOSCALER", defaultAutoscaler, autoscalerGit,
		func(c *Config) *Source { return &c.Autoscaler },
		ofRelease(func(r release.Release) string { return r.DefaultAutoscaler }), 2),
	[]setting{
		{key: "autoscaler.coreDir", env: "AUTOSCALER_CORE_DIR", kind: text,
			doc: "your checkout of kubernetes-sigs/cluster-autoscaler, for an autoscaler.dir that imports it",
			set: pathTo(func(c *Config) *string { return &c.AutoscalerCoreDir })},
		{key: "autoscaler.providers", env: "AUTOSCALER_PROVIDERS", def: ProvidersClusterAPI, kind: text,
			doc: "cloud providers built in: clusterapi, or all",
			set: oneOf(func(c *Config) *string { return &c.AutoscalerProviders }, ProvidersClusterAPI, ProvidersAll)},
		{key: "autoscaler.flags", env: "AUTOSCALER_FLAGS", kind: text,
			doc: "flags of the autoscaler that add to those of manifests/autoscaler/flags.tmpl, or replace them",
			set: func(c *Config, raw string) error { c.AutoscalerFlags = raw; return nil }},
		{key: "workloadKubeconfig", env: "WORKLOAD_KUBECONFIG", kind: text,
			doc: "kubeconfig of a cluster that the lab did not create, to work on instead",
			set: pathTo(func(c *Config) *string { return &c.WorkloadKubeconfig })},
		{key: "managementKubeconfig", env: "MANAGEMENT_KUBECONFIG", kind: text,
			doc: "kubeconfig of the cluster that has the Cluster API objects of workloadKubeconfig's cluster, if that is another one",
			set: pathTo(func(c *Config) *string { return &c.ManagementKubeconfig })},
		{key: "clusterNamespace", env: "CLUSTER_NAMESPACE", def: defaultNamespace, kind: text,
			doc: "namespace of the Cluster API objects", set: setNamespace},
	},
)

// pathTo sets a path. A relative one begins at the root of the checkout.
func pathTo(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, raw string) error {
		if raw == "" {
			return nil
		}
		if !filepath.IsAbs(raw) {
			raw = filepath.Join(c.Root, raw)
		}
		*field(c) = filepath.Clean(raw)
		return nil
	}
}

func setNamespace(c *Config, raw string) error {
	c.Namespace = raw
	if !labelPattern.MatchString(raw) || len(raw) > 63 {
		return errors.New("want a namespace: a DNS label of at most 63 characters, such as default")
	}
	return nil
}

// sourceSettings returns the settings of a component's source. follows and turn are fields
// of the setting for the version.
func sourceSettings(key, env, defVersion, defGit string, source func(*Config) *Source, follows func(*Config) (value, origin string), turn int) []setting {
	origins, originsDoc := []string{OriginAuto, OriginGit, OriginModule, OriginDir}, "auto, git, module (Go module proxy) or dir (your checkout)"
	if key == "autoscaler" { // its releases are no modules
		origins, originsDoc = []string{OriginAuto, OriginGit, OriginDir}, "auto, git or dir (your checkout)"
	}
	return []setting{
		{key: key + ".version", env: env + "_VERSION", def: defVersion, kind: text,
			doc:     "release whose tag is fetched; for a commit or a checkout, the release that it is based on. The v may be left out",
			follows: follows, turn: turn,
			version: func(c *Config) *version.Version { return source(c).Version },
			set: func(c *Config, raw string) error {
				v, err := parseVersion(raw, defVersion)
				source(c).Version = v
				if err != nil && env == "CAPI" && apiPattern.MatchString(raw) {
					return fmt.Errorf("this is a version of an API, and the lab's CAPI_VERSION is a release, such as %s; the autoscaler reads a variable of the same name, which the lab sets for it as its release needs; unset yours", defVersion)
				}
				if err != nil && branchPattern.MatchString(raw) {
					return fmt.Errorf("%w; a branch or a commit is no release: set %s_COMMIT to the commit, as `git ls-remote %s` prints it, or %[2]s_DIR to your checkout", err, env, defGit)
				}
				return err
			}},
		{key: key + ".commit", env: env + "_COMMIT", kind: text,
			doc: "commit that git fetches instead of the release's tag",
			set: func(c *Config, raw string) error {
				source(c).Commit = raw
				if raw != "" && !commitPattern.MatchString(raw) {
					return errors.New("want a full commit of 40 hexadecimal digits, as `git rev-parse` prints it")
				}
				return nil
			}},
		{key: key + ".source", env: env + "_SOURCE", def: OriginAuto, kind: text,
			doc: originsDoc,
			set: oneOf(func(c *Config) *string { return &source(c).Origin }, origins...)},
		{key: key + ".git", env: env + "_GIT", def: defGit, kind: text,
			doc: "repository fetched by git: https, http, ssh or file URL",
			set: func(c *Config, raw string) error {
				source(c).Git = raw
				err := checkGit(raw)
				if err != nil && filepath.IsAbs(raw) {
					return fmt.Errorf("%w; a repository on this machine is file://%s, and %s_DIR takes a checkout with its uncommitted changes", err, raw, env)
				}
				return err
			}},
		{key: key + ".dir", env: env + "_DIR", kind: text,
			doc: "your checkout, which is read and never written; source is then dir",
			set: pathTo(func(c *Config) *string { return &source(c).Dir })},
	}
}

var (
	apiPattern    = regexp.MustCompile(`^v[0-9]+(alpha|beta)[0-9]+$`)
	branchPattern = regexp.MustCompile(`^(main|master|release-[0-9.]+|cluster-autoscaler-release-[0-9.]+|[0-9a-f]{7,40})$`)
	commitPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)
	valuePattern  = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`)
	labelPattern  = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	mirrorPattern = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)
	scpPattern    = regexp.MustCompile(`^[A-Za-z0-9._]+@[A-Za-z0-9.-]+:[^-].*$`)
)

func setName(c *Config, raw string) error {
	c.ClusterName = raw
	return nil
}

// checkForeignName refuses what Cluster API refuses: a cluster's name is the value of a
// label.
func checkForeignName(name string) error {
	if !valuePattern.MatchString(name) || len(name) > maxLabel {
		return fmt.Errorf("want the name of a Cluster: letters, digits, hyphens, underscores and dots, at most %d, the first and the last a letter or digit", maxLabel)
	}
	return nil
}

// checkName refuses names from which the lab cannot make host names of containers.
// Clusters that the lab did not create may have them.
func checkName(name string) error {
	if !labelPattern.MatchString(name) || len(name) > maxName {
		text := fmt.Sprintf("want at most %d lower case letters, digits and hyphens, first a letter, last not a hyphen, because the environment's containers are named after it", maxName)
		if n := utf8.RuneCountInString(name); n > maxName {
			text = fmt.Sprintf("it has %d characters; %s", n, text)
		}
		try := "work-cluster"
		if lower := strings.ToLower(name); lower != name && checkName(lower) == nil {
			try = lower
		}
		return fmt.Errorf("%s; try CLUSTER_NAME=%s", text, try)
	}
	for _, suffix := range []string{managementSuffix, "-autoscaler"} {
		if strings.HasSuffix(name, suffix) {
			return fmt.Errorf("the environment %q uses that name for objects of its own; the name must not end with %s", strings.TrimSuffix(name, suffix), suffix)
		}
	}
	return nil
}

func setWorkers(c *Config, raw string) (err error) {
	c.Workers, err = strconv.Atoi(raw)
	if err != nil || c.Workers < 1 || c.Workers > maxWorkers {
		return fmt.Errorf("want a whole number from 1 to %d; the pivot needs one worker", maxWorkers)
	}
	return nil
}

func setKubernetes(c *Config, raw string) (err error) {
	c.Kubernetes, err = parseVersion(raw, defaultKubernetes)
	return err
}

func setCertManager(c *Config, raw string) (err error) {
	c.CertManager, err = parseBool(raw)
	return err
}

func setForce(c *Config, raw string) (err error) {
	c.Force, err = parseBool(raw)
	return err
}

func setMirror(c *Config, raw string) error {
	c.RegistryMirror = raw
	if raw != "" && !mirrorPattern.MatchString(raw) {
		return errors.New("want host or host:port, without a scheme or a path; try REGISTRY_MIRROR=localhost:5000")
	}
	return nil
}

func oneOf(field func(*Config) *string, allowed ...string) func(*Config, string) error {
	return func(c *Config, raw string) error {
		*field(c) = raw
		if !slices.Contains(allowed, raw) {
			return fmt.Errorf("want one of %s", strings.Join(allowed, ", "))
		}
		return nil
	}
}

// parseVersion reads a release such as example. Build metadata is refused, because
// the tag of an image cannot have it.
func parseVersion(raw, example string) (*version.Version, error) {
	v, err := version.NewSemver(strings.TrimPrefix(raw, "v"))
	if err != nil || strings.Count(v.Original(), ".") < 2 || len(v.Segments()) != 3 || v.Metadata() != "" {
		return nil, errors.New("not a version; want major.minor.patch, such as " + example)
	}
	return v, nil
}

func checkGit(raw string) error {
	const want = "want an https, http, ssh or file URL, or user@host:path"
	if scpPattern.MatchString(raw) {
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New(want)
	}
	switch u.Scheme {
	case "https", "http", "ssh":
		if u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") {
			return errors.New(want)
		}
	case "file":
		if !strings.HasPrefix(u.Path, "/") {
			return errors.New(want + "; a file URL has three slashes: file:///srv/cluster-api")
		}
	default:
		return errors.New(want)
	}
	return nil
}
