//go:build e2e

package e2e

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// judges runs scenarios with a well-behaved and with a misbehaving stand-in for the
// autoscaler. The tests of package engine show that every scenario can fail; these show
// that scenarios work on a real cluster.
func judges(t *testing.T, l lab) {
	const quick = "-flags=--scale-down-unneeded-time=5s "
	out := t.TempDir()
	l.must(t, "scenario:run", "scale-up,maximum-holds", "-parallel=2", "-out="+out, quick)
	var results struct {
		Scenarios []struct{ Name, Verdict string }
	}
	data, err := os.ReadFile(filepath.Join(out, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &results); err != nil {
		t.Fatal(err)
	}
	if len(results.Scenarios) != 2 || results.Scenarios[0].Verdict != "passed" || results.Scenarios[1].Verdict != "passed" {
		t.Errorf("results.json has %+v; want two scenarios that passed", results)
	}
	var junit struct {
		Suites []struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
		} `xml:"testsuite"`
	}
	if data, err = os.ReadFile(filepath.Join(out, "junit.xml")); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(data, &junit); err != nil {
		t.Fatal(err)
	}
	if len(junit.Suites) != 1 || junit.Suites[0].Tests != 2 || junit.Suites[0].Failures != 0 {
		t.Errorf("junit.xml has %+v; want two tests and no failure", junit)
	}

	// Each side's autoscaler is deployed for its scenarios, and removed after them.
	same := l.must(t, "scenario:compare", "1.36.1", "1.36.1", "-scenarios=maximum-holds", "-autoscaler=deploy", quick)
	if strings.Count(same, "✓ passed") != 2 || !strings.Contains(same, "the verdicts are the same") {
		t.Errorf("scenario:compare of one autoscaler with itself printed %s", same)
	}
	if out := l.must(t, "autoscaler:status"); !strings.Contains(out, "none that the lab knows of") {
		t.Errorf("after the comparison autoscaler:status printed %s", out)
	}

	for _, tt := range []struct {
		name, scenario, misbehave string
		want                      []string
	}{
		{"never scales up", "scale-up", "never", []string{"group web: size 2", "size 0", "1 scenario failed: scale-up"}},
		{"exceeds the maximum", "maximum-holds", "exceed", []string{"group web: size at most 1", "size 2", "1 scenario failed: maximum-holds"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			shown, err := l.mage(t, "scenario:run", tt.scenario, quick+"--misbehave="+tt.misbehave)
			if err == nil {
				t.Fatalf("it passed:\n%s", shown)
			}
			for _, want := range tt.want {
				if !strings.Contains(shown+err.Error(), want) {
					t.Errorf("the failure does not say %q:\n%s\n%v", want, shown, err)
				}
			}
		})
	}
	if left := groupsLike(t, l, "sc-"); len(left) > 0 {
		t.Errorf("the scenarios left %v", left)
	}
}

// groupsLike returns the names of the machine deployments with this prefix.
func groupsLike(t *testing.T, l lab, prefix string) []string {
	t.Helper()
	var list struct{ Items []machineDeployment }
	kubectl(t, l, &list, "get", "machinedeployments.cluster.x-k8s.io")
	var names []string
	for _, g := range list.Items {
		if strings.HasPrefix(g.Metadata.Name, prefix) {
			names = append(names, g.Metadata.Name)
		}
	}
	return names
}

// tells checks that the timeline has what happened before.
func tells(t *testing.T, l lab) {
	out := filepath.Join(t.TempDir(), "report.html")
	files := strings.Fields(l.must(t, "timeline:report", "-out="+out))
	if len(files) != 3 {
		t.Fatalf("timeline:report printed %v; want a page, a picture and the facts", files)
	}
	page, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sc-web", groupName, "scale-up-"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not name %s", want)
		}
	}
	var record struct {
		Facts []struct{ Kind, What, Name string }
	}
	data, err := os.ReadFile(strings.TrimSuffix(out, ".html") + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &record); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][2]string{{"lab", "step"}, {"pod", "unschedulable"}, {"autoscaler", "scaleUp"}, {"machine", "phase"}, {"node", "nodeReady"}, {"node", "gone"}} {
		if !slices.ContainsFunc(record.Facts, func(f struct{ Kind, What, Name string }) bool { return f.Kind == want[0] && f.What == want[1] }) {
			t.Errorf("the timeline has no fact %s %s", want[0], want[1])
		}
	}
	if text := l.must(t, "timeline:explain", "group/sc-web"); !strings.Contains(text, "sc-web") || !strings.Contains(text, "max") {
		t.Errorf("timeline:explain printed %s", text)
	}
	if _, err := l.mage(t, "timeline:explain", "pod/nosuch"); err == nil {
		t.Error("a pod that never was is explained")
	}
}
