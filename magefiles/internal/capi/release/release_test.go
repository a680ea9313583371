package release

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	version "github.com/hashicorp/go-version"
)

func v(text string) *version.Version { return version.Must(version.NewSemver(text)) }

// TestClusterAPI has the facts of upstream's tags on both sides of each boundary
// in the table.
func TestClusterAPI(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		tag       string
		supported bool
		api       string
		core      string // main and kustomize root
		docker    string // module, main and kustomize root
		version   string
		metadata  bool
		balancer  string
	}{
		{"0.3.4", false, "v1alpha3", ". config", "test/infrastructure/docker . test/infrastructure/docker/config", "cmd/version", false, "2.1.1-alpine"},
		{"0.3.5", true, "v1alpha3", ". config", "test/infrastructure/docker . test/infrastructure/docker/config", "cmd/version", false, "2.1.1-alpine"},
		{"0.3.16", true, "v1alpha3", ". config", "test/infrastructure/docker . test/infrastructure/docker/config", "cmd/version", false, "2.1.1-alpine"},
		{"0.3.17", true, "v1alpha3", ". config", "test/infrastructure/docker . test/infrastructure/docker/config", "cmd/version", true, "2.1.1-alpine"},
		{"0.3.22", true, "v1alpha3", ". config", "test/infrastructure/docker . test/infrastructure/docker/config", "cmd/version", true, "v20210715-a6da3463"},
		{"0.4.0-beta.0", true, "v1alpha4", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "2.1.1-alpine"},
		{"0.4.0", true, "v1alpha4", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "2.1.1-alpine"},
		{"0.4.8", true, "v1alpha4", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20210715-a6da3463"},
		{"1.0.0", true, "v1beta1", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20210715-a6da3463"},
		{"1.3.7", true, "v1beta1", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230330-2f738c2"},
		{"1.4.0-beta.1", true, "v1beta1", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20210715-a6da3463"},
		{"1.4.0", true, "v1beta1", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230227-d46f45b6"},
		{"1.4.2", true, "v1beta1", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230330-2f738c2"},
		{"1.8.12", true, "v1beta1", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230510-486859a6"},
		{"1.10.10", true, "v1beta1", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230606-42a2262b"},
		{"1.11.0-rc.1", true, "v1beta1", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230606-42a2262b"},
		{"1.11.0", true, "v1beta2", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230606-42a2262b"},
		{"1.12.7", true, "v1beta2", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230606-42a2262b"},
		{"1.12.8", true, "v1beta2", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230606-42a2262b"},
		{"1.13.0", true, "v1beta2", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230606-42a2262b"},
		{"1.13.5", true, "v1beta2", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230606-42a2262b"},
		{"1.14.0-alpha.0", true, "v1beta2", ". config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230606-42a2262b"},
		{"1.14.0-rc.1", true, "v1beta2", "./core core/config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230606-42a2262b"},
		{"1.14.2", true, "v1beta2", "./core core/config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230606-42a2262b"},
		{"1.99.0", true, "v1beta2", "./core core/config/default", "test ./infrastructure/docker test/infrastructure/docker/config/default", "version", true, "v20230606-42a2262b"},
	} {
		r := Of(v(tc.tag))
		if r.Version.String() != tc.tag || r.Supported != tc.supported || r.API != tc.api {
			t.Errorf("%s: supported %t, API %s", r.Version, r.Supported, r.API)
		}
		l := r.Layout
		if core := l.CoreMain + " " + l.CoreRoot; core != tc.core {
			t.Errorf("%s: core is %q, want %q", tc.tag, core, tc.core)
		}
		if docker := strings.Join([]string{l.DockerModule, l.DockerMain, l.DockerRoot}, " "); docker != tc.docker {
			t.Errorf("%s: the Docker provider is %q, want %q", tc.tag, docker, tc.docker)
		}
		if l.VersionPackage != "sigs.k8s.io/cluster-api/"+tc.version || l.Metadata != tc.metadata {
			t.Errorf("%s: version package %s, metadata %t", tc.tag, l.VersionPackage, l.Metadata)
		}
		if want := "kindest/haproxy:" + tc.balancer; r.LoadBalancer.Image() != want {
			t.Errorf("%s: load balancer %s, want %s", tc.tag, r.LoadBalancer.Image(), want)
		}
	}
}

// TestKubernetesOfReleases has the ranges on both sides of each change, from
// "Kubernetes version support" in upstream's book.
func TestKubernetesOfReleases(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]struct {
		minors                 Minors
		kubernetes, autoscaler string
	}{
		"0.3.5":          {Minors{16, 19}, "v1.18.19", "1.18.3"},
		"0.3.14":         {Minors{16, 19}, "v1.18.19", "1.18.3"},
		"0.3.15":         {Minors{16, 21}, "v1.18.19", "1.18.3"},
		"0.3.25":         {Minors{16, 21}, "v1.18.19", "1.18.3"},
		"0.4.0":          {Minors{19, 21}, "v1.21.14", "1.22.3"},
		"0.4.8":          {Minors{19, 23}, "v1.21.14", "1.22.3"},
		"1.0.5":          {Minors{19, 23}, "v1.21.14", "1.22.3"},
		"1.1.3":          {Minors{19, 23}, "v1.21.14", "1.22.3"},
		"1.1.6":          {Minors{19, 24}, "v1.24.17", "1.24.3"},
		"1.2.1":          {Minors{20, 24}, "v1.24.17", "1.24.3"},
		"1.2.9":          {Minors{20, 25}, "v1.24.17", "1.24.3"},
		"1.2.12":         {Minors{20, 26}, "v1.26.13", "1.26.8"},
		"1.3.2":          {Minors{20, 25}, "v1.24.17", "1.24.3"},
		"1.3.10":         {Minors{20, 26}, "v1.26.13", "1.26.8"},
		"1.4.1":          {Minors{23, 26}, "v1.26.13", "1.26.8"},
		"1.4.9":          {Minors{23, 27}, "v1.27.3", "1.27.8"},
		"1.5.0":          {Minors{24, 27}, "v1.27.3", "1.27.8"},
		"1.5.8":          {Minors{24, 28}, "v1.28.15", "1.28.7"},
		"1.6.0":          {Minors{25, 28}, "v1.28.15", "1.28.7"},
		"1.6.8":          {Minors{25, 29}, "v1.29.2", "1.29.5"},
		"1.7.0":          {Minors{26, 29}, "v1.29.2", "1.29.5"},
		"1.7.9":          {Minors{26, 30}, "v1.30.4", "1.30.7"},
		"1.8.0":          {Minors{27, 30}, "v1.30.4", "1.30.7"},
		"1.8.12":         {Minors{27, 31}, "v1.31.4", "1.31.5"},
		"1.9.0":          {Minors{28, 31}, "v1.31.4", "1.31.5"},
		"1.9.11":         {Minors{28, 32}, "v1.32.5", "1.32.5"},
		"1.10.0":         {Minors{29, 32}, "v1.32.5", "1.32.5"},
		"1.10.10":        {Minors{29, 33}, "v1.33.4", "1.33.6"},
		"1.11.0-rc.1":    {Minors{30, 33}, "v1.33.4", "1.33.6"},
		"1.11.0":         {Minors{30, 33}, "v1.33.4", "1.33.6"},
		"1.11.1":         {Minors{30, 34}, "v1.34.11", "1.34.5"},
		"1.12.0":         {Minors{31, 34}, "v1.34.11", "1.34.5"},
		"1.12.7":         {Minors{31, 35}, "v1.35.8", "1.35.2"},
		"1.12.8":         {Minors{31, 36}, "v1.36.1", "1.36.1"},
		"1.13.0":         {Minors{32, 35}, "v1.35.8", "1.35.2"},
		"1.13.5":         {Minors{32, 36}, "v1.36.1", "1.36.1"},
		"1.13.6":         {Minors{32, 37}, "v1.36.1", "1.36.1"},
		"1.14.0-alpha.0": {Minors{33, 36}, "v1.36.1", "1.36.1"},
		"1.14.0":         {Minors{33, 36}, "v1.36.1", "1.36.1"},
		"1.14.1":         {Minors{33, 37}, "v1.36.1", "1.36.1"},
		"1.99.0":         {Minors{33, 37}, "v1.36.1", "1.36.1"},
	} {
		r := Of(v(tag))
		if r.Kubernetes != want.minors || r.DefaultKubernetes != want.kubernetes || r.DefaultAutoscaler != want.autoscaler {
			t.Errorf("%s: Kubernetes %v, %s, autoscaler %s; want %v", tag, r.Kubernetes, r.DefaultKubernetes, r.DefaultAutoscaler, want)
		}
		if !r.Kubernetes.Has(v(strings.TrimPrefix(r.DefaultKubernetes, "v"))) {
			t.Errorf("%s: its default, Kubernetes %s, is not of its minors %v", tag, r.DefaultKubernetes, r.Kubernetes)
		}
	}
}

// TestDockerProvider has the facts about the Docker provider and about the
// compilation on both sides of each change.
func TestDockerProvider(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		tag, toolchain, network, engine string
		has                             string
	}{
		{"0.3.5", "go1.13.15", "bridge", "1.42", "docker kinds, docker, webhook deployments, auth proxy"},
		{"0.3.14", "go1.13.15", "bridge", "1.42", "docker kinds, docker, webhook deployments, auth proxy"},
		{"0.3.15", "go1.13.15", "kind", "1.42", "docker kinds, docker, webhook deployments, auth proxy"},
		{"0.3.25", "go1.13.15", "kind", "1.42", "docker kinds, docker, webhook deployments, auth proxy"},
		{"0.4.0", "go1.16.15", "kind", "1.41", "docker kinds, docker"},
		{"0.4.1", "go1.16.15", "kind", "1.41", "docker kinds"},
		{"1.0.5", "go1.16.15", "kind", "1.41", "docker kinds"},
		{"1.1.0", "", "kind", "1.41", "docker kinds"},
		{"1.3.9", "", "kind", "1.41", "docker kinds"},
		{"1.3.10", "", "kind", "1.43", "docker kinds"},
		{"1.4.4", "", "kind", "1.41", "docker kinds"},
		{"1.4.5", "", "kind", "1.43", "docker kinds"},
		{"1.5.8", "", "kind", "1.43", "docker kinds"},
		{"1.6.0", "", "kind", "1.43", "docker kinds"},
		{"1.6.8", "", "kind", "1.43", "docker kinds"},
		{"1.7.0", "", "kind", "1.44", "docker kinds"},
		{"1.8.12", "", "kind", "1.46", "docker kinds"},
		{"1.9.10", "", "kind", "1.47", "docker kinds"},
		{"1.9.11", "", "kind", "1.48", "docker kinds"},
		{"1.10.10", "", "kind", "1.48", "docker kinds, dev kinds"},
		{"1.11.0", "", "kind", "1.51", "docker kinds, dev kinds"},
		{"1.11.8", "", "kind", "1.54", "docker kinds, dev kinds"},
		{"1.12.4", "", "kind", "1.51", "docker kinds, dev kinds"},
		{"1.13.6", "", "kind", "1.54", "docker kinds, dev kinds"},
		{"1.14.2", "", "kind", "1.55", "docker kinds, dev kinds"},
		{"1.15.0-alpha.0", "", "kind", "1.55", "dev kinds"},
	} {
		r := Of(v(tc.tag))
		if r.Toolchain != tc.toolchain || r.Network != tc.network || r.MaxEngineAPI != tc.engine {
			t.Errorf("%s: toolchain %q, network %s, engine's API %s; want %+v", tc.tag, r.Toolchain, r.Network, r.MaxEngineAPI, tc)
		}
		var has []string
		for _, f := range []struct {
			name string
			is   bool
		}{
			{"docker kinds", r.DockerKinds},
			{"dev kinds", r.DevKinds},
			{"docker", r.RunsDocker},
			{"webhook deployments", r.WebhookDeployments},
			{"auth proxy", r.AuthProxy},
		} {
			if f.is {
				has = append(has, f.name)
			}
		}
		if got := strings.Join(has, ", "); got != tc.has {
			t.Errorf("%s has %s; want %s", tc.tag, got, tc.has)
		}
	}
}

// TestWith has pairs of Cluster API and Kubernetes at the edges of the table.
func TestWith(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		release, kubernetes string
		want                Pair
		nearest, other      string
	}{
		{"1.14.2", "1.36.1", InTable, "v1.36.1", "1.14.2"},
		{"1.14.2", "1.37.0", InTable, "v1.37.2", "1.14.2"},
		{"1.14.2", "1.38.0", AheadOfTable, "v1.37.2", ""},
		{"1.14.0", "1.37.0", OutsideTable, "v1.36.1", "1.14.2"},
		{"1.14.2", "1.32.0", OutsideTable, "v1.33.4", "1.13.6"},
		{"1.14.2", "2.36.0", OutsideTable, "v1.36.1", ""},
		{"1.13.6", "1.38.0", AheadOfTable, "v1.37.2", ""},
		{"1.12.8", "1.38.0", OutsideTable, "v1.36.1", ""},
		{"1.15.0", "1.36.1", AheadOfTable, "v1.36.1", "1.14.2"},
		{"1.15.0", "1.38.0", AheadOfTable, "v1.37.2", ""},
		{"1.15.0", "1.32.0", OutsideTable, "v1.33.4", "1.13.6"},
		{"0.3.5", "1.18.19", InTable, "v1.18.19", "0.3.25"},
		{"0.3.5", "1.20.0", OutsideTable, "v1.18.19", "0.3.25"},
		{"0.3.5", "1.22.0", OutsideTable, "v1.18.19", "0.4.8"},
		{"1.8.12", "1.25.0", OutsideTable, "v1.27.3", "1.6.8"},
		{"1.4.0", "1.21.14", OutsideTable, "v1.24.17", "1.3.10"},
		{"0.3.25", "1.22.0", OutsideTable, "v1.21.14", "0.4.8"},
	} {
		r := Of(v(tc.release))
		if got := r.With(v(tc.kubernetes)); got != tc.want {
			t.Errorf("%s on Kubernetes %s: %d, want %d", tc.release, tc.kubernetes, got, tc.want)
		}
		if got := r.NearestKubernetes(v(tc.kubernetes)); got != tc.nearest {
			t.Errorf("the nearest of %s to Kubernetes %s is %s, want %s", tc.release, tc.kubernetes, got, tc.nearest)
		}
		other, ok := r.NearestFor(v(tc.kubernetes))
		if ok != (tc.other != "") || ok && other.Version.String() != tc.other {
			t.Errorf("the nearest to %s for Kubernetes %s is %s, %t; want %s", tc.release, tc.kubernetes, other.Version, ok, tc.other)
		}
	}
}

func TestNearestTo(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{"v1.36.99": "v1.36.1", "1.25.16": "v1.26.13", "v1.99.0": "v1.37.2", "v1.2.3": "v1.18.19", "banana": ""} {
		if got := NearestTo(tag); got != want {
			t.Errorf("the nearest to %s is %q, want %q", tag, got, want)
		}
	}
}

// TestAll: there is no gap between the table's series, and each default release
// exists.
func TestAll(t *testing.T) {
	t.Parallel()
	all := All()
	for i, r := range all {
		if i > 0 {
			major, minor := MajorMinor(all[i-1].Version)
			if next := r.Series(); next != fmt.Sprintf("v%d.%d", major, minor+1) && next != "v1.0" {
				t.Errorf("%s follows v%d.%d", next, major, minor)
			}
		}
		if r.DefaultKubernetes == "" || r.DefaultAutoscaler == "" || !r.Supported || r.Newer {
			t.Errorf("%s: %+v", r.Version, r)
		}
	}
	if last := all[len(all)-1]; last.Version.String() != Newest().Version.String() || last.Series() != "v1.14" {
		t.Errorf("the last is %s", last.Version)
	}
	for minor, tag := range standardKubernetes {
		if _, got := MajorMinor(v(strings.TrimPrefix(tag, "v"))); got != minor {
			t.Errorf("%s is taken for v1.%d", tag, minor)
		}
	}
}

// TestNewer: a release after the table's newest minor gets that minor's facts
// and is marked as newer. A later patch of a known minor is not marked, because
// patches do not change these facts.
func TestNewer(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]bool{
		"0.3.5": false, "1.14.0-rc.1": false, newest: false, "1.14.99": false,
		"1.15.0-alpha.0": true, "1.15.0": true, "2.0.0": true,
	} {
		if got := Of(v(tag)).Newer; got != want {
			t.Errorf("%s is newer than the table: %t", tag, got)
		}
	}
	for _, tc := range []struct {
		autoscaler *version.Version
		want       bool
	}{{v("1.18.0"), false}, {v(newestAutoscaler), false}, {v("1.36.9"), false}, {v("1.37.0-beta.1"), true}, {v("1.37.0"), true}, {After(36), false}} {
		a := OfAutoscaler(tc.autoscaler)
		if a.Newer != tc.want || (len(a.Doubts()) > 0) != tc.want {
			t.Errorf("the autoscaler %s is newer than the table: %t, %q", a.Version, a.Newer, a.Doubts())
		}
	}
}

// TestFeatures has the differences between releases with the same API.
func TestFeatures(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string][5]bool{ // describe, load balancer's fields, its template, weights in that, own clusterctl
		"0.3.5":        {false, false, false, false, true},
		"0.3.13":       {true, false, false, false, true},
		"0.4.0":        {true, false, false, false, true},
		"0.4.1":        {true, true, false, false, true},
		"1.5.8":        {true, true, false, false, true},
		"1.6.0-beta.0": {true, true, true, false, true},
		"1.9.0-beta.1": {true, true, true, false, true},
		"1.9.0-rc.0":   {true, true, true, true, true},
		"1.10.10":      {true, true, true, true, true},
		"1.11.0":       {true, true, true, true, false},
	} {
		r := Of(v(tag))
		if got := [5]bool{r.Describes, r.LoadBalancerFields, r.HAProxyTemplate, r.HAProxyWeights, r.OwnClusterctl()}; got != want {
			t.Errorf("%s has %v, want %v", tag, got, want)
		}
	}
}

// TestPause: before v0.4, the Docker provider does not look at spec.paused of the Cluster, and
// before v1.9 not for the load balancer.
func TestPause(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]bool{"0.3.5": false, "0.4.8": false, "1.8.12": false, "1.9.0-alpha.0": false, "1.9.0-beta.0": true, "1.14.2": true} {
		if got := Of(v(tag)).HonorsPause; got != want {
			t.Errorf("%s honors a pause: %t, want %t", tag, got, want)
		}
	}
}

// TestConntrack: the Docker provider's own configuration of kube-proxy came with v0.3.18.
func TestConntrack(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]bool{"0.3.5": false, "0.3.17": false, "0.3.18": true, "0.3.25": true, "0.4.0": true, "1.14.2": true} {
		if got := Of(v(tag)).KeepsConntrack; got != want {
			t.Errorf("%s configures kube-proxy: %t", tag, got)
		}
	}
}

// TestCertManager has what clusterctl checks about cert-manager in each release.
func TestCertManager(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"0.3.5": "", "0.3.8": "", "0.3.9": "v1alpha2", "0.3.14": "v1alpha2", "0.3.15": "v1", "0.3.25": "v1", "0.4.0": "v1", "1.14.2": "v1",
	} {
		if got := Of(v(tag)).CertManager; got != want {
			t.Errorf("%s asks for %q, want %q", tag, got, want)
		}
	}
}

func TestFirst(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"0.3.5":  First(func(r Release) bool { return r.Supported }),
		"1.12.0": First(func(r Release) bool { return r.Kubernetes.Min == 31 }),
		"1.23.0": FirstAutoscaler(func(a Autoscaler) bool { return a.Toolchain == "" }),
		"1.18.0": FirstAutoscaler(func(a Autoscaler) bool { return a.Supported }),
		"1.34.0": FirstAutoscaler(func(a Autoscaler) bool { return a.GroupReferences }),
		"":       First(func(Release) bool { return false }),
	} {
		if got != want {
			t.Errorf("the first is %q, want %q", got, want)
		}
	}
}

func TestMinors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"1.32.9": false, "1.33.0": true, "1.36.4": true, "1.37.0": false, "2.34.0": false} {
		if got := (Minors{33, 36}).Has(v(text)); got != want {
			t.Errorf("%s is among them: %t", text, got)
		}
	}
}

// TestAutoscalers has the releases on both sides of each boundary in the table.
func TestAutoscalers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		release                   string
		toolchain, oldest, newest string
		discovers, variable, refs bool
		defects                   int
	}{
		{"1.18.1", "go1.13.15", "v1alpha2", "v1alpha2", false, false, false, 3},
		{"1.18.2", "go1.13.15", "v1alpha3", "v1alpha3", false, false, false, 2},
		{"1.18.3", "go1.13.15", "v1alpha3", "v1beta2", true, false, false, 0},
		{"1.19.0", "go1.14.15", "v1alpha3", "v1alpha3", false, false, false, 2},
		{"1.19.1", "go1.14.15", "v1alpha3", "v1beta2", true, false, false, 0},
		{"1.20.0", "go1.15.15", "v1alpha3", "v1beta2", true, false, false, 0},
		{"1.21.3", "go1.16.15", "v1alpha3", "v1beta2", true, false, false, 0},
		{"1.22.3", "go1.16.15", "v1alpha3", "v1beta2", true, false, false, 0},
		{"1.23.0", "", "v1alpha3", "v1beta2", true, false, false, 0},
		{"1.24.0", "", "v1alpha3", "v1beta2", true, true, false, 0},
		{"1.25.0", "", "v1alpha3", "v1beta1", true, true, false, 0},
		{"1.29.5", "", "v1alpha3", "v1beta1", true, true, false, 0},
		{"1.30.5", "", "v1alpha3", "v1beta1", true, true, false, 0},
		{"1.30.6", "", "v1alpha3", "v1beta2", true, true, true, 0},
		{"1.31.3", "", "v1alpha3", "v1beta1", true, true, false, 0},
		{"1.31.4", "", "v1alpha3", "v1beta2", true, true, true, 0},
		{"1.32.2", "", "v1alpha3", "v1beta1", true, true, false, 0},
		{"1.32.3", "", "v1alpha3", "v1beta2", true, true, true, 0},
		{"1.33.0", "", "v1alpha3", "v1beta1", true, true, false, 0},
		{"1.33.1", "", "v1alpha3", "v1beta2", true, true, true, 0},
		{"1.34.0-alpha.0", "", "v1alpha3", "v1beta2", true, true, true, 0},
		{"1.36.0", "", "v1alpha3", "v1beta2", true, true, true, 1},
		{"1.36.1", "", "v1alpha3", "v1beta2", true, true, true, 0},
		{"1.37.0-beta.1", "", "v1alpha3", "v1beta2", true, true, true, 0},
	} {
		a := OfAutoscaler(v(tc.release))
		if a.Version.String() != tc.release || a.Toolchain != tc.toolchain || a.AutoDiscovery != tc.discovers || a.APIVariable != tc.variable || a.GroupReferences != tc.refs {
			t.Errorf("%s: %+v", tc.release, a)
		}
		if want := v(tc.release).Core().GreaterThanOrEqual(v("1.25.0")); a.FromZero != want {
			t.Errorf("%s scales up from zero: %t, want %t", tc.release, a.FromZero, want)
		}
		if want := v(tc.release).Core().GreaterThanOrEqual(v("1.27.0")); a.KnowsEmptyGroups != want {
			t.Errorf("%s knows the labels of empty groups: %t, want %t", tc.release, a.KnowsEmptyGroups, want)
		}
		if !a.Supported || OfAutoscaler(v("1.17.4")).Supported {
			t.Errorf("%s is supported: %t", tc.release, a.Supported)
		}
		if a.OldestAPI != tc.oldest || a.NewestAPI != tc.newest || a.OnlyAPI != (tc.newest == "v1alpha2") || len(a.Defects) != tc.defects {
			t.Errorf("%s drives %s to %s, only one %t, with the defects %q", tc.release, a.OldestAPI, a.NewestAPI, a.OnlyAPI, a.Defects)
		}
		want := OldSizePrefix
		if tc.discovers {
			want = SizePrefix
		}
		if a.SizePrefix != want {
			t.Errorf("%s reads sizes of %s, want %s", tc.release, a.SizePrefix, want)
		}
	}
}

