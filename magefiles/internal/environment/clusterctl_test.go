package environment

import (
	"context"
	"os"
	"testing"

	"caslab/magefiles/internal/capi"
)

// TestClusterctlOfTheRelease: each command gets the clusterctl that env:up built, also
// after another tree was built.
func TestClusterctlOfTheRelease(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"CAPI_VERSION": "v1.10.10"})
	var given capi.ClusterctlOptions
	s.tools.clusterctl = func(_ context.Context, o capi.ClusterctlOptions) (capi.Clusterctl, error) {
		given = o
		return nil, nil
	}
	for _, name := range []string{"first", "second", "second"} {
		program := s.State.Path(name)
		s.write(t, program, name)
		if err := s.keepClusterctl(program); err != nil {
			t.Fatal(err)
		}
		if _, err := s.clusterctl(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(given.Binary); err != nil || string(data) != name {
			t.Errorf("it runs %q, %v, want %q", data, err, name)
		}
	}
	if given.Config != s.repositoryDir()+"/clusterctl.yaml" || given.Home == "" || given.Release.Version.String() != "1.10.10" || given.Runner == nil {
		t.Errorf("given %+v", given)
	}
}
