package scenarios

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	version "github.com/hashicorp/go-version"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/ops/autoscalers"
	"caslab/magefiles/internal/ops/timelines"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/target/targettest"
	"caslab/magefiles/internal/timeline"
)

func TestScenarios(t *testing.T) {
	t.Parallel()
	mine := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(mine, []byte("title: mine\ngroups: [{name: a, max: 1}]\nsteps: [{say: wait, stays: [{group: {name: a, size: 0}, for: 1s}]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("titel: mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		names string
		want  []string
		err   string
	}{
		{names: "scale-up", want: []string{"scale-up"}},
		{names: " scale-up, " + mine, want: []string{"scale-up", "mine"}},
		{names: "scale-up,scale-down,scale-up", err: "the scenario scale-up is in"},
		{names: "all,scale-up", err: "twice"},
		{names: "scale-pu", err: "go tool mage scenario:list"},
		{names: "", err: "no scenario"},
		{names: "scale-up,", err: "scenarios: part 2 of the list"},
		{names: mine + ".not", err: "read the scenario"},
		{names: broken, err: `unknown field "titel"`},
	} {
		chosen, err := scenarios(tt.names)
		var got []string
		for _, s := range chosen {
			if s.Name == "mine" && s.Given != mine {
				t.Errorf("the scenario of %s is given as %q", mine, s.Given)
			}
			got = append(got, s.Name)
		}
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("scenarios(%q): %v, want %q", tt.names, err, tt.err)
		}
		if strings.Join(got, " ") != strings.Join(tt.want, " ") {
			t.Errorf("scenarios(%q) = %q, want %q", tt.names, got, tt.want)
		}
	}
	all, err := scenarios(AllScenarios)
	if err != nil || len(all) < 15 {
		t.Errorf("all are %d: %v", len(all), err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, which := range []string{OnThisMachine, InTheCluster, AsItIs} {
		if err := (Options{Autoscaler: which}).validate(); err != nil {
			t.Errorf("%s is refused: %v", which, err)
		}
	}
	if err := (Options{Autoscaler: "mine"}).validate(); err == nil || !strings.Contains(err.Error(), AsItIs) {
		t.Errorf("an unknown one: %v; want what is allowed", err)
	}
	if err := (Options{Autoscaler: AsItIs, Flags: "--v=5"}).validate(); err == nil || !strings.Contains(err.Error(), "leave out one") {
		t.Errorf("flags of an autoscaler that is taken as it is: %v", err)
	}
}

// TestWrongOptionsAreRefusedFirst runs in a lab without a cluster and a
// compiler, so that code that uses them before it checks the options panics.
func TestWrongOptionsAreRefusedFirst(t *testing.T) {
	t.Parallel()
	own, foreign := config.Config{}, config.Config{WorkloadKubeconfig: "/nosuch"}
	for _, tt := range []struct {
		names, b string
		o        Options
		cfg      config.Config
		want     string
	}{
		{"scale-up", "1.35.2", Options{Autoscaler: "mine"}, own, "-autoscaler=mine"},
		{"scale-up", "1.35.2", Options{Autoscaler: OnThisMachine, Flags: `--v="4`}, own, "--v="},
		{"scale-up", "1.35.2", Options{Autoscaler: InTheCluster}, foreign, "-autoscaler=deploy"},
		{"nosuch", "1.35.2", Options{Autoscaler: OnThisMachine}, own, "no scenario"},
		{"scale-up", "nosuch", Options{Autoscaler: OnThisMachine}, own, "want a release"},
		{"scale-up", "1.17.4", Options{Autoscaler: OnThisMachine}, own, "want 1.18.0 or later"},
	} {
		lab := newScenarios(&tt.cfg)
		err := lab.Compare(t.Context(), "1.36.1", tt.b, tt.names, tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("compare with %s, %s and %+v: %v, want %q", tt.b, tt.names, tt.o, err, tt.want)
		}
		if tt.b != "1.35.2" {
			continue // the rest of it is well
		}
		if err := lab.Run(t.Context(), tt.names, tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("run of %s with %+v: %v, want %q", tt.names, tt.o, err, tt.want)
		}
	}
}

// TestLockCluster: while scenarios run on a cluster, the lab runs no other scenarios and no other
// autoscaler on it.
func TestLockCluster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	kinds := []schema.GroupVersionKind{kube.Deployments.WithVersion("v1"), kube.Leases.WithVersion("v1")}
	none := kubetest.New(t, kinds, "").Client()
	deployed := kubetest.New(t, kinds, "{apiVersion: apps/v1, kind: Deployment, metadata: {name: caslab-autoscaler, namespace: default}, spec: {template: {spec: {containers: [{name: caslab-autoscaler, image: example.com/autoscaler}]}}}}").Client()
	lab := newScenarios(&config.Config{Root: t.TempDir()})
	free := &target.Cluster{Workload: none, Management: none, UID: "free", Name: "work"}
	taken := &target.Cluster{Workload: deployed, Management: deployed, UID: "taken", Name: "work"}

	release, err := lab.lockCluster(ctx, free, OnThisMachine, "scenario:compare")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.lockCluster(ctx, free, OnThisMachine, "scenario:run"); err == nil || !strings.Contains(err.Error(), "running on the cluster \"work\": scenario:compare (process ") {
		t.Errorf("a second claim: %v; want who holds the cluster", err)
	}
	if _, err := lab.Autoscalers.Lock(ctx, free, "autoscaler:run"); err == nil || !strings.Contains(err.Error(), "scenario:compare (process ") {
		t.Errorf("an autoscaler beside it: %v; want who holds the cluster", err)
	}
	elsewhere := newScenarios(&config.Config{Root: t.TempDir()})
	if _, err := elsewhere.lockCluster(ctx, free, AsItIs, "scenario:run"); err == nil || !strings.Contains(err.Error(), "scenarios already run on the cluster \"work\", elsewhere: ") || !strings.Contains(err.Error(), ": scenario:compare (process ") {
		t.Errorf("in another checkout: %v; want who holds the cluster", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}

	release, err = lab.lockCluster(ctx, free, AsItIs, "scenario:run")
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	unlock, err := lab.Autoscalers.Lock(ctx, free, "autoscaler:run")
	if err != nil {
		t.Errorf("an autoscaler for scenarios that take it as it is: %v", err)
	}
	if err := errors.Join(unlock(), release()); err != nil {
		t.Fatal(err)
	}

	if _, err := lab.lockCluster(ctx, taken, OnThisMachine, "scenario:run"); err == nil || !strings.Contains(err.Error(), "autoscaler:undeploy") {
		t.Errorf("beside a deployed autoscaler: %v; want how it goes", err)
	}
	if release, err = lab.lockCluster(ctx, taken, AsItIs, "scenario:run"); err != nil {
		t.Fatalf("a claim that was refused has the cluster still: %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}

// TestKeepLog: every process's log is kept beside the results, even if two
// processes start in the same second, or if an earlier run started one at that
// time of another day.
func TestKeepLog(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	h := &hostAutoscaler{resultsDir: out, logFile: filepath.Join(t.TempDir(), "autoscaler.log")}
	for i, text := range []string{"first", "second", "third", "fourth"} {
		if err := os.WriteFile(h.logFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h.started = time.Date(2026, 11, 25, 10, 0, i/3, 0, time.UTC)
		if err := h.keepLog(); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"autoscaler-100000.log": "first", "autoscaler-100000-2.log": "second", "autoscaler-100000-3.log": "third", "autoscaler-100001.log": "fourth",
	} {
		if got, err := os.ReadFile(filepath.Join(out, "autoscaler", name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestWithAutoscalerOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lab := newScenarios(&config.Config{
		Autoscaler:        config.Source{Version: version.Must(version.NewSemver("1.36.1")), Origin: config.OriginDir, Dir: "/mine", Commit: "abc"},
		AutoscalerCoreDir: "/core",
	})
	release, err := lab.withAutoscalerOf("1.35.2")
	if err != nil {
		t.Fatal(err)
	}
	if s := release.Config.Autoscaler; s.Version.String() != "1.35.2" || s.Origin != config.OriginAuto || s.Dir != "" || s.Commit != "" || release.Config.AutoscalerCoreDir != "" {
		t.Errorf("1.35.2 is %+v with the core %q", s, release.Config.AutoscalerCoreDir)
	}
	tree, err := lab.withAutoscalerOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s := tree.Config.Autoscaler; s.Origin != config.OriginDir || s.Dir != dir {
		t.Errorf("%s is %+v", dir, s)
	}
	if lab.Config.Autoscaler.Dir != "/mine" || lab.Config.AutoscalerCoreDir != "/core" {
		t.Errorf("the lab itself changed: %+v", lab.Config)
	}
	for _, which := range []string{"", "nosuch", filepath.Join(dir, "nosuch")} {
		if _, err := lab.withAutoscalerOf(which); err == nil {
			t.Errorf("%q is taken for an autoscaler", which)
		}
	}
}

func TestFeed(t *testing.T) {
	t.Parallel()
	f := newFeed()
	var one, two []string
	unsubscribe := f.subscribe(func(fact timeline.Fact) { one = append(one, fact.Name) })
	f.subscribe(func(fact timeline.Fact) { two = append(two, fact.Name) })
	f.publish(timeline.Fact{Name: "a"})
	unsubscribe()
	f.publish(timeline.Fact{Name: "b"})
	if strings.Join(one, "") != "a" || strings.Join(two, "") != "ab" {
		t.Errorf("the subscribers got %q and %q", one, two)
	}
}

func TestLastLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("a\nb\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := lastLines(path, 2); got != "b\nc" {
		t.Errorf("the last two are %q", got)
	}
	if got := lastLines(path, 9); got != "a\nb\nc" {
		t.Errorf("the last nine are %q", got)
	}
}

func TestFirstRound(t *testing.T) {
	t.Parallel()
	r := newRounds(time.Hour, nil)
	defer r.stuck.Stop()
	for _, piece := range []string{"I1124 22:20:02.123456   26098 main.go:1] Cluster Autoscaler\nI1124 22:20:03.123456   26098 static_auto", "scaler.go:308] Starting main", " loop\n"} {
		select {
		case <-r.began:
			t.Fatal("a round before the log tells of one")
		default:
		}
		if _, err := r.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-r.began:
	default:
		t.Error("the round was not seen")
	}
}

// newScenarios returns scenarios with these settings, and without a cluster.
func newScenarios(cfg *config.Config) *Scenarios {
	l := &lab.Lab{Config: cfg, State: state.Dir(cfg.StateDir())}
	return &Scenarios{Lab: l, Autoscalers: &autoscalers.Autoscalers{Lab: l}}
}

// TestForeignAutoscalerIsNamed: with as-is, the release is that of the running
// autoscaler and not that of the settings. If it is not known, there is none.
func TestForeignAutoscalerIsNamed(t *testing.T) {
	t.Parallel()
	const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: cluster-autoscaler, namespace: kube-system}
spec: {replicas: 1, template: {spec: {containers: [{name: c, image: "registry.k8s.io/autoscaling/cluster-autoscaler:TAG"}]}}}
`
	for tag, want := range map[string]string{"v1.35.2": "1.35.2", "mine": ""} {
		l := labtest.New(t, map[string]string{"AUTOSCALER_VERSION": "1.36.1"})
		c, server := targettest.New(t)
		sc := &Scenarios{Lab: l.Lab, Open: targettest.Open(c), Autoscalers: &autoscalers.Autoscalers{Lab: l.Lab}}
		if _, err := sc.foreignAutoscaler(t.Context(), c); err == nil || !strings.Contains(err.Error(), "go tool mage autoscaler:run") {
			t.Errorf("an environment without an autoscaler: %v; want what to type", err)
		}
		server.PutYAML(strings.Replace(deployment, "TAG", tag, 1))
		under, err := sc.foreignAutoscaler(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		name, v := under.Describe()
		got := ""
		if v != nil {
			got = v.String()
		}
		if got != want || !strings.Contains(name, "kube-system/cluster-autoscaler") {
			t.Errorf("%s: it is %s, of release %q; want %q", tag, name, got, want)
		}
	}
}

// TestRunThatDidNotBeginHasNoResults: an error before the first scenario is
// returned unchanged, without results.
func TestRunThatDidNotBeginHasNoResults(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	c, server := targettest.New(t)
	server.PutYAML(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: cluster-autoscaler, namespace: kube-system}
spec: {replicas: 1, template: {spec: {containers: [{name: c, image: "registry.k8s.io/autoscaling/cluster-autoscaler:v1.36.1"}]}}}
`)
	server.Intercept(func(r kubetest.Request) error {
		if r.Resource == "nodes" {
			return errors.New("out of order")
		}
		return nil
	})
	sc := &Scenarios{
		Lab: l.Lab, Open: targettest.Open(c), Autoscalers: &autoscalers.Autoscalers{Lab: l.Lab}, Timelines: &timelines.Timelines{Lab: l.Lab},
	}
	err := sc.Run(t.Context(), "scale-up", Options{Autoscaler: AsItIs, Out: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "out of order") || strings.Contains(l.Logged.String(), "are in") {
		t.Errorf("%v; want why it did not begin, and nothing of results:\n%s", err, l.Logged.String())
	}
}

// TestTags: tags choose the scenarios that have one of them.
func TestTags(t *testing.T) {
	t.Parallel()
	all := []*scenario.Scenario{{Name: "a", Tags: []string{"x", "y"}}, {Name: "b", Tags: []string{"y"}}, {Name: "c"}}
	for tags, want := range map[string]string{"": "a b c", " ": "a b c", "x": "a", "y": "a b", "x, y": "a b"} {
		chosen, err := tagged(all, tags)
		var names []string
		for _, s := range chosen {
			names = append(names, s.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("-tags=%s: %q, %v; want %q", tags, got, err, want)
		}
	}
	for _, tags := range []string{"z", "x,z"} {
		if _, err := tagged(all, tags); err == nil || !strings.Contains(err.Error(), "-tags="+tags+`: none of the scenarios has the tag "z"; want some of x, y`) {
			t.Errorf("-tags=%s: %v", tags, err)
		}
	}
	if _, err := tagged(all, "x,"); err == nil || !strings.Contains(err.Error(), "-tags: part 2 of the list") {
		t.Errorf("-tags=x,: %v", err)
	}
	shipped, err := scenarios(AllScenarios)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shipped {
		if len(s.Tags) == 0 {
			t.Errorf("%s has no tags", s.Name)
		}
	}
}

// TestRefusedAtOnce: what would fail only at the end is refused before a cluster is asked.
func TestRefusedAtOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]Options{
		"-out=" + file + ": write into the folder": {Out: file},
		"-repeat=-1: want 1 to 1000":               {Repeat: -1},
		"-repeat=1001: want 1 to 1000":             {Repeat: 1001},
	} {
		l := labtest.New(t, nil)
		sc := &Scenarios{Lab: l.Lab, Autoscalers: &autoscalers.Autoscalers{Lab: l.Lab}, Open: func(context.Context) (*target.Cluster, error) {
			t.Error("the cluster was asked")
			return nil, errors.New("asked")
		}}
		o.Autoscaler = OnThisMachine
		for _, err := range []error{sc.Run(t.Context(), "scale-up", o), sc.Compare(t.Context(), "1.35.2", "1.36.1", "scale-up", o)} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	}
}

// TestList: the list has the needs of each scenario, and the median of its last seconds.
func TestList(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	sc := &Scenarios{Lab: l.Lab}
	for _, seconds := range []float64{500, 500, 500, 61, 62, 63, 64, 65} {
		err := sc.remember(t.Context(), &results.Results{Scenarios: []results.Result{
			{Name: "scale-up", Verdict: results.Passed, Seconds: seconds}, {Name: "scale-down", Verdict: results.Failed, Seconds: 9},
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := sc.List(ListOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"scale-up": `- +63 `, "scale-down": `- +- `, "burst": `hollow +- `, "restart-in-the-middle": `control +- `} {
		if !regexp.MustCompile(`(?m)^` + name + ` .* ` + want).MatchString(l.Printed.String()) {
			t.Errorf("%s: want %q in\n%s", name, want, l.Printed)
		}
	}
}

// TestSecondsOfTheSettingsAlone: runs of other autoscalers, as of a comparison, and with other
// flags do not count for the usual seconds.
func TestSecondsOfTheSettingsAlone(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	c, _ := targettest.New(t)
	sc := &Scenarios{Lab: l.Lab, Autoscalers: &autoscalers.Autoscalers{Lab: l.Lab}, Timelines: &timelines.Timelines{Lab: l.Lab}}
	needs := &scenario.Scenario{Name: "grow"}
	needs.Autoscaler.Flags = []string{"--v=5"} // so it is skipped
	came, err := sc.runScenarios(t.Context(), c, foreignAutoscaler{name: "x"}, trial{chosen: []*scenario.Scenario{needs}})
	if err != nil || came.Scenarios[0].Verdict != results.Skipped {
		t.Fatalf("%+v, %v", came, err)
	}
	if _, err := os.Stat(sc.usualFile()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the seconds of a run that is not of the settings are remembered: %v", err)
	}
}

// TestRequires: what a scenario needs is read from the whole file.
func TestRequires(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"groups: [{name: a, max: 1}]\nsteps: [{say: s, expect: [{nodes: 1, within: 1s}]}]":                                                                                                                                                                             "",
		"groups: [{name: a, max: 1, machines: hollow}]\nsteps: [{say: s, do: [{autoscaler: stop}], expect: [{nodes: 1, within: 1s}]}]":                                                                                                                                 "hollow,control",
		"groups: [{name: a, max: 1, machines: hollow, hollow: {dra: gpu.example.com=1}}]\nsteps: [{say: s, expect: [{nodes: 1, within: 1s}]}]":                                                                                                                         "hollow,DRA",
		"groups: [{name: a, max: 1, machines: docker}, {name: b, max: 1, machines: hollow}]\nsteps: [{say: s, do: [{workload: {name: w, pods: 1, pool: a, claims: {gpu: x}}}], expect: [{nodes: 1, within: 1s}]}]":                                                     "docker,hollow,DRA",
		"groups: [{name: a, max: 1, machines: docker}, {name: b, max: 1, machines: hollow}]\nsteps: [{say: s, do: [{node: {group: a, sick: true}}], expect: [{nodes: 1, within: 1s}]}]":                                                                                "docker,hollow,own-cluster",
		"groups: [{name: a, max: 1}]\nsteps: [{say: s, do: [{workload: {name: w, pods: 1, template: {spec: {resourceClaims: [{name: gpu, resourceClaimTemplateName: x}]}}}}]}]":                                                                                        "DRA",
		"groups: [{name: a, max: 1}]\nobjects: [{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: '${prefix}x'}, spec: {template: {spec: {resourceClaims: [{name: gpu, resourceClaimTemplateName: x}]}}}}]\nsteps: [{say: s, expect: [{nodes: 1, within: 1s}]}]": "DRA",
		"groups: [{name: a, max: 1}]\nobjects: [{apiVersion: resource.k8s.io/v1, kind: DeviceClass, metadata: {name: '${prefix}x'}}]\nsteps: [{say: s, expect: [{nodes: 1, within: 1s}]}]":                                                                             "DRA",
	} {
		s, err := scenario.Parse("t.yaml", []byte("title: t\n"+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.Requires(), ","); got != want {
			t.Errorf("Requires() = %s, want %s, for\n%s", got, want, text)
		}
	}
}
