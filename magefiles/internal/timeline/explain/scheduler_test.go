package explain

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/predicates"
	"caslab/magefiles/internal/timeline/shape"
)

// apart returns the recorded facts about the pod seven, after an anti-affinity to the pod six was
// added to it.
func apart(t *testing.T) []timeline.Fact {
	t.Helper()
	labels := map[string]string{"app": "six"}
	facts := recorded(t, "01:12:12")
	for i, f := range facts {
		var p shape.Pod
		if f.Kind != timeline.Pod || f.What != timeline.Shaped || json.Unmarshal(f.Shape, &p) != nil {
			continue
		}
		switch f.Name {
		case "default/six":
			p.Labels = labels
		case "default/seven":
			p.Requests = requests("500m", "200Mi")
			p.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
				{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: labels}},
			}}}
		default:
			continue
		}
		facts[i].Shape = shape.Encode(p)
	}
	return facts
}

// claiming returns the recorded facts about the pod seven, after it got a claim for two devices, a node one
// device, and the group full may have another node.
func claiming(t *testing.T) []timeline.Fact {
	t.Helper()
	facts := recorded(t, "01:12:12")
	for i, f := range facts {
		var p shape.Pod
		var g shape.Group
		switch {
		case f.What != timeline.Shaped:
		case f.Name == "default/seven" && json.Unmarshal(f.Shape, &p) == nil:
			p.Requests, p.Devices, p.DeviceClaims = requests("10m", "10Mi"), []string{"gpu"}, []shape.DeviceClaim{{Name: "gpu", Claim: "seven-gpu"}}
			facts[i].Shape = shape.Encode(p)
		case f.Name == "full" && f.Kind == timeline.Group && json.Unmarshal(f.Shape, &g) == nil:
			g.Annotations[release.SizeAnnotation(release.SizePrefix, "max")] = "2"
			facts[i].Shape = shape.Encode(g)
		}
	}
	first := facts[0].Time
	add := func(kind timeline.Kind, name, object string) {
		f := timeline.Fact{Time: first, Kind: kind, What: timeline.Shaped, Name: name, UID: name, Source: timeline.Watch}
		if object != "" {
			f.Shape = json.RawMessage(object)
		}
		facts = append([]timeline.Fact{f}, facts...)
	}
	const node = "facts-md-0-d4psx-68m8q"
	add(timeline.ResourceClaim, "default/seven-gpu", `{"metadata":{"namespace":"default","name":"seven-gpu","uid":"c"},"spec":{"devices":{"requests":[{"name":"gpu","exactly":{"deviceClassName":"gpu.example.com","allocationMode":"ExactCount","count":2}}]}}}`)
	add(timeline.DeviceClass, "gpu.example.com", `{"metadata":{"name":"gpu.example.com"},"spec":{"selectors":[{"cel":{"expression":"device.driver == 'gpu.example.com'"}}]}}`)
	add(timeline.ResourceSlice, node, `{"metadata":{"name":"`+node+`"},"spec":{"driver":"gpu.example.com","nodeName":"`+node+`","pool":{"name":"`+node+`","generation":1,"resourceSliceCount":1},"devices":[{"name":"gpu-0"}]}}`)
	for _, kind := range []timeline.Kind{timeline.ResourceClaim, timeline.ResourceClaimTemplate, timeline.ResourceSlice, timeline.DeviceClass} {
		add(kind, "", "")
	}
	return facts
}

// answered returns a scheduler that gives the answer NAME-answer.json in testdata, which the program gave to
// the request NAME-request.json. It fails the test if the request is another one. With the flag -update, it
// writes the request, and asks the program. A test of the program compares its answers to the requests.
func answered(t *testing.T, name string) fit.Scheduler {
	return func(ctx context.Context, r predicates.Request) (a predicates.Answer, err error) {
		golden.Check(t, name+"-request.json", meaning(t, r))
		path := filepath.Join("testdata", name+"-answer.json")
		if golden.Updating() {
			c := exec.CommandContext(ctx, "go", "run", ".")
			c.Dir, c.Stdin = filepath.Join("..", "..", "..", "components", "predicates"), strings.NewReader(meaning(t, r))
			answer, err := c.Output()
			if err := errors.Join(err, os.WriteFile(path, answer, 0o644)); err != nil { //nolint:gosec // a file of the checkout
				t.Fatal(err)
			}
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return a, json.Unmarshal(data, &a)
	}
}

// meaning returns a request as JSON without fields that say nothing.
func meaning(t *testing.T, r predicates.Request) string {
	t.Helper()
	data, err := json.Marshal(r)
	var fields any
	if err := errors.Join(err, json.Unmarshal(data, &fields)); err != nil {
		t.Fatal(err)
	}
	said(fields)
	data, err = json.MarshalIndent(fields, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data) + "\n"
}

// said removes the fields that say nothing from a value, and reports whether anything is left.
func said(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		maps.DeleteFunc(v, func(_ string, field any) bool { return !said(field) })
		return len(v) > 0
	case []any:
		for _, item := range v {
			said(item)
		}
		return len(v) > 0
	}
	return value != nil && value != "" && value != false && value != 0.0
}

