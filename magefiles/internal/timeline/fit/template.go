package fit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

// unknownCapacity returns why the autoscaler does not know what a node of an empty group
// has, empty if it does.
func (j *Judge) unknownCapacity(g *world.Group) string {
	r := j.Autoscaler.Release()
	if !r.FromZero {
		return fmt.Sprintf("it is empty, and %s enlarges no empty group", j.Autoscaler.Title())
	}
	capacity := j.capacity(g)
	if isEnough(capacity) {
		return ""
	}
	text := "it is empty, its annotations tell no cpu and memory, and "
	switch {
	case !j.readsTemplate(g) && (g.Infrastructure == nil || len(g.Infrastructure.Capacity) > 0):
		return text + j.Autoscaler.Title() + " cannot read its template's status.capacity, because the reference names no version of the API"
	case g.Infrastructure == nil:
		return "" // what it tells is unknown to the lab, and not to the autoscaler
	}
	return text + "its template " + g.Template.String() + " tells none"
}

// unrecorded names the template of a group if it is not on record, and if only it may tell the autoscaler
// what a node of the group has. Otherwise it returns an empty text.
func (j *Judge) unrecorded(g *world.Group) string {
	if g.Infrastructure != nil || !j.Autoscaler.Release().FromZero || !j.readsTemplate(g) || isEnough(j.capacity(g)) {
		return ""
	}
	template := "its machine template"
	if g.Kind == "MachinePool" {
		template = "its infrastructure"
	}
	if g.Template.Name != "" {
		template += " " + g.Template.String()
	}
	return template + " is not on record"
}

// readsTemplate reports whether the autoscaler's release can read a group's infrastructure
// template.
func (j *Judge) readsTemplate(g *world.Group) bool {
	r := j.Autoscaler.Release()
	// Converted to an older version of the API, every reference has a version.
	converted := j.Autoscaler.API != "" && j.Autoscaler.API <= r.NewestAPI
	return r.GroupReferences || g.Template.Versioned || converted
}

// capacity returns what the autoscaler takes for the capacity of a node of an empty group:
// that of the template, overridden by annotations.
func (j *Judge) capacity(g *world.Group) corev1.ResourceList {
	capacity := corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(defaultPods, resource.DecimalSI)}
	if g.Infrastructure != nil && j.readsTemplate(g) {
		maps.Copy(capacity, g.Infrastructure.Capacity)
	}
	for annotation, name := range map[string]corev1.ResourceName{
		"cpu": corev1.ResourceCPU, "memory": corev1.ResourceMemory, "ephemeral-disk": corev1.ResourceEphemeralStorage, "maxPods": corev1.ResourcePods,
		"gpu-count": corev1.ResourceName(g.Annotations[release.CapacityPrefix+"gpu-type"]),
	} {
		if q, err := resource.ParseQuantity(g.Annotations[release.CapacityPrefix+annotation]); err == nil && !q.IsZero() && name != "" {
			capacity[name] = q
		}
	}
	return capacity
}

// isEnough reports whether a capacity has what the autoscaler must know.
func isEnough(capacity corev1.ResourceList) bool {
	return !capacity.Cpu().IsZero() && !capacity.Memory().IsZero()
}

// defaultPods is the number of pods of a node whose group tells none.
const defaultPods = 110

// next returns the node that the autoscaler expects if the group grows, and from what it
// knows that. ok is false if it knows nothing of the group's nodes.
func (j *Judge) next(g *world.Group, p *world.Pod) (at place, basis string, ok bool) {
	at = place{where: "the template", by: j.Autoscaler.Title(), group: true, name: "template-node-for-" + g.Name, allocatable: j.capacity(g), blind: !j.Autoscaler.JudgesDevices()}
	if j.Autoscaler.Release().DevicesAsResources {
		at.backed = j.backed()
	}
	model, basis := j.model(g, isEnough(at.allocatable))
	switch {
	case model != nil:
		j.fill(&at, model)
		if r := j.remembered(g); r != nil && r.Node == model {
			at.devices = like(r.Devices, at.name)
		} else {
			at.devices = like(j.Devices.Of(model.Name), at.name)
		}
		return at, basis, true
	case !isEnough(at.allocatable):
		at.capacity = at.allocatable
		return at, "", false
	}
	j.invent(&at, g, p)
	at.devices = j.announcedDevices(g, at.name)
	return at, "by its annotations and its template", true
}

