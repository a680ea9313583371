package autoscaler

import (
	"errors"
	"testing"

	"caslab/magefiles/internal/capi/release"
)

func TestDeploymentManifest(t *testing.T) {
	t.Parallel()
	flags, err := Flags(Settings{Release: release.OfAutoscaler(v("1.36.1")), ClusterName: "work-cluster", Namespace: "default", ConfigNamespace: "default", InCluster: true}, `--expander="least-waste"`)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := Deployment{
		Namespace: "default", Image: "caslab.local/cluster-autoscaler:0123456789ab", Flags: flags,
		Env: []EnvVar{{Name: "CAPI_VERSION", Value: "v1beta1"}}, OnControlPlane: true,
	}.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "deployment.yaml", string(manifest))
}

func TestNamed(t *testing.T) {
	t.Parallel()
	for _, d := range []struct {
		name, image string
		want        bool
	}{
		{"caslab-autoscaler", "example.com/mine:1", true},
		{"caslab-autoscaler-5d9f-x2", "example.com/mine:1", true},
		{"cluster-autoscaler-clusterapi", "example.com/mine:1", true},
		{"mine", "registry.example/autoscaling/cluster-autoscaler:v1.36.1", true},
		{"coredns", "example.com/coredns:1", false},
	} {
		if got := Named(d.name, d.image); got != d.want {
			t.Errorf("%s of %s: %v, want %v", d.name, d.image, got, d.want)
		}
	}
}

func TestParseStatus(t *testing.T) {
	t.Parallel()
	s, err := ParseStatus(`time: 2026-11-24 20:26:26.5 +0000 UTC
autoscalerStatus: Running
clusterWide:
  health: {status: Healthy, nodeCounts: {registered: {total: 3, ready: 3}}}
  scaleUp: {status: InProgress}
  scaleDown: {status: NoCandidates}
nodeGroups:
- name: MachineDeployment/default/work-md-1
  health: {status: Healthy, cloudProviderTarget: 3, minSize: 1, maxSize: 4, nodeCounts: {registered: {total: 1, ready: 1}, unregistered: 2}}
  scaleUp: {status: Backoff, backoffInfo: {errorCode: timeout, errorMessage: too slow}}
  scaleDown: {status: CandidatesPresent, candidates: 2}
`)
	if err != nil {
		t.Fatal(err)
	}
	g := s.NodeGroups[0]
	if s.AutoscalerStatus != "Running" || g.Health.MaxSize != 4 || g.Health.NodeCounts.Unregistered != 2 ||
		g.ScaleUp.BackoffInfo.ErrorMessage != "too slow" || g.ScaleDown.Candidates != 2 {
		t.Errorf("read %+v", s)
	}
	for _, prose := range []string{"Cluster-autoscaler status at 2020-05-22:\nCluster-wide:\n  Health: Healthy (ready=2)", "", "- a\n- b", "a: b"} {
		if _, err := ParseStatus(prose); !errors.Is(err, ErrPlainStatus) {
			t.Errorf("ParseStatus(%q) = %v, want ErrPlainStatus", prose, err)
		}
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add("autoscalerStatus: Running\nnodeGroups: [{name: a}]")
	f.Add("autoscalerStatus: [1]")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = ParseStatus(text) })
}
