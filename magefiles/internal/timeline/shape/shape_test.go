package shape

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/capi/hollow"
)

func read[T any](t *testing.T, text string) *T {
	t.Helper()
	o := new(T)
	if err := yaml.Unmarshal([]byte(text), o); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestOfPod: a shape has what decides where a pod goes, and nothing else.
func TestOfPod(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ pod, want string }{
		"nothing": {"spec: {schedulerName: default-scheduler, tolerations: [{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 300}]}", "{}"},
		"everything": {`
metadata:
  name: web
  labels: {app: web}
  annotations: {cluster-autoscaler.kubernetes.io/safe-to-evict: "false", other: x}
  ownerReferences: [{kind: ReplicaSet, name: web-1, controller: true}]
spec:
  schedulerName: mine
  priority: 7
  schedulingGates: [{name: wait}]
  nodeSelector: {tier: gold}
  initContainers: [{name: i, resources: {requests: {cpu: "2"}}}]
  containers:
  - {name: a, resources: {requests: {cpu: 500m, memory: 1Gi}}, ports: [{hostPort: 80, protocol: TCP}]}
  - {name: b, resources: {requests: {cpu: 1, memory: 1Gi}}}
  overhead: {memory: 64Mi}
  tolerations: [{key: gpu, operator: Exists}]
  affinity:
    nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {}}]}
    podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone}]}
  topologySpreadConstraints:
  - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}
  - {maxSkew: 2, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}
  resourceClaims: [{name: own, resourceClaimName: gpu}, {name: made, resourceClaimTemplateName: t}, {name: none, resourceClaimTemplateName: t}, {name: waits, resourceClaimTemplateName: t}]
  volumes:
  - {name: data, persistentVolumeClaim: {claimName: data-0}}
  - {name: scratch, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory}}
  - {name: socket, hostPath: {path: /run/socket}}
  - {name: own, ephemeral: {}}
status: {phase: Running, resourceClaimStatuses: [{name: made, resourceClaimName: web-made-x}, {name: none}]}`,
			`{"labels":{"app":"web"},"annotations":{"cluster-autoscaler.kubernetes.io/safe-to-evict":"false"},"owner":{"kind":"ReplicaSet","name":"web-1"},` +
				`"requests":{"cpu":"2","memory":"2112Mi"},"nodeSelector":{"tier":"gold"},` +
				`"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"zone"}]}},` +
				`"tolerations":[{"key":"gpu","operator":"Exists"}],"spread":[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"DoNotSchedule"}],"hostPorts":["tcp/80"],` +
				`"claims":["data-0","web-own"],"devices":["own","made","waits"],"deviceClaims":[{"name":"own","claim":"gpu"},{"name":"made","claim":"web-made-x"},{"name":"waits","template":"t"}],"emptyDirs":["scratch"],"memoryDirs":["memory"],"hostPaths":["socket"],"priority":7,"scheduler":"mine","gated":true}`},
		"deleted": {`metadata: {deletionTimestamp: "2026-11-27T00:00:30Z", deletionGracePeriodSeconds: 30}`, `{"deleted":"2026-11-27T00:00:30Z","grace":30}`},
		"ended":   {"status: {phase: Succeeded}", `{"ended":true}`},
	} {
		if got := string(Encode(OfPod(read[corev1.Pod](t, tc.pod)))); got != tc.want {
			t.Errorf("%s: the shape is\n%s\nwant\n%s", name, got, tc.want)
		}
	}
}

