package engine

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/workload"
	"caslab/manifests"
)

// A pod is not spared if it is being evicted from a node that the autoscaler
// chose to delete.
func TestEvictedPodIsNotSpared(t *testing.T) {
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
	node.Object["spec"] = map[string]any{"taints": []any{map[string]any{"key": autoscaler.DeletedTaint}}}
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

// A pod is undisturbed if it is still on its node and is not being deleted.
func TestDisturbed(t *testing.T) {
	t.Parallel()
	w := newWorld("sc-", time.Now)
	for _, name := range []string{"p", "q"} {
		pod := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"nodeName": "a"}}}
		pod.SetName(name)
		pod.SetUID(types.UID(name))
		pod.SetLabels(map[string]string{workload.Label: "sc-shop"})
		w.pods[name] = pod
	}
	check := &scenario.PodsCheck{Of: "shop", Undisturbed: true}
	base := w.baseline()
	now := metav1.Now()
	for _, tt := range []struct {
		change func(p *unstructured.Unstructured) *unstructured.Unstructured
		says   string
	}{
		{func(p *unstructured.Unstructured) *unstructured.Unstructured { return p }, ""},
		{func(*unstructured.Unstructured) *unstructured.Unstructured { return nil }, "pod p, which was on a, is gone"},
		{func(p *unstructured.Unstructured) *unstructured.Unstructured { p.SetUID("new"); return p }, "pod p, which was on a, is gone"},
		{func(p *unstructured.Unstructured) *unstructured.Unstructured { p.SetDeletionTimestamp(&now); return p }, "pod p on a is being deleted"},
		{func(p *unstructured.Unstructured) *unstructured.Unstructured {
			p.Object["spec"] = map[string]any{"nodeName": "b"}
			return p
		}, "pod p was on a and is on b"},
	} {
		before := w.pods["p"]
		delete(w.pods, "p")
		if p := tt.change(before.DeepCopy()); p != nil {
			w.pods["p"] = p
		}
		found := w.evalPods(check, base)
		if found.holds != (tt.says == "") || !strings.Contains(found.seen, tt.says) {
			t.Errorf("%+v; want %q", found, tt.says)
		}
		w.pods["p"] = before
	}
}

// TestSaid shows which statements fulfil a check. Names have to match
// completely, reasons in upper or lower case, and the statement has to be new
// enough. A statement about a node under a workload's pods counts also if the
// pods have left the node.
func TestSaid(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 2, 3, 4, 5, 500, time.UTC)
	w := newWorld("sc-", time.Now)
	w.began = began
	w.workloadOf["sc-shop-1"] = "sc-shop"
	pod := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"nodeName": "now"}}}
	pod.SetName("sc-shop-1")
	pod.SetLabels(map[string]string{workload.Label: "sc-shop"})
	w.pods[pod.GetName()] = pod
	base := baseline{at: began.Add(time.Minute), first: began, pods: map[string]placement{
		"gone": {"sc-shop", "sc-shop-0", "before"}, "waiting": {"sc-shop", "sc-shop-2", ""}, "other": {"sc-other", "sc-other-0", "others"},
	}}
	for name, tt := range map[string]struct {
		check scenario.SaidCheck
		fact  timeline.Fact
		after time.Duration
		holds bool
	}{
		"any reason":              {scenario.SaidCheck{What: scenario.Refused}, timeline.Fact{What: timeline.Refused}, 0, true},
		"something else":          {scenario.SaidCheck{What: scenario.Refused}, timeline.Fact{What: timeline.Kept}, 0, false},
		"in any case":             {scenario.SaidCheck{What: scenario.Kept, Text: "MIN size"}, timeline.Fact{What: timeline.Kept, Text: "Min SIZE reached"}, 0, true},
		"another reason":          {scenario.SaidCheck{What: scenario.Kept, Text: "max"}, timeline.Fact{What: timeline.Kept, Text: "min"}, 0, false},
		"in the first second":     {scenario.SaidCheck{What: scenario.Problem}, timeline.Fact{What: timeline.Problem}, -400 * time.Nanosecond, true},
		"before the scenario":     {scenario.SaidCheck{What: scenario.Problem}, timeline.Fact{What: timeline.Problem}, -time.Second, false},
		"a decision":              {scenario.SaidCheck{What: scenario.ScaleUp}, timeline.Fact{What: timeline.ScaleUp}, time.Minute, true},
		"a decision before":       {scenario.SaidCheck{What: scenario.ScaleUp}, timeline.Fact{What: timeline.ScaleUp}, 30 * time.Second, false},
		"a group":                 {scenario.SaidCheck{What: scenario.Refused, Group: "a"}, timeline.Fact{What: timeline.Refused, Group: "sc-a"}, 0, true},
		"a group in the reason":   {scenario.SaidCheck{What: scenario.Refused, Group: "a"}, timeline.Fact{What: timeline.Refused, Text: "skipped MachineDeployment/default/sc-a: max"}, 0, true},
		"a similar group":         {scenario.SaidCheck{What: scenario.Refused, Group: "a"}, timeline.Fact{What: timeline.Refused, Text: "skipped MachineDeployment/default/sc-a-1: max"}, 0, false},
		"a pod":                   {scenario.SaidCheck{What: scenario.Refused, Pod: "shop"}, timeline.Fact{What: timeline.Refused, Name: "default/sc-shop-1"}, 0, true},
		"another's pod":           {scenario.SaidCheck{What: scenario.Refused, Pod: "shop"}, timeline.Fact{What: timeline.Refused, Name: "default/sc-other-0"}, 0, false},
		"a node under its pod":    {scenario.SaidCheck{What: scenario.Kept, Under: "shop"}, timeline.Fact{What: timeline.Kept, Node: "now"}, 0, true},
		"a node of a pod before":  {scenario.SaidCheck{What: scenario.Kept, Under: "shop"}, timeline.Fact{What: timeline.Kept, Name: "before"}, 0, true},
		"a node of another's pod": {scenario.SaidCheck{What: scenario.Kept, Under: "shop"}, timeline.Fact{What: timeline.Kept, Node: "others"}, 0, false},
		"no node, and pods wait":  {scenario.SaidCheck{What: scenario.Kept, Under: "shop"}, timeline.Fact{What: timeline.Kept}, 0, false},
		"not by the autoscaler":   {scenario.SaidCheck{What: scenario.Problem}, timeline.Fact{Kind: timeline.Lab, What: timeline.Problem}, 0, false},
	} {
		tt.fact.Time = began.Add(tt.after)
		if tt.fact.Kind == "" {
			tt.fact.Kind = timeline.Autoscaler
		}
		w.facts = []timeline.Fact{tt.fact}
		if found := w.evalSaid(&tt.check, base); found.holds != tt.holds || tt.holds && !found.at.Equal(tt.fact.Time) {
			t.Errorf("%s: %+v; want that it holds: %t", name, found, tt.holds)
		}
	}
}

