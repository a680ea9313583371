package component

import (
	"os"
	"path/filepath"
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

// TestAutoscalerDoubts: a doubt is about the autoscaler that runs, which is the checkout's.
func TestAutoscalerDoubts(t *testing.T) {
	t.Parallel()
	checkout := t.TempDir()
	if err := os.MkdirAll(filepath.Join(checkout, "cluster-autoscaler", "version"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(checkout, "cluster-autoscaler", "version", "version.go"), []byte("package version\n\nconst ClusterAutoscalerVersion = \"1.33.6\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		env  map[string]string
		want string
	}{
		"defaults":               {},
		"newer":                  {map[string]string{"AUTOSCALER_VERSION": "1.37.0"}, "1.37.0 is newer than this lab knows"},
		"older than the API":     {map[string]string{"AUTOSCALER_VERSION": "1.18.2"}, "the autoscaler 1.36.1 is paired with it"},
		"checkout":               {map[string]string{"AUTOSCALER_DIR": checkout}, ""},
		"checkout of that minor": {map[string]string{"AUTOSCALER_DIR": checkout, "AUTOSCALER_VERSION": "1.33.0"}, ""},
		"checkout of another":    {map[string]string{"AUTOSCALER_DIR": checkout, "AUTOSCALER_VERSION": "1.35.2"}, "has the autoscaler 1.33.6, and the settings ask for 1.35.2"},
		"a default is no wish":   {map[string]string{"AUTOSCALER_DIR": checkout, "CAPI_VERSION": "v1.8.12"}, ""},
	} {
		got := strings.Join(AutoscalerDoubts(labtest.New(t, tc.env).Config), "; ")
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: AutoscalerDoubts() = %q, want %q", name, got, tc.want)
		}
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
