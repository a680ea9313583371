package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/yaml"
)

// answer returns the refusals of each pod, a line for each node and plugin. The request is YAML.
func answer(t *testing.T, request string) string {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(request))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), bytes.NewReader(data), &out); err != nil {
		t.Fatal(err)
	}
	var a Answer
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	var r Request
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range r.Nodes {
		names = append(names, n.Name)
	}
	for _, n := range r.Templates {
		names = append(names, n.Node.Name)
	}
	var lines []string
	for i, verdicts := range a.Pods {
		for _, name := range names {
			for _, refusal := range verdicts[name] {
				line := r.Ask[i].Name + " " + name + " " + refusal.Plugin + ": " + strings.Join(refusal.Reasons, ", ")
				if len(refusal.Alone) > 0 {
					line += fmt.Sprintf(" %v", refusal.Alone)
				}
				lines = append(lines, line)
			}
		}
	}
	return strings.Join(lines, "\n")
}

// nodes are two nodes in the zones a and b.
const nodes = `
nodes:
- {metadata: {name: a1, labels: {kubernetes.io/hostname: a1, topology.kubernetes.io/zone: a}}, status: {allocatable: {cpu: "4", pods: "10"}}}
- {metadata: {name: b1, labels: {kubernetes.io/hostname: b1, topology.kubernetes.io/zone: b}}, status: {allocatable: {cpu: "4", pods: "10"}}}
`

// templates are nodes of groups in the zones a and b, and of a group without a zone.
const templates = `
templates:
- {node: {metadata: {name: new-a, labels: {kubernetes.io/hostname: new-a, topology.kubernetes.io/zone: a}}, status: {allocatable: {cpu: "4", pods: "10"}}}}
- {node: {metadata: {name: new-b, labels: {kubernetes.io/hostname: new-b, topology.kubernetes.io/zone: b}}, status: {allocatable: {cpu: "4", pods: "10"}}}}
- {node: {metadata: {name: new, labels: {kubernetes.io/hostname: new}}, status: {allocatable: {cpu: "4", pods: "10"}}}}
`

// webOnA1 is a pod that runs in zone a.
const webOnA1 = `
pods: [{metadata: {name: old, namespace: default, labels: {app: web}}, spec: {nodeName: a1, containers: [{name: c}]}}]
`

