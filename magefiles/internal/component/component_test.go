package component

import (
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/source"
)

// TestSpecs: each component is fetched from the source in its own settings.
func TestSpecs(t *testing.T) {
	t.Parallel()
	commit := strings.Repeat("1", 40)
	l := labtest.New(t, map[string]string{
		"CAPI_VERSION": "v1.13.5", "CAPI_SOURCE": "git", "CAPI_GIT": "https://capi.example.com", "CAPI_COMMIT": commit,
		"AUTOSCALER_VERSION": "1.35.2", "AUTOSCALER_DIR": "/nowhere",
	})
	if s := ClusterAPI(l.Config); s.Name != source.ClusterAPIName || s.Version != "v1.13.5" || s.Origin != "git" || s.URL != "https://capi.example.com" || s.Commit != commit || s.Path != "" {
		t.Errorf("ClusterAPI() = %+v", s)
	}
	if s := Autoscaler(l.Config); s.Name != source.AutoscalerName || s.Version != "1.35.2" || s.Origin != "dir" || s.Path != "/nowhere" || s.Commit != "" {
		t.Errorf("Autoscaler() = %+v", s)
	}
	if v := AutoscalerRelease(l.Config); v.String() != "1.35.2" {
		t.Errorf("AutoscalerRelease() of a checkout that does not say = %s", v)
	}
}

// TestFetchAll: a name selects one component, and an unknown name fetches nothing. An
// error names the setting.
func TestFetchAll(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, map[string]string{"CAPI_DIR": "/no/capi", "AUTOSCALER_DIR": "/no/autoscaler"})
	for name, want := range map[string]string{
		"":                    "CAPI_DIR=/no/capi",
		source.AutoscalerName: "AUTOSCALER_DIR=/no/autoscaler",
		"kubernetes":          `unknown component "kubernetes"; want cluster-api or autoscaler`,
	} {
		if err := FetchAll(t.Context(), l.Lab, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("FetchAll(%q) = %v, want %s", name, err, want)
		}
	}
	if calls := l.Processes.Calls(); len(calls) > 0 || l.Printed.String() != "" {
		t.Errorf("ran %q and printed %q", calls, l.Printed)
	}
}

// TestOrigins: the packages config and source cannot import each other, but must have the
// same names of origins.
func TestOrigins(t *testing.T) {
	t.Parallel()
	settings := []string{config.OriginAuto, config.OriginGit, config.OriginModule, config.OriginDir}
	if sources := []string{source.Auto, source.Git, source.Module, source.Dir}; !slices.Equal(settings, sources) {
		t.Errorf("settings have %q, sources %q", settings, sources)
	}
}
