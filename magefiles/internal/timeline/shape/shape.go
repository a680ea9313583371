// Package shape describes the objects of a cluster as far as it matters for scheduling and
// scaling: what a pod asks for, what a node offers, what a node group would offer. A record
// has these descriptions as JSON, one for each change of an object.
package shape

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/component-helpers/resource"
)

// Pod is what a pod asks for.
type Pod struct {
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are those that the autoscaler reads.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Owner is the controller of the pod, nil if it has none.
	Owner *Owner `json:"owner,omitempty"`
	// Requests are those of all containers together, and the overhead.
	Requests corev1.ResourceList `json:"requests,omitempty"`
	// NodeSelector and Affinity have only what is required, not what is preferred.
	NodeSelector map[string]string                 `json:"nodeSelector,omitempty"`
	Affinity     *corev1.Affinity                  `json:"affinity,omitempty"`
	Tolerations  []corev1.Toleration               `json:"tolerations,omitempty"`
	Spread       []corev1.TopologySpreadConstraint `json:"spread,omitempty"`
	HostPorts    []string                          `json:"hostPorts,omitempty"`
	// Claims are the names of its PersistentVolumeClaims, and Devices those of its requests for
	// ResourceClaims. DeviceClaims has what each of these requests asks for; it is empty in old records,
	// and older labs read only the names.
	Claims       []string      `json:"claims,omitempty"`
	Devices      []string      `json:"devices,omitempty"`
	DeviceClaims []DeviceClaim `json:"deviceClaims,omitempty"`
	// EmptyDirs and HostPaths are the names of its volumes that are on the node, MemoryDirs
	// those of its emptyDirs in memory. LocalVolumes stands for EmptyDirs and HostPaths in
	// records that do not tell them apart.
	EmptyDirs    []string `json:"emptyDirs,omitempty"`
	MemoryDirs   []string `json:"memoryDirs,omitempty"`
	HostPaths    []string `json:"hostPaths,omitempty"`
	LocalVolumes []string `json:"localVolumes,omitempty"`
	Priority     int32    `json:"priority,omitempty"`
	// Scheduler is empty for the default scheduler.
	Scheduler string `json:"scheduler,omitempty"`
	// Critical is set for the pods of a DaemonSet that have the priority class system-node-critical
	// and evict others. It is not recorded of pods that exist.
	Critical bool `json:"critical,omitempty"`
	// Gated is set while the pod has scheduling gates.
	Gated bool `json:"gated,omitempty"`
	// Nominated is the node on which the scheduler makes room for the pod.
	Nominated string `json:"nominated,omitempty"`
	// Untried is why the scheduler does not know whether there is a node for the pod, such as
	// SchedulerError. It is empty for a pod that has a node, scheduling gates, or no node on which it
	// fits.
	Untried string `json:"untried,omitempty"`
	// Waits is set for a pod without a node that a scheduler has found unschedulable, if the record has
	// no facts of its own about the pod.
	Waits *Wait `json:"waits,omitempty"`
	// Ended is set for a pod that no longer uses its node.
	Ended bool `json:"ended,omitempty"`
	// Deleted is until when a deleted pod has time to end, and Grace is that time in
	// seconds.
	Deleted time.Time `json:"deleted,omitzero"`
	Grace   int64     `json:"grace,omitempty"`
}

// Wait is since when a pod is unschedulable, and what its scheduler says.
type Wait struct {
	Since   time.Time `json:"since"`
	Message string    `json:"message,omitempty"`
}

// Owner is the controller of a pod.
type Owner struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Kinds of owners of pods that belong to a node.
const (
	daemonSet = "DaemonSet"
	mirror    = "Node"
)

// AsDaemonSet is an annotation with which the autoscaler takes a pod for one of a DaemonSet.
const AsDaemonSet = "cluster-autoscaler.kubernetes.io/daemonset-pod"

// OfDaemonSet reports whether the autoscaler takes the pod for one of a DaemonSet: a DaemonSet owns
// it, or it has the annotation AsDaemonSet. Such a pod may have another owner, or none.
func (p Pod) OfDaemonSet() bool { return p.OwnedByDaemonSet() || p.Annotations[AsDaemonSet] == "true" }

// OwnedByDaemonSet reports whether the owner of the pod is a DaemonSet.
func (p Pod) OwnedByDaemonSet() bool { return p.Owner != nil && p.Owner.Kind == daemonSet }

// Mirror reports whether the pod stands for a static pod of a kubelet.
func (p Pod) Mirror() bool { return p.Owner != nil && p.Owner.Kind == mirror }

