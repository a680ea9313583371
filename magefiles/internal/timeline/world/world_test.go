package world

import (
	"testing"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/timelinetest"
)

// TestProcesses: what is known of a process ends with it, however soon another one follows. A
// process that logs runs.
func TestProcesses(t *testing.T) {
	t.Parallel()
	starts := func(source timeline.Source) timeline.Fact {
		return timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, Text: "1.36.1", Source: source}
	}
	api := timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Shape: shape.Encode(shape.Autoscaler{API: "v1beta2"}), Source: timeline.Log}
	stop := timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Stopped, Source: timeline.Log}
	backoff := timeline.Fact{
		Kind: timeline.Autoscaler, What: timeline.Refused, Group: "g", Source: timeline.Log,
		Text: "Disabling scale-up for node group MachineDeployment/default/g until 2026-11-27 05:00:00 +0000 UTC m=+1.2; errorClass=Other",
	}
	health := timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Health, Group: "g", Text: "Unhealthy", Source: timeline.Status}
	for name, tc := range map[string]struct {
		facts            []timeline.Fact
		known, backedOff bool
		stopped          bool
	}{
		"runs":                   {facts: []timeline.Fact{starts(timeline.Log), api, backoff}, known: true, backedOff: true},
		"its pod and its log":    {facts: []timeline.Fact{starts(timeline.Watch), api, backoff, starts(timeline.Log)}, known: true, backedOff: true},
		"restarted at once":      {facts: []timeline.Fact{starts(timeline.Log), api, backoff, health, starts(timeline.Log)}},
		"stopped":                {facts: []timeline.Fact{starts(timeline.Log), api, backoff, stop}, known: true, stopped: true},
		"stopped, another began": {facts: []timeline.Fact{starts(timeline.Log), api, backoff, stop, starts(timeline.Watch)}},
		"stopped, another logs":  {facts: []timeline.Fact{starts(timeline.Log), stop, backoff}, backedOff: true},
	} {
		var r timelinetest.Shapes
		r.Group(1, shape.Group{Annotations: timelinetest.Sizes("3")})
		for _, f := range tc.facts {
			r.Add(f)
		}
		w := At(r, r[len(r)-1].Time)
		if w.Autoscaler.Stopped != tc.stopped || (w.Autoscaler.API != "") != tc.known || w.GroupOf("g").Backoff.IsZero() == tc.backedOff || w.GroupOf("g").Health != "" {
			t.Errorf("%s: stopped %t, API %q, backed off until %s", name, w.Autoscaler.Stopped, w.Autoscaler.API, w.GroupOf("g").Backoff)
		}
	}
}

// TestDefaultsAreValues: durations, numbers and booleans, as the autoscaler logs them.
func TestDefaultsAreValues(t *testing.T) {
	t.Parallel()
	a := Autoscaler{Autoscaler: shape.Autoscaler{Flags: map[string]string{
		"scan-interval": "10s", "scale-down-unneeded-time": "600s", "scale-down-utilization-threshold": "0.50", "v": "4", "nodes": "[]",
		"expander": "least-waste", "namespace": "kube-system", "cores-total": "0:320000", "memory-total": "0:6400000", "leader-elect": "true",
		"status-config-map-name": "cluster-autoscaler-status", "force-ds": "false", "kubeconfig": "", "cloud-provider": "clusterapi", "unheard-of": "1",
	}}}
	if changed := a.Changed(); len(changed) != 1 || changed["v"] != "4" {
		t.Errorf("%v differ from the defaults, want v alone", changed)
	}
	for release, want := range map[string]string{"1.32.7": "least-waste", "1.33.0": ""} {
		if a.Version = version.Must(version.NewVersion(release)); a.Changed()["expander"] != want {
			t.Errorf("%s: %v", release, a.Changed())
		}
	}
	if s := a.Setting("scale-down-unneeded-time"); s.Value != "10m0s" || s.By != "the default of --scale-down-unneeded-time" {
		t.Errorf("%+v", s)
	}
	if _, by := (Setting{Value: "soon", By: "--x"}).Duration(); by != "--x=soon is no duration" {
		t.Error(by)
	}
}
