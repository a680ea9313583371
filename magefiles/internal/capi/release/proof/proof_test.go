package proof

import (
	"strings"
	"testing"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/capi/release"
)

func v(text string) *version.Version { return version.Must(version.NewSemver(text)) }

// TestAll: the proofs are about releases that are in the table.
func TestAll(t *testing.T) {
	t.Parallel()
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range all {
		r, k := release.Of(v(strings.TrimPrefix(p.ClusterAPI, "v"))), v(strings.TrimPrefix(p.Kubernetes, "v"))
		if !r.Supported || !release.OfAutoscaler(v(strings.TrimPrefix(p.Autoscaler, "v"))).Supported {
			t.Errorf("%+v: the lab does not know these", p)
		}
		if p.Ran != "" && r.With(k) != release.InTable {
			t.Errorf("%+v ran, and the table has it not", p)
		}
		if key := p.ClusterAPI + p.Kubernetes + p.Autoscaler; seen[key] {
			t.Errorf("%+v is there twice", p)
		} else {
			seen[key] = true
		}
	}
	if len(all) == 0 || Done(all, release.Newest()).Ran == "" {
		t.Error("the newest series never ran")
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	const names = "clusterAPI: v1.10.10\n  kubernetes: v1.33.4\n  autoscaler: v1.33.6\n  "
	for text, want := range map[string]string{
		"- " + names + "built: '2026-01-02'":        "",
		"- " + names + "failed: it has no template": "",
		"- " + names + "bilt: '2026-01-02'":         "bilt",
		"- " + names + "built: yesterday":           `"yesterday": want a date`,
		"- " + names + "ran: '2026-01-02'":          "want these dates too",
		"- " + names + "built: '2026-01-02'\n  generated: '2026-01-02'\n  ran: '2026-01-02'\n  failed: x": "want one of the two",
		"- clusterAPI: 1.10.10\n  kubernetes: v1.33.4\n  autoscaler: v1.33.6":                             `"1.10.10": want a release`,
		"- clusterAPI: v1.10.10": `"": want a release`,
	} {
		_, err := Read([]byte(text))
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v, want %q", text, err, want)
		}
	}
}

// TestDone: if a series was tried on several days, the last day counts.
func TestDone(t *testing.T) {
	t.Parallel()
	all := []Record{
		{ClusterAPI: "v1.10.9", Built: "2026-01-02", Generated: "2026-01-02", Ran: "2026-01-02"},
		{ClusterAPI: "v1.10.10", Built: "2026-02-01"},
		{ClusterAPI: "v1.11.0", Built: "2026-03-01"},
	}
	if got := Done(all, release.Of(v("1.10.0"))); got.Built != "2026-02-01" || got.Generated != "2026-01-02" || got.Ran != "2026-01-02" {
		t.Errorf("v1.10: %+v", got)
	}
	if got := Done(all, release.Of(v("1.9.0"))); got != (Record{}) {
		t.Errorf("v1.9: %+v", got)
	}
	if got := (Seconds{Build: 192, ScaleUp: 29}).String(); got != "build 192, scale-up 29" {
		t.Errorf("seconds: %q", got)
	}
}