// OfPod returns the shape of a pod.
func OfPod(pod *corev1.Pod) Pod {
	spec := pod.Spec
	p := Pod{
		Labels: pod.Labels, Annotations: autoscalers(pod.Annotations), Requests: resource.PodRequests(pod, resource.PodResourcesOptions{}),
		NodeSelector: spec.NodeSelector, Affinity: required(spec.Affinity), Spread: slices.DeleteFunc(slices.Clone(spec.TopologySpreadConstraints), func(c corev1.TopologySpreadConstraint) bool {
			return c.WhenUnsatisfiable != corev1.DoNotSchedule
		}),
		Gated: len(spec.SchedulingGates) > 0, Ended: pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed,
	}
	if spec.NodeName == "" {
		p.Nominated, p.Untried = pod.Status.NominatedNodeName, untried(pod)
	}
	if pod.DeletionTimestamp != nil {
		p.Deleted = pod.DeletionTimestamp.UTC()
		if pod.DeletionGracePeriodSeconds != nil {
			p.Grace = *pod.DeletionGracePeriodSeconds
		}
	}
	if spec.Priority != nil {
		p.Priority = *spec.Priority
	}
	if spec.SchedulerName != corev1.DefaultSchedulerName {
		p.Scheduler = spec.SchedulerName
	}
	for _, o := range pod.OwnerReferences {
		if o.Controller != nil && *o.Controller {
			p.Owner = &Owner{o.Kind, o.Name}
		}
	}
	for _, t := range spec.Tolerations {
		// Every pod has these two, for the first minutes of a failure.
		if (t.Key == corev1.TaintNodeNotReady || t.Key == corev1.TaintNodeUnreachable) && t.TolerationSeconds != nil {
			continue
		}
		p.Tolerations = append(p.Tolerations, t)
	}
	for _, c := range spec.Containers {
		for _, port := range c.Ports {
			if port.HostPort > 0 {
				p.HostPorts = append(p.HostPorts, fmt.Sprintf("%s/%d", strings.ToLower(string(port.Protocol)), port.HostPort))
			}
		}
	}
	for _, v := range spec.Volumes {
		switch {
		case v.PersistentVolumeClaim != nil:
			p.Claims = append(p.Claims, v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil:
			p.Claims = append(p.Claims, pod.Name+"-"+v.Name)
		case v.HostPath != nil:
			p.HostPaths = append(p.HostPaths, v.Name)
		case v.EmptyDir != nil && v.EmptyDir.Medium == corev1.StorageMediumMemory:
			p.MemoryDirs = append(p.MemoryDirs, v.Name)
		case v.EmptyDir != nil:
			p.EmptyDirs = append(p.EmptyDirs, v.Name)
		}
	}
	p.DeviceClaims = deviceClaims(pod)
	for _, d := range p.DeviceClaims {
		p.Devices = append(p.Devices, d.Name)
	}
	return p
}

// untried returns the reason of the condition PodScheduled, if that is False and neither because no node
// takes the pod nor because of scheduling gates.
func untried(pod *corev1.Pod) string {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason != corev1.PodReasonUnschedulable && c.Reason != corev1.PodReasonSchedulingGated {
			return c.Reason
		}
	}
	return ""
}

// required returns the affinity without preferences, nil if nothing is left.
func required(a *corev1.Affinity) *corev1.Affinity {
	if a == nil {
		return nil
	}
	r := corev1.Affinity{}
	if n := a.NodeAffinity; n != nil && n.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		r.NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: n.RequiredDuringSchedulingIgnoredDuringExecution}
	}
	if p := a.PodAffinity; p != nil && len(p.RequiredDuringSchedulingIgnoredDuringExecution) > 0 {
		r.PodAffinity = &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: p.RequiredDuringSchedulingIgnoredDuringExecution}
	}
	if p := a.PodAntiAffinity; p != nil && len(p.RequiredDuringSchedulingIgnoredDuringExecution) > 0 {
		r.PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: p.RequiredDuringSchedulingIgnoredDuringExecution}
	}
	if r == (corev1.Affinity{}) {
		return nil
	}
	return &r
}

// Node is what a node offers.
type Node struct {
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations are those that the autoscaler reads.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Taints are all but those of the autoscaler, of which the record has facts of
	// their own.
	Taints      []corev1.Taint      `json:"taints,omitempty"`
	Allocatable corev1.ResourceList `json:"allocatable,omitempty"`
	// Capacity is nil if it is the same as Allocatable, and in old records.
	Capacity   corev1.ResourceList `json:"capacity,omitempty"`
	ProviderID string              `json:"providerID,omitempty"`
}