func TestJudge(t *testing.T) {
	t.Parallel()
	all := ""
	for name, tc := range map[string]struct{ request, want string }{
		"anti-affinity by host name: a new node of any group takes the pod": {
			nodes + templates + webOnA1 + `
ask: [{metadata: {name: p, namespace: default, labels: {app: web}}, spec: {containers: [{name: c}], affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: web}}}]}}}}]`,
			"p a1 InterPodAffinity: node(s) didn't match pod anti-affinity rules",
		},
		"anti-affinity by zone: no new node in the zone": {
			nodes + templates + webOnA1 + `
ask: [{metadata: {name: p, namespace: default, labels: {app: web}}, spec: {containers: [{name: c}], affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: topology.kubernetes.io/zone, labelSelector: {matchLabels: {app: web}}}]}}}}]`,
			"p a1 InterPodAffinity: node(s) didn't match pod anti-affinity rules\np new-a InterPodAffinity: node(s) didn't match pod anti-affinity rules",
		},
		"the anti-affinity of another pod": {
			nodes + templates + `
pods: [{metadata: {name: old, namespace: shop}, spec: {nodeName: a1, containers: [{name: c}], affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: topology.kubernetes.io/zone, namespaceSelector: {matchLabels: {team: x}}, labelSelector: {matchLabels: {app: web}}}]}}}}]
namespaces: [{metadata: {name: default, labels: {team: x}}}]
ask: [{metadata: {name: p, namespace: default, labels: {app: web}}, spec: {containers: [{name: c}]}}]`,
			"p a1 InterPodAffinity: node(s) didn't satisfy existing pods anti-affinity rules\np new-a InterPodAffinity: node(s) didn't satisfy existing pods anti-affinity rules",
		},
		"affinity to a pod in a zone": {
			nodes + templates + `
pods: [{metadata: {name: db, namespace: default, labels: {app: db}}, spec: {nodeName: b1, containers: [{name: c}]}}]
ask: [{metadata: {name: p, namespace: default}, spec: {containers: [{name: c, resources: {requests: {cpu: "5"}}}], affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: topology.kubernetes.io/zone, labelSelector: {matchLabels: {app: db}}}]}}}}]`,
			strings.Join([]string{
				"p a1 NodeResourcesFit: Insufficient cpu", "p a1 InterPodAffinity: node(s) didn't match pod affinity rules", "p b1 NodeResourcesFit: Insufficient cpu",
				"p new-a NodeResourcesFit: Insufficient cpu", "p new-a InterPodAffinity: node(s) didn't match pod affinity rules", "p new-b NodeResourcesFit: Insufficient cpu",
				"p new NodeResourcesFit: Insufficient cpu", "p new InterPodAffinity: node(s) didn't match pod affinity rules",
			}, "\n"),
		},
		"spread over zones": {
			nodes + templates + webOnA1 + `
ask: [{metadata: {name: p, namespace: default, labels: {app: web}}, spec: {containers: [{name: c}], topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}]}}]`,
			strings.Join([]string{
				"p a1 PodTopologySpread: node(s) didn't match pod topology spread constraints", "p new-a PodTopologySpread: node(s) didn't match pod topology spread constraints",
				"p new PodTopologySpread: node(s) didn't match pod topology spread constraints (missing required label)",
			}, "\n"),
		},
		"anti-affinity by host name and by zone: the zone alone keeps the pod off a new node": {
			nodes + templates + webOnA1 + `
ask: [{metadata: {name: p, namespace: default, labels: {app: web}}, spec: {containers: [{name: c}], affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [
  {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: web}}}, {topologyKey: topology.kubernetes.io/zone, labelSelector: {matchLabels: {app: web}}}]}}}}]`,
			"p a1 InterPodAffinity: node(s) didn't match pod anti-affinity rules [0 1]\np new-a InterPodAffinity: node(s) didn't match pod anti-affinity rules [1]",
		},
		"affinity to two pods, and no pod is both": {
			nodes + `
pods:
- {metadata: {name: db, namespace: default, labels: {app: db}}, spec: {nodeName: a1, containers: [{name: c}]}}
- {metadata: {name: cache, namespace: default, labels: {tier: cache}}, spec: {nodeName: a1, containers: [{name: c}]}}
ask: [{metadata: {name: p, namespace: default}, spec: {containers: [{name: c}], affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [
  {topologyKey: topology.kubernetes.io/zone, labelSelector: {matchLabels: {app: db}}}, {topologyKey: topology.kubernetes.io/zone, labelSelector: {matchLabels: {tier: cache}}}]}}}}]`,
			"p a1 InterPodAffinity: node(s) didn't match pod affinity rules\np b1 InterPodAffinity: node(s) didn't match pod affinity rules [0 1]",
		},
		"spread over zones and nodes: the zone alone keeps the pod off a new node": {
			nodes + templates + webOnA1 + `
ask: [{metadata: {name: p, namespace: default, labels: {app: web}}, spec: {containers: [{name: c}], topologySpreadConstraints: [
  {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}},
  {maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}]}}]`,
			strings.Join([]string{
				"p a1 PodTopologySpread: node(s) didn't match pod topology spread constraints [0 1]", "p new-a PodTopologySpread: node(s) didn't match pod topology spread constraints [1]",
				"p new PodTopologySpread: node(s) didn't match pod topology spread constraints (missing required label)",
			}, "\n"),
		},
		"a claim that is being deleted": {
			nodes + `
claims: [{metadata: {name: data, namespace: default, deletionTimestamp: "2026-11-27T00:00:00Z"}, spec: {volumeName: v}, status: {phase: Bound}}]
closed: [b1]
ask: [{metadata: {name: p, namespace: default}, spec: {containers: [{name: c}], volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]}}]`,
			"p a1 VolumeBinding: persistentvolumeclaim \"data\" is being deleted\np a1 VolumeZone: persistentvolume \"v\" not found",
		},
		"a volume in a zone": {
			nodes + templates + `
claims: [{metadata: {name: data, namespace: default, uid: c, annotations: {pv.kubernetes.io/bind-completed: "yes"}}, spec: {volumeName: v}, status: {phase: Bound}}]
volumes: [{metadata: {name: v}, spec: {capacity: {storage: 1Gi}, claimRef: {name: data, namespace: default, uid: c}, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: topology.kubernetes.io/zone, operator: In, values: [b]}]}]}}}}]
ask: [{metadata: {name: p, namespace: default}, spec: {containers: [{name: c}], volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]}}]`,
			strings.Join([]string{
				"p a1 VolumeBinding: node(s) didn't match PersistentVolume's node affinity", "p new-a VolumeBinding: node(s) didn't match PersistentVolume's node affinity",
				"p new VolumeBinding: node(s) didn't match PersistentVolume's node affinity",
			}, "\n"),
		},
		"a claim that waits for its first pod, of a class for one zone": {
			nodes + templates + `
storageClasses: [{metadata: {name: late}, provisioner: example.com/disk, volumeBindingMode: WaitForFirstConsumer, allowedTopologies: [{matchLabelExpressions: [{key: topology.kubernetes.io/zone, values: [a]}]}]}]
claims: [{metadata: {name: data, namespace: default}, spec: {storageClassName: late, resources: {requests: {storage: 1Gi}}}, status: {phase: Pending}}]
ask: [{metadata: {name: p, namespace: default}, spec: {containers: [{name: c}], volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]}}]`,
			strings.Join([]string{
				"p b1 VolumeBinding: node(s) didn't find available persistent volumes to bind", "p new-b VolumeBinding: node(s) didn't find available persistent volumes to bind",
				"p new VolumeBinding: node(s) didn't find available persistent volumes to bind",
			}, "\n"),
		},
		"a claim that is not there": {
			nodes + `
ask: [{metadata: {name: p, namespace: default}, spec: {containers: [{name: c}], volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]}}]`,
			strings.Join([]string{
				`p a1 VolumeRestrictions: persistentvolumeclaim "data" not found`, `p a1 NodeVolumeLimits: looking up PVC default/data: persistentvolumeclaim "data" not found`,
				`p a1 VolumeBinding: persistentvolumeclaim "data" not found`, `p a1 VolumeZone: persistentvolumeclaim "data" not found`,
			}, "\n"),
		},
		"a device of a claim": {
			nodes + gpus + `
ask: [{metadata: {name: p, namespace: default, uid: p}, spec: {containers: [{name: c}], resourceClaims: [{name: gpu, resourceClaimName: one}]}}]`,
			"p a1 DynamicResources: cannot allocate all claims\np new-c DynamicResources: cannot allocate all claims\np new-d DynamicResources: cannot allocate all claims",
		},
		"more devices than any node has": {
			nodes + gpus + `
ask: [{metadata: {name: p, namespace: default, uid: p}, spec: {containers: [{name: c}], resourceClaims: [{name: gpu, resourceClaimName: many}]}}]`,
			"p a1 DynamicResources: cannot allocate all claims\np b1 DynamicResources: cannot allocate all claims\np new-a DynamicResources: cannot allocate all claims\np new-c DynamicResources: cannot allocate all claims\np new-d DynamicResources: cannot allocate all claims",
		},
		"a device class that is not there": {
			nodes + gpus + `
closed: [b1]
ask: [{metadata: {name: p, namespace: default, uid: p}, spec: {containers: [{name: c}], resourceClaims: [{name: gpu, resourceClaimName: classless}]}}]`,
			"p a1 DynamicResources: request r: device class none does not exist" + everywhereNew("DynamicResources: request r: device class none does not exist"),
		},
		"a resource claim that is not there": {
			nodes + gpus + `
closed: [b1]
ask: [{metadata: {name: p, namespace: default, uid: p}, spec: {containers: [{name: c}], resourceClaims: [{name: gpu, resourceClaimName: none}]}}]`,
			`p a1 DynamicResources: resourceclaims.resource.k8s.io "none" not found` + everywhereNew(`DynamicResources: resourceclaims.resource.k8s.io "none" not found`),
		},
		"a claim with a device of another node": {
			nodes + gpus + `
ask: [{metadata: {name: p, namespace: default, uid: p}, spec: {containers: [{name: c}], resourceClaims: [{name: gpu, resourceClaimName: used}]}}]`,
			"p b1 DynamicResources: resourceclaim not available on the node" + everywhereNew("DynamicResources: resourceclaim not available on the node"),
		},
		"pods that move to the devices of a node, one after the other": {
			nodes + gpus + `
move: true
ask:
- {metadata: {name: p, namespace: default, uid: p}, spec: {containers: [{name: c}], resourceClaims: [{name: gpu, resourceClaimName: one}]}}
- {metadata: {name: q, namespace: default, uid: q}, spec: {containers: [{name: c}], resourceClaims: [{name: gpu, resourceClaimName: two}]}}`,
			strings.Join([]string{
				"p a1 DynamicResources: cannot allocate all claims", "p new-c DynamicResources: cannot allocate all claims", "p new-d DynamicResources: cannot allocate all claims",
				"q a1 DynamicResources: cannot allocate all claims", "q b1 DynamicResources: cannot allocate all claims", "q new-c DynamicResources: cannot allocate all claims", "q new-d DynamicResources: cannot allocate all claims",
			}, "\n"),
		},
		"an extended resource that devices back": {
			nodes + gpus + `
ask: [{metadata: {name: p, namespace: default, uid: p}, spec: {containers: [{name: c, resources: {requests: {example.com/gpu: "1"}}}]}}]`,
			"p a1 DynamicResources: cannot allocate all claims\np new-c DynamicResources: cannot allocate all claims\np new-d DynamicResources: cannot allocate all claims",
		},
		"pods that move to devices that back an extended resource": {
			nodes + `
deviceClasses: [{metadata: {name: gpu}, spec: {extendedResourceName: example.com/gpu}}]
resourceSlices: [{metadata: {name: a1}, spec: {driver: gpu.example.com, nodeName: a1, pool: {name: a1, resourceSliceCount: 1}, devices: [{name: gpu-0}, {name: gpu-1}]}}]
closed: [b1]
move: true
ask:
- {metadata: {name: p, namespace: default, uid: p}, spec: {containers: [{name: c, resources: {requests: {example.com/gpu: "1"}}}]}}
- {metadata: {name: q, namespace: default, uid: q}, spec: {containers: [{name: c, resources: {requests: {example.com/gpu: "1"}}}]}}
- {metadata: {name: r, namespace: default, uid: r}, spec: {containers: [{name: c, resources: {requests: {example.com/gpu: "1"}}}]}}`,
			"r a1 DynamicResources: cannot allocate all claims",
		},
		"a driver that has no capacity left in a zone": {
			nodes + templates + `
csiDrivers: [{metadata: {name: example.com}, spec: {storageCapacity: true}}]
storageClasses: [{metadata: {name: late}, provisioner: example.com, volumeBindingMode: WaitForFirstConsumer}]
storageCapacities:
- {metadata: {name: a, namespace: kube-system}, storageClassName: late, nodeTopology: {matchLabels: {topology.kubernetes.io/zone: a}}, capacity: 1Mi}
- {metadata: {name: b, namespace: kube-system}, storageClassName: late, nodeTopology: {matchLabels: {topology.kubernetes.io/zone: b}}, capacity: 1Ti}
claims: [{metadata: {name: data, namespace: default}, spec: {storageClassName: late, resources: {requests: {storage: 1Gi}}}, status: {phase: Pending}}]
ask: [{metadata: {name: p, namespace: default}, spec: {containers: [{name: c}], volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]}}]`,
			"p a1 VolumeBinding: node(s) did not have enough free storage\np new-a VolumeBinding: node(s) did not have enough free storage\np new VolumeBinding: node(s) did not have enough free storage",
		},
		"taints, ports and selectors": {
			`
nodes: [{metadata: {name: node}, spec: {taints: [{key: gpu, effect: NoSchedule}], unschedulable: true}, status: {allocatable: {pods: "10"}}}]
pods: [{metadata: {name: old, namespace: default}, spec: {nodeName: node, containers: [{name: c, ports: [{hostPort: 80, protocol: TCP}]}]}}]
ask: [{metadata: {name: p, namespace: default}, spec: {nodeSelector: {pool: x}, containers: [{name: c, ports: [{hostPort: 80, protocol: TCP}]}]}}]`,
			strings.Join([]string{
				"p node NodeUnschedulable: node(s) were unschedulable", "p node TaintToleration: node(s) had untolerated taint(s)",
				"p node NodeAffinity: node(s) didn't match Pod's node affinity/selector", "p node NodePorts: node(s) didn't have free ports for the requested pod ports",
			}, "\n"),
		},
		"pods that move one after the other, and a closed node": {
			nodes + webOnA1 + `
move: true
closed: [a1]
ask:
- {metadata: {name: one, namespace: default}, spec: {containers: [{name: c, resources: {requests: {cpu: "3"}}}]}}
- {metadata: {name: two, namespace: default}, spec: {containers: [{name: c, resources: {requests: {cpu: "3"}}}]}}`,
			"two b1 NodeResourcesFit: Insufficient cpu",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := answer(t, tc.request)
			if name == "a claim that is not there" { // the first node is enough
				got, _, _ = strings.Cut(got, "\np b1 ")
			}
			if got != tc.want {
				t.Errorf("refused:\n%s\nwant:\n%s", got, tc.want)
			}
		})
		all += tc.want + "\n"
	}
	// The lab has words for these reasons. Its package internal/timeline/predicates has a test that compares
	// the list.
	data, err := os.ReadFile(filepath.Join("testdata", "reasons.json"))
	var reasons []string
	if err := errors.Join(err, json.Unmarshal(data, &reasons)); err != nil {
		t.Fatal(err)
	}
	for _, reason := range reasons {
		if !regexp.MustCompile(`(?m): ` + regexp.QuoteMeta(reason) + `( \[[\d ]+\])?$`).MatchString(all) {
			t.Errorf("no request is refused for the reason %q alone", reason)
		}
	}
}