// The times of events have no fractions of seconds. Two facts that are at most
// two seconds apart therefore fulfil either order.
func TestInOrder(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	for second, holds := range map[time.Duration]bool{5 * time.Second: true, 0: true, -2 * time.Second: true, -2*time.Second - 1: false} {
		w := newWorld("sc-", func() time.Time { return began.Add(time.Minute) })
		c := &watch{check: scenario.Check{Order: []scenario.Check{
			{Said: &scenario.SaidCheck{What: scenario.ScaleUp}}, {Said: &scenario.SaidCheck{What: scenario.ScaleDown}},
		}}}
		w.facts = []timeline.Fact{
			{Time: began, Kind: timeline.Autoscaler, What: timeline.ScaleUp}, {Time: began.Add(second), Kind: timeline.Autoscaler, What: timeline.ScaleDown},
		}
		w.add(c)
		if w.metAt(c) != holds || (c.broken == nil) != holds {
			t.Errorf("the second %s after the first: came true is %t, broken %+v; want %t", second, w.metAt(c), c.broken, holds)
		}
		if last := began.Add(max(second, 0)); holds && !c.metAt.Equal(last) {
			t.Errorf("the order came true at %v, want %v", c.metAt, last)
		}
	}
}

// Of checks that are to come true in order, only the first missing one is
// described.
func TestFirstMissingCheckIsDescribed(t *testing.T) {
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
		if got := w.state(time.Now(), nil, nil, []*watch{c}); got.actual != want {
			t.Errorf("it says %q, want %q", got.actual, want)
		}
	}
}

// An expectation is met in time if the object changed in time, even if the
// change is seen late. The time of the change is the one that the API server
// recorded in the managed fields, unless that is in the future.
func TestTimeOfTheFactDecides(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	for name, tt := range map[string]struct {
		seen, recorded int // seconds after the last action; recorded is zero if the object has no managed fields
		deleted        bool
		came           time.Time
	}{
		"in time":                     {seen: 9, came: at(9)},
		"at the very end":             {seen: 10, came: at(10)},
		"too late":                    {seen: 11},
		"in time, and seen late":      {seen: 12, recorded: 9, came: at(9)},
		"too late, and seen later":    {seen: 13, recorded: 11},
		"in time by a clock in front": {seen: 9, recorded: 14, came: at(9)},
		"deleted, which nobody notes": {seen: 11, recorded: 5, deleted: true},
	} {
		w := newWorld("sc-", func() time.Time { return at(tt.seen) })
		c := &watch{check: scenario.Check{Group: &scenario.GroupCheck{Name: "web", Size: count(t, "1")}}, limit: at(10)}
		w.watches = append(w.watches, c)
		group := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(1)}}}
		group.SetName("sc-web")
		before := group.DeepCopy()
		if tt.recorded != 0 {
			earlier, recorded := metav1.NewTime(began), metav1.NewTime(at(tt.recorded))
			group.SetManagedFields([]metav1.ManagedFieldsEntry{{Time: &recorded}, {Time: &earlier}, {}})
		}
		if tt.deleted {
			now := metav1.Now()
			group.SetDeletionTimestamp(&now)
		}
		w.update(kube.MachineDeployments, kube.Change{Before: before, After: group}, w.groups)
		if !c.metAt.Equal(tt.came) {
			t.Errorf("%s: came true at %v, want %v", name, c.metAt, tt.came)
		}
		if late := c.late != nil; late == w.metAt(c) {
			t.Errorf("%s: late is %t, in time is %t", name, late, w.metAt(c))
		}
	}
}

// A check under "stays" does not fail if it breaks after its time was over.
func TestStayThatBreaksAfterItsTime(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	w := newWorld("sc-", time.Now)
	stay := &watch{check: scenario.Check{For: scenario.Duration(5 * time.Second)}, stay: true}
	expected, missing := &watch{metAt: at(10)}, &watch{check: scenario.Check{Nodes: count(t, "1")}, history: []observation{{}}}
	for _, tt := range []struct {
		breaks  int
		expects []*watch
		fails   bool
	}{
		{14, []*watch{expected}, true}, {15, []*watch{expected}, true}, {16, []*watch{expected}, false},
		{16, []*watch{expected, missing}, true}, {5, nil, true}, {6, nil, false},
	} {
		stay.broken = &observation{at: at(tt.breaks)}
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
		// Every scenario that parses can be evaluated.
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
