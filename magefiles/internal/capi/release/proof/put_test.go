package proof

import (
	"strings"
	"testing"
)

// file has what must stay: comments at the top, between entries and behind a value.
const file = `# What ran.
#
#   built  when
- clusterAPI: v1.10.10
  kubernetes: v1.33.4
  autoscaler: v1.33.6
  generated: "2026-01-02" # by hand
# The oldest.
- clusterAPI: v1.9.11
  kubernetes: v1.32.5
  autoscaler: v1.32.5
  built: "2026-01-02"
  generated: "2026-01-02"
  seconds: {build: 100}
  failed: "it: did not start"
`

func TestPut(t *testing.T) {
	t.Parallel()
	const date = "2026-02-03"
	ran := func(clusterAPI, kubernetes, autoscaler string) Record {
		return Record{ClusterAPI: clusterAPI, Kubernetes: kubernetes, Autoscaler: autoscaler, Built: date, Generated: date, Ran: date,
			Seconds: Seconds{Build: 300, Up: 99, ScaleUp: 31, ScaleDown: 40}}
	}
	entry := func(clusterAPI, kubernetes, autoscaler string) string {
		return "- clusterAPI: " + clusterAPI + "\n  kubernetes: " + kubernetes + "\n  autoscaler: " + autoscaler + `
  built: "2026-02-03"
  generated: "2026-02-03"
  ran: "2026-02-03"
  seconds: {build: 300, up: 99, scaleUp: 31, scaleDown: 40}
`
	}
	const top, first, last = "# What ran.\n#\n#   built  when\n", "- clusterAPI: v1.10.10\n", "# The oldest.\n- clusterAPI: v1.9.11\n"
	beforeOldest, _, _ := strings.Cut(file, "- clusterAPI: v1.9.11")
	for name, tc := range map[string]struct {
		record Record
		want   string
	}{
		"a known combination ran": {
			ran("v1.10.10", "v1.33.4", "v1.33.6"),
			strings.Replace(file, `  generated: "2026-01-02" # by hand`, `  built: "2026-02-03"
  generated: "2026-02-03" # by hand
  ran: "2026-02-03"
  seconds: {build: 300, up: 99, scaleUp: 31, scaleDown: 40}`, 1),
		},
		"one that failed runs": {
			ran("v1.9.11", "v1.32.5", "v1.32.5"),
			beforeOldest + entry("v1.9.11", "v1.32.5", "v1.32.5"),
		},
		"one fails": {
			Record{ClusterAPI: "v1.10.10", Kubernetes: "v1.33.4", Autoscaler: "v1.33.6", Built: date, Failed: `env:up: step "move" failed`},
			strings.Replace(file, `  generated: "2026-01-02" # by hand`, `  built: "2026-02-03"
  failed: "env:up: step \"move\" failed"`, 1),
		},
		"a newer one":            {ran("v1.10.11", "v1.33.4", "v1.33.6"), strings.Replace(file, top, top+entry("v1.10.11", "v1.33.4", "v1.33.6"), 1)},
		"on a newer Kubernetes":  {ran("v1.10.10", "v1.33.13", "v1.33.6"), strings.Replace(file, top, top+entry("v1.10.10", "v1.33.13", "v1.33.6"), 1)},
		"with an old autoscaler": {ran("v1.10.10", "v1.33.4", "v1.33.5"), strings.Replace(file, last, entry("v1.10.10", "v1.33.4", "v1.33.5")+last, 1)},
		"the oldest":             {ran("v0.3.25", "v1.18.19", "v1.18.3"), file + entry("v0.3.25", "v1.18.19", "v1.18.3")},
	} {
		got, err := Put([]byte(file), tc.record)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if string(got) != tc.want {
			t.Errorf("%s: the file is\n%s\nwant\n%s", name, got, tc.want)
		}
		if strings.Count(string(got), first) != 1 && tc.record.ClusterAPI != "v1.10.10" {
			t.Errorf("%s: an entry is lost", name)
		}
	}
}

// TestPutRefuses: nothing is written that Read refuses.
func TestPutRefuses(t *testing.T) {
	t.Parallel()
	bad := Record{ClusterAPI: "v1.10.10", Kubernetes: "v1.33.4", Autoscaler: "v1.33.6", Ran: "2026-01-02"}
	if _, err := Put([]byte(file), bad); err == nil || !strings.Contains(err.Error(), "want these dates too") {
		t.Errorf("a bad record: %v", err)
	}
	good := Record{ClusterAPI: "v1.10.10", Kubernetes: "v1.33.4", Autoscaler: "v1.33.6"}
	for _, text := range []string{"", "- clusterAPI: 1", "clusterAPI"} {
		if got, err := Put([]byte(text), good); err == nil {
			t.Errorf("%q becomes %s", text, got)
		}
	}
}

// TestPutKeepsTheFile: putting what is there changes no byte of proof.yaml.
func TestPutKeepsTheFile(t *testing.T) {
	t.Parallel()
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		got, err := Put(records, r)
		if err != nil || string(got) != string(records) {
			t.Errorf("%+v: %v, and the file is\n%s", r, err, got)
		}
	}
}
