package build_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/run"
)

// files writes files to a new folder and returns it.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAutoscalerRequest(t *testing.T) {
	t.Parallel()
	tree := files(t, map[string]string{"cluster-autoscaler/vendor/modules.txt": ""})
	r, err := build.Autoscaler{Dir: tree, Version: "1.18.3", ID: "git:abc", Arch: "amd64", OutDir: "/out", Toolchain: "go1.13.15"}.Request()
	if err != nil {
		t.Fatal(err)
	}
	if r.Output != "/out/cluster-autoscaler" || !slices.Equal(r.Tags, []string{"clusterapi"}) || !r.Vendor || r.Toolchain != "go1.13.15" {
		t.Errorf("request %+v", r)
	}
	r, err = build.Autoscaler{Dir: t.TempDir(), AllProviders: true, Debug: true, OutDir: "/out"}.Request()
	if err != nil || len(r.Tags) > 0 || len(r.Env) > 0 || !r.Debug || r.Vendor {
		t.Errorf("request %+v, %v", r, err)
	}
}

// TestAutoscalerOfTwoTrees builds a program whose core is in another checkout,
// with the core's replacements where the two differ.
func TestAutoscalerOfTwoTrees(t *testing.T) {
	t.Parallel()
	core := files(t, map[string]string{
		"go.mod":                 "module " + build.CoreModule + "\n\ngo 1.26.0\n\nrequire example.com/pinned v1.0.0\n\nreplace example.com/pinned => ./new\n",
		"new/go.mod":             "module example.com/pinned\n\ngo 1.26.0\n",
		"new/pinned.go":          "package pinned\n\nconst V = \"new\"\n",
		"pkg/core/core.go":       "package core\n\nimport \"example.com/pinned\"\n\nconst V = pinned.V\n",
		"pkg/version/version.go": "package version\n\nvar ClusterAutoscalerVersion = \"dev\"\n",
	})
	tree := files(t, map[string]string{
		"cluster-autoscaler/go.mod":        "module " + build.AutoscalerModule + "\n\ngo 1.25.0\n\nrequire (\n\texample.com/pinned v1.0.0\n\t" + build.CoreModule + " v0.0.0\n)\n\nreplace example.com/pinned => ./old\n",
		"cluster-autoscaler/old/go.mod":    "module example.com/pinned\n\ngo 1.26.0\n",
		"cluster-autoscaler/old/pinned.go": "package pinned\n\nconst V = \"old\"\n",
		"cluster-autoscaler/main.go": "package main\n\nimport (\n\t\"fmt\"\n\n\t\"" + build.CoreModule + "/pkg/core\"\n\t\"" + build.CoreModule +
			"/pkg/version\"\n)\n\nfunc main() { fmt.Print(core.V, \" \", version.ClusterAutoscalerVersion) }\n",
	})
	before := listing(t, core) + listing(t, tree)
	r, err := build.Autoscaler{Dir: tree, CoreDir: core, Version: "1.37.0-dev", ID: "git:abc", Host: true, OutDir: t.TempDir()}.Request()
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != "" {
		t.Error("a core that may change counts as unchanged")
	}
	if _, err := build.Build(t.Context(), r, build.Options{Runner: run.Exec{}}); err != nil {
		t.Fatal(err)
	}
	res, err := run.Exec{}.Run(t.Context(), run.Cmd{Name: r.Output})
	if err != nil || string(res.Stdout) != "new 1.37.0-dev" {
		t.Errorf("the program says %q, %v", res.Stdout, err)
	}
	if after := listing(t, core) + listing(t, tree); after != before {
		t.Errorf("the checkouts changed from\n%s\nto\n%s", before, after)
	}
}

