package explain

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// answered returns a scheduler that gives the answer that the program gave to the request of apart.
func answered(t *testing.T) fit.Scheduler {
	return func(_ context.Context, r predicates.Request) (a predicates.Answer, err error) {
		if request := os.Getenv("CASLAB_REQUEST"); request != "" { // for the program, to answer anew
			data, err := json.Marshal(r)
			if err := errors.Join(err, os.WriteFile(request, data, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		data, err := os.ReadFile(filepath.Join("testdata", "predicates.json"))
		if err != nil {
			t.Fatal(err)
		}
		return a, json.Unmarshal(data, &a)
	}
}

// TestExplainAsksTheScheduler compares the answer about a pod with an anti-affinity with testdata,
// and says what is missing if the program cannot be asked.
func TestExplainAsksTheScheduler(t *testing.T) {
	t.Parallel()
	got, err := Text(t.Context(), apart(t), "pod/seven", Options{Scheduler: answered(t)})
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "pod-apart.txt", got)
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

// TestExplainFailedMachines: the answers about a group and about a machine say that the machine has
// failed.
func TestExplainFailedMachines(t *testing.T) {
	t.Parallel()
	c := newCluster(1)
	f := timeline.Fact{Kind: timeline.Machine, What: timeline.Created, Name: "web-bad", UID: "m-web-bad", Group: "web", Source: timeline.Watch}
	c.Add(10, f)
	f.What, f.Shape = timeline.Shaped, shape.Encode(shape.Machine{Failure: "InfrastructureReady: ProvisioningFailed: no quota"})
	c.Add(20, f)
	for what, wants := range map[string][]string{
		"group/web":    {"\nMachines that have not become nodes\n  web-bad  it has failed: InfrastructureReady: ProvisioningFailed: no quota\n"},
		"node/web-bad": {"\nWhy there is no node: it has failed: InfrastructureReady: ProvisioningFailed: no quota.\n"},
	} {
		got, err := Text(t.Context(), c.Record(), what, Options{})
		for _, want := range wants {
			if err != nil || !strings.Contains(got, want) {
				t.Errorf("%s: %v: want %q:\n%s", what, err, want, got)
			}
		}
	}
}