func TestOfNode(t *testing.T) {
	t.Parallel()
	node := read[corev1.Node](t, `
metadata: {name: n, labels: {pool: a}, annotations: {cluster-autoscaler.kubernetes.io/scale-down-disabled: "true", other: x}}
spec: {providerID: "docker:////n", taints: [{key: gpu, effect: NoSchedule, timeAdded: "2026-11-27T00:00:00Z"}, {key: candidate, effect: PreferNoSchedule}]}
status: {allocatable: {cpu: "4"}, capacity: {cpu: 4000m}}`)
	want := `{"labels":{"pool":"a"},"annotations":{"cluster-autoscaler.kubernetes.io/scale-down-disabled":"true"},"taints":[{"key":"gpu","effect":"NoSchedule"}],"allocatable":{"cpu":"4"},"providerID":"docker:////n"}`
	if got := string(Encode(OfNode(node, "candidate"))); got != want {
		t.Errorf("the shape is\n%s\nwant\n%s", got, want)
	}
	if node.Spec.Taints[0].TimeAdded == nil {
		t.Error("the node was changed")
	}
	node.Status.Capacity["memory"] = node.Status.Capacity["cpu"]
	if got, want := OfNode(node).Capacity, node.Status.Capacity; len(got) != len(want) {
		t.Errorf("the capacity is %v, want %v", got, want)
	}
}

// TestOfClusterAPIObjects: references have a version before v1beta2, and none from then on.
func TestOfClusterAPIObjects(t *testing.T) {
	t.Parallel()
	object := func(text string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: *read[map[string]any](t, text)}
	}
	group := object(`
metadata: {name: web, namespace: ns, labels: {pool: a}, annotations: {cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size: "2", capacity.cluster-autoscaler.kubernetes.io/cpu: "4", other: x}}
spec:
  clusterName: work
  template:
    metadata: {labels: {node.cluster.x-k8s.io/tier: gold}}
    spec:
      taints: [{key: gpu, effect: NoSchedule, propagation: Always}]
      infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: DevMachineTemplate, name: web}`)
	want := `{"namespace":"ns","cluster":"work","labels":{"pool":"a"},"annotations":{"capacity.cluster-autoscaler.kubernetes.io/cpu":"4","cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size":"2"},` +
		`"nodeLabels":{"node.cluster.x-k8s.io/tier":"gold"},"nodeTaints":[{"key":"gpu","effect":"NoSchedule"}],"template":{"kind":"DevMachineTemplate","name":"web"}}`
	if got := string(Encode(OfGroup(group))); got != want {
		t.Errorf("the shape is\n%s\nwant\n%s", got, want)
	}
	old := object("spec: {template: {spec: {infrastructureRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1alpha3, kind: DockerMachineTemplate, name: web}}}}")
	for _, o := range []*unstructured.Unstructured{group, old} {
		if kind := TemplateKind(o); kind.Group != "infrastructure.cluster.x-k8s.io" || kind.Kind != OfGroup(o).Template.Kind || OfGroup(o).Template.Versioned != (o == old) {
			t.Errorf("the template's kind is %s", kind)
		}
	}
	if kind := TemplateKind(object("{}")); !kind.Empty() {
		t.Errorf("a group without a template has %s", kind)
	}
	template := OfTemplate(object("status: {capacity: {cpu: \"2\", memory: 4Gi, broken: x}, nodeInfo: {architecture: arm64}}"))
	if got, want := string(Encode(template)), `{"capacity":{"cpu":"2","memory":"4Gi"},"architecture":"arm64"}`; got != want {
		t.Errorf("the shape is %s, want %s", got, want)
	}
	machine := OfMachine(object(`
status:
  conditions:
  - {type: InfrastructureReady, status: "False", message: no quota}
  - {type: BootstrapConfigReady, status: "True", message: fine}
  - {type: Ready, status: "False", message: "* InfrastructureReady: no quota"}
  deprecated: {v1beta1: {failureMessage: it broke}}`))
	if got, want := string(Encode(machine)), `{"problems":["it broke","InfrastructureReady: no quota"],"failure":"it broke","unseen":true}`; got != want {
		t.Errorf("the shape is %s, want %s", got, want)
	}
	for text, want := range map[string]string{
		"status: {failureReason: CreateError, failureMessage: no quota}":                                                                 "CreateError: no quota",
		"status: {deprecated: {v1beta1: {failureReason: CreateError}}}":                                                                  "CreateError",
		"status: {conditions: [{type: InfrastructureReady, status: \"False\", reason: ProvisioningFailed, message: no quota}]}":          "InfrastructureReady: ProvisioningFailed: no quota",
		"status: {conditions: [{type: InfrastructureReady, status: \"False\", reason: Provisioning, message: soon}]}":                    "",
		"status: {conditions: [{type: NodeHealthy, status: \"False\", reason: NodeConditionsFailed, message: not Ready}]}":               "",
		"status: {conditions: [{type: InfrastructureReady, status: \"True\"}, {type: Drained, status: \"False\", reason: DrainFailed}]}": "",
	} {
		if got := OfMachine(object(text)).Failure; got != want {
			t.Errorf("%s: the failure is %q, want %q", text, got, want)
		}
	}
	if OfMachine(object("status: {failureReason: CreateError, failureMessage: no quota}")).Unseen {
		t.Error("the autoscaler does not see a status.failureMessage")
	}
}

