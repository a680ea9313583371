package machine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"caslab/components/hollow/api/v1beta2"
)

func share(text string) *intstr.IntOrString {
	if text == "" {
		return nil
	}
	s := intstr.Parse(text)
	return &s
}

func TestNumbersOfMachines(t *testing.T) {
	for _, c := range []struct {
		fail, never string
		want        string // a letter a machine
	}{
		{"", "", "NNNN"},
		{"2", "", "FFNN"},
		{"", "2", "00NN"},
		{"1", "2", "F00N"},
		{"0", "1", "0NNN"},
		{"100%", "", "FFFF"},
		{"1", "100%", "F000"},
		{"0%", "100%", "0000"},
		{"100%", "100%", "FFFF"},
	} {
		got := ""
		for nth := range int64(4) {
			fate, err := fateOf(v1beta2.Lifecycle{Fail: share(c.fail), Never: share(c.never)}, 0.99, nth+1)
			if err != nil {
				t.Fatal(err)
			}
			got += map[v1beta2.Fate]string{v1beta2.FateNode: "N", v1beta2.FateFailure: "F", v1beta2.FateNothing: "0"}[fate]
		}
		if got != c.want {
			t.Errorf("fail=%s never=%s gives %s, want %s", c.fail, c.never, got, c.want)
		}
	}
}

func TestPercentagesOfMachines(t *testing.T) {
	m := hollow("a", v1beta2.HollowMachineSpec{Lifecycle: v1beta2.Lifecycle{Fail: share("10%"), Never: share("20%"), Seed: 3}})
	const n = 5000
	counts := map[v1beta2.Fate]int{}
	for ordinal := int64(n); ordinal > 0; ordinal-- {
		fate, err := fateOf(m.Spec.Lifecycle, draw(m, "fate", ordinal), ordinal)
		if err != nil {
			t.Fatal(err)
		}
		counts[fate]++
	}
	for fate, want := range map[v1beta2.Fate]int{v1beta2.FateFailure: n / 10, v1beta2.FateNothing: n / 5, v1beta2.FateNode: n * 7 / 10} {
		if got := counts[fate]; got < want*9/10 || got > want*11/10 {
			t.Errorf("%d machines of %d have the fate %s, want about %d", got, n, fate, want)
		}
	}
	if _, err := fateOf(v1beta2.Lifecycle{Fail: share("x%")}, 0, 1); err == nil {
		t.Error("x% is a share")
	}
}

// TestGroupsDiffer: machines of two groups with the same seed and the same ordinals do not start and
// fail alike, and those of one group do so in each run.
func TestGroupsDiffer(t *testing.T) {
	draws := func(group, template string) (all []float64) {
		m := hollow("a", v1beta2.HollowMachineSpec{})
		m.Labels[groupLabel], m.Annotations[templateAnnotation] = group, template
		for m.Status.Ordinal = 1; m.Status.Ordinal <= 5; m.Status.Ordinal++ {
			all = append(all, Draw(m, "start"))
		}
		return all
	}
	a := draws("web-a", "web")
	for name, b := range map[string][]float64{
		"another group":        draws("web-b", "web"),
		"no MachineDeployment": draws("", "web-a2"),
	} {
		for i := range a {
			if a[i] == b[i] {
				t.Errorf("%s: machine %d of both draws %g", name, i+1, a[i])
			}
		}
	}
	if again := draws("web-a", "web"); !slices.Equal(a, again) {
		t.Errorf("the same group draws %v and %v", a, again)
	}
	if one, other := draws("", "web-a"), draws("", "web-b"); slices.Equal(one, other) {
		t.Errorf("without a MachineDeployment, two templates draw %v", one)
	}
}

func TestOrdinals(t *testing.T) {
	spec := v1beta2.HollowMachineSpec{Lifecycle: v1beta2.Lifecycle{Fail: share("1")}}
	objects := []client.Object{template(spec)}
	for i := range 3 {
		name := fmt.Sprint("m", i)
		objects = append(objects, machineOf(name, nil), hollow(name, spec))
	}
	w := newWorld(t, objects...)
	for i, fate := range []v1beta2.Fate{v1beta2.FateFailure, v1beta2.FateNode, v1beta2.FateNode} {
		name := fmt.Sprint("m", i)
		w.reconcile(name)
		w.reconcile(name)
		if s := w.machine(name).Status; s.Ordinal != int64(i+1) || s.Fate != fate {
			t.Errorf("machine %d has the ordinal %d and the fate %s", i+1, s.Ordinal, s.Fate)
		}
	}
	if s := w.template().Status; s.Machines != 3 || s.Base != 0 {
		t.Errorf("the status of the template is %+v", s)
	}
}

func (w *world) template() *v1beta2.HollowMachineTemplate {
	w.t.Helper()
	t := &v1beta2.HollowMachineTemplate{}
	if err := w.management.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: "pool"}, t); err != nil {
		w.t.Fatal(err)
	}
	return t
}

func TestOldCacheOfMachines(t *testing.T) {
	spec := v1beta2.HollowMachineSpec{Lifecycle: v1beta2.Lifecycle{Start: seconds(60)}}
	old := hollow("a", spec)
	old.Finalizers = []string{v1beta2.MachineFinalizer}
	w := newWorld(t, template(spec), machineOf("a", nil), old)
	w.Client = forgetful(t, w.management, old, capi(clusterKind, "lab", nil))
	w.reconcile("a")
	w.reconcile("a")
	if s := w.template().Status; s.Machines != 1 || w.machine("a").Status.Ordinal != 1 {
		t.Errorf("the template gave %d ordinals, and the machine has %d", s.Machines, w.machine("a").Status.Ordinal)
	}
}

