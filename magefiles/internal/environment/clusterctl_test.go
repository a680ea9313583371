package environment

import (
	"context"
	"errors"
	"os"
	"testing"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
)

// TestClusterctlOfTheRelease: each command uses the clusterctl that env:up built, even
// after another tree was built.
func TestClusterctlOfTheRelease(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"CAPI_VERSION": "v1.10.10"})
	var given capi.ClusterctlOptions
	s.tools.Clusterctl = func(_ context.Context, o capi.ClusterctlOptions) (capi.Clusterctl, error) {
		given = o
		return nil, nil
	}
	for _, name := range []string{"first", "second", "second"} {
		program := s.State.Path(name)
		s.write(t, program, name)
		if err := s.home().KeepClusterctl(release.Of(s.Config.ClusterAPI.Version), program); err != nil {
			t.Fatal(err)
		}
		if _, err := s.clusterctl(t.Context(), release.Of(s.Config.ClusterAPI.Version)); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(given.Binary); err != nil || string(data) != name {
			t.Errorf("it runs %q, %v, want %q", data, err, name)
		}
	}
	if given.Config != s.home().Repository()+"/clusterctl.yaml" || given.Home == "" || given.Release.Version.String() != "1.10.10" || given.Runner == nil {
		t.Errorf("given %+v", given)
	}
}

// TestDescribeWithTheInstalledRelease: cluster:describe uses the clusterctl of the
// release in the cluster, even if the settings name another release whose clusterctl was
// built later.
func TestDescribeWithTheInstalledRelease(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"CAPI_VERSION": "v1.5.8"})
	w := selfManaged()
	w[providerObjects] = []map[string]any{fakeProvider("v1.10.10")}
	s.up(t, w)
	s.write(t, s.home().Clusterctl(release.Of(version.Must(version.NewVersion("1.10.10")))), "its own")
	built := s.State.Path("other")
	s.write(t, built, "another one")
	if err := s.home().KeepClusterctl(release.Of(s.Config.ClusterAPI.Version), built); err != nil {
		t.Fatal(err)
	}
	var given capi.ClusterctlOptions
	s.tools.Clusterctl = func(_ context.Context, o capi.ClusterctlOptions) (capi.Clusterctl, error) {
		given = o
		return nil, errors.New("stop here")
	}
	if err := s.Describe(t.Context()); err == nil || err.Error() != "stop here" {
		t.Fatalf("Describe() = %v", err)
	}
	if data, err := os.ReadFile(given.Binary); err != nil || string(data) != "its own" || given.Release.Version.String() != "1.10.10" {
		t.Errorf("v%s is described by %q, %v", given.Release.Version, data, err)
	}
}
