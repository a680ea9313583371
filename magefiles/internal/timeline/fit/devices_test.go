package fit

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/predicates"
	"caslab/magefiles/internal/timeline/shape"
)

// claiming is a pod with the ResourceClaim default/c.
var claiming = shape.Pod{Devices: []string{"gpu"}, DeviceClaims: []shape.DeviceClaim{{Name: "gpu", Claim: "c"}}}

const (
	wantsTwo  = `{"metadata":{"namespace":"default","name":"c","uid":"c"},"spec":{"devices":{"requests":[{"name":"r","exactly":{"deviceClassName":"gpu","allocationMode":"ExactCount","count":2}}]}}}`
	allocated = `{"metadata":{"namespace":"default","name":"other","uid":"other"},"status":{"allocation":{"devices":{"results":[{"request":"r","driver":"gpu.example.com","pool":"n","device":"gpu-0"}]},"nodeSelector":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["n"]}]}]}},"reservedFor":[{"resource":"pods","name":"old","uid":"default/old"}]}}`
	sliceOfN  = `{"metadata":{"name":"n"},"spec":{"driver":"gpu.example.com","nodeName":"n","pool":{"name":"n","generation":1,"resourceSliceCount":1},"devices":[{"name":"gpu-0"},{"name":"gpu-1"}]}}`
	classGPU  = `{"metadata":{"name":"gpu"},"spec":{}}`
)

// withDevices adds objects of devices to a record, and that all are on record.
func withDevices(r record, objects map[timeline.Kind][]string) record {
	for kind, all := range objects {
		for _, text := range all {
			var o struct {
				Metadata struct{ Namespace, Name string }
			}
			if err := json.Unmarshal([]byte(text), &o); err != nil {
				panic(err)
			}
			name := strings.TrimPrefix(o.Metadata.Namespace+"/"+o.Metadata.Name, "/")
			r.Shaped(kind, name, "", json.RawMessage(text))
		}
	}
	for _, kind := range []timeline.Kind{timeline.ResourceClaim, timeline.ResourceClaimTemplate, timeline.ResourceSlice, timeline.DeviceClass} {
		r.Add(timeline.Fact{Kind: kind, What: timeline.Shaped})
	}
	return r
}

// refuseNothing is a scheduler that answers that each node takes each pod.
func refuseNothing(_ context.Context, r predicates.Request) (predicates.Answer, error) {
	return predicates.Answer{Version: "v1.36.1", Pods: make([]predicates.Verdicts, len(r.Ask))}, nil
}