// TestRecordedAnswers: the answers with which the tests of the lab's package internal/timeline/explain work are
// those of this program. Those tests write the requests, and the answers anew with the flag -update.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	requests, err := filepath.Glob(filepath.Join("..", "..", "internal", "timeline", "explain", "testdata", "*-request.json"))
	if err != nil || len(requests) == 0 {
		t.Fatalf("there are %d requests, %v", len(requests), err)
	}
	for _, path := range requests {
		request, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		want, readErr := os.ReadFile(strings.TrimSuffix(path, "request.json") + "answer.json")
		if err := errors.Join(run(t.Context(), request, &out), readErr, request.Close()); err != nil {
			t.Fatal(err)
		}
		if out.String() != string(want) {
			t.Errorf("%s: the answer is\n%swant\n%s", path, out.String(), want)
		}
	}
}

// gpus has nodes and templates with devices. The node a1 has no device left. The template new-a has a
// device, new-c has none, and new-d has one in a pool that is incomplete.
const gpus = `
deviceClasses: [{metadata: {name: gpu}, spec: {selectors: [{cel: {expression: 'device.driver == "gpu.example.com"'}}], extendedResourceName: example.com/gpu}}]
resourceSlices:
- {metadata: {name: a1}, spec: {driver: gpu.example.com, nodeName: a1, pool: {name: a1, resourceSliceCount: 1}, devices: [{name: gpu-0}]}}
- {metadata: {name: b1}, spec: {driver: gpu.example.com, nodeName: b1, pool: {name: b1, resourceSliceCount: 1}, devices: [{name: gpu-0}]}}
- {metadata: {name: b1-x}, spec: {driver: x.example.com, nodeName: b1, pool: {name: b1, resourceSliceCount: 1}, devices: [{name: x-0}]}}
resourceClaims:
- {metadata: {name: one, namespace: default, uid: one}, spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu, allocationMode: ExactCount, count: 1}}]}}}
- {metadata: {name: two, namespace: default, uid: two}, spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu, allocationMode: ExactCount, count: 1}}]}}}
- {metadata: {name: many, namespace: default, uid: many}, spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu, allocationMode: ExactCount, count: 2}}]}}}
- {metadata: {name: classless, namespace: default, uid: classless}, spec: {devices: {requests: [{name: r, exactly: {deviceClassName: none, allocationMode: ExactCount, count: 1}}]}}}
- metadata: {name: used, namespace: default, uid: used}
  spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu, allocationMode: ExactCount, count: 1}}]}}
  status: {allocation: {devices: {results: [{request: r, driver: gpu.example.com, pool: a1, device: gpu-0}]}, nodeSelector: {nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [a1]}]}]}}}
templates:
- {node: {metadata: {name: new-a}, status: {allocatable: {cpu: "4", pods: "10"}}}, resourceSlices: [{metadata: {name: new-a}, spec: {driver: gpu.example.com, nodeName: new-a, pool: {name: new-a, resourceSliceCount: 1}, devices: [{name: gpu-0}]}}]}
- {node: {metadata: {name: new-c}, status: {allocatable: {cpu: "4", pods: "10"}}}}
- {node: {metadata: {name: new-d}, status: {allocatable: {cpu: "4", pods: "10"}}}, resourceSlices: [{metadata: {name: new-d}, spec: {driver: gpu.example.com, nodeName: new-d, pool: {name: new-d}, devices: [{name: gpu-0}]}}]}
`

