package check_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/config"
)

// short returns the calls without the parts that differ between runs, which are
// the commits of actions and the folder of the results.
func short(calls []string) []string {
	commit := regexp.MustCompile(`@[0-9a-f]{40}$`)
	out := regexp.MustCompile(`/\S*/caslab\.\w{6}`)
	var all []string
	for _, call := range calls {
		if strings.HasPrefix(call, "go 'env'") {
			continue
		}
		all = append(all, out.ReplaceAllString(commit.ReplaceAllString(call, ""), "OUT"))
	}
	return all
}

func wantCalls(t *testing.T, c *composite, want ...string) {
	t.Helper()
	if got := short(c.calls); !slices.Equal(got, want) {
		t.Errorf("the action called\n  %s\nwant\n  %s\nconsole:\n%s", strings.Join(got, "\n  "), strings.Join(want, "\n  "), c.console.String())
	}
}

// These are the calls that every run begins and ends with.
var (
	prepared = []string{"uses actions/setup-go", "uses actions/cache", "go 'tool' 'mage' 'config:show'"}
	ups      = []string{"go 'tool' 'mage' 'autoscaler:build'", "docker-engine", "go 'tool' 'mage' 'env:up'"}
	timeline = "go 'tool' 'mage' 'timeline:report' '-out=OUT/timeline.html'"
	ended    = []string{"uses actions/upload-artifact", "go 'tool' 'mage' 'env:down'"}
)

