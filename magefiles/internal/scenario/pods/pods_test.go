package pods_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/pods"
)

func options() pods.Options {
	own := map[string]string{"app": "sc-shop", "caslab.local/workload": "sc-shop"}
	return pods.Options{
		Base: appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "sc-shop", Namespace: "default"}, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: own},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: own},
				Spec: corev1.PodSpec{
					NodeSelector: map[string]string{"pool": "web"}, Containers: []corev1.Container{{Name: "idle", Image: "pause"}},
				},
			},
		}},
		Memory: "100Mi", Labels: map[string]string{"caslab.local/scenario": "s"},
		Expand: func(text string) (string, error) { return strings.ReplaceAll(text, "${prefix}", "sc-"), nil },
	}
}

// manifests returns the objects of a workload as YAML.
func manifests(t *testing.T, text string) string {
	t.Helper()
	w := new(scenario.Workload)
	if err := yaml.UnmarshalStrict([]byte(text), w); err != nil {
		t.Fatal(err)
	}
	objects, err := pods.Manifests(w, options())
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, o := range objects {
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString("---\n" + string(data))
	}
	return all.String()
}

// TestManifests: what a workload asks for is in the manifests.
func TestManifests(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"{name: shop, pods: 2}":                                {"kind: Deployment", "replicas: 2", "memory: 100Mi", "pool: web", "caslab.local/scenario: s", "caslab.local/workload: sc-shop"},
		"{name: shop, pods: 2, owner: StatefulSet}":            {"kind: StatefulSet", "replicas: 2", "podManagementPolicy: Parallel"},
		"{name: shop, owner: DaemonSet}":                       {"kind: DaemonSet"},
		"{name: shop, pods: 2, owner: Job}":                    {"kind: Job", "parallelism: 2", "restartPolicy: Never"},
		"{name: shop, pods: 2, owner: Pod}":                    {"kind: Pod\n", "name: sc-shop-1\n", "name: sc-shop-2\n", "namespace: default"},
		"{name: shop, pods: 1, annotations: {a/b: c}}":         {"annotations:\n        a/b: c"},
		"{name: shop, pods: 1, priority: -20}":                 {"kind: PriorityClass", "value: -20", "priorityClassName: sc-shop"},
		"{name: shop, pods: 1, priority: system-node}":         {"priorityClassName: system-node"},
		"{name: shop, pods: 1, spread: zone}":                  {"topologyKey: topology.kubernetes.io/zone", "whenUnsatisfiable: DoNotSchedule"},
		"{name: shop, pods: 1, apart: hostname}":               {"podAntiAffinity:", "topologyKey: kubernetes.io/hostname"},
		"{name: shop, pods: 1, hostPort: 5001}":                {"hostPort: 5001"},
		"{name: shop, pods: 1, emptyDir: true}":                {"emptyDir: {}", "mountPath: /scratch"},
		"{name: shop, pods: 1, scheduler: nobody}":             {"schedulerName: nobody"},
		"{name: shop, pods: 1, devices: {x.io/gpu: 2}}":        {"limits:\n            x.io/gpu: \"2\"\n          requests:\n            memory: 100Mi\n            x.io/gpu: \"2\""},
		"{name: shop, pods: 1, claims: {gpu: '${prefix}one'}}": {"claims:\n          - name: gpu\n          requests:\n            memory: 100Mi", "resourceClaims:\n      - name: gpu\n        resourceClaimTemplateName: sc-one"},
		"{name: shop, pods: 1, template: {spec: {nodeName: '${prefix}n', containers: [{name: idle, resources: {requests: {memory: 1Gi}}}]}}}": {"image: pause", "memory: 1Gi", "nodeName: sc-n"},
		"{name: shop, pods: 1, template: {spec: {nodeSelector: {pool: null, b: c}}, metadata: {labels: {app: other}}}}":                       {"nodeSelector:\n        b: c", "app: sc-shop"},
	} {
		got := manifests(t, text)
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%s lacks %q:\n%s", text, part, got)
			}
		}
	}
	for text, other := range map[string]string{
		"{name: shop, pods: 1, priority: system-node}":                          "kind: PriorityClass",
		"{name: shop, pods: 1, template: {spec: {nodeSelector: {pool: null}}}}": "pool: web",
	} {
		if got := manifests(t, text); strings.Contains(got, other) {
			t.Errorf("%s has %q:\n%s", text, other, got)
		}
	}
}

func TestTemplateThatCannotBeMerged(t *testing.T) {
	t.Parallel()
	w := &scenario.Workload{Name: "shop", Pods: 1, Template: map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"image": "without-a-name"}}}}}
	if _, err := pods.Manifests(w, options()); err == nil || !strings.Contains(err.Error(), "the template of shop: merge it into the lab's") {
		t.Errorf("Manifests() = %v, want why", err)
	}
}