// everywhereNew returns the lines of a refusal of all templates of gpus.
func everywhereNew(refusal string) string {
	return "\np new-a " + refusal + "\np new-c " + refusal + "\np new-d " + refusal
}

// TestRequest reads a request with all fields. The lab's package internal/timeline/predicates has a
// test that writes it.
func TestRequest(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("testdata", "request.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"p a NodeResourcesFit: Too many pods", "p a VolumeBinding: node(s) didn't match PersistentVolume's node affinity", "p a DynamicResources: cannot allocate all claims", "p new NodeResourcesFit: Too many pods",
	}, "\n")
	if got := answer(t, string(data)); got != want {
		t.Errorf("refused:\n%s\nwant:\n%s", got, want)
	}
}

func TestRequestsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	if err := run(t.Context(), strings.NewReader(`{"asks":[]}`), new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "read the request: ") {
		t.Errorf("an unknown field: %v", err)
	}
}

// TestNewerObjects: the objects of a newer cluster have fields that this program does not know.
func TestNewerObjects(t *testing.T) {
	t.Parallel()
	got := answer(t, nodes+`
claims: [{metadata: {name: data, namespace: default, uid: c, annotations: {pv.kubernetes.io/bind-completed: "yes"}, since137: x}, spec: {volumeName: v, since137: x}, status: {phase: Bound}}]
volumes: [{metadata: {name: v}, spec: {since137: {a: b}, claimRef: {name: data, namespace: default, uid: c}, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: topology.kubernetes.io/zone, operator: In, values: [b]}]}]}}}}]
namespaces: [{metadata: {name: default}, since137: x}]
storageClasses: [{metadata: {name: late}, provisioner: example.com/disk, since137: x}]
csiNodes: [{metadata: {name: a1}, spec: {drivers: [], since137: x}}]
ask: [{metadata: {name: p, namespace: default}, spec: {containers: [{name: c}], volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]}}]`)
	if want := "p a1 VolumeBinding: node(s) didn't match PersistentVolume's node affinity"; got != want {
		t.Errorf("refused:\n%s\nwant:\n%s", got, want)
	}
}

