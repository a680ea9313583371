package release

import (
	"fmt"
	"os"
	"path/filepath"

	version "github.com/hashicorp/go-version"
	"go.yaml.in/yaml/v3"
)

// OfTree returns the release on which a tree of Cluster API is based: the last known one of
// the newest series in its metadata.yaml. For a series that is newer than the table, that
// is the tag which upstream puts on the main branch when work on the series begins, such as
// 1.15.0-alpha.0. ok is false if metadata.yaml is missing, or has no known series that fits
// the tree.
func OfTree(dir string) (v *version.Version, ok bool) {
	data, err := os.ReadFile(filepath.Join(dir, "metadata.yaml"))
	if err != nil {
		return nil, false
	}
	var metadata struct {
		ReleaseSeries []struct{ Major, Minor uint } `yaml:"releaseSeries"`
	}
	if err := yaml.Unmarshal(data, &metadata); err != nil {
		return nil, false
	}
	for _, series := range metadata.ReleaseSeries {
		last, known := lastOf(series.Major, series.Minor)
		if !known || v != nil && last.LessThan(v) {
			continue
		}
		// metadata.yaml of v0.3.20 to v0.3.25 has the series v0.4 too.
		module := filepath.Join(dir, filepath.FromSlash(Of(last).Layout.DockerModule), "go.mod")
		if _, err := os.Stat(module); err == nil {
			v = last
		}
	}
	return v, v != nil
}

// lastOf returns the last release of a series that the table knows, or the first tag of a
// series that is newer. known is false for any other series.
func lastOf(major, minor uint) (v *version.Version, known bool) {
	first, err := version.NewSemver(fmt.Sprintf("%d.%d.0-alpha.0", major, minor))
	if err != nil {
		return nil, false
	}
	for _, r := range All() {
		if SameMinor(r.Version, first) {
			return r.Version, true
		}
	}
	return first, Of(first).Newer
}
