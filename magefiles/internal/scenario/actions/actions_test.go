package actions_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/actions"
)

// templates is the kind of the templates of bootstrap data.
var templates = schema.GroupKind{Group: "bootstrap.cluster.x-k8s.io", Kind: "KubeadmConfigTemplate"}

var hollowMachines = schema.GroupKind{Group: "infrastructure.cluster.x-k8s.io", Kind: "HollowMachine"}

// inTheMiddle is a cluster in the middle of a scenario with a group of two nodes. The newer one
// is tainted. A machine of another group is no business of the scenario.
const inTheMiddle = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: work, namespace: default}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata:
  name: sc-web
  namespace: default
  labels: {caslab.local/scenario: s, caslab.local/node-group: sc-web}
  annotations: {cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size: "0", cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size: "2"}
spec:
  clusterName: work
  replicas: 2
  template: {spec: {bootstrap: {configRef: {apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfigTemplate, name: sc-web}}}}
---
apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
kind: KubeadmConfigTemplate
metadata: {name: sc-web, namespace: default, labels: {caslab.local/scenario: s}}
spec: {template: {spec: {preKubeadmCommands: ["true"]}}}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: sc-web-b, namespace: default, creationTimestamp: "2026-01-01T00:00:00Z", labels: {cluster.x-k8s.io/deployment-name: sc-web}}
status: {nodeRef: {name: old}}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: sc-web-a, namespace: default, creationTimestamp: "2026-01-02T00:00:00Z", labels: {cluster.x-k8s.io/deployment-name: sc-web}}
status: {nodeRef: {name: new}}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: work-md-0-a, namespace: default, labels: {cluster.x-k8s.io/deployment-name: work-md-0}}
status: {nodeRef: {name: theirs}}
---
apiVersion: v1
kind: Node
metadata: {name: old}
status: {allocatable: {cpu: "4", memory: 16Gi}, images: [{names: ["example.com/pause:3.10"]}]}
---
apiVersion: v1
kind: Node
metadata: {name: new}
spec: {taints: [{key: startup, value: a, effect: NoSchedule}, {key: other, effect: NoExecute}]}
status: {allocatable: {cpu: "4", memory: 16Gi}, images: [{names: ["example.com/pause:3.10"]}]}
---
apiVersion: v1
kind: Node
metadata: {name: theirs}
status: {allocatable: {cpu: "4", memory: 16Gi}, images: [{names: ["example.com/pause:3.10"]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: capi-controller-manager, namespace: capi-system, generation: 1, labels: {cluster.x-k8s.io/provider: cluster-api}}
spec: {replicas: 2}
status: {replicas: 2, availableReplicas: 2, observedGeneration: 1}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: idle-controller-manager, namespace: idle-system, generation: 1, labels: {cluster.x-k8s.io/provider: infrastructure-idle}}
spec: {replicas: 0}
status: {replicas: 0, observedGeneration: 1}
`

// hollowGroup is a group of the scenario with one hollow machine.
const hollowGroup = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: sc-air, namespace: default, labels: {caslab.local/scenario: s, caslab.local/node-group: sc-air}}
spec: {clusterName: work, template: {spec: {infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: HollowMachineTemplate, name: sc-air}}}}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: HollowMachineTemplate
metadata: {name: sc-air, namespace: default, labels: {caslab.local/scenario: s}}
spec: {template: {spec: {lifecycle: {never: 3}}}}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: sc-air-a, namespace: default, labels: {cluster.x-k8s.io/deployment-name: sc-air}}
spec: {infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: HollowMachine, name: sc-air-h}}
status: {nodeRef: {name: air}}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: HollowMachine
metadata: {name: sc-air-h, namespace: default, annotations: {caslab.local/hollow-state: other}}
`

// newCluster returns a cluster in the middle of a scenario, and its API server.
func newCluster(t *testing.T) (*actions.Cluster, *kubetest.Server) {
	t.Helper()
	server := kubetest.New(t, slices.Concat(kinds, []schema.GroupVersionKind{
		templates.WithVersion("v1beta2"), kube.ConfigMaps.WithVersion("v1"), {Group: "batch", Version: "v1", Kind: "Job"},
		{Group: "scheduling.k8s.io", Version: "v1", Kind: "PriorityClass"}, hollow.Templates.WithVersion("v1beta2"), hollowMachines.WithVersion("v1beta2"),
	}), inTheMiddle)
	client := server.Client()
	return actions.New(actions.Options{
		Workload: client, Management: client, Namespace: "default", Cluster: "work", PodNamespace: "default", Prefix: "sc-", SizePrefix: release.SizePrefix, Now: time.Now,
	}, &scenario.Scenario{Name: "s", Groups: []scenario.Group{{Name: "web", Max: 2}, {Name: "air", Max: 2, Machines: "hollow", Hollow: &scenario.Hollow{Never: "3"}}}, Objects: []map[string]any{
		{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "${prefix}c", "namespace": "default"}},
	}}, nil), server
}