func TestActionOfARelease(t *testing.T) {
	t.Parallel()
	c := newComposite(t, map[string]string{"autoscaler-version": "1.35.2", "cluster-api-version": "v1.13.5", "kubernetes-version": "v1.35.4"}).run()
	wantCalls(t, c, slices.Concat(prepared, ups, []string{"go 'tool' 'mage' 'scenario:run' 'all' '-tags=' '-machines=hollow' '-repeat=1' '-parallel=1' '-out=OUT'", timeline}, ended)...)
	if c.failed {
		t.Errorf("the action failed:\n%s", c.console.String())
	}
	cfg := c.settings()
	if got := cfg.Autoscaler.Version.String() + " " + cfg.ClusterAPI.Version.String() + " " + cfg.Kubernetes.String(); got != "1.35.2 1.13.5 1.35.4" {
		t.Errorf("the lab has the versions %s", got)
	}
	out := c.outputs["directory"]
	for _, file := range []string{"summary.md", "comment.md", "caslab.yaml", "logs/work-cluster.log", "logs/work-cluster-capd-system.log", "record/work-cluster.jsonl"} {
		if _, err := os.Stat(filepath.Join(out, file)); err != nil {
			t.Errorf("the artifact lacks %s", file)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(out, "*kubeconfig*")); len(found) > 0 {
		t.Errorf("the artifact has %s", found)
	}
	if c.with["Artifactupload"]["path"] != out || c.outputs["artifact-url"] != "https://artifact" || c.outputs["verdict"] != "success" {
		t.Errorf("outputs are %v, and %v was uploaded", c.outputs, c.with["Artifactupload"])
	}
	const summary = "## 2 of 2 scenarios passed"
	if !strings.Contains(c.page, summary) || !strings.Contains(c.outputs["comment"], summary) || !strings.HasPrefix(c.outputs["comment"], "<!-- caslab -->\n") {
		t.Errorf("the page of the run is\n%s\nand the comment\n%s", c.page, c.outputs["comment"])
	}
}

// settings returns the lab's settings, read from the files that the action
// wrote.
func (c *composite) settings() *config.Config {
	c.t.Helper()
	cfg, err := config.Load(c.root, func(string) (string, bool) { return "", false })
	if err != nil {
		c.t.Fatalf("%v\n%s", err, c.console.String())
	}
	return cfg
}

func TestActionOfTrees(t *testing.T) {
	t.Parallel()
	c := newComposite(t, map[string]string{
		"autoscaler-dir": "my tree", "cluster-api-repository": "me/cluster-api", "cluster-api-ref": "refs/pull/7/merge",
		"scenarios": "scale-up, scale-down", "tags": "scale-up, scale-down", "machines": "docker", "repeat": "10", "parallel": "4", "base": "1.36.1", "timeout-minutes": "5",
	})
	tree := filepath.Join(c.workspace, "my tree")
	c.write(filepath.Join(tree, "cluster-autoscaler", "go.sum"), "")
	c.run()
	wantCalls(t, c, slices.Concat([]string{"uses actions/checkout"}, prepared, ups, []string{
		"go 'tool' 'mage' 'scenario:run' 'scale-up,scale-down' '-tags=scale-up,scale-down' '-machines=docker' '-repeat=10' '-parallel=4' '-out=OUT'",
		"go 'tool' 'mage' 'scenario:compare' '1.36.1' '" + tree + "' '-scenarios=scale-up,scale-down' '-tags=scale-up,scale-down' '-machines=docker' '-parallel=4' '-out=OUT/compare'",
		timeline,
	}, ended)...)
	if got := c.with["Tree of Cluster API"]; got["repository"] != "me/cluster-api" || got["ref"] != "refs/pull/7/merge" || got["persist-credentials"] != "false" {
		t.Errorf("Cluster API is checked out with %v", got)
	}
	cfg := c.settings()
	if cfg.Autoscaler.Dir != tree || cfg.ClusterAPI.Dir != filepath.Join(c.workspace, ".caslab-trees/cluster-api") {
		t.Errorf("the lab's trees are %s and %s", cfg.Autoscaler.Dir, cfg.ClusterAPI.Dir)
	}
	if !strings.Contains(c.page, "## No difference") {
		t.Errorf("the page of the run does not compare:\n%s", c.page)
	}
}

func TestActionAfterAFailure(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fail, cancel string
		want         []string
		page         string
	}{
		"settings":  {fail: "go tool mage config:show", want: slices.Concat(prepared, ended[:1]), page: "the lab did not come up"},
		"engine":    {fail: "docker-engine", want: slices.Concat(prepared, ups[:2], ended), page: "the lab did not come up"},
		"program":   {fail: "go tool mage autoscaler:build", want: slices.Concat(prepared, ups[:1], ended[:1]), page: "was not compiled.\n\n```\nundefined: x\n```"},
		"lab":       {fail: "go tool mage env:up", want: slices.Concat(prepared, ups, ended), page: "the lab did not come up"},
		"scenarios": {fail: "go tool mage scenario:run", want: slices.Concat(prepared, ups, []string{run, compare, timeline}, ended), page: "`scenario:run`: failure"},
		"timeline":  {fail: "go tool mage timeline", want: slices.Concat(prepared, ups, []string{run, compare, timeline}, ended), page: "2 scenarios passed"},
		"down":      {fail: "go tool mage env:down", want: slices.Concat(prepared, ups, []string{run, compare, timeline}, ended), page: "2 scenarios passed"},
		"cancelled": {cancel: "go tool mage scenario:run", want: slices.Concat(prepared, ups, []string{run, timeline}, ended), page: "`scenario:run`: failure"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newComposite(t, map[string]string{"autoscaler-version": "1.35.2", "base": "1.36.1"})
			c.fail, c.cancel = test.fail, test.cancel
			c.run()
			wantCalls(t, c, test.want...)
			if !c.failed {
				t.Error("the action passed")
			}
			if !strings.Contains(c.page, test.page) {
				t.Errorf("the page of the run is\n%s\nwant %q in it", c.page, test.page)
			}
		})
	}
}

const (
	run     = "go 'tool' 'mage' 'scenario:run' 'all' '-tags=' '-machines=hollow' '-repeat=1' '-parallel=1' '-out=OUT'"
	compare = "go 'tool' 'mage' 'scenario:compare' '1.36.1' '1.35.2' '-scenarios=all' '-tags=' '-machines=hollow' '-parallel=1' '-out=OUT/compare'"
)

// hostile is text that would be executed, or would write an output or a command
// for the runner, if the action put it into a command unquoted.
var hostile = []string{
	`a b; rm -rf $HOME; touch owned`, "$(touch owned)", "`touch owned`", "x' || touch owned #", `x" || touch owned #`,
	"-n", "--help", "x\nroot=/", "x\n::error::owned", "../../..\x07", "*",
}