// TestAttachedVolumesCount: a node whose CSI driver can attach no more volumes refuses a pod with a
// volume, even if no pod uses the volumes that are attached. Of a node to come, the same holds if its
// CSINode is known.
func TestAttachedVolumesCount(t *testing.T) {
	t.Parallel()
	const request = nodes + `
claims: [{metadata: {name: data, namespace: default, uid: c, annotations: {pv.kubernetes.io/bind-completed: "yes"}}, spec: {volumeName: v}, status: {phase: Bound}}]
volumes:
- {metadata: {name: v}, spec: {csi: {driver: d, volumeHandle: v}, claimRef: {name: data, namespace: default, uid: c}}}
- {metadata: {name: left}, spec: {csi: {driver: d, volumeHandle: left}}}
csiNodes:
- {metadata: {name: a1}, spec: {drivers: [{name: d, nodeID: a1, allocatable: {count: 1}}]}}
- {metadata: {name: b1}, spec: {drivers: [{name: d, nodeID: b1, allocatable: {count: 1}}]}}
volumeAttachments: [{metadata: {name: va}, spec: {attacher: d, nodeName: a1, source: {persistentVolumeName: left}}}]
templates:
- {node: {metadata: {name: none}, status: {allocatable: {cpu: "4", pods: "10"}}}, csiNode: {metadata: {name: none}, spec: {drivers: [{name: d, nodeID: x, allocatable: {count: 1}}]}}}
- {node: {metadata: {name: other}, status: {allocatable: {cpu: "4", pods: "10"}}}}
ask: [{metadata: {name: p, namespace: default}, spec: {containers: [{name: c}], volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]}}]`
	if got, want := answer(t, request), "p a1 NodeVolumeLimits: node(s) exceed max volume count"; got != want {
		t.Errorf("refused:\n%s\nwant:\n%s", got, want)
	}
	// A pod with two volumes, of which the template can attach one.
	two := strings.Replace(request, "claims: [", `claims: [{metadata: {name: more, namespace: default, uid: m, annotations: {pv.kubernetes.io/bind-completed: "yes"}}, spec: {volumeName: w}, status: {phase: Bound}}, `, 1)
	two = strings.Replace(two, "volumes:\n", "volumes:\n- {metadata: {name: w}, spec: {csi: {driver: d, volumeHandle: w}, claimRef: {name: more, namespace: default, uid: m}}}\n", 1)
	two = strings.Replace(two, "volumes: [{name: d,", "volumes: [{name: m, persistentVolumeClaim: {claimName: more}}, {name: d,", 1)
	const full = "NodeVolumeLimits: node(s) exceed max volume count"
	if got, want := answer(t, two), "p a1 "+full+"\np b1 "+full+"\np none "+full; got != want {
		t.Errorf("two volumes are refused:\n%s\nwant:\n%s", got, want)
	}
}