// do does an action that is given as YAML.
func do(ctx context.Context, t *testing.T, c *actions.Cluster, text string) error {
	t.Helper()
	a := new(scenario.Action)
	if err := yaml.UnmarshalStrict([]byte(text), a); err != nil {
		t.Fatal(err)
	}
	return c.Do(ctx, a, func(string) {})
}

// TestActions: each action changes what it names, and nothing else.
func TestActions(t *testing.T) {
	t.Parallel()
	group := func(path ...string) func(*kubetest.Server) string {
		return func(s *kubetest.Server) string {
			return kube.Field(s.Get(kube.MachineDeployments, "default", "sc-web"), path...)
		}
	}
	taints := func(node string) func(*kubetest.Server) string {
		return func(s *kubetest.Server) string {
			all, _, _ := unstructured.NestedSlice(s.Get(kube.Nodes, "", node).Object, "spec", "taints")
			return fmt.Sprint(all)
		}
	}
	for text, want := range map[string]struct {
		see  func(*kubetest.Server) string
		want string
	}{
		"node: {group: web, taint: 'a=b:NoSchedule'}":                      {taints("old"), "[map[effect:NoSchedule key:a value:b]]"},
		"node: {group: web, which: newest, untaint: startup}":              {taints("new"), "[map[effect:NoExecute key:other]]"},
		"node: {group: web, which: newest, taint: 'startup=b:NoSchedule'}": {taints("new"), "[map[effect:NoExecute key:other] map[effect:NoSchedule key:startup value:b]]"},
		"node: {group: web, which: oldest, taint: 'b:NoExecute'}":          {taints("new"), "[map[effect:NoSchedule key:startup value:a] map[effect:NoExecute key:other]]"},
		"node: {group: web, taint: 'c:NoExecute'}":                         {taints("theirs"), "[]"},
		"node: {group: web, which: oldest, cordon: true}": {func(s *kubetest.Server) string {
			return kube.Field(s.Get(kube.Nodes, "", "old"), "spec", "unschedulable")
		}, "true"},
		"node: {group: web, which: oldest, labels: {a: b}}": {func(s *kubetest.Server) string { return s.Get(kube.Nodes, "", "old").GetLabels()["a"] }, "b"},
		"machine: {group: web, which: newest, do: hold}": {func(s *kubetest.Server) string {
			return fmt.Sprint(s.Get(kube.Machines, "default", "sc-web-a").GetAnnotations())
		}, "map[pre-terminate.delete.hook.machine.cluster.x-k8s.io/caslab-scenario:s]"},
		"machine: {group: web, which: oldest, do: delete}": {func(s *kubetest.Server) string { return fmt.Sprint(s.Get(kube.Machines, "default", "sc-web-b")) }, "<nil>"},
		"group: {name: web, size: 1}":                      {group("spec", "replicas"), "1"},
		"group: {name: web, annotations: {a: b}}":          {group("metadata", "annotations", "a"), "b"},
		"limits: {group: web, none: true}":                 {group("metadata", "annotations", "cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size"), ""},
		"limits: {group: web, min: 1, max: 3}":             {group("metadata", "annotations", "cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size"), "3"},
		"apply: {apiVersion: v1, kind: ConfigMap, metadata: {name: '${prefix}d', namespace: '${namespace}'}, data: {a: '${clusterNamespace}', b: '${cluster}'}}": {func(s *kubetest.Server) string {
			o := s.Get(kube.ConfigMaps, "default", "sc-d")
			return kube.Field(o, "data", "a") + kube.Field(o, "data", "b") + o.GetLabels()["caslab.local/scenario"]
		}, "defaultworks"},
		"patch: {apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineDeployment, metadata: {name: '${prefix}web', namespace: default, annotations: {a: c}}}": {group("metadata", "annotations", "a"), "c"},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			c, server := newCluster(t)
			if err := do(t.Context(), t, c, text); err != nil {
				t.Fatal(err)
			}
			if got := want.see(server); got != want.want {
				t.Errorf("there is %q, want %q", got, want.want)
			}
		})
	}
}

func TestActionsThatAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"node: {group: other, cordon: true}":                                                                                "the group other has no machine",
		"patch: {apiVersion: v1, kind: Node, metadata: {name: theirs, labels: {a: b}}}":                                     "no scenario created the Node /theirs",
		"apply: {apiVersion: apps/v1, kind: Deployment, metadata: {name: capi-controller-manager, namespace: capi-system}}": "that no scenario created",
		"delete: {object: ConfigMap/x}":                                                                                     "the scenario has no ConfigMap/x",
		"scale: {workload: x, pods: 1}":                                                                                     "no earlier step made the workload x",
	} {
		c, _ := newCluster(t)
		if err := do(t.Context(), t, c, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestBreakGroup: the template of the bootstrap data gets a command that fails, once, and loses
// it again.
func TestBreakGroup(t *testing.T) {
	t.Parallel()
	c, server := newCluster(t)
	for _, tc := range []struct{ broken, want string }{
		{"true", "[false # a scenario breaks the group true]"}, {"true", "[false # a scenario breaks the group true]"}, {"false", "[true]"},
	} {
		if err := do(t.Context(), t, c, "group: {name: web, broken: "+tc.broken+"}"); err != nil {
			t.Fatal(err)
		}
		commands, _, _ := unstructured.NestedStringSlice(server.Get(templates, "default", "sc-web").Object, "spec", "template", "spec", "preKubeadmCommands")
		if got := fmt.Sprint(commands); got != tc.want {
			t.Errorf("broken %s: the machines run %s, want %s", tc.broken, got, tc.want)
		}
	}
}

// TestMendedGroupHasNoCommands: the API of Cluster API from v1beta2 on refuses an empty list of
// commands.
func TestMendedGroupHasNoCommands(t *testing.T) {
	t.Parallel()
	c, server := newCluster(t)
	server.Edit(templates, "default", "sc-web", func(o *unstructured.Unstructured) {
		unstructured.RemoveNestedField(o.Object, "spec", "template", "spec", "preKubeadmCommands")
	})
	for _, broken := range []string{"true", "false"} {
		if err := do(t.Context(), t, c, "group: {name: web, broken: "+broken+"}"); err != nil {
			t.Fatal(err)
		}
	}
	if commands, found, _ := unstructured.NestedFieldNoCopy(server.Get(templates, "default", "sc-web").Object, "spec", "template", "spec", "preKubeadmCommands"); found {
		t.Errorf("the template has the commands %v", commands)
	}
}

// TestBreakHollowGroup: the next hollow machines fail, and later ones behave again as the scenario
// says.
func TestBreakHollowGroup(t *testing.T) {
	t.Parallel()
	c, server := newCluster(t)
	server.PutYAML(hollowGroup)
	for _, tc := range []struct{ broken, want string }{{"true", "map[fail:100%]"}, {"false", "map[never:3]"}} {
		if err := do(t.Context(), t, c, "group: {name: air, broken: "+tc.broken+"}"); err != nil {
			t.Fatal(err)
		}
		lifecycle, _, _ := unstructured.NestedMap(server.Get(hollow.Templates, "default", "sc-air").Object, "spec", "template", "spec", "lifecycle")
		if got := fmt.Sprint(lifecycle); got != tc.want {
			t.Errorf("broken %s: the machines do %s, want %s", tc.broken, got, tc.want)
		}
	}
}

// containers notes what is done to containers.
type containers []string

func (c *containers) StopKubelet(_ context.Context, node string) error { return c.add("stop " + node) }

func (c *containers) StartKubelet(_ context.Context, node string) error {
	return c.add("start " + node)
}

func (c *containers) KillNode(_ context.Context, node string) error { return c.add("kill " + node) }

func (c *containers) add(text string) error {
	*c = append(*c, text)
	return nil
}

// TestSickAndFailedMachines: kubelets and containers are reached through the engine, and hollow
// machines by an annotation.
func TestSickAndFailedMachines(t *testing.T) {
	t.Parallel()
	c, server := newCluster(t)
	server.PutYAML(hollowGroup)
	for _, text := range []string{"node: {group: web, sick: true}", "machine: {group: web, do: fail}"} {
		if err := do(t.Context(), t, c, text); err == nil || !strings.Contains(err.Error(), "the lab did not create this cluster") {
			t.Errorf("%s: %v, want that the machine is out of reach", text, err)
		}
	}
	engine := new(containers)
	c.Containers = engine
	for _, tc := range []struct{ text, state string }{
		{"node: {group: web, which: oldest, sick: true}", "other"}, {"node: {group: web, sick: false}", "other"}, {"machine: {group: web, which: newest, do: fail}", "other"},
		{"node: {group: air, sick: true}", "sick"}, {"node: {group: air, sick: false}", ""}, {"machine: {group: air, do: fail}", "failed"},
	} {
		if err := do(t.Context(), t, c, tc.text); err != nil {
			t.Fatal(err)
		}
		if got := server.Get(hollowMachines, "default", "sc-air-h").GetAnnotations()["caslab.local/hollow-state"]; got != tc.state {
			t.Errorf("%s: the hollow machine is %q, want %q", tc.text, got, tc.state)
		}
	}
	if want := (containers{"stop old", "start old", "start new", "kill new"}); !slices.Equal(*engine, want) {
		t.Errorf("done to containers: %q, want %q", *engine, want)
	}
}

// TestControllers: the managers are stopped, and started with as many replicas as before, also
// by the clean-up.
func TestControllers(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(context.Context, *testing.T, *actions.Cluster, *kubetest.Server) error{
		"by an action": func(ctx context.Context, t *testing.T, c *actions.Cluster, _ *kubetest.Server) error {
			return do(ctx, t, c, "controllers: start")
		},
		"by the clean-up": func(ctx context.Context, _ *testing.T, c *actions.Cluster, s *kubetest.Server) error {
			s.Remove(kube.MachineDeployments, "default", "sc-web")
			return c.CleanUp(ctx, func(string) {})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, server := newCluster(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ctx, stop := context.WithTimeout(ctx, time.Minute)
				defer stop()
				go runManagers(ctx, server)
				replicas := func() string {
					o := server.Get(kube.Deployments, "capi-system", "capi-controller-manager")
					return kube.Field(o, "spec", "replicas") + " " + o.GetAnnotations()["caslab.local/stopped-by-scenario"]
				}
				for range 2 {
					if err := do(ctx, t, c, "controllers: stop"); err != nil || replicas() != "0 2" {
						t.Fatalf("stopped: %q, %v", replicas(), err)
					}
				}
				if err := start(ctx, t, c, server); err != nil || replicas() != "2 " {
					t.Errorf("started: %q, %v", replicas(), err)
				}
				if o := server.Get(kube.Deployments, "idle-system", "idle-controller-manager"); kube.Field(o, "spec", "replicas") != "0" {
					t.Errorf("a manager that the user stopped has %s replicas", kube.Field(o, "spec", "replicas"))
				}
			})
		})
	}
}

