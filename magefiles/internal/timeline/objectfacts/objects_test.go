package objectfacts

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// TestEventWithoutAReason: an event without a reason means that no group was tried.
func TestEventWithoutAReason(t *testing.T) {
	t.Parallel()
	e := kubetest.Typed(t, kube.Event, `{kind: Event, reason: NotTriggerScaleUp, message: "pod didn't trigger scale-up: ", lastTimestamp: "2026-11-24T11:00:00Z", involvedObject: {kind: Pod, namespace: x, name: p}}`)
	if f, ok := Event(e); !ok || f.Text != "no group was tried" || f.Name != "x/p" || f.What != timeline.Refused {
		t.Errorf("the event is %+v, %v", f, ok)
	}
}

// TestEventTime: the fact has the event's latest time, to the microsecond.
func TestEventTime(t *testing.T) {
	t.Parallel()
	const head = `{kind: Event, reason: ScaleDown, metadata: {creationTimestamp: "2026-11-24T10:00:00Z"}`
	for fields, want := range map[string]string{
		"": "2026-11-24T10:00:00Z",
		`, eventTime: "2026-11-24T11:00:00.123456Z"`:                                                                                    "2026-11-24T11:00:00.123456Z",
		`, eventTime: "2026-11-24T11:00:00.123456Z", lastTimestamp: "2026-11-24T11:30:00Z"`:                                             "2026-11-24T11:30:00Z",
		`, eventTime: null, lastTimestamp: "2026-11-24T11:30:00Z", series: {count: 2, lastObservedTime: "2026-11-24T12:00:00.654321Z"}`: "2026-11-24T12:00:00.654321Z",
	} {
		f, ok := Event(kubetest.Typed(t, kube.Event, head+fields+"}"))
		if got := f.Time.UTC().Format(time.RFC3339Nano); !ok || got != want {
			t.Errorf("the event with %q has the time %s, want %s", fields, got, want)
		}
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]string{
		`{name: a, image: i, state: {running: {startedAt: "2026-11-24T11:00:00Z"}}}`:                                                            "11:00:00 started x/ca (i)",
		`{name: a, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {reason: Error, finishedAt: "2026-11-24T11:00:01Z"}}}`: "11:00:01 stopped x/ca (Error)",
		`{name: a, state: {terminated: {reason: Completed, finishedAt: "2026-11-24T11:00:02Z"}}}`:                                               "11:00:02 stopped x/ca (Completed)",
		`{name: a, state: {waiting: {reason: ContainerCreating}}}`:                                                                              "",
		`{name: other, state: {running: {}}}`:                                                                                                   "",
	} {
		pod := kubetest.Typed(t, kube.Pod, "{kind: Pod, metadata: {name: ca, namespace: x}, status: {containerStatuses: ["+state+"]}}")
		got := ""
		for _, f := range process(pod, []string{"a"}, noon) {
			got += fmt.Sprintf("%s %s %s (%s)", f.Time.UTC().Format(time.TimeOnly), f.What, f.Name, f.Text)
		}
		if got != want {
			t.Errorf("the facts of %s are %q, want %q", state, got, want)
		}
	}
}

// TestChangedBy: the manager whose fields changed last is returned, also one without a time, as
// Kubernetes 1.36 writes it for kubectl scale.
func TestChangedBy(t *testing.T) {
	t.Parallel()
	const created = `{manager: caslab, time: "2026-11-27T12:19:03Z", fieldsV1: {"f:spec": {"f:clusterName": {}}}}`
	for fields, want := range map[string]string{
		created: " 0001-01-01T00:00:00Z",
		created + `, {manager: kubectl, subresource: scale, fieldsV1: {"f:spec": {"f:replicas": {}}}}`:                                                                                           "kubectl 0001-01-01T00:00:00Z",
		created + `, {manager: a, time: "2026-11-27T12:20:00Z", fieldsV1: {"f:spec": {"f:replicas": {}}}}, {manager: b, time: "2026-11-27T12:19:30Z", fieldsV1: {"f:spec": {"f:replicas": {}}}}`: "a 2026-11-27T12:20:00Z",
	} {
		manager, at := changedBy(kubetest.Object(t, "{kind: MachineDeployment, metadata: {managedFields: ["+fields+"]}}"), "spec", "replicas")
		if got := manager + " " + at.Format(time.RFC3339); got != want {
			t.Errorf("%s: %s, want %s", fields, got, want)
		}
	}
}