// TestManyVolumes: the plugins have all volumes before they judge.
func TestManyVolumes(t *testing.T) {
	t.Parallel()
	const many = 2000
	r := Request{Nodes: []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("110")}}}}}
	for i := range many {
		claim, volume := fmt.Sprintf("c-%d", i), fmt.Sprintf("v-%d", i)
		r.Claims = append(r.Claims, corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: claim, Namespace: "default", UID: types.UID(claim), Annotations: map[string]string{"pv.kubernetes.io/bind-completed": "yes"}},
			Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: volume}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
		})
		r.Volumes = append(r.Volumes, corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: volume},
			Spec:       corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: "default", Name: claim, UID: types.UID(claim)}},
		})
	}
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "default"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
	for i := 0; i < many; i += many / 100 {
		claim := fmt.Sprintf("c-%d", i)
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}})
	}
	r.Ask = []corev1.Pod{pod}
	a, err := judge(t.Context(), r)
	if err != nil || len(a.Pods[0]) > 0 {
		t.Errorf("refused: %v, %v", a.Pods, err)
	}
}

// TestHandlersAreAwaited: the informers count as synced only when slow handlers have all objects too.
func TestHandlersAreAwaited(t *testing.T) {
	t.Parallel()
	const many = 20
	var objects []runtime.Object
	for i := range many {
		objects = append(objects, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i)}})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	factory := &handled{SharedInformerFactory: informers.NewSharedInformerFactory(fake.NewSimpleClientset(objects...), 0)}
	var seen atomic.Int32
	_, err := factory.Core().V1().PersistentVolumes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(any) {
		time.Sleep(5 * time.Millisecond)
		seen.Add(1)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := factory.run(ctx); err != nil || seen.Load() != many {
		t.Errorf("run() = %v, when the handler had %d of %d volumes", err, seen.Load(), many)
	}
}