// runManagers starts and stops the managers' pods as their Deployment says, until ctx is done.
func runManagers(ctx context.Context, server *kubetest.Server) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		server.Edit(kube.Deployments, "capi-system", "capi-controller-manager", func(o *unstructured.Unstructured) {
			replicas, err := strconv.ParseInt(kube.Field(o, "spec", "replicas"), 10, 64)
			for _, field := range []string{"replicas", "availableReplicas"} {
				err = errors.Join(err, unstructured.SetNestedField(o.Object, replicas, "status", field))
			}
			if err != nil {
				panic(err) // a Deployment has both
			}
		})
	}
}

// TestOwners: each owner is created, scaled and deleted.
func TestOwners(t *testing.T) {
	t.Parallel()
	for owner, field := range map[string]string{"Deployment": "replicas", "Job": "parallelism"} {
		c, server := newCluster(t)
		ctx := t.Context()
		kind := map[string]schema.GroupKind{"Deployment": kube.Deployments, "Job": {Group: "batch", Kind: "Job"}}[owner]
		if err := do(ctx, t, c, "workload: {name: shop, pods: 2, pool: web, owner: "+owner+", priority: -20}"); err != nil {
			t.Fatal(err)
		}
		if got := kube.Field(server.Get(kind, "default", "sc-shop"), "spec", field); got != "2" {
			t.Errorf("%s has %s %s", owner, field, got)
		}
		if err := do(ctx, t, c, "scale: {workload: shop, pods: 3}"); err != nil {
			t.Fatal(err)
		}
		if got := kube.Field(server.Get(kind, "default", "sc-shop"), "spec", field); got != "3" {
			t.Errorf("%s is scaled to %s %s", owner, field, got)
		}
		if err := do(ctx, t, c, "delete: {workload: shop}"); err != nil || server.Get(kind, "default", "sc-shop") != nil {
			t.Errorf("%s is not deleted: %v", owner, err)
		}
	}
	c, server := newCluster(t)
	names := func() string {
		var all []string
		for _, p := range server.List(kube.Pods) {
			all = append(all, p.GetName())
		}
		return strings.Join(all, " ")
	}
	for _, tc := range []struct{ action, want string }{
		{"workload: {name: shop, pods: 2, pool: web, owner: Pod}", "sc-shop-1 sc-shop-2"},
		{"scale: {workload: shop, pods: 1}", "sc-shop-1"},
		{"scale: {workload: shop, pods: 3}", "sc-shop-1 sc-shop-2 sc-shop-3"},
		{"annotate: {workload: shop, annotations: {a: b}}", "sc-shop-1 sc-shop-2 sc-shop-3"},
		{"delete: {workload: shop}", ""},
	} {
		if err := do(t.Context(), t, c, tc.action); err != nil || names() != tc.want {
			t.Errorf("%s: there are %q, %v; want %q", tc.action, names(), err, tc.want)
		}
	}
}