// TestLimits: a group without a minimum may become empty, and one without a maximum is no node group.
func TestLimits(t *testing.T) {
	t.Parallel()
	const low, high = "/cluster-api-autoscaler-node-group-min-size", "/cluster-api-autoscaler-node-group-max-size"
	for name, tc := range map[string]struct {
		annotations map[string]string
		want        string
	}{
		"both":                      {map[string]string{release.SizePrefix + low: "1", release.SizePrefix + high: "4"}, "1 4"},
		"both, with the old prefix": {map[string]string{release.OldSizePrefix + low: "1", release.OldSizePrefix + high: "4"}, "1 4"},
		"only a maximum":            {map[string]string{release.SizePrefix + high: "4"}, "0 4"},
		"only a minimum":            {map[string]string{release.SizePrefix + low: "1"}, ""},
		"the prefixes differ":       {map[string]string{release.SizePrefix + low: "1", release.OldSizePrefix + high: "4"}, "0 4"},
		"none":                      {nil, ""},
	} {
		group := &unstructured.Unstructured{Object: map[string]any{}}
		group.SetAnnotations(tc.annotations)
		got := "missing"
		for _, f := range Group(group, noon) {
			if f.What == timeline.Limits {
				got = f.Text
			}
		}
		if got != tc.want {
			t.Errorf("%s: limits %q, want %q", name, got, tc.want)
		}
	}
}

// TestUnschedulable: only the reason Unschedulable says that there is no node for a pod. Another one is in
// its shape, without the message, which may change with every attempt.
func TestUnschedulable(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{
		"Unschedulable": "unschedulable: why; not tried: ", "SchedulerError": "unschedulable: ; not tried: SchedulerError", "SchedulingGated": "unschedulable: ; not tried: ",
	} {
		pod := kubetest.Typed(t, kube.Pod, `{kind: Pod, metadata: {namespace: x, name: p}, status: {conditions: [{type: PodScheduled, status: "False", reason: `+reason+`, message: why}]}}`)
		message, untried := "", ""
		for _, f := range Pod(pod, "", noon) {
			switch f.What {
			case timeline.Unschedulable:
				message = f.Text
			case timeline.Shaped:
				var s shape.Pod
				if err := json.Unmarshal(f.Shape, &s); err != nil {
					t.Fatal(err)
				}
				untried = s.Untried
			}
		}
		if got := "unschedulable: " + message + "; not tried: " + untried; got != want {
			t.Errorf("%s: %s, want %s", reason, got, want)
		}
	}
}

// TestSystemPodThatWaits: a pod of the cluster's components has no history. Its shape says since when it
// waits, and no more when it has a node.
func TestSystemPodThatWaits(t *testing.T) {
	t.Parallel()
	const waits = `metadata: {namespace: kube-system, name: dns}, status: {conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: why, lastTransitionTime: "2026-11-24T11:00:00Z"}]}`
	for pod, want := range map[string]string{
		`{kind: Pod, ` + waits + `}`:                                 "why since 11:00:00",
		`{kind: Pod, spec: {nodeName: node-1}, ` + waits + `}`:       "",
		`{kind: Pod, metadata: {namespace: kube-system, name: dns}}`: "",
	} {
		facts := Pod(kubetest.Typed(t, kube.Pod, pod), "", noon)
		if len(facts) != 1 || facts[0].What != timeline.Shaped {
			t.Errorf("%s: %+v, want only a shape", pod, facts)
			continue
		}
		var s shape.Pod
		if err := json.Unmarshal(facts[0].Shape, &s); err != nil {
			t.Fatal(err)
		}
		got := ""
		if s.Waits != nil {
			got = s.Waits.Message + " since " + s.Waits.Since.Format(time.TimeOnly)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", pod, got, want)
		}
	}
}

// TestMarkIsRecordedOnce: some autoscalers mark a machine with two annotations.
func TestMarkIsRecordedOnce(t *testing.T) {
	t.Parallel()
	const at = "2026-11-26 22:00:00.5 +0000 UTC m=+7.1"
	for _, marks := range [][]string{{"cluster.x-k8s.io"}, {"cluster.k8s.io"}, {"cluster.x-k8s.io", "cluster.k8s.io"}} {
		annotations := map[string]string{}
		for _, prefix := range marks {
			annotations[prefix+"/delete-machine"] = at
		}
		machine := &unstructured.Unstructured{Object: map[string]any{}}
		machine.SetAnnotations(annotations)
		var marked []string
		for _, f := range Machine(machine, "web", noon) {
			if f.What == timeline.Marked {
				marked = append(marked, f.Time.Format(time.TimeOnly))
			}
		}
		if want := []string{"22:00:00"}; !slices.Equal(marked, want) {
			t.Errorf("%q: marked at %q, want %q", marks, marked, want)
		}
	}
}
