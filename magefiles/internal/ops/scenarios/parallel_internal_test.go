package scenarios

import (
	"slices"
	"testing"

	version "github.com/hashicorp/go-version"
)

func TestFlagsOfParallelScenariosAreThoseThatTheReleaseHas(t *testing.T) {
	t.Parallel()
	for release, want := range map[string][]string{
		"1.29.5": {"--max-nodes-total=0"},
		"1.30.0": {"--max-nodes-total=0", "--scale-down-delay-type-local=true"},
	} {
		if got := flagsOfParallel(version.Must(version.NewSemver(release))); !slices.Equal(got, want) {
			t.Errorf("flagsOfParallel(%s) = %q, want %q", release, got, want)
		}
	}
}