// model returns the node of a group like which the autoscaler expects the next one, and which one that
// is; nil if it expects one by the annotations and the template of the group, which may say enough.
// Source: MixedTemplateNodeInfoProvider, Process.
func (j *Judge) model(g *world.Group, enough bool) (n *world.Node, basis string) {
	if j.Lost(g) != nil {
		return nil, ""
	}
	if n := j.example(g); n != nil {
		return n, "like its node " + n.Name
	}
	if r := j.remembered(g); r != nil && j.NodeOf(r.Name) == nil {
		return r.Node, fmt.Sprintf("like its node %s, which is gone (the autoscaler remembers it%s)", r.Name, j.forgetsAt(r))
	} else if r != nil {
		return r.Node, fmt.Sprintf("like its node %s until %s (the autoscaler remembers it%s)", r.Name, timeline.Clock(r.Until), j.forgetsAt(r))
	}
	if !enough && len(g.Nodes) > 0 {
		return g.Nodes[0], "like its node " + g.Nodes[0].Name // the last resort
	}
	return nil, ""
}

// expiry is the flag that says for how long the autoscaler remembers an example. The default is 10 years.
// Source: isCacheItemExpired in processors/nodeinfosprovider/mixed_nodeinfos_processor.go of 1.24.0 to 1.36.1.
const expiry = "node-info-cache-expire-time"

// remembered returns the last example of a group if the autoscaler uses it, nil if it forgot it, or if
// there was none.
func (j *Judge) remembered(g *world.Group) *world.Remembered {
	if r := j.rememberedOnce(g); r != nil && !j.At.After(j.expires(r)) {
		return r
	}
	return nil
}

// expires returns when the autoscaler forgets an example.
func (j *Judge) expires(r *world.Remembered) time.Time {
	after, _ := j.Autoscaler.Setting(expiry).Duration()
	return r.Until.Add(after)
}

// forgetsAt returns when the autoscaler forgets an example, as a part of a sentence. It is empty if
// the flag is not set: the default is ten years.
func (j *Judge) forgetsAt(r *world.Remembered) string {
	if by := j.Autoscaler.Setting(expiry).By; by == "--"+expiry {
		return fmt.Sprintf(" until %s by %s", timeline.Clock(j.expires(r)), by)
	}
	return ""
}

// forgot returns a sentence if the autoscaler has forgotten the last example of a group because of
// its age, and nothing otherwise.
func (j *Judge) forgot(g *world.Group) string {
	if r := j.rememberedOnce(g); r != nil && j.At.After(j.expires(r)) && j.example(g) == nil {
		setting := j.Autoscaler.Setting(expiry)
		return fmt.Sprintf("the autoscaler has forgotten its node %s, %s after that was the last example for new ones (%s)", r.Name, setting.Words(), setting.By)
	}
	return ""
}

// rememberedOnce returns the last example of the group, even if the autoscaler has forgotten it.
func (j *Judge) rememberedOnce(g *world.Group) *world.Remembered {
	r := g.Remembered
	if r == nil || !j.Autoscaler.Release().RemembersExamples || lacksGPUs(r.Node) || len(j.Outside(g)) > 0 {
		return nil
	}
	if slices.ContainsFunc(r.Groups, func(then *world.Group) bool { return len(j.Outside(then)) > 0 }) {
		return nil
	}
	return r
}

// fill makes the place like a node.
func (j *Judge) fill(at *place, model *world.Node) {
	at.where, at.labels, at.allocatable = "its nodes", maps.Clone(model.Labels), model.Allocatable
	if _, there := at.labels[corev1.LabelHostname]; there {
		at.labels[corev1.LabelHostname] = at.name
	}
	if at.capacity = model.Capacity; at.capacity == nil {
		at.capacity = model.Allocatable
	}
	for _, t := range model.Taints {
		if !j.passing(t.Key) {
			at.taints = append(at.taints, t)
		}
	}
	for _, p := range model.Pods {
		if (p.OfDaemonSet() || p.Mirror()) && p.Deleted.IsZero() {
			at.put(p)
		}
	}
	forced := j.Autoscaler.On("force-ds")
	if forced || j.Autoscaler.Release().AddsCriticalPods {
		j.putDaemons(at, !forced)
	}
}

