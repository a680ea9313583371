package config

import (
	"errors"
	"fmt"
	"strings"

	"caslab/magefiles/internal/capi/release"
)

// validate checks settings that depend on each other.
func (c *Config) validate() error {
	var errs []error
	bad := func(key, env, value string, err error) {
		errs = append(errs, refused(key, env, value, c.origin(key), err))
	}
	facts := release.Of(c.ClusterAPI.Version)
	if !facts.Supported {
		bad("clusterAPI.version", "CAPI_VERSION", c.ClusterAPI.Tag(), fmt.Errorf(
			"the lab supports v%s and later; before v0.3.4 a DockerMachineTemplate has no extraMounts, without which managers in nodes cannot reach the engine",
			release.First(func(r release.Release) bool { return r.Supported })))
	}
	if has := c.Autoscaler; has.Dir == "" && !release.OfAutoscaler(has.Version).Supported {
		bad("autoscaler.version", "AUTOSCALER_VERSION", has.Tag(), fmt.Errorf("it has no provider for Cluster API; want v%s or later",
			release.FirstAutoscaler(func(r release.Autoscaler) bool { return r.Supported })))
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
		// Only git fetches a given commit or repository.
		if s.src.Origin == OriginAuto && (s.src.Commit != "" || c.origin(s.key+".git") != "default") {
			s.src.Origin = OriginGit
		}
	}
	if c.WorkloadKubeconfig != "" {
		if err := checkForeignName(c.ClusterName); err != nil {
			bad("clusterName", "CLUSTER_NAME", c.ClusterName, err)
		}
	} else {
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

// CheckEnvironment returns an error if env:up cannot create an environment with
// these settings, which other commands can use.
func (c *Config) CheckEnvironment() error {
	facts := release.Of(c.ClusterAPI.Version)
	if facts.With(c.Kubernetes) == release.OutsideTable && !c.Force {
		or := ""
		if near, ok := facts.NearestFor(c.Kubernetes); ok {
			or = fmt.Sprintf(" or CAPI_VERSION=v%s", near.Version)
		}
		return fmt.Errorf("KUBERNETES_VERSION=%s (%s): Cluster API %s manages itself on Kubernetes %s; set KUBERNETES_VERSION=%s%s, or FORCE=true to try it nevertheless",
			Tag(c.Kubernetes), c.origin("kubernetesVersion"), c.ClusterAPI.Tag(), facts.Kubernetes, facts.NearestKubernetes(c.Kubernetes), or)
	}
	if strings.Contains(c.Root, ":") {
		// Nodes have a file of .caslab mounted, and Docker separates the two ends
		// of a mount with a colon.
		return fmt.Errorf("the checkout %s has a colon in its path, and Docker cannot mount its files into nodes; move it to a path without one", c.Root)
	}
	if err := checkName(c.ClusterName); err != nil {
		return fmt.Errorf("CLUSTER_NAME=%s cannot name an environment of the lab: %w", c.ClusterName, err)
	}
	return nil
}

// Warnings returns what is uncertain about the settings' Cluster API and Kubernetes, each as
// one sentence: that a version is newer than this lab knows, or that upstream does not support
// the two together.
func (c *Config) Warnings() []string {
	return release.Of(c.ClusterAPI.Version).Doubts(c.Kubernetes)
}