// TestDevices has the words for what keeps claims from their devices, on a node and in a group that has no
// node.
func TestDevices(t *testing.T) {
	t.Parallel()
	class := map[timeline.Kind][]string{timeline.ResourceClaim: {wantsTwo}, timeline.DeviceClass: {classGPU}}
	node := map[timeline.Kind][]string{timeline.ResourceClaim: {wantsTwo, allocated}, timeline.DeviceClass: {classGPU}, timeline.ResourceSlice: {sliceOfN}}
	announced := []string{"capacity.cluster-autoscaler.kubernetes.io/dra-driver=gpu.example.com", "capacity.cluster-autoscaler.kubernetes.io/gpu-count=4"}
	for name, tc := range map[string]struct {
		pod         shape.Pod
		objects     map[timeline.Kind][]string
		ask         Scheduler
		annotations []string
		release     string
		group, node string
		note        string
	}{
		"a claim that is not there": {
			pod: claiming, ask: refuse(predicates.DynamicResources, `resourceclaims.resource.k8s.io "c" not found`),
			group: "devices: its ResourceClaim c does not exist → the ResourceClaim c", node: "devices: its ResourceClaim c does not exist",
		},
		"a claim that is being deleted": {
			pod: claiming, ask: refuse(predicates.DynamicResources, `resourceclaim "c" is being deleted`),
			objects: map[timeline.Kind][]string{timeline.ResourceClaim: {`{"metadata":{"namespace":"default","name":"c","deletionTimestamp":"2026-11-27T00:00:00Z"}}`}},
			group:   "devices: its ResourceClaim c is being deleted → another ResourceClaim", node: "devices: its ResourceClaim c is being deleted",
		},
		"no template": {
			pod: shape.Pod{Devices: []string{"gpu"}, DeviceClaims: []shape.DeviceClaim{{Name: "gpu", Template: "t"}}}, ask: refuseNothing,
			group: "devices: the ResourceClaimTemplate t of its claim gpu does not exist → the ResourceClaimTemplate t", node: "devices: the ResourceClaimTemplate t of its claim gpu does not exist",
		},
		"a claim that is not created yet": {
			pod: shape.Pod{Devices: []string{"gpu"}, DeviceClaims: []shape.DeviceClaim{{Name: "gpu", Template: "t"}}}, ask: refuseNothing, objects: map[timeline.Kind][]string{timeline.ResourceClaimTemplate: {`{"metadata":{"namespace":"default","name":"t"}}`}},
			group: "devices: its claim gpu is not created yet from the ResourceClaimTemplate t → that claim, which the controller manager creates", node: "devices: its claim gpu is not created yet from the ResourceClaimTemplate t",
		},
		"a device class that is not there": {
			pod: claiming, objects: map[timeline.Kind][]string{timeline.ResourceClaim: {wantsTwo}}, ask: refuse(predicates.DynamicResources, "request r: device class gpu does not exist"),
			group: "devices: the DeviceClass gpu of its ResourceClaim c does not exist → the DeviceClass gpu", node: "devices: the DeviceClass gpu of its ResourceClaim c does not exist",
		},
		"no devices": {
			pod: claiming, objects: class, ask: refuse(predicates.DynamicResources, predicates.NoDevicesHere),
			group: "devices: its ResourceClaim c wants 2 devices of the DeviceClass gpu; the autoscaler expects no devices on a new node → a node with such devices that are free, or a claim for fewer",
			node:  "devices: its ResourceClaim c wants 2 devices of the DeviceClass gpu; the node has no devices",
		},
		"too few devices, and a group that announces some": {
			pod: claiming, objects: node, annotations: announced, ask: refuse(predicates.DynamicResources, predicates.NoDevicesHere),
			group: "devices: its ResourceClaim c wants 2 devices of the DeviceClass gpu; the autoscaler expects 4 devices of gpu.example.com on a new node, and takes their pool for incomplete (a bug upstream) → a node in the group: the autoscaler expects devices like its own",
			node:  "devices: its ResourceClaim c wants 2 devices of the DeviceClass gpu; the node has 2 devices of gpu.example.com (1 allocated)",
		},
		"a release that does not read the announcement": {
			pod: claiming, objects: node, annotations: announced, ask: refuse(predicates.DynamicResources, predicates.NoDevicesHere),
			release: "1.32.7 --enable-dynamic-resource-allocation",
			group:   "devices: its ResourceClaim c wants 2 devices of the DeviceClass gpu; the autoscaler expects no devices on a new node → a node with such devices that are free, or a claim for fewer",
			node:    "devices: its ResourceClaim c wants 2 devices of the DeviceClass gpu; the node has 2 devices of gpu.example.com (1 allocated)",
		},
		"a release that looks at no devices": {
			pod: claiming, objects: class, ask: refuse(predicates.DynamicResources, predicates.NoDevicesHere), release: "1.34.5",
			group: "yes, by its annotations and its template", node: "devices: its ResourceClaim c wants 2 devices of the DeviceClass gpu; the node has no devices",
			note: "the autoscaler 1.34.5 does not look at devices: the pod may not fit on the new node",
		},
		"devices of another node": {
			pod: shape.Pod{Devices: []string{"gpu"}, DeviceClaims: []shape.DeviceClaim{{Name: "gpu", Claim: "other"}}}, objects: map[timeline.Kind][]string{timeline.ResourceClaim: {strings.ReplaceAll(allocated, `"n"`, `"far"`)}}, ask: refuse(predicates.DynamicResources, predicates.DevicesAreElsewhere),
			group: "devices: the devices of its ResourceClaim other are on the node far → that node, or a ResourceClaim that is not allocated", node: "devices: the devices of its ResourceClaim other are on the node far",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r record
			if tc.release != "" {
				release, flag, flagged := strings.Cut(tc.release, " --")
				r.Add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, Text: release})
				if flagged {
					r.Add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Shape: shape.Encode(shape.Autoscaler{Flags: map[string]string{flag: "true"}})})
				}
			}
			r.Group(0, shape.Group{Annotations: sizes("2", append(tc.annotations, cpu4, mem8)...)})
			r.Node("n", "other", shape.Node{})
			r.Waits(tc.pod)
			j := judged(withDevices(r, tc.objects), start.Add(time.Hour))
			p := j.PodOf("", "default/p")
			if err := j.Consult(t.Context(), tc.ask, p); err != nil {
				t.Fatal(err)
			}
			v := j.Verdicts(p)[0]
			if got := verdict(t, j, p); got != tc.group || strings.Join(v.Notes, "; ") != tc.note {
				t.Errorf("the group: %s, notes %q\nwant %s, notes %q", got, v.Notes, tc.group, tc.note)
			}
			if got := j.Refusals(p); len(got) != 1 || got[0].Text != tc.node || len(j.Room(p)) > 0 {
				t.Errorf("the node: %+v\nwant %s", got, tc.node)
			}
			if got := j.Unjudged(p); len(got) > 0 {
				t.Errorf("not judged: %v", got)
			}
		})
	}
}