func TestActionRefusesHostileInputs(t *testing.T) {
	t.Parallel()
	for _, value := range hostile {
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			c := newComposite(t, map[string]string{})
			for name := range readAction(t).Inputs {
				c.inputs[name] = value
			}
			c.run()
			wantCalls(t, c)
			for name := range c.inputs {
				if !strings.Contains(c.console.String(), "::error title=caslab::"+name+"=") {
					t.Errorf("%s is not refused:\n%s", name, c.console.String())
				}
			}
			if strings.Contains(c.console.String(), "\n::error::owned") {
				t.Errorf("the value became a command of the runner:\n%s", c.console.String())
			}
			if !c.failed || c.outputs["directory"] != "" {
				t.Errorf("failed: %t, outputs: %q", c.failed, c.outputs)
			}
			err := filepath.WalkDir(filepath.Dir(c.home), func(path string, _ os.DirEntry, err error) error {
				if filepath.Base(path) == "owned" {
					t.Errorf("the value was run: it made %s", path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestActionTakesFoldersOfAnyName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{`it's "$(touch owned)" & a: b # c`, "-n", "*", "ä ö"} {
		c := newComposite(t, map[string]string{"autoscaler-dir": name, "base": name})
		c.write(filepath.Join(c.workspace, name, "cluster-autoscaler", "go.sum"), "")
		c.run()
		if c.failed || c.settings().Autoscaler.Dir != filepath.Join(c.workspace, name) {
			t.Errorf("the folder %q became %q; failed: %t\n%s", name, c.settings().Autoscaler.Dir, c.failed, c.console.String())
		}
		if len(short(c.calls)) != len(prepared)+len(ups)+3+len(ended) {
			t.Errorf("the action called %q", c.calls)
		}
	}
}

func TestActionRefusesInputsThatContradict(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		inputs map[string]string
		env    string
		want   string
	}{
		"dir and ref":        {inputs: map[string]string{"autoscaler-dir": ".", "autoscaler-ref": "master"}, want: "either autoscaler-dir or autoscaler-ref"},
		"repository alone":   {inputs: map[string]string{"cluster-api-repository": "me/cluster-api"}, want: "give cluster-api-ref too"},
		"core alone":         {inputs: map[string]string{"autoscaler-core-dir": "."}, want: "give the tree that imports it too"},
		"base alone":         {inputs: map[string]string{"base": "1.36.1"}, want: "say what is compared with it"},
		"core and base":      {inputs: map[string]string{"autoscaler-dir": ".", "autoscaler-core-dir": ".", "base": "1.36.1"}, want: "built into the base too"},
		"unknown scenario":   {inputs: map[string]string{"scenarios": "scale-up,scale-sideways"}, want: "no manifests/scenarios/scale-sideways.yaml"},
		"unknown machines":   {inputs: map[string]string{"machines": "virtual"}, want: "want hollow or docker"},
		"unknown tag":        {inputs: map[string]string{"tags": "scale-up,scale"}, want: "no file in manifests/scenarios has the tag scale"},
		"number of runs":     {inputs: map[string]string{"repeat": "0"}, want: "from 1 to 100"},
		"number at once":     {inputs: map[string]string{"parallel": "17"}, want: "from 1 to 16"},
		"time":               {inputs: map[string]string{"timeout-minutes": "91"}, want: "from 1 to 75"},
		"another's variable": {inputs: map[string]string{"kubernetes-version": "v1.36.1"}, env: "KUBERNETES_VERSION=v1.35.4", want: "remove one of the two"},
		"another system":     {env: "RUNNER_OS=macOS", want: "Linux runner"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newComposite(t, test.inputs)
			c.env = []string{test.env}
			c.run()
			wantCalls(t, c)
			if !c.failed || !strings.Contains(c.console.String(), test.want) {
				t.Errorf("want %q, got\n%s", test.want, c.console.String())
			}
		})
	}
}

func TestActionLeavesSettingsOfOthersAlone(t *testing.T) {
	t.Parallel()
	c := newComposite(t, nil)
	c.write(filepath.Join(c.root, "caslab.yaml"), "workers: 2\n")
	c.run()
	wantCalls(t, c)
	if got := c.read(filepath.Join(c.root, "caslab.yaml")); got != "workers: 2\n" || !c.failed {
		t.Errorf("caslab.yaml is now\n%s\nfailed: %t", got, c.failed)
	}
	c = newComposite(t, map[string]string{"autoscaler-version": "1.35.2"}).run()
	c.inputs = map[string]string{"autoscaler-version": "1.36.0"}
	if c.run(); c.failed || c.settings().Autoscaler.Version.String() != "1.36.0" {
		t.Errorf("a second use in one job: failed: %t, version %s\n%s", c.failed, c.settings().Autoscaler.Version, c.console.String())
	}
}

func TestActionCutsALongSummary(t *testing.T) {
	t.Parallel()
	c := newComposite(t, nil)
	c.program(filepath.Join(c.home, "bin", "go"), "go", `
case "$*" in *scenario:run*) for last; do :; done; yes '| a row, ü, of a table |' | head -n 60000 >"${last#-out=}/summary.md" ;; esac`)
	c.run()
	if c.failed {
		t.Errorf("the action failed:\n%s", c.console.String())
	}
	for what, test := range map[string]struct {
		text string
		max  int
	}{"comment": {c.outputs["comment"], 65536}, "page": {c.page, 1 << 20}} {
		if len(test.text) > test.max || len(test.text) < test.max*8/10 || !strings.Contains(test.text, "The rest is cut off") {
			t.Errorf("the %s has %d characters, and ends %q", what, len(test.text), test.text[max(0, len(test.text)-100):])
		}
		if !strings.Contains(test.text, "of a table |\n\nThe rest") {
			t.Errorf("the %s is cut within a line", what)
		}
	}
}

// TestActionLeavesNoBlockOpen: a long text is cut before a block that unfolds.
// If it were cut in the block, the block would hide the note after it.
func TestActionLeavesNoBlockOpen(t *testing.T) {
	t.Parallel()
	c := newComposite(t, nil)
	c.program(filepath.Join(c.home, "bin", "go"), "go", `
case "$*" in *scenario:run*) for last; do :; done; { echo '## 1 failed'; printf '<details>\n'; yes 'a line of the timeline' | head -n 60000; printf '</details>\n'; } >"${last#-out=}/summary.md" ;; esac`)
	c.run()
	if got := c.outputs["comment"]; strings.Contains(got, "<details>") || !strings.Contains(got, "## 1 failed\n") || !strings.Contains(got, "The rest is cut off") {
		t.Errorf("the comment is\n%s", got[:min(len(got), 400)])
	}
}

func TestCacheKeyFollowsThePins(t *testing.T) {
	t.Parallel()
	key := func(inputs map[string]string, change func(c *composite)) string {
		c := newComposite(t, inputs)
		c.write(filepath.Join(c.workspace, "tree", "cluster-autoscaler", "go.sum"), "a")
		if change != nil {
			change(c)
		}
		c.run()
		if c.failed {
			t.Fatal(c.console.String())
		}
		k := c.with[""]
		for _, w := range c.with {
			if w["key"] != "" {
				k = w
			}
		}
		if !strings.HasPrefix(k["key"], "caslab-go-Linux-X64-go1.26.0-") || len(strings.Fields(k["restore-keys"])) != 2 || !strings.HasPrefix(k["key"], strings.Fields(k["restore-keys"])[0]) {
			t.Errorf("the cache is used with %q", k)
		}
		return k["key"]
	}
	tree := map[string]string{"autoscaler-dir": "tree"}
	first := key(tree, nil)
	for what, other := range map[string]string{
		"the tree's go.sum":    key(tree, func(c *composite) { c.write(filepath.Join(c.workspace, "tree", "cluster-autoscaler", "go.sum"), "b") }),
		"the lab's go.sum":     key(tree, func(c *composite) { c.write(filepath.Join(c.root, "go.sum"), "b") }),
		"a component's go.mod": key(tree, func(c *composite) { c.write(filepath.Join(c.root, "magefiles/components/etcd/go.mod"), "b") }),
		"the default versions": key(tree, func(c *composite) { c.write(filepath.Join(c.root, "magefiles/internal/config/settings.go"), "b") }),
		"a version":            key(map[string]string{"autoscaler-dir": "tree", "cluster-api-version": "v1.13.5"}, nil),
	} {
		if other == first {
			t.Errorf("the key is the same for another state of %s", what)
		}
	}
	if same := key(tree, func(c *composite) {
		c.write(filepath.Join(c.workspace, "tree", "cluster-autoscaler", "main.go"), "package main")
		c.write(filepath.Join(c.root, ".caslab", "src", "go.sum"), "b")
	}); same != first {
		t.Error("the key is another for a change of code alone")
	}
}
