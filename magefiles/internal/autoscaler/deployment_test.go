package autoscaler

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

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
		Env: []EnvVar{{Name: "CAPI_VERSION", Value: "v1beta1"}}, Role: "control-plane", Tolerated: []string{"control-plane"},
	}.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "deployment.yaml", string(manifest))
}

// TestPlaceOfDeployment: the pod may run only on the role's nodes, whose taints it
// tolerates. Without a role it may run anywhere.
func TestPlaceOfDeployment(t *testing.T) {
	t.Parallel()
	const prefix = "node-role.kubernetes.io/"
	for _, tc := range []struct {
		deployment  Deployment
		selector    map[string]string
		tolerations []corev1.Toleration
	}{
		{},
		{
			Deployment{Role: "master", Tolerated: []string{"master", "control-plane"}},
			map[string]string{prefix + "master": ""},
			[]corev1.Toleration{{Key: prefix + "master", Effect: "NoSchedule"}, {Key: prefix + "control-plane", Effect: "NoSchedule"}},
		},
	} {
		manifest, err := tc.deployment.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		var deployment appsv1.Deployment
		if err := yaml.UnmarshalStrict(manifest[bytes.LastIndex(manifest, []byte("---\n")):], &deployment); err != nil {
			t.Fatal(err)
		}
		pod := deployment.Spec.Template.Spec
		if !maps.Equal(pod.NodeSelector, tc.selector) || !slices.Equal(pod.Tolerations, tc.tolerations) {
			t.Errorf("the pod has the selector %v and the tolerations %v", pod.NodeSelector, pod.Tolerations)
		}
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	const other = "example.com/mine:1"
	for _, tc := range []struct {
		name, image string
		command     []string
		want        bool
	}{
		{name: "caslab-autoscaler", image: other, want: true},
		{name: "caslab-autoscaler-5d9f8c7b6-x2x4z", image: other, want: true},
		{name: "caslab-autoscaler-7c", image: other},
		{name: "cluster-autoscaler", image: other, want: true},
		{name: "cluster-autoscaler-5d9f8c7b6-x2x4z", image: other, want: true},
		{name: "release-clusterapi-cluster-autoscaler", image: other, want: true},
		{name: "release-clusterapi-cluster-autoscaler-5d9f8c7b6-x2x4z", image: other, want: true},
		{name: "mine", image: "registry.example:5000/autoscaling/cluster-autoscaler:v1.36.1", want: true},
		{name: "mine", image: "registry.example/cluster-autoscaler-arm64:v1.36.1", want: true},
		{name: "mine", image: "cluster-autoscaler@sha256:0123456789012345678901234567890123456789012345678901234567890123", want: true},
		{name: "mine", image: other, command: []string{"./cluster-autoscaler", "--v=4"}, want: true},
		{name: "mine", image: other, command: []string{"/usr/bin/cluster-autoscaler"}, want: true},
		{name: "mine", image: other, command: []string{"sh", "-c", "sleep 1; cluster-autoscaler"}},
		{name: "mine", image: other},
		{name: "cluster-autoscaler-operator", image: "registry.example/openshift/cluster-autoscaler-operator:v4"},
		{name: "cluster-autoscaler-operator-5d9f8c7b6-x2x4z", image: other},
		{name: "cluster-autoscaler-exporter", image: "example.com/cluster-autoscaler-exporter"},
		{name: "cluster-autoscaler-webhook", image: "example.com/cluster-autoscaler/webhook:1", command: []string{"/webhook"}},
		{name: "mine", image: "example.com:5000/cluster-autoscaler/webhook"},
		{name: "vpa-recommender", image: "registry.k8s.io/autoscaling/vpa-recommender:1.6.0"},
		{name: "vertical-pod-autoscaler", image: "example.com/vertical-pod-autoscaler:1"},
		{name: "cluster-proportional-autoscaler", image: "registry.k8s.io/cpa/cluster-proportional-autoscaler:v1.10.2", command: []string{"/cluster-proportional-autoscaler"}},
		{name: "karpenter", image: "public.ecr.aws/karpenter/controller:1.8.0", command: []string{"/karpenter"}},
		{name: "mycluster-autoscaler", image: other},
		{name: "mine", image: other, command: []string{"/cluster-autoscaler-operator"}},
		{name: "coredns", image: "example.com/coredns:1"},
		{name: "coredns", image: "no reference"},
	} {
		if got := Runs(tc.name, Container{Image: tc.image, Command: tc.command}); got != tc.want {
			t.Errorf("%s with the image %s and the command %q: %v, want %v", tc.name, tc.image, tc.command, got, tc.want)
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