// TestConsultTellsDevices: the filters get the devices of the cluster, and those that the autoscaler expects
// on a new node: like those of a node that there is, or was.
func TestConsultTellsDevices(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"a node": false, "a node that is gone": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r record
			r.Add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, Text: "1.36.1", Source: timeline.Log})
			r.Group(1, shape.Group{Annotations: sizes("5", cpu4, mem8)})
			r.Node("n", "g", shape.Node{})
			r.Bound("n", map[string]shape.Pod{"default/old": {Devices: []string{"gpu"}, DeviceClaims: []shape.DeviceClaim{{Name: "gpu", Claim: "other"}}, Owner: &shape.Owner{Kind: "DaemonSet", Name: "old"}}})
			r.Waits(claiming)
			r = withDevices(r, map[timeline.Kind][]string{timeline.ResourceClaim: {wantsTwo, allocated}, timeline.DeviceClass: {classGPU}, timeline.ResourceSlice: {sliceOfN}})
			wantSlices := 1
			if gone {
				for _, f := range []timeline.Fact{{Kind: timeline.Node, Name: "n", UID: "n"}, {Kind: timeline.ResourceSlice, Name: "n", UID: "n"}} {
					f.What = timeline.Gone
					r.Add(f)
					r[len(r)-1].Time = start.Add(time.Hour)
				}
				wantSlices = 0
			}
			j := judged(r, start.Add(2*time.Hour))
			p := j.PodOf("", "default/p")
			claims := slices.Grow(j.Scheduling[timeline.ResourceClaim], 1)
			j.Scheduling[timeline.ResourceClaim] = claims
			var q predicates.Request
			if err := j.Consult(t.Context(), func(_ context.Context, r predicates.Request) (predicates.Answer, error) {
				q = r
				return predicates.Answer{Pods: make([]predicates.Verdicts, len(r.Ask))}, nil
			}, p); err != nil {
				t.Fatal(err)
			}
			if len(q.ResourceClaims) != 3 || len(q.DeviceClasses) != 1 || len(q.ResourceSlices) != wantSlices || *q.Ask[0].Spec.ResourceClaims[0].ResourceClaimName != "c" {
				t.Errorf("asked with the claims %s, the classes %s, the slices %s", q.ResourceClaims, q.DeviceClasses, q.ResourceSlices)
			}
			if more := claims[:len(claims)+1]; more[len(claims)] != nil {
				t.Errorf("the claims of the world share their memory with %s", more[len(claims)])
			}
			if got, want := string(q.ResourceClaims[2]), `"pool":"n-template-node-for-g"`; !strings.Contains(got, want) || strings.Contains(got, "nodeSelector") {
				t.Errorf("the claim on the new node is %s, want %s and no node", got, want)
			}
			s := q.Templates[0].ResourceSlices
			if len(s) != 1 || *s[0].Spec.NodeName != "template-node-for-g" || s[0].Spec.Pool.Name != "n-template-node-for-g" || s[0].Spec.Pool.ResourceSliceCount != 1 || len(s[0].Spec.Devices) != 2 {
				t.Errorf("the devices of the template are %+v", s)
			}
		})
	}
}

// TestMovingPodsLeaveTheirDevices: a claim that only pods use that leave their node gets other devices.
func TestMovingPodsLeaveTheirDevices(t *testing.T) {
	t.Parallel()
	var r record
	r.Group(2, shape.Group{Annotations: sizes("2")})
	r.Node("n", "g", shape.Node{})
	r.Node("m", "g", shape.Node{})
	r.Bound("n", map[string]shape.Pod{"default/old": {Devices: []string{"gpu"}, DeviceClaims: []shape.DeviceClaim{{Name: "gpu", Claim: "other"}}}})
	shared := strings.NewReplacer(`"other"`, `"shared"`, `"reservedFor":[`, `"reservedFor":[{"resource":"pods","name":"else","uid":"else"},`).Replace(allocated)
	j := judged(withDevices(r, map[timeline.Kind][]string{timeline.ResourceClaim: {allocated, shared}, timeline.DeviceClass: {classGPU}, timeline.ResourceSlice: {sliceOfN}}), start.Add(time.Hour))
	from := j.NodeOf("n")
	var names []string
	err := j.ConsultMoves(t.Context(), func(_ context.Context, r predicates.Request) (predicates.Answer, error) {
		for _, text := range r.ResourceClaims {
			var c resourcev1.ResourceClaim
			if err := json.Unmarshal(text, &c); err != nil {
				t.Fatal(err)
			}
			if c.Status.Allocation != nil {
				names = append(names, c.Name)
			}
		}
		return predicates.Answer{Pods: make([]predicates.Verdicts, len(r.Ask))}, nil
	}, from, from.Pods)
	if err != nil || !slices.Equal(names, []string{"shared"}) {
		t.Errorf("the allocated claims are %v, %v", names, err)
	}
}