func TestMachineWithoutATemplate(t *testing.T) {
	made := hollow("made", v1beta2.HollowMachineSpec{})
	delete(made.Annotations, templateAnnotation)
	w := newWorld(t, machineOf("made", nil), made, machineOf("left", nil), hollow("left", v1beta2.HollowMachineSpec{}))
	w.Live = interceptor.NewClient(w.management, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if key.Name == "" {
				return errors.New("resource name may not be empty") // as client-go
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	for _, name := range []string{"made", "left"} {
		if w.reconcile(name); w.machine(name).Status.Ordinal != 1 || w.node(name) == nil {
			t.Errorf("the machine %s has the status %+v", name, w.machine(name).Status)
		}
	}
}

func TestKilledAfterCounting(t *testing.T) {
	w := newWorld(t, template(v1beta2.HollowMachineSpec{}), machineOf("a", nil), hollow("a", v1beta2.HollowMachineSpec{}))
	killed := errors.New("killed")
	w.Client = interceptor.NewClient(w.management, interceptor.Funcs{
		SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
			return killed
		},
	})
	if _, err := w.try("a"); !errors.Is(err, killed) {
		t.Fatalf("the error is %v", err)
	}
	w.Client = w.management
	w.reconcile("a")
	if s := w.machine("a").Status; s.Ordinal != 2 {
		t.Errorf("the ordinal is %d; the first one was given and lost", s.Ordinal)
	}
}

// TestChangedTemplate changes a template, and counts a machine before the template's own
// reconciler sees the change.
func TestChangedTemplate(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*v1beta2.HollowMachineSpec)
		fates  []v1beta2.Fate // of the second and the third machine
		base   int64
	}{
		"other failures": {func(s *v1beta2.HollowMachineSpec) { s.Lifecycle.Fail = share("2") }, []v1beta2.Fate{v1beta2.FateFailure, v1beta2.FateFailure}, 1},
		"never":          {func(s *v1beta2.HollowMachineSpec) { s.Lifecycle.Fail, s.Lifecycle.Never = nil, share("1") }, []v1beta2.Fate{v1beta2.FateNothing, v1beta2.FateNode}, 1},
		"capacity": {func(s *v1beta2.HollowMachineSpec) {
			s.Node.Capacity = corev1.ResourceList{"cpu": resource.MustParse("4")}
		}, []v1beta2.Fate{v1beta2.FateNode, v1beta2.FateNode}, 0},
	} {
		for _, seen := range []bool{true, false} {
			spec := v1beta2.HollowMachineSpec{Lifecycle: v1beta2.Lifecycle{Fail: share("1")}}
			later := *spec.DeepCopy()
			tt.change(&later)
			w := newWorld(t, template(spec), machineOf("a", nil), hollow("a", spec), machineOf("b", nil), hollow("b", later), machineOf("c", nil), hollow("c", later))
			w.reconcile("a")
			changed := w.template()
			changed.Generation, changed.Spec.Template.Spec = 2, later
			if err := w.management.Update(t.Context(), changed); err != nil {
				t.Fatal(err)
			}
			if seen {
				w.reconcileTemplate()
			}
			w.reconcile("b")
			w.reconcile("c")
			if got := []v1beta2.Fate{w.machine("b").Status.Fate, w.machine("c").Status.Fate}; !slices.Equal(got, tt.fates) {
				t.Errorf("%s, seen %v: the machines since the change have the fates %v, want %v", name, seen, got, tt.fates)
			}
			if s := w.template().Status; s.Base != tt.base || s.Machines != 3 || s.ObservedGeneration != 2 {
				t.Errorf("%s, seen %v: the status of the template is %+v", name, seen, s)
			}
		}
	}
}

func (w *world) reconcileTemplate() {
	w.t.Helper()
	r := &TemplateReconciler{Client: w.management}
	if _, err := r.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: namespace, Name: "pool"}}); err != nil {
		w.t.Fatal(err)
	}
}

func TestTemplateStatus(t *testing.T) {
	w := newWorld(t, template(v1beta2.HollowMachineSpec{Node: v1beta2.HollowNode{
		Capacity:     corev1.ResourceList{"cpu": resource.MustParse("8"), "pods": resource.MustParse("20")},
		Late:         corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("4")},
		Architecture: "arm64",
	}}))
	w.reconcileTemplate()
	s := w.template().Status
	got := map[string]string{}
	for name, quantity := range s.Capacity {
		got[string(name)] = quantity.String()
	}
	if want := map[string]string{"cpu": "8", "pods": "20", "nvidia.com/gpu": "4"}; !reflect.DeepEqual(got, want) {
		t.Errorf("the capacity is %v", got)
	}
	if want := (v1beta2.NodeInfo{Architecture: "arm64", OperatingSystem: "linux"}); s.NodeInfo != want {
		t.Errorf("the platform is %+v", s.NodeInfo)
	}
	if s.ObservedGeneration != 1 {
		t.Errorf("the observed generation is %d", s.ObservedGeneration)
	}
	before := w.template().ResourceVersion
	if w.reconcileTemplate(); w.template().ResourceVersion != before {
		t.Error("a status that did not change was written")
	}
}
