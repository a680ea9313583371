package config

import (
	"errors"
	"fmt"

	version "github.com/hashicorp/go-version"
)

// minClusterAPI is the first release whose DockerMachineTemplate has
// extraMounts, without which no manager in a node reaches the Docker engine.
var minClusterAPI = version.Must(version.NewSemver("0.3.5"))

// minEnvironment is the first release that env:up can drive: older ones speak
// a contract that the clusterctl library no longer does.
var minEnvironment = version.Must(version.NewSemver("1.11.0"))

// series is what one Cluster API series supports as a management cluster,
// which a self-managed cluster is, from the "Kubernetes" page of its book.
type series struct {
	minor    int
	min, max int // Kubernetes 1.x
	// lastFrom is the patch release from which max holds; max-1 before it.
	lastFrom int
}

var matrix = []series{
	{minor: 11, min: 30, max: 34},
	{minor: 12, min: 31, max: 36, lastFrom: 8},
	{minor: 13, min: 32, max: 36, lastFrom: 1},
	{minor: 14, min: 33, max: 36},
}

// KubernetesRange returns the lowest and highest minor of Kubernetes 1.x that
// a cluster which hosts this release of Cluster API may have. ok is false for
// a series the lab has no facts about.
func KubernetesRange(clusterAPI *version.Version) (lowest, highest int, ok bool) {
	seg := clusterAPI.Segments()
	for _, s := range matrix {
		if seg[0] != 1 || seg[1] != s.minor {
			continue
		}
		if seg[2] < s.lastFrom {
			return s.min, s.max - 1, true
		}
		return s.min, s.max, true
	}
	return 0, 0, false
}

// validate checks what one setting alone cannot tell.
func (c *Config) validate() error {
	var errs []error
	bad := func(key, env, value string, err error) {
		errs = append(errs, &SettingError{Key: key, Env: env, Value: value, Origin: c.origin(key), Err: err})
	}
	if c.ClusterAPI.Version.LessThan(minClusterAPI) {
		bad("clusterAPI.version", "CAPI_VERSION", c.ClusterAPI.Tag(), fmt.Errorf(
			"Cluster API before v%s cannot manage itself on Docker: its DockerMachineTemplate has no extraMounts, so no manager reaches the engine; want v%s or later to fetch and build, and v%s or later for env:up", minClusterAPI, minClusterAPI, minEnvironment))
	}
	for _, s := range []struct {
		key, env string
		src      *Source
	}{{"clusterAPI", "CAPI", &c.ClusterAPI}, {"autoscaler", "AUTOSCALER", &c.Autoscaler}} {
		switch {
		case s.src.Origin == OriginDir && s.src.Dir == "":
			bad(s.key+".source", s.env+"_SOURCE", s.src.Origin, fmt.Errorf("no checkout is named; set %s_DIR=/path/to/your/checkout too", s.env))
		case s.src.Dir != "" && s.src.Origin != OriginDir && s.src.Origin != OriginAuto:
			bad(s.key+".dir", s.env+"_DIR", s.src.Dir, fmt.Errorf("%s_SOURCE=%s does not read a checkout; unset one of the two", s.env, s.src.Origin))
		case s.src.Commit != "" && s.src.Origin != OriginGit && s.src.Origin != OriginAuto:
			bad(s.key+".commit", s.env+"_COMMIT", s.src.Commit, fmt.Errorf("only git fetches a commit; set %s_SOURCE=git", s.env))
		}
		if s.src.Dir != "" {
			s.src.Origin = OriginDir
		}
		// Who names a commit or a repository means git, not what auto finds.
		if s.src.Origin == OriginAuto && (s.src.Commit != "" || c.origin(s.key+".git") != "default") {
			s.src.Origin = OriginGit
		}
	}
	if c.WorkloadKubeconfig == "" {
		if err := checkName(c.ClusterName); err != nil {
			bad("clusterName", "CLUSTER_NAME", c.ClusterName, err)
		}
		if c.ManagementKubeconfig != "" {
			bad("managementKubeconfig", "MANAGEMENT_KUBECONFIG", c.ManagementKubeconfig, errors.New("set WORKLOAD_KUBECONFIG too: the cluster whose nodes are scaled"))
		}
		if c.Namespace != defaultNamespace {
			bad("clusterNamespace", "CLUSTER_NAMESPACE", c.Namespace, errors.New("clusters of the lab have their objects in the namespace default; set WORKLOAD_KUBECONFIG for another cluster, or unset this"))
		}
	}
	if lowest, highest, ok := KubernetesRange(c.ClusterAPI.Version); ok {
		seg := c.Kubernetes.Segments()
		if seg[0] != 1 || seg[1] < lowest || seg[1] > highest {
			bad("kubernetesVersion", "KUBERNETES_VERSION", Tag(c.Kubernetes), fmt.Errorf(
				"Cluster API %s manages itself on Kubernetes v1.%d to v1.%d; set KUBERNETES_VERSION or CAPI_VERSION so that they match", c.ClusterAPI.Tag(), lowest, highest))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) origin(key string) string {
	for _, v := range c.values {
		if v.Key == key {
			return v.Origin
		}
	}
	return ""
}

// CheckEnvironment says whether env:up can drive this release of Cluster API
// and make a cluster of this name.
func (c *Config) CheckEnvironment() error {
	if c.ClusterAPI.Version.LessThan(minEnvironment) {
		return fmt.Errorf("CAPI_VERSION=%s: this caslab fetches and builds it, but its clusters need v%s or later (the v1beta2 API); set CAPI_VERSION=%s",
			c.ClusterAPI.Tag(), minEnvironment, defaultClusterAPI)
	}
	if err := checkName(c.ClusterName); err != nil {
		return fmt.Errorf("CLUSTER_NAME=%s is of another's cluster: %w", c.ClusterName, err)
	}
	return nil
}
