package matrix

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"caslab/magefiles/internal/capi/release/proof"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/scenario"
)

// matrixOf returns the rows of the tests' records.
func matrixOf(t *testing.T, text string) []row {
	t.Helper()
	proofs, err := proof.Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	all, err := rows(proofs)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func names(rows []row) []string {
	var names []string
	for _, r := range rows {
		names = append(names, r.String())
	}
	return names
}

func TestChoose(t *testing.T) {
	t.Parallel()
	const two = `- clusterAPI: v1.14.2
  kubernetes: v1.37.2
  autoscaler: v1.36.1
`
	all := matrixOf(t, two+strings.Replace(recorded, "v1.10.10", "v1.10.9", 1))
	for text, want := range map[string]string{
		"v1.8.12":                               "v1.8.12+v1.31.4+v1.31.5",
		"1.8.12, v0.3.25":                       "v1.8.12+v1.31.4+v1.31.5 v0.3.25+v1.18.19+v1.18.3",
		"v1.13.6":                               "v1.13.6+v1.36.1+v1.36.1", // the series' default
		"v1.14.2":                               "v1.14.2+v1.37.2+v1.36.1",
		"v1.8.12+v1.30.4+v1.30.7":               "v1.8.12+v1.30.4+v1.30.7", // new
		"v0.3.25+1.18.19+1.18.3":                "v0.3.25+v1.18.19+v1.18.3",
		"v1.8.12,v1.8.12+v1.31.4+v1.31.5":       "! v1.8.12+v1.31.4+v1.31.5 is named twice",
		"v1.8.13":                               "! the matrix has no row of Cluster API v1.8.13; the nearest is v1.8.12. A new row names all three releases: v1.8.13+v1.31.4+v1.31.5",
		"v9.0.0":                                "! the nearest is v1.14.2",
		"v0.3.6":                                "! the nearest is v0.3.25",
		"v1.8.13,v1.12":                         `! "v1.12" is no release`,
		"v1.8.12+v1.31.4":                       "! want releases of Cluster API, Kubernetes and the autoscaler, such as " + example,
		"v1.8.12+v1.31.4+latest":                `! "latest" is no release`,
		"latest":                                `! "latest" is no release`,
		",":                                     "! part 1 of the list \",\" is empty",
		"v1.8.12+v1.31.4+v1.31.5+v1.31.5":       "! want releases",
		"v1.15.0-beta.0+v1.38.0-rc.1+v1.36.1":   "v1.15.0-beta.0+v1.38.0-rc.1+v1.36.1",
		"v1.8.13,v1.8.14":                       "! v1.8.13; ", // and
		"v1.8.14,v1.8.13":                       "! v1.8.13; ", // all are named
		"../v1.8.12+v1.31.4+v1.31.5":            "! is no release",
		"v1.8.12+v1.31.4+v1.31.5,v1.8.12+1.0+1": "! is no release",
	} {
		got, err := choose(all, text)
		if reason, refused := strings.CutPrefix(want, "! "); refused {
			if err == nil || !strings.HasPrefix(err.Error(), "-rows: ") || !strings.Contains(err.Error(), reason) {
				t.Errorf("%s: %v, want %s", text, err, reason)
			}
			continue
		}
		if err != nil || strings.Join(names(got), " ") != want {
			t.Errorf("%s: %q, %v; want %s", text, names(got), err, want)
		}
	}
	ran, err := choose(all, "v1.10.9")
	if err != nil || ran[0].before.Ran != "2026-01-02" {
		t.Errorf("a known row has the record %+v, %v", ran, err)
	}
}

// TestRowsThatNeverRan: the records that did not run, and the series without a record, the
// newest first.
func TestRowsThatNeverRan(t *testing.T) {
	t.Parallel()
	all := matrixOf(t, strings.Replace(recorded, "v1.10.10", "v1.10.9", 1))
	got, err := choose(all, "")
	if err != nil {
		t.Fatal(err)
	}
	named := names(got)
	for _, want := range []string{"v1.8.12+v1.31.4+v1.31.5", "v0.3.25+v1.18.19+v1.18.3", "v1.9.11+v1.32.5+v1.32.5", "v1.14.2+v1.36.1+v1.36.1"} {
		if !slices.Contains(named, want) {
			t.Errorf("%s is not among %q", want, named)
		}
	}
	for _, r := range got {
		if strings.HasPrefix(r.String(), "v1.10.") {
			t.Errorf("%s is tried, and v1.10.9 of its series ran", r)
		}
	}
	if named[0] != "v1.14.2+v1.36.1+v1.36.1" || named[len(named)-1] != "v0.3.25+v1.18.19+v1.18.3" {
		t.Errorf("the order is %q", named)
	}
}

// TestCheck: what env:up refuses is refused before a row begins.
func TestCheck(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"v1.8.12+v1.31.4+v1.31.5":        "",
		"v1.16.0+v1.39.0+v1.39.0":        "", // newer than the table
		"v1.8.12+v1.36.1+v1.31.5":        "manages itself on Kubernetes v1.27 to v1.31; the nearest row is v1.8.12+v1.31.4+v1.31.5, and FORCE=true",
		"v0.3.4+v1.18.19+v1.18.3":        "the lab knows Cluster API from v0.3.5 on; the nearest row is that of v0.3.25",
		"v0.3.25+v1.18.19+v1.17.0":       "want 1.18.0 or later",
		"force v1.8.12+v1.36.1+v1.31.5":  "",
		"force v0.3.25+v1.18.19+v1.17.0": "want 1.18.0 or later",
	} {
		combination, force := strings.CutPrefix(text, "force ")
		r, err := parseRow(combination)
		if err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(t.TempDir(), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		c.Force = force
		r.apply(c)
		if err := r.check(c); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestRowsHaveEnvironmentsOfTheirOwn: no row has the environment of another one or of
// the user, and every name is allowed.
func TestRowsHaveEnvironmentsOfTheirOwn(t *testing.T) {
	t.Parallel()
	all := matrixOf(t, recorded)
	for _, text := range []string{"v1.14.2+v1.33.4+v1.36.1", "v1.14.2+v1.33.4+v1.33.6", "v1.15.0-beta.0+v1.37.2+v1.36.1", "v1.15.0-beta.1+v1.37.2+v1.36.1"} {
		r, err := parseRow(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	seen := map[string]string{"work-cluster": "the user"}
	for _, r := range all {
		c, err := config.Load(t.TempDir(), func(key string) (string, bool) {
			v, ok := map[string]string{"CLUSTER_NAME": r.environment()}[key]
			return v, ok
		})
		if err != nil || c.ClusterName != r.environment() {
			t.Errorf("%s: %v", r, err)
		}
		if other := seen[r.environment()]; other != "" {
			t.Errorf("%s and %s have the environment %s", r, other, r.environment())
		}
		seen[r.environment()] = r.String()
	}
}

// TestApply: a row keeps only the user's settings of sources and of the machine.
func TestApply(t *testing.T) {
	t.Parallel()
	variables := map[string]string{
		"CAPI_DIR": "/tree", "CAPI_VERSION": "v1.13.6", "AUTOSCALER_COMMIT": strings.Repeat("a", 40), "AUTOSCALER_GIT": "file:///mirror", "AUTOSCALER_CORE_DIR": "/core",
		"WORKLOAD_KUBECONFIG": "/k", "MANAGEMENT_KUBECONFIG": "/m", "CLUSTER_NAMESPACE": "other", "CERT_MANAGER": "true", "REGISTRY_MIRROR": "mirror:5000",
	}
	c, err := config.Load(t.TempDir(), func(key string) (string, bool) { v, ok := variables[key]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseRow("v1.8.12+v1.31.4+v1.31.5")
	if err != nil {
		t.Fatal(err)
	}
	r.apply(c)
	if s := c.ClusterAPI; s.Tag() != "v1.8.12" || s.Dir != "" || s.Origin != config.OriginAuto {
		t.Errorf("Cluster API comes from %+v", s)
	}
	if s := c.Autoscaler; s.Tag() != "v1.31.5" || s.Commit != "" || s.Git != "file:///mirror" {
		t.Errorf("the autoscaler comes from %+v", s)
	}
	if c.WorkloadKubeconfig+c.ManagementKubeconfig+c.AutoscalerCoreDir != "" || c.Namespace != "default" || c.CertManager || c.RegistryMirror != "mirror:5000" {
		t.Errorf("the settings are %+v", c)
	}
}

// TestScalings: the scenarios have the steps whose seconds are recorded, and the release
// of the autoscaler decides which scenario runs.
func TestScalings(t *testing.T) {
	t.Parallel()
	shipped, err := scenario.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []scaling{fromZero, fromOne} {
		i := slices.IndexFunc(shipped, func(other *scenario.Scenario) bool { return other.Name == s.scenario })
		if i < 0 {
			t.Fatalf("there is no scenario %s", s.scenario)
		}
		for _, say := range []string{s.up, s.down} {
			if !slices.ContainsFunc(shipped[i].Steps, func(step scenario.Step) bool { return step.Say == say }) {
				t.Errorf("%s has no step %q", s.scenario, say)
			}
		}
	}
	for text, want := range map[string]scaling{
		"v1.10.10+v1.33.4+v1.33.6": fromZero, "v0.3.25+v1.18.19+v1.18.3": fromOne, "v1.1.6+v1.24.17+v1.24.3": fromOne, "v1.3.10+v1.26.13+v1.26.8": fromOne,
	} {
		if r, err := parseRow(text); err != nil || r.scaling() != want {
			t.Errorf("%s: %v, %v; want %v", text, r.scaling(), err, want)
		}
	}
}

// FuzzParseRow: what a row is written as is read as the same row, and names an environment.
func FuzzParseRow(f *testing.F) {
	for _, seed := range []string{example, "v1.10.10", "1.10.10+1.33.4+1.33.6", "v1.10.10+v1.33.4+v1.33.6+x", "v1.11.0-rc.0+v1.33.4+v1.33.6", "v1.2.3.4+v1.33.4+v1.33.6", "v01.2.3+v1.33.4+v1.33.6", "++"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRow(text)
		if err != nil {
			return
		}
		again, err := parseRow(r.String())
		if err != nil || again.String() != r.String() {
			t.Errorf("%q is read as %s, and that as %s, %v", text, r, again, err)
		}
		if problems := validation.IsDNS1123Label(r.environment()); len(problems) > 0 {
			t.Errorf("%q: the environment %s: %v", text, r.environment(), problems)
		}
	})
}

// FuzzChoose: each row is chosen once, and the rows that were chosen choose the same.
func FuzzChoose(f *testing.F) {
	all, err := rows(nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", example, "v1.14.2", "v1.14.2,v1.14.2", "1.14.2,v1.14.2", "x,", example + "," + example} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, names string) {
		chosen, err := choose(all, names)
		if err != nil {
			return
		}
		var again []string
		for _, r := range chosen {
			if slices.Contains(again, r.String()) {
				t.Errorf("choose(%q) has %s twice", names, r)
			}
			again = append(again, r.String())
		}
		if same, err := choose(all, strings.Join(again, ",")); err != nil || len(same) != len(chosen) {
			t.Errorf("choose(%q) = %v, %v; want the rows of choose(%q)", again, same, err, names)
		}
	})
}