// TestScaleDownRules has the releases on both sides of each change of what the autoscaler
// removes.
func TestScaleDownRules(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		has     func(Autoscaler) bool
		without []string
		with    []string
	}{
		"DaemonSetsOfWhole":   {func(a Autoscaler) bool { return a.DaemonSetsOfWhole }, []string{"1.20.0"}, []string{"1.18.1", "1.19.3"}},
		"BudgetsBindSafePods": {func(a Autoscaler) bool { return a.BudgetsBindSafePods }, []string{"1.29.0"}, []string{"1.18.1", "1.28.7"}},
		"GroupOptions":        {func(a Autoscaler) bool { return a.GroupOptions }, []string{"1.30.7"}, []string{"1.31.0"}},
		"RemovesAtThreshold":  {func(a Autoscaler) bool { return a.RemovesAtThreshold }, []string{"1.31.5", "1.32.5", "1.33.3", "1.34.2"}, []string{"1.32.6", "1.33.4", "1.34.3", "1.35.0", "1.36.1"}},
		"ReleasesVolumes":     {func(a Autoscaler) bool { return a.ReleasesVolumes }, []string{"1.18.3", "1.24.1", "1.25.1", "1.26.2"}, []string{"1.24.2", "1.25.2", "1.26.3", "1.27.1"}},
		"MemoryIsLocal":       {func(a Autoscaler) bool { return a.MemoryIsLocal }, []string{"1.27.1"}, []string{"1.18.3", "1.26.8"}},
		"SystemOfTemplate":    {func(a Autoscaler) bool { return a.SystemOfTemplate }, []string{"1.33.6", "1.34.3"}, []string{"1.35.0", "1.36.1"}},
		"IgnoresCloudLabels":  {func(a Autoscaler) bool { return a.IgnoresCloudLabels }, []string{"1.22.3", "1.27.1", "1.36.1"}, []string{"1.23.0", "1.26.8"}},
		"EvictsSystemPods":    {func(a Autoscaler) bool { return a.EvictsSystemPods }, []string{"1.32.7"}, []string{"1.33.0"}},
		"WaitsForCompletion":  {func(a Autoscaler) bool { return a.WaitsForCompletion }, []string{"1.35.2"}, []string{"1.36.0"}},
	} {
		for _, r := range tc.without {
			if tc.has(OfAutoscaler(v(r))) {
				t.Errorf("%s of %s is true", name, r)
			}
		}
		for _, r := range tc.with {
			if !tc.has(OfAutoscaler(v(r))) {
				t.Errorf("%s of %s is false", name, r)
			}
		}
	}
}

