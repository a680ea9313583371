package export_test

import (
	"path/filepath"
	"testing"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/environment/export"
)

// TestPrograms: all programs are in one folder, also clusterctl, which is not with the
// managers.
func TestPrograms(t *testing.T) {
	t.Parallel()
	tree := build.ClusterAPI{Dir: "/tree", Version: version.Must(version.NewSemver("1.14.2")), OutDir: "/managers", Components: "/root/components"}
	requests := export.Programs("/root", tree, "/folder")
	for i, want := range []struct{ name, dir string }{{"kind", "/root"}, {"kubectl", "/root/components/kubernetes"}, {"clusterctl", "/tree"}} {
		if r := requests[i]; r.Output != filepath.Join("/folder", want.name) || r.Dir != want.dir || !r.Host {
			t.Errorf("%s: %+v", want.name, r)
		}
	}
}