// TestBarePodsKeepTheirRequests: a workload of pods without an owner is measured once, because
// the requests of a pod cannot be changed.
func TestBarePodsKeepTheirRequests(t *testing.T) {
	t.Parallel()
	c, server := newCluster(t)
	requests := func(pod string) string {
		containers, _, _ := unstructured.NestedSlice(server.Get(kube.Pods, "default", pod).Object, "spec", "containers")
		return fmt.Sprint(containers[0].(map[string]any)["resources"])
	}
	if err := do(t.Context(), t, c, "workload: {name: shop, pods: 1, pool: web, owner: Pod, memory: 40%}"); err != nil {
		t.Fatal(err)
	}
	first := requests("sc-shop-1")
	server.Edit(kube.Nodes, "", "old", func(o *unstructured.Unstructured) {
		if err := unstructured.SetNestedField(o.Object, "8Gi", "status", "allocatable", "memory"); err != nil {
			t.Error(err)
		}
	})
	if err := do(t.Context(), t, c, "scale: {workload: shop, pods: 2}"); err != nil {
		t.Fatal(err)
	}
	for _, pod := range []string{"sc-shop-1", "sc-shop-2"} {
		if got := requests(pod); got != first {
			t.Errorf("%s has %s, want %s", pod, got, first)
		}
	}
}

