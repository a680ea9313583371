package release

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOfTree(t *testing.T) {
	t.Parallel()
	series := func(all string) string { return "kind: Metadata\nreleaseSeries: " + all + "\n" }
	for name, tc := range map[string]struct {
		metadata, module string
		want             string // empty: none
	}{
		"main":                {series("[{major: 1, minor: 15}, {major: 1, minor: 14}, {major: 0, minor: 3}]"), "test", "1.15.0-alpha.0"},
		"the pinned series":   {series("[{major: 1, minor: 14}, {major: 1, minor: 13}]"), "test", "1.14.2"},
		"an older series":     {series("[{major: 1, minor: 9}, {major: 1, minor: 10}, {major: 1, minor: 8}]"), "test", "1.10.10"},
		"v0.4":                {series("[{major: 0, minor: 4}, {major: 0, minor: 3}]"), "test", "0.4.8"},
		"v0.3, as in v0.3.25": {series("[{major: 0, minor: 4}, {major: 0, minor: 3}]"), "test/infrastructure/docker", "0.3.25"},
		"an unknown series":   {series("[{major: 0, minor: 2}]"), "test", ""},
		"an impossible one":   {series("[{major: 1, minor: -3}]"), "test", ""},
		"no series":           {"kind: Metadata\n", "test", ""},
		"no YAML":             {"{", "test", ""},
		"no metadata.yaml":    {"", "test", ""},
		"no module":           {series("[{major: 1, minor: 14}]"), "elsewhere", ""},
	} {
		dir := t.TempDir()
		write := func(path, text string) {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(filepath.Join(tc.module, "go.mod"), "module example.com\n")
		if tc.metadata != "" {
			write("metadata.yaml", tc.metadata)
		}
		got := ""
		if v, ok := OfTree(dir); ok {
			got = v.String()
		}
		if got != tc.want {
			t.Errorf("%s: OfTree() = %q, want %q", name, got, tc.want)
		}
	}
}
