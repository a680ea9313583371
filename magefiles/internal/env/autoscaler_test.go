package env

import (
	"testing"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/capi"
)

func TestAnnotationPrefix(t *testing.T) {
	t.Parallel()
	for v, want := range map[string]string{
		"1.18.0": capi.OldPrefix, "1.18.2": capi.OldPrefix, "1.18.3": capi.Prefix, "1.19.0": capi.OldPrefix, "1.19.1": capi.Prefix,
		"1.36.1": capi.Prefix, "1.37.0-beta.1": capi.Prefix,
	} {
		if got := annotationPrefix(version.Must(version.NewSemver(v))); got != want {
			t.Errorf("%s reads %s, want %s", v, got, want)
		}
	}
}