// TestObjectThatIsBeingDeleted: an object of a scenario that is being deleted is created again once
// it is gone.
func TestObjectThatIsBeingDeleted(t *testing.T) {
	t.Parallel()
	for name, create := range map[string]func(context.Context, *testing.T, *actions.Cluster) error{
		"before the first step": func(ctx context.Context, _ *testing.T, c *actions.Cluster) error { return c.ApplyObjects(ctx) },
		"by an action": func(ctx context.Context, t *testing.T, c *actions.Cluster) error {
			return do(ctx, t, c, "apply: {apiVersion: v1, kind: ConfigMap, metadata: {name: '${prefix}c', namespace: default}}")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, server := newCluster(t)
				server.PutYAML("{apiVersion: v1, kind: ConfigMap, metadata: {name: sc-c, namespace: default, uid: a, deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [a/b], labels: {caslab.local/scenario: x}}}")
				made := make(chan error, 1)
				go func() { made <- create(t.Context(), t, c) }()
				time.Sleep(time.Second)
				select {
				case err := <-made:
					t.Fatalf("it did not wait: %v", err)
				default:
				}
				server.Remove(kube.ConfigMaps, "default", "sc-c")
				if err := <-made; err != nil {
					t.Fatal(err)
				}
				if o := server.Get(kube.ConfigMaps, "default", "sc-c"); o == nil || o.GetDeletionTimestamp() != nil {
					t.Errorf("there is %v", o)
				}
			})
		})
	}
}

// TestDeviceClasses: claims can name the drivers of a group's devices.
func TestDeviceClasses(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t, slices.Concat(kinds, []schema.GroupVersionKind{
		hollow.Templates.WithVersion("v1beta2"), kube.DeviceClasses.WithVersion(kube.DevicesVersion),
	}), `
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: work, namespace: default}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: work-md-0, namespace: default}
spec: {clusterName: work, replicas: 1}
---
apiVersion: v1
kind: Node
metadata: {name: worker}
status: {capacity: {cpu: "4", memory: 16Gi}, allocatable: {cpu: "4", memory: 16Gi}}
`)
	client := server.Client()
	c := actions.New(actions.Options{
		Workload: client, Management: client, Namespace: "default", Cluster: "work", PodNamespace: "default", Prefix: "sc-", SizePrefix: release.SizePrefix, Now: time.Now,
		PrepareHollow: func(context.Context) error { return nil },
	}, &scenario.Scenario{Name: "s", Groups: []scenario.Group{
		{Name: "gpu", Max: 2, Machines: scenario.HollowMachines, Hollow: &scenario.Hollow{DRA: "gpu.example.com=4,nic.example.com=1"}},
		{Name: "web", Max: 2, Machines: scenario.HollowMachines},
	}}, nil)
	if err := c.MakeGroups(t.Context(), func(string) {}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gpu.example.com", "nic.example.com"} {
		if server.Get(kube.DeviceClasses, "", name) == nil {
			t.Errorf("there is no DeviceClass %s", name)
		}
	}
	drivers, _, _ := unstructured.NestedSlice(server.Get(hollow.Templates, "default", "sc-gpu").Object, "spec", "template", "spec", "node", "deviceDrivers")
	if len(drivers) != 2 {
		t.Errorf("the nodes have the drivers %v", drivers)
	}
}