// TestHollow: by the kind of template that the lab makes.
func TestHollow(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]bool{hollow.Templates.Kind: true, "DockerMachineTemplate": false, "": false} {
		if g := (Group{Template: Reference{Kind: kind}}); g.Hollow() != want {
			t.Errorf("a group with a %q is hollow: %t", kind, g.Hollow())
		}
	}
}

// TestOfMachineThatIsDeleted: by the conditions of old and new releases of Cluster API.
func TestOfMachineThatIsDeleted(t *testing.T) {
	t.Parallel()
	const head = `metadata: {deletionTimestamp: "2026-11-27T00:00:00Z", annotations: {pre-drain.delete.hook.machine.cluster.x-k8s.io/b: x, pre-drain.delete.hook.machine.cluster.x-k8s.io/a: "", other: x}}
`
	const hooks = `"hooks":["pre-drain.delete.hook.machine.cluster.x-k8s.io/a","pre-drain.delete.hook.machine.cluster.x-k8s.io/b"]`
	for name, tc := range map[string]struct{ machine, want string }{
		"not deleted": {"metadata: {annotations: {pre-drain.delete.hook.machine.cluster.x-k8s.io/a: x}}", "{}"},
		"since 1.11":  {head + "status: {conditions: [{type: Deleting, status: \"True\", reason: WaitingForPreDrainHook, message: waits}]}", `"step":"WaitingForPreDrainHook","message":"waits",` + hooks},
		"1.9": {
			head + "status: {conditions: [{type: DrainingSucceeded, status: \"False\", reason: Draining}], v1beta2: {conditions: [{type: Deleting, status: \"True\", reason: DrainingNode, message: pods}]}}",
			`"step":"DrainingNode","message":"pods",` + hooks,
		},
		"before": {
			head + "status: {conditions: [{type: InfrastructureReady, status: \"False\", reason: Deleting}, {type: PreDrainDeleteHookSucceeded, status: \"True\"}, {type: DrainingSucceeded, status: \"False\", reason: DrainingFailed, message: a pod}]}",
			`"step":"DrainingNode","message":"DrainingFailed: a pod",` + hooks,
		},
		"no condition": {head, hooks},
	} {
		want := tc.want
		if want != "{}" {
			want = `{"deletion":{"since":"2026-11-27T00:00:00Z",` + want + "}}"
		}
		o := &unstructured.Unstructured{Object: *read[map[string]any](t, tc.machine)}
		if got := string(Encode(OfMachine(o))); got != want {
			t.Errorf("%s: the shape is\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestOfBudget(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}\nstatus: {currentHealthy: 2, desiredHealthy: 1, expectedPods: 3, disruptionsAllowed: 1}": `{"selector":{"matchLabels":{"app":"web"}},"minAvailable":"1","allowed":1,"healthy":2,"desired":1,"expected":3}`,
		"spec: {maxUnavailable: 25%, selector: {}}": `{"selector":{},"maxUnavailable":"25%"}`,
		"spec: {}": "{}",
	} {
		o := &unstructured.Unstructured{Object: *read[map[string]any](t, text)}
		if got := string(Encode(OfBudget(o))); got != want {
			t.Errorf("the shape is\n%s\nwant\n%s", got, want)
		}
	}
}
