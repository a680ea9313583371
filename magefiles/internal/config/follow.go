package config

import "caslab/magefiles/internal/capi/release"

// ofCheckout returns the release on which the checkout of Cluster API is based, as its
// metadata.yaml says.
func ofCheckout(c *Config) (value, origin string) {
	if c.ClusterAPI.Dir == "" {
		return "", ""
	}
	v, ok := release.OfTree(c.ClusterAPI.Dir)
	if !ok {
		return "", ""
	}
	return Tag(v), "metadata.yaml of the checkout"
}

// ofRelease returns a setting's default for a release of Cluster API other than the pinned
// one.
func ofRelease(value func(release.Release) string) func(*Config) (value, origin string) {
	return func(c *Config) (string, string) {
		if c.ClusterAPI.Version == nil || c.ClusterAPI.Tag() == defaultClusterAPI {
			return "", ""
		}
		facts := release.Of(c.ClusterAPI.Version)
		return value(facts), "default of Cluster API " + facts.Series()
	}
}
