package hollow

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/kube"
)

func TestDeployment(t *testing.T) {
	t.Parallel()
	manifest, err := Deployment{Image: "caslab.local/hollow:0123456789ab", Role: "control-plane", Tolerated: []string{"control-plane"}}.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	_, own, _ := strings.Cut(string(manifest), "kind: Namespace")
	golden.Check(t, "deployment.yaml", "apiVersion: v1\nkind: Namespace"+own)
	objects, err := kube.Decode(manifest)
	if err != nil {
		t.Fatal(err)
	}
	byKind := map[string]int{}
	for i, o := range objects {
		byKind[o.GetKind()] = i
	}
	for _, kind := range []string{"ClusterRole", "Role"} {
		role, binding := objects[byKind[kind]], objects[byKind[kind+"Binding"]]
		if kube.Field(binding, "roleRef", "name") != role.GetName() || binding.GetNamespace() != role.GetNamespace() {
			t.Errorf("the %s is %s/%s, and its binding has %s/%s", kind, role.GetNamespace(), role.GetName(), binding.GetNamespace(), kube.Field(binding, "roleRef", "name"))
		}
	}
	d, err := kube.Deployment(objects[byKind["Deployment"]])
	if err != nil || !StaysAway(&d.Spec.Template.Spec) {
		t.Errorf("the controller may come to a hollow node: %v", err)
	}
	if got := d.Spec.Template.Spec.Tolerations; len(got) != 1 || got[0].Effect != corev1.TaintEffectNoSchedule {
		t.Errorf("it tolerates %v", got)
	}
}