// TestBranch: a branch after a minor has the facts of the next minor, but is not called a
// release.
func TestBranch(t *testing.T) {
	t.Parallel()
	master := After(36)
	if got := Name(master); got != "master, after 1.36" {
		t.Errorf("it is called %q", got)
	}
	if got := Name(v("1.37.0-beta.1")); got != "1.37.0-beta.1" {
		t.Errorf("a pre-release is called %q", got)
	}
	for tag, want := range map[string]bool{"1.26.0": true, "1.36.9": true, "1.37.0": true, "1.37.1": false} {
		if got, err := AtLeast(master, tag); got != want || err != nil {
			t.Errorf("it is %s or later: %t, %v", tag, got, err)
		}
	}
	for constraint, want := range map[string]bool{">= 1.30, < 1.36": false, "< 1.37": false, ">= 1.36": true, "1.36.1": false} {
		if got, err := In(master, constraint); got != want || err != nil {
			t.Errorf("it is in %s: %t, %v", constraint, got, err)
		}
	}
	if _, err := AtLeast(master, "soon"); err == nil || !strings.Contains(err.Error(), `"soon"`) {
		t.Errorf("AtLeast(soon) = %v", err)
	}
	if _, err := In(master, "soon"); err == nil || !strings.Contains(err.Error(), `"soon"`) {
		t.Errorf("In(soon) = %v", err)
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	old, newer := "spec.rolloutAfter spec.template.metadata.annotations.cluster.x-k8s.io/restartedAt", "spec.rollout.after"
	for name, want := range map[string]string{V1Alpha3: old, V1Alpha4: old, V1Beta1: old, V1Beta2: newer, "v1beta3": newer} {
		api := APIOf(name)
		var paths []string
		for _, path := range api.RolloutTimes {
			paths = append(paths, strings.Join(path, "."))
		}
		if got := strings.Join(paths, " "); got != want || api.ArgsAreList != (want == newer) || api.Version != name {
			t.Errorf("%s: %+v", name, api)
		}
	}
}

// TestTablesRise: the entries of a table are applied from the top to the bottom.
// If they were not sorted, an older entry would replace a newer one.
func TestTablesRise(t *testing.T) {
	t.Parallel()
	var tags, autoscalerTags, kubernetesTags []string
	for _, c := range kubernetesReleases {
		kubernetesTags = append(kubernetesTags, c.since[len(c.since)-1])
	}
	for _, c := range clusterAPI {
		tags = append(tags, c.since[len(c.since)-1])
	}
	for _, c := range autoscalers {
		autoscalerTags = append(autoscalerTags, c.since[len(c.since)-1])
		if !slices.IsSortedFunc(c.since, func(a, b string) int { return v(a).Compare(v(b)) }) {
			t.Errorf("%v are not in order", c.since)
		}
	}
	for _, table := range [][]string{tags, autoscalerTags, kubernetesTags} {
		if !slices.IsSortedFunc(table, func(a, b string) int { return v(a).Compare(v(b)) }) {
			t.Errorf("%v are not in order", table)
		}
	}
}

// TestVersionsAreComparedHere: versions are compared only in this package. A
// comparison elsewhere would be a fact about releases that is not in the table.
func TestVersionsAreComparedHere(t *testing.T) {
	t.Parallel()
	comparing := []string{
		"LessThan", "LessThanOrEqual", "GreaterThan", "GreaterThanOrEqual", "NewConstraint", "MustConstraints", "Segments", "Segments64", "Core", "Compare",
	}
	// In these places versions are read or sorted, but nothing is decided about
	// releases.
	exempt := []string{
		filepath.Join("config", "settings.go"), // whether a text is a version
		filepath.Join("source", "git.go"),      // which tags are near to a missing one
		filepath.Join("pins", "pins.go"),       // which of the existing releases is the newest
		filepath.Join("pins", "check.go"),
		filepath.Join("pins", "bump.go"), // which of two requirements is the higher one
		filepath.Join("pins", "kubernetes.go"),
	}
	found := 0
	err := filepath.WalkDir(filepath.Join("..", ".."), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "release") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return err
		}
		if !imports(file, "github.com/hashicorp/go-version") && !imports(file, "golang.org/x/mod/semver") {
			return nil
		}
		found++
		if slices.ContainsFunc(exempt, func(end string) bool { return strings.HasSuffix(name, end) }) {
			return nil
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if ok && slices.Contains(comparing, selector.Sel.Name) && !isOther(file, selector.X) {
				t.Errorf("%s calls %s: put the fact into this package's tables and ask for it", name, selector.Sel.Name)
			}
			return true
		})
		return nil
	})
	if err != nil || found == 0 {
		t.Fatalf("looked at %d files that know versions: %v", found, err)
	}
}

