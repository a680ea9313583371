package player

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"caslab/components/hollow/api/v1beta2"
)

func TestPodStart(t *testing.T) {
	spec := v1beta2.HollowMachineSpec{Pods: v1beta2.Pods{Start: seconds(20), StartJitter: seconds(5)}}
	w := newWorld(t, spec, theNode(), thePod("p", 3*time.Second))
	w.runTo(3 * time.Second)
	start := startOf(&v1beta2.HollowMachine{Spec: spec}, thePod("p", 0))
	if start < 15*time.Second || start > 25*time.Second || start == 20*time.Second {
		t.Fatalf("the pod is to start after %v", start)
	}
	w.runTo(3*time.Second + start - time.Millisecond)
	if phase := w.pod("p").Status.Phase; phase != corev1.PodPending {
		t.Errorf("too soon the pod is %s", phase)
	}
	w.runTo(3*time.Second + start)
	pod := w.pod("p")
	if s := pod.Status; s.Phase != corev1.PodRunning || !s.StartTime.Time.Equal(began.Add(3*time.Second+start).Truncate(time.Second)) {
		t.Errorf("the pod is %s since %v", s.Phase, s.StartTime)
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		if c := conditionOf(pod, kind); c.Status != corev1.ConditionTrue {
			t.Errorf("the condition %s is %+v", kind, c)
		}
	}
	before := pod.ResourceVersion
	w.runTo(time.Hour)
	if w.pod("p").ResourceVersion != before {
		t.Error("a running pod of which nothing is due was written to")
	}
}

func TestPodsWaitForTheirNode(t *testing.T) {
	w := newWorld(t, v1beta2.HollowMachineSpec{Lifecycle: v1beta2.Lifecycle{Ready: seconds(10)}, Pods: v1beta2.Pods{Start: seconds(2)}}, theNode(), thePod("p", 0))
	w.runTo(12*time.Second - time.Millisecond)
	if phase := w.pod("p").Status.Phase; phase != corev1.PodPending {
		t.Errorf("on a Node that is not ready long enough the pod is %s", phase)
	}
	w.runTo(12 * time.Second)
	if phase := w.pod("p").Status.Phase; phase != corev1.PodRunning {
		t.Errorf("the pod is %s", phase)
	}
}

// TestPodBoundBeforeItsNodeIsSeen has the order of events in which kwok loses a pod.
func TestPodBoundBeforeItsNodeIsSeen(t *testing.T) {
	w := newWorld(t, v1beta2.HollowMachineSpec{}, thePod("p", 0))
	requests := nodeOfPod(t.Context(), w.pod("p"))
	if len(requests) != 1 || requests[0].Name != "n" {
		t.Fatalf("the pod's event has %v looked at", requests)
	}
	w.reconcile()
	if phase := w.pod("p").Status.Phase; phase != corev1.PodPending {
		t.Fatalf("without a Node the pod is %s", phase)
	}
	if err := w.cluster.Create(t.Context(), theNode()); err != nil {
		t.Fatal(err)
	}
	w.reconcile() // the Node's event, and none of the pod
	if phase := w.pod("p").Status.Phase; phase != corev1.PodRunning {
		t.Errorf("the pod is %s", phase)
	}
}

// TestNodeSeenBeforeItsMachine has the order of events after clusterctl move.
func TestNodeSeenBeforeItsMachine(t *testing.T) {
	m := &v1beta2.HollowMachine{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "cluster.x-k8s.io/v1beta2", Kind: "Machine", Name: "n"},
	}}}
	if requests := nodeOfMachine(t.Context(), m); len(requests) != 1 || requests[0].Name != "n" {
		t.Errorf("the machine's event has %v looked at", requests)
	}
	if requests := nodeOfMachine(t.Context(), &v1beta2.HollowMachine{}); requests != nil {
		t.Errorf("the event of a machine without an owner has %v looked at", requests)
	}
}

func TestContainers(t *testing.T) {
	pod := thePod("p", 0)
	pod.Spec.InitContainers = []corev1.Container{
		{Name: "init", Image: "a"},
		{Name: "sidecar", Image: "b", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)},
	}
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "d", Image: "j"})
	pod.Annotations = map[string]string{v1beta2.RunForAnnotation: "90s"}
	w := newWorld(t, v1beta2.HollowMachineSpec{}, theNode(), pod)
	w.runTo(90*time.Second - time.Millisecond)
	if got, want := containers(w.pod("p")), "init/a Completed 0, sidecar/b running ready, c/i running ready, d/j running ready"; got != want {
		t.Errorf("the containers are\n%s, want\n%s", got, want)
	}
	w.runTo(90 * time.Second)
	s := w.pod("p").Status
	if got, want := containers(w.pod("p")), "init/a Completed 0, sidecar/b Completed 0, c/i Completed 0, d/j Completed 0"; got != want {
		t.Errorf("the containers are\n%s, want\n%s", got, want)
	}
	if c := conditionOf(w.pod("p"), corev1.PodReady); s.Phase != corev1.PodSucceeded || c.Status != corev1.ConditionFalse || c.Reason != "PodCompleted" {
		t.Errorf("the pod is %s and %+v", s.Phase, c)
	}
	if end := s.ContainerStatuses[0].State.Terminated; !end.StartedAt.Time.Equal(began) || !end.FinishedAt.Time.Equal(began.Add(90*time.Second)) {
		t.Errorf("the container ran from %v to %v", end.StartedAt, end.FinishedAt)
	}
}