// OfNode returns the shape of a node. notTaints are keys of taints that it leaves out.
func OfNode(node *corev1.Node, notTaints ...string) Node {
	n := Node{Labels: node.Labels, Annotations: autoscalers(node.Annotations), Allocatable: node.Status.Allocatable, ProviderID: node.Spec.ProviderID}
	for _, t := range node.Spec.Taints {
		if slices.Contains(notTaints, t.Key) {
			continue
		}
		t.TimeAdded = nil
		n.Taints = append(n.Taints, t)
	}
	if !maps.EqualFunc(node.Status.Capacity, n.Allocatable, func(a, b apiresource.Quantity) bool { return a.Cmp(b) == 0 }) {
		n.Capacity = node.Status.Capacity
	}
	return n
}

// Prefixes of annotations of pods and nodes that the autoscaler reads.
var prefixes = []string{"cluster-autoscaler.kubernetes.io/", "autoscaling.x-k8s.io/"}

// autoscalers returns the annotations that the autoscaler reads, nil if there are none.
func autoscalers(annotations map[string]string) map[string]string {
	return with(annotations, prefixes...)
}

// with returns the entries whose keys have one of the prefixes, nil if there are none.
func with(all map[string]string, prefixes ...string) map[string]string {
	found := maps.Clone(all)
	maps.DeleteFunc(found, func(key, _ string) bool {
		return !slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
	})
	if len(found) == 0 {
		return nil
	}
	return found
}

// Autoscaler is what a process of the autoscaler logs of itself. A fact has only a part of
// it: a later fact replaces the fields that it has.
type Autoscaler struct {
	// Flags has the values of the flags that matter for its decisions, by name and
	// without leading dashes. A flag that is not in it has its default.
	Flags map[string]string `json:"flags,omitempty"`
	// API is the version of Cluster API's API that it uses, empty if it is not known.
	API string `json:"api,omitempty"`
	// Tree is what it was compiled from, if the lab did that.
	Tree     string    `json:"tree,omitempty"`
	CoolDown *CoolDown `json:"coolDown,omitempty"`
	Loops    *Loops    `json:"loops,omitempty"`
	// Requests is from its metrics, not from its log.
	Requests *Requests `json:"requests,omitempty"`
}

// Requests are the N requests that a process sent to API servers in a period.
type Requests struct {
	N    int64     `json:"n"`
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// CoolDown has the times from which the autoscaler counts the delays before it removes nodes
// again. When it starts, they are in the past.
type CoolDown struct {
	// Add is when it last added nodes, Delete when it last began to delete some, and
	// Failure when a deletion last failed.
	Add     time.Time `json:"add,omitzero"`
	Delete  time.Time `json:"delete,omitzero"`
	Failure time.Time `json:"failure,omitzero"`
	// Over is set if the autoscaler said that it was in no cool-down. Older records never
	// have it.
	Over bool `json:"over,omitempty"`
}

// Loops are loops of the autoscaler, one after the other.
type Loops struct {
	// N loops began after the one that began at From, the last of them at Last.
	N    int       `json:"n,omitempty"`
	From time.Time `json:"from"`
	Last time.Time `json:"last"`
	// Median and Longest are for how long the complete ones logged, in nanoseconds.
	Median  time.Duration `json:"median,omitempty"`
	Longest time.Duration `json:"longest,omitempty"`
}

// Amount returns a quantity for a reader, memory and storage in Mi or Gi.
func Amount(name corev1.ResourceName, milli int64) string {
	const mebi = 1 << 20 * 1000
	switch {
	case name == corev1.ResourceCPU && milli%1000 != 0:
		return fmt.Sprintf("%dm", milli)
	case name != corev1.ResourceMemory && name != corev1.ResourceEphemeralStorage && !strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix):
		return fmt.Sprint(milli / 1000)
	case milli >= 10<<10*mebi:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(milli)/(1<<10*mebi)), ".0") + "Gi"
	case milli > 0 && milli < mebi:
		return "1Mi"
	}
	return fmt.Sprintf("%dMi", (milli+mebi-1)/mebi)
}

// Percent returns a share in percent, with at most one decimal.
func Percent(share float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(100*share, 'f', 1, 64), ".0") + "%"
}

// Encode returns a shape as the record has it.
func Encode(shape any) json.RawMessage {
	data, err := json.Marshal(shape)
	if err != nil {
		panic(err) // all types of this package can be encoded
	}
	return data
}