// TestEntryProgramOfTheCore: a core whose newest commit dropped what the tree's main.go
// calls is built with its own entry program, which gets the providers of the tree.
func TestEntryProgramOfTheCore(t *testing.T) {
	t.Parallel()
	const own = "// Package main is the core's.\npackage main\n\nimport (\n\t\"fmt\"\n\n\t\"" + build.CoreModule + "/pkg/builder\"\n\t\"" + build.CoreModule + "/pkg/version\"\n\n\t// Providers register themselves.\n\t_ \"" +
		build.CoreModule + "/pkg/cloudprovider/kwok\"\n)\n\nfunc main() { fmt.Print(builder.Providers, \" \", version.ClusterAutoscalerVersion) }\n"
	coreFiles := map[string]string{
		"go.mod":                         "module " + build.CoreModule + "\n\ngo 1.26.0\n",
		"kwok/main.go":                   own,
		"hack/other/main.go":             "package main\n\nfunc main() {}\n",
		"pkg/builder/builder.go":         "package builder\n\nvar Providers []string\n",
		"pkg/cloudprovider/kwok/kwok.go": "package kwok\n\nimport \"" + build.CoreModule + "/pkg/builder\"\n\nfunc init() { builder.Providers = append(builder.Providers, \"kwok\") }\n",
		"pkg/version/version.go":         "package version\n\nvar ClusterAutoscalerVersion = \"dev\"\n",
	}
	treeFiles := map[string]string{
		"cluster-autoscaler/go.mod":                         "module " + build.AutoscalerModule + "\n\ngo 1.25.0\n\nrequire " + build.CoreModule + " v0.0.0\n",
		"cluster-autoscaler/main.go":                        "package main\n\nimport \"" + build.CoreModule + "/pkg/builder\"\n\nfunc main() { builder.Dropped() }\n",
		"cluster-autoscaler/cloudprovider/router/router.go": "package router\n\nimport \"" + build.CoreModule + "/pkg/builder\"\n\nfunc init() { builder.Providers = append(builder.Providers, \"clusterapi\") }\n",
	}
	changed := func(in map[string]string, name, text string) map[string]string {
		out := maps.Clone(in)
		if out[name] = text; text == "" {
			delete(out, name)
		}
		return out
	}
	for name, tc := range map[string]struct {
		core, tree map[string]string
		want       []string // in what is said, or in the error
		fails      bool
	}{
		"the tree's own": {core: changed(coreFiles, "pkg/builder/builder.go", "package builder\n\nvar Providers []string\n\nfunc Dropped() { print() }\n"), tree: treeFiles},
		"the core's":     {core: coreFiles, tree: treeFiles, want: []string{"undefined: builder.Dropped", "core's own kwok/main.go"}},
		"none": {core: changed(coreFiles, "kwok/main.go", ""), tree: treeFiles, fails: true,
			want: []string{"undefined: builder.Dropped", "has 0 entry programs"}},
		"two": {core: changed(coreFiles, "pkg/main.go", own), tree: treeFiles, fails: true,
			want: []string{"undefined: builder.Dropped", "has 2 entry programs"}},
		"more than the entry program": {core: coreFiles, fails: true, want: []string{"undefined: builder.Gone"},
			tree: changed(treeFiles, "cluster-autoscaler/cloudprovider/router/router.go", "package router\n\nimport \""+build.CoreModule+"/pkg/builder\"\n\nfunc init() { builder.Gone() }\n")},
		"no program at all": {core: coreFiles, tree: changed(treeFiles, "cluster-autoscaler/main.go", "package main\n\nfunc {\n"), fails: true,
			want: []string{"main.go:3:6"}},
		"no name of the core": {core: coreFiles, tree: changed(treeFiles, "cluster-autoscaler/main.go", "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Dropped(); dropped() }\n"), fails: true,
			want: []string{"undefined: fmt.Dropped"}},
		"another name of the package": {core: coreFiles, want: []string{"undefined: builders.Dropped", "core's own kwok/main.go"},
			tree: changed(treeFiles, "cluster-autoscaler/main.go", "package main\n\nimport builders \""+build.CoreModule+"/pkg/builder\"\n\nfunc main() { builders.Dropped() }\n")},
		"no core": {core: coreFiles, tree: changed(treeFiles, "cluster-autoscaler/main.go", "package main\n\nfunc main() { dropped() }\n"), fails: true,
			want: []string{"undefined: dropped"}},
		"neither": {core: changed(coreFiles, "pkg/version/version.go", "package version\n"), tree: treeFiles, fails: true,
			want: []string{"undefined: version.ClusterAutoscalerVersion", "because the tree's main.go does not compile"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core, tree := files(t, tc.core), files(t, tc.tree)
			if name == "more than the entry program" {
				main := filepath.Join(tree, "cluster-autoscaler", "main.go")
				if err := os.WriteFile(main, []byte("package main\n\nimport _ \""+build.AutoscalerModule+"/cloudprovider/router\"\n\nfunc main() {}\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			before := listing(t, core) + listing(t, tree)
			a := build.Autoscaler{Dir: tree, CoreDir: core, Version: "1.37.0-dev", Host: true, OutDir: t.TempDir()}
			if name == "no core" {
				a.CoreDir = ""
			}
			_, instead, err := build.BuildAutoscaler(t.Context(), a, build.Options{Runner: run.Exec{}})
			if (err != nil) != tc.fails {
				t.Fatalf("BuildAutoscaler() = %v", err)
			}
			said := instead
			if err != nil {
				said = err.Error()
			}
			for _, want := range tc.want {
				if !strings.Contains(said, want) {
					t.Errorf("no %q in %s", want, said)
				}
			}
			if strings.HasPrefix(name, "no ") && strings.Contains(said, "entry program") {
				t.Errorf("another entry program would not help: %s", said)
			}
			if err == nil && len(tc.want) == 0 && instead != "" {
				t.Errorf("said %s", instead)
			}
			if instead != "" {
				res, err := run.Exec{}.Run(t.Context(), run.Cmd{Name: a.Output()})
				if err != nil || string(res.Stdout) != "[clusterapi] 1.37.0-dev" {
					t.Errorf("the program says %q, %v", res.Stdout, err)
				}
			}
			if after := listing(t, core) + listing(t, tree); after != before {
				t.Errorf("the checkouts changed from\n%s\nto\n%s", before, after)
			}
		})
	}
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		b.WriteString(path + "\n" + string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTwoTreesThatDoNotFit(t *testing.T) {
	t.Parallel()
	core := files(t, map[string]string{"go.mod": "module " + build.CoreModule + "\n\ngo 1.26.0\n"})
	whole := files(t, map[string]string{"cluster-autoscaler/go.mod": "module " + build.AutoscalerModule + "\n\ngo 1.26.0\n"})
	for want, a := range map[string]build.Autoscaler{
		"contains its core":           {Dir: whole, CoreDir: core},
		"want the root of a checkout": {Dir: whole, CoreDir: filepath.Join(whole, "cluster-autoscaler")},
		"read a module":               {Dir: whole, CoreDir: "/nope"},
	} {
		a.OutDir = t.TempDir()
		if _, err := a.Request(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Request() = %v, want %q in it", err, want)
		}
	}
}

// TestAutoscalerVersion has the contents that upstream's tree had at different
// times.
func TestAutoscalerVersion(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ literal, kubernetes, want string }{
		"1.30.7":                   {"const ClusterAutoscalerVersion = \"1.30.7\"", "v1.30.9", "1.30.7"},
		"1.36.1":                   {"var ClusterAutoscalerVersion = \"1.36.1\"", "v1.36.2", "1.36.1"},
		"1.36.1 in a fork":         {"var ClusterAutoscalerVersion = \"1.36.1\"", "", "1.36.1"},
		"master in August 2026":    {"var ClusterAutoscalerVersion = \"dev\"", "v1.36.2", "master, after 1.36"},
		"master in May 2026":       {"const ClusterAutoscalerVersion = \"1.35.0-rc.0\"", "v1.36.0", "master, after 1.36"},
		"master in January 2025":   {"const ClusterAutoscalerVersion = \"1.33.0-alpha.0\"", "v1.33.0-alpha.0", "1.33.0-alpha.0"},
		"before a Kubernetes":      {"var ClusterAutoscalerVersion = \"dev\"", "v1.37.0-beta.1", "master, after 1.36"},
		"no version of Kubernetes": {"var ClusterAutoscalerVersion = \"dev\"", "", ""},
		"not a version":            {"var ClusterAutoscalerVersion = \"1.x\"", "", ""},
		"nothing":                  {"", "", ""},
	} {
		mod := "module " + build.AutoscalerModule + "\n\ngo 1.26.0\n"
		if tc.kubernetes != "" {
			mod += "\nrequire k8s.io/kubernetes " + tc.kubernetes + "\n"
		}
		dir := files(t, map[string]string{"cluster-autoscaler/version/version.go": "package version\n\n" + tc.literal + "\n", "cluster-autoscaler/go.mod": mod})
		got := ""
		if v := build.AutoscalerVersion(dir); v != nil {
			got = release.Name(v)
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	if got := build.AutoscalerVersion(t.TempDir()); got != nil {
		t.Errorf("no tree gives %s", got)
	}
}
