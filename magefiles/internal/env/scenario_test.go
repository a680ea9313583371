package env

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/scenario"
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
		{names: mine + ".not", err: "read the scenario"},
		{names: broken, err: `unknown field "titel"`},
	} {
		chosen, err := scenarios(tt.names)
		var got []string
		for _, s := range chosen {
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

func TestScenarioOptions(t *testing.T) {
	t.Parallel()
	for _, which := range []string{OnThisMachine, InTheCluster, AsItIs} {
		if err := (ScenarioOptions{Autoscaler: which}).validate(); err != nil {
			t.Errorf("%s is refused: %v", which, err)
		}
	}
	if err := (ScenarioOptions{Autoscaler: "mine"}).validate(); err == nil || !strings.Contains(err.Error(), AsItIs) {
		t.Errorf("an unknown one: %v; want what is allowed", err)
	}
	if err := (ScenarioOptions{Autoscaler: AsItIs, Flags: "--v=5"}).validate(); err == nil || !strings.Contains(err.Error(), "leave out one") {
		t.Errorf("flags of an autoscaler that is taken as it is: %v", err)
	}
}

// TestKeepLog: every process leaves its log beside the results.
func TestKeepLog(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	h := &hosted{keptIn: out, logFile: filepath.Join(t.TempDir(), "autoscaler.log")}
	for i, text := range []string{"first", "second"} {
		if err := os.WriteFile(h.logFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h.started = time.Date(2026, 11, 25, 10, 0, i, 0, time.UTC)
		if err := h.keepLog(); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"autoscaler-100000.log": "first", "autoscaler-100001.log": "second"} {
		if got, err := os.ReadFile(filepath.Join(out, "autoscaler", name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestWithAutoscalerOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lab := &Lab{cfg: &config.Config{
		Autoscaler:        config.Source{Version: version.Must(version.NewSemver("1.36.1")), Origin: config.OriginDir, Dir: "/mine", Commit: "abc"},
		AutoscalerCoreDir: "/core",
	}}
	release, err := lab.withAutoscalerOf("1.35.2")
	if err != nil {
		t.Fatal(err)
	}
	if s := release.cfg.Autoscaler; s.Version.String() != "1.35.2" || s.Origin != config.OriginAuto || s.Dir != "" || s.Commit != "" || release.cfg.AutoscalerCoreDir != "" {
		t.Errorf("1.35.2 is %+v with the core %q", s, release.cfg.AutoscalerCoreDir)
	}
	tree, err := lab.withAutoscalerOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	if s := tree.cfg.Autoscaler; s.Origin != config.OriginDir || s.Dir != dir {
		t.Errorf("%s is %+v", dir, s)
	}
	if lab.cfg.Autoscaler.Dir != "/mine" || lab.cfg.AutoscalerCoreDir != "/core" {
		t.Errorf("the lab itself changed: %+v", lab.cfg)
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
	f.tell(timeline.Fact{Name: "a"})
	unsubscribe()
	f.tell(timeline.Fact{Name: "b"})
	if strings.Join(one, "") != "a" || strings.Join(two, "") != "ab" {
		t.Errorf("told %q and %q", one, two)
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

func TestBesidesFailures(t *testing.T) {
	t.Parallel()
	failed := &scenario.FailedError{Names: []string{"a"}}
	if err := besidesFailures(errors.Join(failed, nil)); err != nil {
		t.Errorf("a failure alone leaves %v", err)
	}
	if err := besidesFailures(errors.Join(failed, errors.New("undeploy"))); err == nil || err.Error() != "undeploy" {
		t.Errorf("a failure and another error leave %v", err)
	}
	if err := besidesFailures(errors.Join(&scenario.SkippedError{Scenarios: 1}, nil)); err != nil {
		t.Errorf("that all were skipped leaves %v", err)
	}
	if err := besidesFailures(nil); err != nil {
		t.Errorf("nothing leaves %v", err)
	}
}

func TestFirstRound(t *testing.T) {
	t.Parallel()
	r := &firstRound{begun: make(chan struct{})}
	for _, piece := range []string{"I1124 22:20:02.123456   26098 main.go:1] Cluster Autoscaler\nI1124 22:20:03.123456   26098 static_auto", "scaler.go:308] Starting main", " loop\n"} {
		select {
		case <-r.begun:
			t.Fatal("a round before the log tells of one")
		default:
		}
		if _, err := r.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-r.begun:
	default:
		t.Error("the round was not seen")
	}
}
