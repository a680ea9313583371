package autoscaler_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/kube"
)

const example = `apiVersion: apps/v1
kind: Deployment
metadata: {name: cluster-autoscaler, namespace: "${AUTOSCALER_NS}"}
---
kind: ClusterRole
apiVersion: rbac.authorization.k8s.io/v1
metadata: {name: cluster-autoscaler-workload}
rules:
- {apiGroups: [""], resources: [nodes], verbs: [get, list]}
---
kind: ClusterRole
apiVersion: rbac.authorization.k8s.io/v1
metadata: {name: cluster-autoscaler-management}
rules:
- {apiGroups: [cluster.x-k8s.io], resources: [machinedeployments/scale], verbs: [get, update]}
`

func writeExample(t *testing.T, text string, path ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	file := filepath.Join(append([]string{dir}, path...)...)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRulesOfTheExampleReplaceTheLabsOwn(t *testing.T) {
	t.Parallel()
	for _, path := range [][]string{
		{"cluster-autoscaler", "cloudprovider", "clusterapi", "examples", "deployment.yaml"},
		{"cloudprovider", "clusterapi", "examples", "deployment.yaml"},
	} {
		rules, err := autoscaler.ExampleRules(writeExample(t, example, path...))
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := autoscaler.Deployment{Namespace: "default", Image: "x", Rules: rules}.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		objects, err := kube.Decode(manifest)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{autoscaler.Name + "-workload": "nodes get,list", autoscaler.Name + "-management": "machinedeployments/scale get,update"}
		roles := 0
		for _, o := range objects {
			if o.GetKind() != "ClusterRole" {
				continue
			}
			roles++
			var role rbacv1.ClusterRole
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
				t.Fatal(err)
			}
			if len(role.Rules) != 1 || strings.Join(role.Rules[0].Resources, ",")+" "+strings.Join(role.Rules[0].Verbs, ",") != want[role.Name] {
				t.Errorf("%s: %v, want %s", role.Name, role.Rules, want[role.Name])
			}
		}
		if roles != 2 {
			t.Errorf("%d roles, want 2", roles)
		}
	}
}

func TestTreeWithoutAnExampleIsNamed(t *testing.T) {
	t.Parallel()
	path := []string{"cloudprovider", "clusterapi", "examples", "deployment.yaml"}
	for want, dir := range map[string]string{
		"has no example deployment":                         t.TempDir(),
		"want the ClusterRoles cluster-autoscaler-workload": writeExample(t, strings.ReplaceAll(example, "-management}", "-other}"), path...),
		"cannot unmarshal":                                  writeExample(t, "kind: ClusterRole\nrules: 3\n", path...),
	} {
		if _, err := autoscaler.ExampleRules(dir); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("ExampleRules() = %v, want %q and the folder", err, want)
		}
	}
}
