package player

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"caslab/components/hollow/api/v1beta2"
	"caslab/components/hollow/chance"
	"caslab/components/hollow/machine"
)

// playStatus makes the Node ready, and gives it its late resources.
func (r *Reconciler) playStatus(ctx context.Context, m *v1beta2.HollowMachine, node *corev1.Node, next *schedule) error {
	before := node.DeepCopy()
	l := m.Spec.Lifecycle
	ready := chance.Delay(l.Ready.Duration, l.ReadyJitter.Duration, machine.Draw(m, "ready"))
	setConditions(node, next.due(node.CreationTimestamp.Time, ready), next.now)
	if since := readySince(node); since != nil && len(m.Spec.Node.Late) > 0 && next.due(*since, l.LateAfter.Duration) {
		maps.Copy(node.Status.Capacity, m.Spec.Node.Late)
		maps.Copy(node.Status.Allocatable, m.Spec.Node.Late)
	}
	if equality.Semantic.DeepEqual(before.Status, node.Status) {
		return nil
	}
	if err := client.IgnoreNotFound(r.Workload.Status().Patch(ctx, node, client.StrategicMergeFrom(before))); err != nil {
		return fmt.Errorf("write the Node's status: %w", err)
	}
	return nil
}

// setConditions sets the conditions that a kubelet sets. It also takes back what the node
// lifecycle controller wrote about a Node whose leases ended, as while this program was
// not running.
func setConditions(node *corev1.Node, ready bool, now time.Time) {
	set := func(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason, message string) {
		i := slices.IndexFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == kind })
		if i >= 0 && node.Status.Conditions[i].Status == status {
			return
		}
		c := corev1.NodeCondition{
			Type: kind, Status: status, Reason: reason, Message: message,
			LastHeartbeatTime: metav1.Time{Time: now}, LastTransitionTime: metav1.Time{Time: now},
		}
		if i >= 0 {
			node.Status.Conditions[i] = c
		} else {
			node.Status.Conditions = append(node.Status.Conditions, c)
		}
	}
	set(corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "a hollow node has no memory to run out of")
	set(corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "a hollow node has no disk to fill")
	set(corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "a hollow node has no processes")
	if ready {
		set(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "a hollow node is ready as its machine's lifecycle says")
	} else {
		set(corev1.NodeReady, corev1.ConditionFalse, "KubeletNotReady", "lifecycle.ready is not over")
	}
}

// readySince returns since when the Node is ready, or nil if it is not.
func readySince(node *corev1.Node) *time.Time {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return &c.LastTransitionTime.Time
		}
	}
	return nil
}

// playTaints removes the startup taints when it is time.
func (r *Reconciler) playTaints(ctx context.Context, m *v1beta2.HollowMachine, node *corev1.Node, next *schedule) error {
	before := node.DeepCopy()
	startup := func(t corev1.Taint) bool {
		return slices.Contains(m.Spec.Node.StartupTaints, v1beta2.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
	}
	since := readySince(node)
	if since == nil || !slices.ContainsFunc(node.Spec.Taints, startup) || !next.due(*since, m.Spec.Lifecycle.Untaint.Duration) {
		return nil
	}
	node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, startup)
	// The taints are written as a whole, and others write them too.
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := client.IgnoreNotFound(r.Workload.Patch(ctx, node, patch)); err != nil {
		return fmt.Errorf("remove the startup taints: %w", err)
	}
	return nil
}
