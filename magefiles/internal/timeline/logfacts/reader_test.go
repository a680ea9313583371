package logfacts

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// TestFlagsAreReadFromTheLog: the flags that matter are one fact, with the time of the last
// line; the version of the API follows in another.
func TestFlagsAreReadFromTheLog(t *testing.T) {
	t.Parallel()
	var r Reader
	var got []string
	for _, line := range []string{
		`flags.go:57] FLAG: --v="4"`,
		`flags.go:57] FLAG: --vmodule=""`,
		`flags.go:57] FLAG: --node-group-auto-discovery="[clusterapi:namespace=default,clusterName=work]"`,
		`main.go:250] Cluster Autoscaler 1.36.1`,
		`clusterapi_controller.go:465] Using version "v1beta2" for API group "cluster.x-k8s.io"`,
		`static_autoscaler.go:308] Starting main loop`,
	} {
		for _, f := range r.Read(speech.Parse(info+line), noon) {
			got = append(got, string(f.Shape))
		}
	}
	if want := []string{
		`{"flags":{"node-group-auto-discovery":"[clusterapi:namespace=default,clusterName=work]","v":"4"}}`, `{"api":"v1beta2"}`,
		`{"loops":{"from":"2026-11-24T22:20:02.123456Z","last":"2026-11-24T22:20:02.123456Z"}}`,
	}; !slices.Equal(got, want) {
		t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !slices.IsSorted(decisive) {
		t.Error("the flags are not sorted")
	}
}

// lines reads lines that begin with a time of day, and then the rest.
func lines(t *testing.T, texts ...string) []shape.Autoscaler {
	t.Helper()
	var r Reader
	var all []shape.Autoscaler
	keep := func(facts []timeline.Fact) {
		for _, f := range facts {
			var a shape.Autoscaler
			if err := json.Unmarshal(f.Shape, &a); err != nil || f.Kind != timeline.Autoscaler || f.What != timeline.Shaped || f.Source != timeline.Log || f.Time.IsZero() {
				t.Fatalf("%+v, %v", f, err)
			}
			all = append(all, a)
		}
	}
	for _, text := range texts {
		at, message, _ := strings.Cut(text, " ")
		source := "a.go:1"
		if name, rest, found := strings.Cut(message, "] "); found {
			source, message = name, rest
		}
		keep(r.Read(speech.Parse("I1124 "+at+"   1 "+source+"] "+message), noon))
	}
	keep(r.Rest())
	keep(r.Rest()) // nothing is left
	return all
}

// TestLoops: one fact of the first loop, one a minute, and one with the rest. What a loop logs last is its end.
func TestLoops(t *testing.T) {
	t.Parallel()
	const begin = " Starting main loop"
	got := lines(t, "12:00:00.000000"+begin, "12:00:00.200000 x", "12:00:09.900000 trigger.go:100] Autoscaler loop triggered by a 10s timer", "12:00:09.900001 metrics.go:635] Function loopWait took 9.7s to complete", "12:00:10.000000"+begin, "12:00:14.000000 x", "12:00:20.000000"+begin, "12:00:20.300000 x", "12:01:00.000000"+begin, "12:01:00.500000 x", "12:01:10.000000"+begin)
	at := func(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }
	want := []shape.Loops{
		{From: at(0), Last: at(0)},
		{N: 3, From: at(0), Last: at(60), Median: 300 * time.Millisecond, Longest: 4 * time.Second},
		{N: 1, From: at(60), Last: at(70), Median: 500 * time.Millisecond, Longest: 500 * time.Millisecond},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v\nwant %+v", got, want)
	}
	for i, loops := range want {
		if *got[i].Loops != loops {
			t.Errorf("%+v\nwant %+v", *got[i].Loops, loops)
		}
	}
	if got := lines(t, "12:00:00.000000"+begin); len(got) != 1 || *got[0].Loops != (shape.Loops{From: noon, Last: noon}) {
		t.Errorf("one loop is %+v", got)
	}
	if got := lines(t, "12:00:00.000000 x"); got != nil {
		t.Errorf("no loop is %+v", got)
	}
}

// TestCoolDowns: the times are a fact when they change, and so is the end of a cool-down, in the
// words of old and new releases.
func TestCoolDowns(t *testing.T) {
	t.Parallel()
	const (
		old  = " Scale down status: unneededOnly=true lastScaleUpTime=2026-11-24 13:00:00.5 +0100 CET m=+5.1 lastScaleDownDeleteTime=2026-11-24 11:00:00 +0000 UTC m=-3599.8 lastScaleDownFailTime=2026-11-24 11:00:00 +0000 UTC m=-3599.8 scaleDownForbidden=false isDeleteInProgress=false scaleDownInCooldown=true"
		news = " Scale down status: lastScaleUpTime=2026-11-24 12:00:00.5 +0000 UTC m=+5.1 lastScaleDownDeleteTime=2026-11-24 12:00:30 +0000 UTC m=+35.1 lastScaleDownFailTime=2026-11-24 11:00:00 +0000 UTC m=-3599.8 scaleDownForbidden=false scaleDownInCooldown=false"
	)
	forbidden := strings.Replace(news, "scaleDownForbidden=false", "scaleDownForbidden=true", 1)
	got := lines(t, "12:00:10.000000"+old, "12:00:20.000000"+old, "12:00:30.000000"+news, "12:00:40.000000"+news, "12:00:50.000000"+forbidden)
	want := []shape.CoolDown{
		{Add: noon.Add(500 * time.Millisecond), Delete: noon.Add(-time.Hour), Failure: noon.Add(-time.Hour)},
		{Add: noon.Add(500 * time.Millisecond), Delete: noon.Add(30 * time.Second), Failure: noon.Add(-time.Hour), Over: true},
		{Add: noon.Add(500 * time.Millisecond), Delete: noon.Add(30 * time.Second), Failure: noon.Add(-time.Hour)},
	}
	if len(got) != 3 || *got[0].CoolDown != want[0] || *got[1].CoolDown != want[1] || *got[2].CoolDown != want[2] {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}