// invent makes the place what the annotations and the template of an empty group tell.
func (j *Judge) invent(at *place, g *world.Group, p *world.Pod) {
	at.capacity = at.allocatable
	at.labels = map[string]string{corev1.LabelOSStable: "linux", corev1.LabelArchStable: j.architecture(), corev1.LabelHostname: at.name}
	if t := g.Infrastructure; t != nil && j.readsTemplate(g) && j.Autoscaler.Release().SystemOfTemplate {
		at.system = map[string]string{}
		for label, value := range map[string]string{corev1.LabelArchStable: t.Architecture, corev1.LabelOSStable: t.System} {
			if value == "" {
				at.system[label] = at.labels[label]
			}
			at.labels[label] = value
		}
	}
	if told := announcedLabels(g); j.Autoscaler.Release().KnowsEmptyGroups {
		maps.Copy(at.labels, told)
		maps.DeleteFunc(at.system, func(label, _ string) bool { _, there := told[label]; return there })
	} else {
		at.unread = told
	}
	at.managed = j.managed(g, p)
	at.taints = j.taints(g)
	at.put(&world.Pod{Name: "kube-system/kube-proxy-" + at.name, Pod: shape.Pod{Requests: corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(proxyCPU, resource.DecimalSI)}}})
	j.putDaemons(at, false)
}

// putDaemons adds the pods of DaemonSets that run on such a node, and that the place does not have
// yet; of critical ones alone, if critical is set.
func (j *Judge) putDaemons(at *place, critical bool) {
	for _, d := range j.daemons() {
		if critical && !d.Critical {
			continue
		}
		there := slices.ContainsFunc(at.has, func(p *world.Pod) bool {
			return p.OwnedByDaemonSet() && *p.Owner == *d.Owner && p.Namespace() == d.Namespace()
		})
		if !there && j.admits(d, *at) {
			at.put(d)
		}
	}
}

// example returns the node of a group that the autoscaler takes as the example for the next one;
// nil if there is none. The autoscaler treats a node whose GPUs are not there yet as not Ready.
// Source: isNodeGoodTemplateCandidate, and processors/customresources/gpu_processor.go.
func (j *Judge) example(g *world.Group) *world.Node {
	i := slices.IndexFunc(g.Nodes, func(n *world.Node) bool {
		stable := !j.Autoscaler.Release().StableExamples || j.At.Sub(n.ReadySince) > world.StableAfter
		return n.Open() && stable && !lacksGPUs(n) && !slices.ContainsFunc(n.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeUnschedulable })
	})
	if i < 0 {
		return nil
	}
	return g.Nodes[i]
}

// GPULabel is on nodes with GPUs, and GPUs is the resource that counts there. Source:
// cloudprovider/clusterapi/clusterapi_provider.go and utils/gpu/gpu.go.
const (
	GPULabel = "cluster-api/accelerator"
	GPUs     = corev1.ResourceName("nvidia.com/gpu")
)

// gpuResources are the resources by which the autoscaler sees that the GPUs of a node are there.
// Source: utils/gpu/gpu.go of 1.36.1; older releases know fewer.
var gpuResources = []corev1.ResourceName{GPUs, "amd.com/gpu", "microsoft.com/directx"}

// lacksGPUs reports whether a node should have GPUs that it does not offer yet.
func lacksGPUs(n *world.Node) bool {
	_, labelled := n.Labels[GPULabel]
	return labelled && !slices.ContainsFunc(gpuResources, func(name corev1.ResourceName) bool {
		q, there := n.Allocatable[name]
		return there && !q.IsZero()
	})
}

// announcedLabels returns the labels that a group's annotations tell of its nodes.
func announcedLabels(g *world.Group) map[string]string {
	labels := map[string]string{}
	for pair := range strings.SplitSeq(g.Annotations[release.CapacityPrefix+"labels"], ",") {
		if key, value, found := strings.Cut(pair, "="); found {
			labels[key] = value
		}
	}
	return labels
}

// proxyCPU is what the autoscaler expects a static pod kube-proxy to request on a node of an
// empty group, in thousandths of a CPU. Source: cloudprovider/utils.go, BuildKubeProxy, in older
// releases cloudprovider/cloud_provider.go.
const proxyCPU = 100

// architecture returns that of the nodes that exist, amd64 if there is none. The lab makes it
// the autoscaler's default for empty groups.
func (j *Judge) architecture() string {
	for _, n := range j.Nodes {
		if arch := n.Labels[corev1.LabelArchStable]; arch != "" {
			return arch
		}
	}
	return "amd64"
}

// conditionTaints are taints of a node's passing state.
var conditionTaints = []string{
	corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeUnschedulable, corev1.TaintNodeMemoryPressure, corev1.TaintNodeDiskPressure,
	corev1.TaintNodeNetworkUnavailable, corev1.TaintNodePIDPressure, "node.cloudprovider.kubernetes.io/uninitialized", "node.cloudprovider.kubernetes.io/shutdown",
}

