package engine

import (
	"io/fs"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/workload"
	"caslab/manifests"
)

// A pod that is being evicted from a node that was chosen is not spared.
func TestAPodThatIsBeingEvictedIsNotSpared(t *testing.T) {
	t.Parallel()
	w := newWorld("sc-", time.Now)
	node := &unstructured.Unstructured{Object: map[string]any{}}
	w.nodes["a"] = node
	pod := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"nodeName": "a"}}}
	pod.SetName("p")
	pod.SetLabels(map[string]string{workload.Label: "sc-shop"})
	w.pods["p"] = pod
	check := &scenario.PodsCheck{Of: "shop", Spared: true}
	if found := w.evalPods(check, baseline{}); !found.holds || found.empty {
		t.Errorf("before: %+v", found)
	}
	now := metav1.Now()
	pod.SetDeletionTimestamp(&now)
	node.Object["spec"] = map[string]any{"taints": []any{map[string]any{"key": deletedTaint}}}
	if found := w.evalPods(check, baseline{}); found.holds {
		t.Errorf("while it is evicted: %+v", found)
	}
}

func count(t *testing.T, n string) *scenario.Count {
	t.Helper()
	count := new(scenario.Count)
	if err := count.UnmarshalJSON([]byte(n)); err != nil {
		t.Fatal(err)
	}
	return count
}

// What is awaited in order is told one at a time.
func TestTheFirstThatIsMissingIsAwaited(t *testing.T) {
	t.Parallel()
	w := newWorld("sc-", time.Now)
	nodes := func(n string) scenario.Check { return scenario.Check{Nodes: count(t, n)} }
	order := &watch{check: scenario.Check{Order: []scenario.Check{nodes("0"), nodes("2"), nodes("3")}}}
	plain := &watch{check: nodes("1")}
	for c, want := range map[*watch]string{
		order: "not yet, as number 2 of 3: 2 nodes in the cluster",
		plain: "1 nodes in the cluster: 0 nodes in the cluster",
	} {
		w.add(c)
		if got := w.state(time.Now(), nil, nil, []*watch{c}); got.instead != want {
			t.Errorf("it says %q, want %q", got.instead, want)
		}
	}
}

// What comes true is judged by when it did, not by when it is seen: what the API
// server notes is believed, unless that is in the future.
func TestWhatComesTrueIsJudgedByItsTime(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	for name, tt := range map[string]struct {
		seen, told int // seconds after the last action; told is zero if nothing tells
		deleted    bool
		came       time.Time
	}{
		"in time":                     {seen: 9, came: at(9)},
		"at the very end":             {seen: 10, came: at(10)},
		"too late":                    {seen: 11},
		"in time, and seen late":      {seen: 12, told: 9, came: at(9)},
		"too late, and seen later":    {seen: 13, told: 11},
		"in time by a clock in front": {seen: 9, told: 14, came: at(9)},
		"deleted, which nobody notes": {seen: 11, told: 5, deleted: true},
	} {
		w := newWorld("sc-", func() time.Time { return at(tt.seen) })
		c := &watch{check: scenario.Check{Group: &scenario.GroupCheck{Name: "web", Size: count(t, "1")}}, limit: at(10)}
		w.watches = append(w.watches, c)
		group := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(1)}}}
		group.SetName("sc-web")
		if tt.told != 0 {
			earlier, told := metav1.NewTime(began), metav1.NewTime(at(tt.told))
			group.SetManagedFields([]metav1.ManagedFieldsEntry{{Time: &told}, {Time: &earlier}, {}})
		}
		if tt.deleted {
			now := metav1.Now()
			group.SetDeletionTimestamp(&now)
		}
		w.changed(kube.MachineDeployments, kube.Change{Before: group, After: group}, w.groups)
		if !c.came.Equal(tt.came) {
			t.Errorf("%s: came true at %v, want %v", name, c.came, tt.came)
		}
		if late := c.late != nil; late == w.came(c) {
			t.Errorf("%s: late is %t, in time is %t", name, late, w.came(c))
		}
	}
}

// What breaks a stay after its time was over does not count.
func TestAStayThatBreaksAfterItsTime(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	w := newWorld("sc-", time.Now)
	stay := &watch{check: scenario.Check{For: scenario.Duration(5 * time.Second)}, stay: true}
	expected, missing := &watch{came: at(10)}, &watch{check: scenario.Check{Nodes: count(t, "1")}, history: []seen{{}}}
	for _, tt := range []struct {
		breaks  int
		expects []*watch
		fails   bool
	}{
		{14, []*watch{expected}, true}, {15, []*watch{expected}, true}, {16, []*watch{expected}, false},
		{16, []*watch{expected, missing}, true}, {5, nil, true}, {6, nil, false},
	} {
		stay.broken = &seen{at: at(tt.breaks)}
		if got := w.state(began, nil, []*watch{stay}, tt.expects); (got.broken != nil) != tt.fails {
			t.Errorf("broken after %d s, with %d expectations: fails is %t, want %t", tt.breaks, len(tt.expects), got.broken != nil, tt.fails)
		}
		if got := w.state(began, []*watch{stay}, nil, tt.expects); got.broken == nil {
			t.Errorf("what always holds may break after %d s", tt.breaks)
		}
	}
}

func FuzzEval(f *testing.F) {
	files, err := fs.Glob(manifests.FS, "scenarios/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		data, err := fs.ReadFile(manifests.FS, file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := scenario.Parse("fuzz.yaml", data)
		if err != nil {
			return
		}
		// What is taken can be looked at.
		w := newWorld("sc-", nil)
		for _, step := range s.Steps {
			for _, c := range slices.Concat(step.Expect, step.Stays, s.Always) {
				for _, inner := range append(c.Order, c) {
					if len(inner.Order) == 0 {
						w.eval(inner, baseline{})
					}
				}
			}
		}
	})
}