func containers(pod *corev1.Pod) string {
	var texts []string
	for _, s := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
		text := s.Name + "/" + s.Image + " "
		switch {
		case s.State.Terminated != nil:
			text += fmt.Sprint(s.State.Terminated.Reason, " ", s.State.Terminated.ExitCode)
		case s.State.Running != nil && s.Ready && *s.Started:
			text += "running ready"
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

func TestPodAddresses(t *testing.T) {
	host := thePod("host", 0)
	host.Spec.HostNetwork = true
	w := newWorld(t, v1beta2.HollowMachineSpec{}, theNode(), thePod("a", 0), thePod("b", 0), host)
	w.reconcile()
	seen := map[string]bool{}
	for _, name := range []string{"a", "b"} {
		s := w.pod(name).Status
		ip, err := netip.ParseAddr(s.PodIP)
		if err != nil || !netip.MustParsePrefix("240.0.0.0/4").Contains(ip) || seen[s.PodIP] || len(s.PodIPs) != 1 || s.PodIPs[0].IP != s.PodIP {
			t.Errorf("the addresses of %s are %q and %v", name, s.PodIP, s.PodIPs)
		}
		seen[s.PodIP] = true
	}
	if s := w.pod("host").Status; s.Phase != corev1.PodRunning || s.PodIP != "" {
		t.Errorf("the pod in the host's network is %s with the address %q", s.Phase, s.PodIP)
	}
}

func TestReadinessGates(t *testing.T) {
	pod := thePod("p", 0)
	pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/gate"}}
	w := newWorld(t, v1beta2.HollowMachineSpec{}, theNode(), pod)
	w.reconcile()
	if c := conditionOf(w.pod("p"), corev1.PodReady); c.Status != corev1.ConditionFalse || c.Reason != "ReadinessGatesNotReady" {
		t.Errorf("before its gate is open the pod's condition is %+v", c)
	}
	pod = w.pod("p")
	setCondition(pod, "example.com/gate", corev1.ConditionTrue, "", metav1.Now())
	if err := w.cluster.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	w.reconcile()
	if c := conditionOf(w.pod("p"), corev1.PodReady); c.Status != corev1.ConditionTrue {
		t.Errorf("after its gate is open the pod's condition is %+v", c)
	}
}

func TestFailingPods(t *testing.T) {
	const n = 200
	outcome := func(seed int64) (phases []corev1.PodPhase, failed int) {
		objects := []client.Object{theNode()}
		for i := range n {
			objects = append(objects, thePod(fmt.Sprint("p", i), 0))
		}
		w := newWorld(t, v1beta2.HollowMachineSpec{Lifecycle: v1beta2.Lifecycle{Seed: seed}, Pods: v1beta2.Pods{Fail: "20%"}}, objects...)
		w.reconcile()
		for i := range n {
			s := w.pod(fmt.Sprint("p", i)).Status
			phases = append(phases, s.Phase)
			if s.Phase == corev1.PodFailed {
				failed++
				if s.Reason == "" || s.ContainerStatuses[0].State.Terminated.ExitCode == 0 {
					t.Errorf("a failed pod has the status %+v", s)
				}
			}
		}
		return phases, failed
	}
	first, failed := outcome(1)
	if failed < n/10 || failed > n*3/10 {
		t.Errorf("%d of %d pods failed, want about a fifth", failed, n)
	}
	if again, _ := outcome(1); !reflect.DeepEqual(first, again) {
		t.Error("the same seed gives other failures")
	}
	if other, _ := outcome(2); reflect.DeepEqual(first, other) {
		t.Error("another seed gives the same failures")
	}
}

func TestPodDeletion(t *testing.T) {
	plain, held, ended := thePod("plain", 0), thePod("held", 0), thePod("ended", 0)
	for _, pod := range []*corev1.Pod{plain, held, ended} {
		pod.Finalizers = []string{"batch.kubernetes.io/job-tracking"}
		pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &metav1.Time{Time: began}, ptr.To[int64](30)
	}
	ended.DeletionGracePeriodSeconds = ptr.To[int64](0)
	w := newWorld(t, v1beta2.HollowMachineSpec{}, theNode(), held, ended, plain)
	// The cache has no pods with a final phase, so a pod gets that phase only after its deletion.
	type deletion struct {
		grace int64
		uid   string
		phase corev1.PodPhase
	}
	deleted := map[string]deletion{}
	w.Workload = interceptor.NewClient(w.cluster, interceptor.Funcs{
		Delete: func(_ context.Context, _ client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			options := (&client.DeleteOptions{}).ApplyOptions(opts)
			deleted[o.GetName()] = deletion{*options.GracePeriodSeconds, string(*options.Preconditions.UID), w.pod(o.GetName()).Status.Phase}
			return nil
		},
	})
	w.reconcile()
	if want := map[string]deletion{
		"held":  {0, "held-uid", corev1.PodPending},
		"plain": {0, "plain-uid", corev1.PodPending},
	}; !reflect.DeepEqual(deleted, want) {
		t.Errorf("the deletions are %v, want %v", deleted, want)
	}
	if phase := w.pod("ended").Status.Phase; phase != corev1.PodFailed {
		t.Errorf("the pod that only finalizers hold is %s", phase)
	}
	if phase := w.pod("held").Status.Phase; phase != corev1.PodPending {
		t.Errorf("the pod whose deletion is not over is %s", phase)
	}
}

// TestDeletionOfAPodWithoutFinalizers has no pod in the cluster: the fake has none without
// finalizers that is being deleted.
func TestDeletionOfAPodWithoutFinalizers(t *testing.T) {
	pod := thePod("p", 0)
	pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &metav1.Time{Time: began}, ptr.To[int64](30)
	w := newWorld(t, v1beta2.HollowMachineSpec{})
	requests := 0
	w.Workload = interceptor.NewClient(w.cluster, interceptor.Funcs{
		Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error {
			requests++
			return nil
		},
		SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
			t.Error("the status of a pod that goes was written")
			return nil
		},
	})
	if err := w.endPod(t.Context(), pod); err != nil || requests != 1 {
		t.Errorf("%d requests to delete, and the error %v", requests, err)
	}
}

func TestRunForThatIsNoDuration(t *testing.T) {
	pod := thePod("p", 0)
	pod.Annotations = map[string]string{v1beta2.RunForAnnotation: "soon"}
	w := newWorld(t, v1beta2.HollowMachineSpec{}, theNode(), pod)
	w.runTo(time.Hour)
	if phase := w.pod("p").Status.Phase; phase != corev1.PodRunning {
		t.Errorf("the pod is %s", phase)
	}
}

// TestOnePodThatCannotBeWritten checks that it keeps neither other pods nor the Node.
func TestOnePodThatCannotBeWritten(t *testing.T) {
	w := newWorld(t, v1beta2.HollowMachineSpec{}, theNode(), thePod("a", 0), thePod("b", 0), thePod("c", 0))
	refused := errors.New("refused")
	w.Workload = interceptor.NewClient(w.cluster, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			if o.GetName() == "b" {
				return refused
			}
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	})
	if _, err := w.try(); !errors.Is(err, refused) || !strings.Contains(err.Error(), "default/b") {
		t.Errorf("the error is %v", err)
	}
	if w.pod("a").Status.Phase != corev1.PodRunning || w.pod("c").Status.Phase != corev1.PodRunning || readySince(w.node()) == nil {
		t.Error("another pod or the Node is left behind")
	}
}