// passing reports whether the autoscaler expects that a new node of the group has no such
// taint.
func (j *Judge) passing(key string) bool {
	for _, flag := range []string{"startup-taint", "status-taint", "ignore-taint"} {
		if slices.Contains(strings.Split(strings.Trim(j.Autoscaler.Flags[flag], "[]"), ","), key) {
			return true
		}
	}
	return slices.Contains(conditionTaints, key) || strings.HasPrefix(key, "startup-taint.cluster-autoscaler.kubernetes.io/") ||
		strings.HasPrefix(key, "status-taint.cluster-autoscaler.kubernetes.io/") || strings.HasPrefix(key, "ignore-taint.cluster-autoscaler.kubernetes.io/")
}

// taints returns the taints that the autoscaler expects on a node of an empty group.
func (j *Judge) taints(g *world.Group) []corev1.Taint {
	var taints []corev1.Taint
	if j.Autoscaler.Release().TemplateTaints {
		taints = slices.Clone(g.NodeTaints)
	}
	told := g.Annotations[release.CapacityPrefix+"taints"]
	if !j.Autoscaler.Release().KnowsEmptyGroups {
		told = ""
	}
	for text := range strings.SplitSeq(told, ",") {
		rest, effect, found := strings.Cut(text, ":")
		key, value, _ := strings.Cut(rest, "=")
		if !found || key == "" {
			continue
		}
		taints = slices.DeleteFunc(taints, func(t corev1.Taint) bool { return t.Key == key && string(t.Effect) == effect })
		taints = append(taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)})
	}
	return slices.DeleteFunc(taints, func(t corev1.Taint) bool { return j.passing(t.Key) })
}

// managed returns the labels of the group's machines that Cluster API gives to nodes, that
// the pod asks for, and that the autoscaler does not expect on a node of an empty group.
func (j *Judge) managed(g *world.Group, p *world.Pod) map[string]string {
	labels := map[string]string{}
	for key, value := range g.NodeLabels {
		domain, _, _ := strings.Cut(key, "/")
		for _, d := range []string{"node-role.kubernetes.io", "node-restriction.kubernetes.io", "node.cluster.x-k8s.io"} {
			if (domain == d || strings.HasSuffix(domain, "."+d) && d != "node-role.kubernetes.io") && asksFor(p, key) {
				labels[key] = value
			}
		}
	}
	return labels
}

// asksFor reports whether nodeSelector or node affinity names a label.
func asksFor(p *world.Pod, label string) bool {
	if _, selected := p.NodeSelector[label]; selected {
		return true
	}
	if p.Affinity == nil || p.Affinity.NodeAffinity == nil {
		return false
	}
	for _, t := range p.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, e := range t.MatchExpressions {
			if e.Key == label {
				return true
			}
		}
	}
	return false
}

// daemons returns a pod of each DaemonSet, as it would be on any node. If the record may lack DaemonSets,
// it adds those that have a pod.
func (j *Judge) daemons() []*world.Pod {
	if j.everyone != nil {
		return j.everyone
	}
	type owner struct{ namespace, name string }
	known := map[owner]bool{}
	add := func(p *world.Pod) {
		if o := (owner{p.Namespace(), p.Owner.Name}); !known[o] {
			known[o], j.everyone = true, append(j.everyone, onAnyNode(p))
		}
	}
	for _, d := range j.DaemonSets {
		add(d)
	}
	for _, p := range j.Pods {
		if !j.Complete[timeline.DaemonSet] && p.OwnedByDaemonSet() {
			add(p)
		}
	}
	return j.everyone
}

// onAnyNode returns a DaemonSet's pod without the affinity to its node. It keeps all other affinity.
func onAnyNode(p *world.Pod) *world.Pod {
	any := *p
	if p.Affinity == nil || p.Affinity.NodeAffinity == nil {
		return &any
	}
	any.Affinity = p.Affinity.DeepCopy()
	required := any.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	terms := required.NodeSelectorTerms[:0]
	for _, t := range required.NodeSelectorTerms {
		if t.MatchFields = nil; len(t.MatchExpressions) > 0 {
			terms = append(terms, t)
		}
	}
	if required.NodeSelectorTerms = terms; len(terms) == 0 {
		any.Affinity.NodeAffinity = nil
	}
	return &any
}