func imports(file *ast.File, path string) bool {
	return slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"`+path+`"` })
}

// isOther reports whether x is a package whose functions do not compare
// versions.
func isOther(file *ast.File, x ast.Expr) bool {
	name, ok := x.(*ast.Ident)
	return ok && slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool {
		imported := strings.Trim(i.Path.Value, `"`)
		called := path.Base(imported)
		if i.Name != nil {
			called = i.Name.Name
		}
		return called == name.Name && imported != "github.com/hashicorp/go-version" && imported != "golang.org/x/mod/semver"
	})
}

// TestAutoscalerWithClusterAPI: an autoscaler that reads no API of the cluster's is named,
// with the one that is paired with the release.
func TestAutoscalerWithClusterAPI(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ autoscaler, clusterAPI, want string }{
		{"1.36.1", "1.14.2", ""},
		{"1.30.5", "1.14.2", ""}, // v1beta1, which v1.14 serves too
		{"1.18.0", "0.3.25", ""}, // v1alpha2, which v0.3 serves too
		{"1.19.0", "0.3.25", ""},
		{"1.19.0", "1.14.2", "no API newer than v1alpha3, and Cluster API v1.14.2 has v1beta2; the autoscaler 1.36.1"},
		{"1.18.0", "0.4.8", "no API newer than v1alpha2"},
		{"1.18.2", "1.0.5", "no API newer than v1alpha3"},
	} {
		got := strings.Join(OfAutoscaler(v(tc.autoscaler)).DoubtsWith(Of(v(tc.clusterAPI))), "\n")
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("autoscaler %s with Cluster API %s: %q, want %q", tc.autoscaler, tc.clusterAPI, got, tc.want)
		}
	}
}