// TestPodOfTheSameName has a cache with a pod that a StatefulSet has replaced meanwhile.
func TestPodOfTheSameName(t *testing.T) {
	w := newWorld(t, v1beta2.HollowMachineSpec{}, theNode(), thePod("p", 0))
	old := w.pod("p")
	if err := w.cluster.Delete(t.Context(), old.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	replacement := thePod("p", 0)
	replacement.Spec.NodeName = ""
	if err := w.cluster.Create(t.Context(), replacement); err != nil {
		t.Fatal(err)
	}
	if w.pod("p").ResourceVersion == old.ResourceVersion {
		old.ResourceVersion = "77"
	}
	after := old.DeepCopy()
	start(after, metav1.Now())
	if err := w.patchPod(t.Context(), old, after); !apierrors.IsConflict(err) {
		t.Errorf("the error is %v", err)
	}
	if phase := w.pod("p").Status.Phase; phase != corev1.PodPending {
		t.Errorf("the pod that is not on the Node is %s", phase)
	}
}

func TestPodsOfDaemonSetsNeverFail(t *testing.T) {
	agent, other := thePod("agent", 0), thePod("other", 0)
	agent.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "agent", Controller: ptr.To(true)}}
	other.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "other", Controller: ptr.To(true)}}
	w := newWorld(t, v1beta2.HollowMachineSpec{Pods: v1beta2.Pods{Fail: "100%"}}, theNode(), agent, other)
	w.reconcile()
	if a, o := w.pod("agent").Status.Phase, w.pod("other").Status.Phase; a != corev1.PodRunning || o != corev1.PodFailed {
		t.Errorf("the pod of a DaemonSet is %s, and the other one %s", a, o)
	}
}