// TestResourcesThatDevicesGive: a resource that a DeviceClass names is for the scheduler's filters to judge.
func TestResourcesThatDevicesGive(t *testing.T) {
	t.Parallel()
	const class = `{"metadata":{"name":"gpu"},"spec":{"extendedResourceName":"example.com/gpu"}}`
	for name, tc := range map[string]struct {
		class, want, unjudged string
	}{
		"a class":           {class, "", "resources that devices may give (example.com/gpu)"},
		"no class names it": {classGPU, "example.com/gpu: it requests 1, and there is none", ""},
	} {
		var r record
		r.Node("n", "other", shape.Node{})
		r.Waits(shape.Pod{Requests: quantities("example.com/gpu=1")})
		j := judged(withDevices(r, map[timeline.Kind][]string{timeline.DeviceClass: {tc.class}}), start.Add(time.Hour))
		p := j.PodOf("", "default/p")
		if got := strings.Join(j.Unjudged(p), "; "); got != tc.unjudged {
			t.Errorf("%s: before the filters are asked, not judged: %q, want %q", name, got, tc.unjudged)
		}
		asked := false
		if err := j.Consult(t.Context(), func(_ context.Context, r predicates.Request) (predicates.Answer, error) {
			asked = true
			return predicates.Answer{Pods: make([]predicates.Verdicts, len(r.Ask))}, nil
		}, p); err != nil {
			t.Fatal(err)
		}
		var got string
		for _, o := range j.Refusals(p) {
			got += o.Text
		}
		if got != tc.want || asked != (tc.want == "") {
			t.Errorf("%s: %q, asked %t, want %q", name, got, asked, tc.want)
		}
		if got := j.Unjudged(p); len(got) > 0 {
			t.Errorf("%s: not judged: %q", name, got)
		}
	}
}

// TestDevicesThatMayNotBeListed: if the recorder may not list ResourceClaims, the filters cannot judge what
// devices give, so the answer is not that there is none, and it says what was not judged.
func TestDevicesThatMayNotBeListed(t *testing.T) {
	t.Parallel()
	var r record
	r.Node("n", "other", shape.Node{})
	pod := claiming
	pod.Requests, pod.Spread = quantities("example.com/gpu=1"), []corev1.TopologySpreadConstraint{{TopologyKey: "rack"}}
	r.Waits(pod)
	r = withDevices(r, map[timeline.Kind][]string{timeline.DeviceClass: {`{"metadata":{"name":"gpu"},"spec":{"extendedResourceName":"example.com/gpu"}}`}})
	r = slices.DeleteFunc(r, func(f timeline.Fact) bool { return f.Kind == timeline.ResourceClaim })
	j := judged(r, start.Add(time.Hour))
	p := j.PodOf("", "default/p")
	if err := j.Consult(t.Context(), refuse(predicates.NodeResourcesFit, "Insufficient example.com/gpu"), p); err != nil {
		t.Fatal(err)
	}
	if got := j.Refusals(p); len(got) > 0 || len(j.Room(p)) != 1 {
		t.Errorf("refused: %+v", got)
	}
	if got, want := strings.Join(j.Unjudged(p), "; "), "resources that devices may give (example.com/gpu); device claims (gpu)"; got != want {
		t.Errorf("not judged: %s, want %s", got, want)
	}
}

// TestPodsWithoutClaims: the scheduler does not try a pod whose claim is not there, so the autoscaler does not
// look at it.
func TestPodsWithoutClaims(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		objects map[timeline.Kind][]string
		want    string
	}{
		"no claim": {nil, `its scheduler "default-scheduler" does not try it, and so has not marked it Unschedulable: its ResourceClaim c does not exist → the ResourceClaim c`},
		"no class": {map[timeline.Kind][]string{timeline.ResourceClaim: {wantsTwo}}, `its scheduler "default-scheduler" has not marked it Unschedulable → a scheduler "default-scheduler" that runs`},
	} {
		var r record
		r.Shaped(timeline.Pod, "default/p", "", claiming)
		j := judged(withDevices(r, tc.objects), start.Add(time.Hour))
		var got []string
		for _, o := range j.Ignored(j.PodOf("default/p", "")) {
			got = append(got, o.Text+" → "+o.Change)
		}
		if strings.Join(got, "; ") != tc.want {
			t.Errorf("%s: %q, want %s", name, got, tc.want)
		}
	}
}