// TestExplainAsksTheScheduler compares the answers about a pod with an anti-affinity, and about one with a
// claim of devices, with testdata. It says what is missing if the program cannot be asked.
func TestExplainAsksTheScheduler(t *testing.T) {
	t.Parallel()
	for name, facts := range map[string][]timeline.Fact{"apart": apart(t), "devices": claiming(t)} {
		got, err := Text(t.Context(), facts, "pod/seven", Options{Scheduler: answered(t, name)})
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, "pod-"+name+".txt", got)
	}
	offline := func(context.Context, predicates.Request) (predicates.Answer, error) {
		return predicates.Answer{}, errors.New("compile the scheduler's filters: no network")
	}
	for name, tc := range map[string]struct {
		ask   fit.Scheduler
		wants []string
	}{
		"offline":    {offline, []string{"The scheduler's own filters could not be asked: compile the scheduler's filters: no network.", "Not judged by the lab: pod anti-affinity."}},
		"no program": {nil, []string{"Not judged by the lab: pod anti-affinity."}},
	} {
		got, err := Text(t.Context(), apart(t), "pod/seven", Options{Scheduler: tc.ask})
		for _, want := range tc.wants {
			if err != nil || !strings.Contains(got, want) {
				t.Errorf("%s: %v: want %q:\n%s", name, err, want, got)
			}
		}
	}
	asked := false
	ask := func(context.Context, predicates.Request) (predicates.Answer, error) {
		asked = true
		return predicates.Answer{}, nil
	}
	if _, err := Text(t.Context(), recorded(t, "01:12:12"), "pod/seven", Options{Scheduler: ask}); err != nil || asked {
		t.Errorf("the program was asked: %v, %v", asked, err)
	}
}

// TestExplainFailedMachines: the answers about a group, about a machine and about the autoscaler say
// that the machine has failed. They say that the autoscaler does not see it, if it does not.
func TestExplainFailedMachines(t *testing.T) {
	t.Parallel()
	const failed, unseen = "it has failed: InfrastructureReady: ProvisioningFailed: no quota", "the autoscaler does not see that; it gives up after 15m00s (the default of --max-node-provision-time)"
	for _, tc := range []struct {
		unseen bool
		// api is the version of Cluster API's API that the autoscaler reads.
		api  string
		want bool
	}{{false, "", false}, {true, "", true}, {true, "v1beta2", true}, {true, "v1", true}, {true, "v1beta1", false}, {true, "v1alpha4", false}} {
		c := newCluster(1)
		c.Add(5, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Source: timeline.Log, Shape: shape.Encode(shape.Autoscaler{API: tc.api})})
		f := timeline.Fact{Kind: timeline.Machine, What: timeline.Created, Name: "web-bad", UID: "m-web-bad", Group: "web", Source: timeline.Watch}
		c.Add(10, f)
		f.What, f.Shape = timeline.Shaped, shape.Encode(shape.Machine{Failure: "InfrastructureReady: ProvisioningFailed: no quota", Unseen: tc.unseen})
		c.Add(20, f)
		wants := map[string]string{
			"group/web":    "\nMachines that have not become nodes\n  web-bad  " + failed + "\n",
			"node/web-bad": "\nWhy there is no node: " + failed + ".\n",
			"autoscaler":   "machine web-bad of web since ",
		}
		if tc.want {
			wants = map[string]string{
				"group/web":    "\nMachines that have not become nodes\n  web-bad  " + failed + "; " + unseen + "\n",
				"node/web-bad": "\nWhy there is no node: " + failed + "; " + unseen + ".\n",
				"autoscaler":   "machine web-bad of web has failed; " + unseen + "\n",
			}
		}
		for what, want := range wants {
			if got, err := Text(t.Context(), c.Record(), what, Options{}); err != nil || !strings.Contains(got, want) {
				t.Errorf("%+v, %s: %v: want %q:\n%s", tc, what, err, want, got)
			}
		}
	}
}

// TestExplainHollowMachines: the answers say that pods on hollow machines only seem to run.
func TestExplainHollowMachines(t *testing.T) {
	t.Parallel()
	for kind, hollow := range map[string]bool{"HollowMachineTemplate": true, "DockerMachineTemplate": false} {
		c := newCluster(1)
		c.shaped(3, timeline.Group, "web", "web", "", shape.Group{Namespace: "default", Template: shape.Reference{Kind: kind, Name: "web"}})
		c.Add(4, timeline.Fact{Kind: timeline.Pod, What: timeline.Created, Name: "default/a", UID: "p-a", Source: timeline.Watch})
		c.Add(5, timeline.Fact{Kind: timeline.Pod, What: timeline.Scheduled, Name: "default/a", UID: "p-a", Node: c.node, Source: timeline.Watch})
		for what, want := range map[string]string{
			"group/web": "Its machines are hollow: pods on them only seem to run.\n", "node/" + c.node: "Its machine is hollow: pods on it only seem to run.\n",
			"pod/default/a": "Its node is hollow: the pod only seems to run.\n",
		} {
			if got, err := Text(t.Context(), c.Record(), what, Options{}); err != nil || strings.Contains(got, want) != hollow {
				t.Errorf("%s, %s: %v: want %q: %t\n%s", kind, what, err, want, hollow, got)
			}
		}
	}
}
