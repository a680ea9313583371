package fit

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// Verdict is whether the autoscaler would enlarge a group for a pod.
type Verdict struct {
	Group *Group
	// Scaled is set if the group is a node group of this autoscaler.
	Scaled bool
	// Fits is set if the pod fits on the group's next node, whatever keeps that from coming.
	Fits bool
	// Obstacles is empty if the group would take the pod.
	Obstacles []Obstacle
	// Notes have what does not decide and yet matters.
	Notes []string
	// Basis says from what the group's next node is known; empty if it is not.
	Basis string
}

// Takes reports whether the autoscaler would enlarge the group for the pod, as far as that
// is judged.
func (v Verdict) Takes() bool { return len(v.Obstacles) == 0 }

// Verdicts returns a verdict for every group.
func (w *World) Verdicts(p *Pod) []Verdict {
	var all []Verdict
	for _, g := range w.Groups {
		v := Verdict{Group: g, Notes: w.notes(g)}
		v.Obstacles = w.Outside(g)
		v.Scaled = len(v.Obstacles) == 0
		if v.Scaled {
			v.Obstacles = w.limits(g)
		}
		if next, basis, ok := w.next(g, p); ok {
			next.refusals = w.judged[p][next.name]
			found := w.obstacles(p, next)
			v.Basis, v.Fits = basis, len(found) == 0
			v.Obstacles = append(v.Obstacles, found...)
		}
		all = append(all, v)
	}
	return all
}

// sizeAnnotation returns an annotation that bounds a group's size.
func (w *World) sizeAnnotation(which string) string {
	return release.SizeAnnotation(w.Autoscaler.Release().SizePrefix, which)
}

// Outside returns why a group is no node group of this autoscaler, nil if it is one. The
// rules are those of the provider for Cluster API in the release.
func (w *World) Outside(g *Group) []Obstacle {
	var found []Obstacle
	low, high := g.Annotations[w.sizeAnnotation("min")], g.Annotations[w.sizeAnnotation("max")]
	least, most := 0, 0
	for _, bound := range []struct {
		name, text string
		n          *int
	}{{"min", low, &least}, {"max", high, &most}} {
		n, err := strconv.Atoi(bound.text)
		if bound.text != "" && (err != nil || n < 0) {
			return []Obstacle{{
				fmt.Sprintf("its annotation %s=%s is no number, with which the autoscaler reads no group at all", w.sizeAnnotation(bound.name), bound.text),
				"a whole number in " + w.sizeAnnotation(bound.name),
			}}
		}
		*bound.n = n
	}
	switch {
	case low == "" && high == "":
		found = append(found, Obstacle{
			"it has no annotations with a minimum and a maximum",
			fmt.Sprintf("the annotations %s and %s", w.sizeAnnotation("min"), w.sizeAnnotation("max")),
		})
	case most < least:
		found = append(found, Obstacle{
			fmt.Sprintf("its maximum %d is below its minimum %d, with which the autoscaler reads no group at all", most, least), fmt.Sprintf("max to %d", max(1, least)),
		})
	case most == 0:
		found = append(found, Obstacle{"its maximum is 0: the autoscaler leaves it out", "max to 1"})
	}
	if text := w.undiscovered(g); text != "" {
		found = append(found, Obstacle{text, "a group, or --node-group-auto-discovery, with which the two match"})
	}
	if _, annotated := g.Annotations[clusterv1.PausedAnnotation]; annotated && w.Autoscaler.Release().SkipsPaused {
		found = append(found, Obstacle{"it is paused", "no annotation " + clusterv1.PausedAnnotation})
	}
	if len(found) == 0 && g.Wanted == 0 {
		if text := w.unknownCapacity(g); text != "" {
			found = append(found, Obstacle{text, fmt.Sprintf("the annotations %scpu and %smemory", release.CapacityPrefix, release.CapacityPrefix)})
		}
	}
	return found
}

// undiscovered returns why --node-group-auto-discovery does not match a group, empty if it
// does, or if the flags are not on record.
func (w *World) undiscovered(g *Group) string {
	misses := w.discoveryMisses(g, g.Labels)
	if misses == nil {
		return ""
	}
	var texts []string
	for _, m := range misses {
		texts = append(texts, fmt.Sprintf("it wants %s=%s, and the group has %q", m.name, m.want, m.have))
	}
	return fmt.Sprintf("--%s=%s does not match it: %s", discovery, w.Autoscaler.Flags[discovery], strings.Join(texts, "; "))
}

// Lost returns why the autoscaler does not recognise a group's nodes, although it
// scales the group; nil if it takes them. It finds a node's group through the node's MachineSet,
// which --node-group-auto-discovery must match too. Source: findResourceByKey in
// cloudprovider/clusterapi/clusterapi_controller.go of 1.18.3 to 1.36.1.
func (w *World) Lost(g *Group) *Obstacle {
	if g.Kind != "" { // a MachinePool has no MachineSet
		return nil
	}
	labels := map[string]string{clusterv1.ClusterNameLabel: g.Cluster, clusterv1.MachineDeploymentNameLabel: g.Name}
	maps.Copy(labels, g.NodeLabels)
	var wanted []string
	for _, m := range w.discoveryMisses(g, labels) {
		if m.name != "namespace" && m.name != "clusterName" { // these are no labels, and the group lacks them too
			wanted = append(wanted, m.name+"="+m.want)
		}
	}
	if wanted == nil {
		return nil
	}
	return &Obstacle{
		fmt.Sprintf("the autoscaler does not recognise the nodes of %s: their MachineSets lack the label %s, which --%s wants (MachineSets get labels from the machine template)", g.Name, strings.Join(wanted, " or "), discovery),
		"the labels that --node-group-auto-discovery wants in spec.template.metadata.labels of " + g.Name + ", or discovery by namespace and clusterName alone",
	}
}

// discovery is the flag that says which objects the autoscaler discovers.
const discovery = "node-group-auto-discovery"

// miss is a value that a discovery wants, and that an object does not have.
type miss struct{ name, want, have string }

// discoveryMisses returns why --node-group-auto-discovery does not match an object with these
// labels that belongs to a group. It has a miss for each discovery. It is nil if one discovery
// matches, or if the flags are not on record.
func (w *World) discoveryMisses(g *Group, labels map[string]string) []miss {
	specs := strings.Trim(w.Autoscaler.Flags[discovery], "[]")
	if specs == "" {
		return nil
	}
	var misses []miss
	for spec := range strings.SplitSeq(specs, "clusterapi:") {
		spec = strings.Trim(spec, ", ")
		if spec == "" {
			continue
		}
		var missed *miss
		for part := range strings.SplitSeq(spec, ",") {
			name, want, _ := strings.Cut(part, "=")
			have := labels[name]
			switch name {
			case "":
				continue
			case "namespace":
				have = g.Namespace
			case "clusterName":
				have = g.Cluster
			}
			if have != want && (want != "" || name != "namespace" && name != "clusterName") {
				missed = &miss{name, want, have}
				break
			}
		}
		if missed == nil {
			return nil
		}
		misses = append(misses, *missed)
	}
	return misses
}

// unknownCapacity returns why the autoscaler does not know what a node of an empty group
// has, empty if it does.
func (w *World) unknownCapacity(g *Group) string {
	r := w.Autoscaler.Release()
	if !r.FromZero {
		return fmt.Sprintf("it is empty, and %s enlarges no empty group", w.Autoscaler.Title())
	}
	capacity := w.capacity(g)
	if isEnough(capacity) {
		return ""
	}
	text := "it is empty, its annotations tell no cpu and memory, and "
	switch {
	case g.Infrastructure != nil && len(g.Infrastructure.Capacity) > 0:
		return text + w.Autoscaler.Title() + " cannot read its template's status.capacity, because the reference names no version of the API"
	case g.Infrastructure == nil:
		return text + "its template " + g.Template.String() + " is not on record"
	}
	return text + "its template " + g.Template.String() + " tells none"
}

// readsTemplate reports whether the autoscaler's release can read a group's infrastructure
// template.
func (w *World) readsTemplate(g *Group) bool {
	r := w.Autoscaler.Release()
	// Converted to an older version of the API, every reference has a version.
	converted := w.Autoscaler.API != "" && w.Autoscaler.API <= r.NewestAPI
	return r.GroupReferences || g.Template.Versioned || converted
}

// capacity returns what the autoscaler takes for the capacity of a node of an empty group:
// that of the template, overridden by annotations.
func (w *World) capacity(g *Group) corev1.ResourceList {
	capacity := corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(defaultPods, resource.DecimalSI)}
	if g.Infrastructure != nil && w.readsTemplate(g) {
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

// Coming returns the machines of a group whose nodes were never Ready.
func (w *World) Coming(g *Group) []*Machine {
	return slices.DeleteFunc(slices.Clone(g.Machines), func(m *Machine) bool {
		ready := slices.ContainsFunc(g.Nodes, func(n *Node) bool { return n.Name == m.Node && n.WasReady })
		return ready || m.Deletion != nil || m.Phase == "Deleting" || m.Phase == "Failed"
	})
}

// Limits returns the minimum and the maximum of a group's annotations, 0 for one that is
// missing.
func (w *World) Limits(g *Group) (least, most int) {
	least, _ = strconv.Atoi(g.Annotations[w.sizeAnnotation("min")])
	most, _ = strconv.Atoi(g.Annotations[w.sizeAnnotation("max")])
	return least, most
}

// limits returns why the autoscaler does not enlarge a node group now, whatever the pod.
func (w *World) limits(g *Group) []Obstacle {
	var found []Obstacle
	_, most := w.Limits(g)
	if g.Wanted >= most {
		found = append(found, Obstacle{fmt.Sprintf("max reached: it wants %d of at most %d", g.Wanted, most), fmt.Sprintf("max to %d", g.Wanted+1)})
	}
	switch {
	case g.Backoff.After(w.At):
		found = append(found, Obstacle{fmt.Sprintf("backed off until %s", timeline.Clock(g.Backoff)), "nothing but time, or a restart of the autoscaler"})
	case strings.Contains(g.Health, "scale-up Backoff"):
		found = append(found, Obstacle{"backed off; its end is not on record: " + g.Health, "nothing but time, or a restart of the autoscaler"})
	case strings.Contains(g.Health, "Unhealthy"):
		found = append(found, Obstacle{"the autoscaler finds it unhealthy: " + g.Health, "nodes that are Ready"})
	}
	if total, err := strconv.Atoi(w.Autoscaler.Flags["max-nodes-total"]); err == nil && total > 0 && len(w.Nodes) >= total {
		found = append(found, Obstacle{fmt.Sprintf("--max-nodes-total=%d is reached with %s", total, timeline.Plural(len(w.Nodes), "node")), fmt.Sprintf("--max-nodes-total=%d", len(w.Nodes)+1)})
	}
	return found
}

// notes returns what does not keep the autoscaler from enlarging a group, but may keep a
// node from coming, or from being known.
func (w *World) notes(g *Group) []string {
	var notes []string
	_, annotated := g.Annotations[clusterv1.PausedAnnotation]
	if w.Paused || g.Paused && (!annotated || !w.Autoscaler.Release().SkipsPaused) {
		notes = append(notes, "it is paused: Cluster API makes no machine for it")
	}
	if lost := w.Lost(g); lost != nil && len(w.Outside(g)) == 0 {
		notes = append(notes, lost.Text)
	}
	if stuck := w.Stuck(g); len(stuck) > 0 {
		text := fmt.Sprintf("machines of it that have failed, or have no node after %s: %d", timeline.DurationText(slowMachine), len(stuck))
		var problems []string
		for _, s := range stuck {
			for _, p := range s.Problems {
				problems = timeline.AppendUnique(problems, p)
			}
			if len(s.Problems) == 0 {
				problems = timeline.AppendUnique(problems, s.Failure)
			}
		}
		if len(problems) > 0 {
			text += "; " + strings.Join(problems, "; ")
		}
		notes = append(notes, text)
	}
	return notes
}

// Stuck returns the machines of a group that have failed, or have had no node for long.
func (w *World) Stuck(g *Group) []*Machine {
	return slices.DeleteFunc(slices.Clone(g.Machines), func(m *Machine) bool { return w.Trouble(m) == "" })
}

// Trouble returns why a machine has no node, as a phrase. It is empty unless the machine has
// failed, or has had no node for long.
func (w *World) Trouble(m *Machine) string {
	age := w.At.Sub(m.Created)
	var text string
	switch {
	case m.Deletion != nil:
		return ""
	case m.Failure != "":
		return "it has failed: " + m.Failure
	case m.Phase == "Failed":
		text = "it has failed"
	case m.Node == "" && age > slowMachine:
		text = fmt.Sprintf("it has had no node for %s", timeline.DurationText(age))
	default:
		return ""
	}
	if len(m.Problems) > 0 {
		text += ": " + strings.Join(m.Problems, "; ")
	}
	return text
}

// slowMachine is the time after which a machine without a node is worth a note.
const slowMachine = 5 * time.Minute

// next returns the node that the autoscaler expects if the group grows, and from what it
// knows that. ok is false if it knows nothing of the group's nodes.
func (w *World) next(g *Group, p *Pod) (at place, basis string, ok bool) {
	at.where, at.by, at.group, at.name = "the template", w.Autoscaler.Title(), true, "template-node-for-"+g.Name
	model := w.example(g)
	if at.allocatable = w.capacity(g); model == nil && !isEnough(at.allocatable) && len(g.Nodes) > 0 && w.Lost(g) == nil {
		model = g.Nodes[0] // the last resort
	}
	if model != nil {
		at.labels, at.allocatable, basis = maps.Clone(model.Labels), model.Allocatable, "like its node "+model.Name
		if _, there := at.labels[corev1.LabelHostname]; there {
			at.labels[corev1.LabelHostname] = at.name
		}
		if at.capacity = model.Capacity; at.capacity == nil {
			at.capacity = model.Allocatable
		}
		at.where = "its nodes"
		for _, t := range model.Taints {
			if !w.passing(t.Key) {
				at.taints = append(at.taints, t)
			}
		}
		for _, p := range model.Pods {
			if (p.OfDaemonSet() || p.Mirror()) && p.Deleted.IsZero() {
				at.put(p)
			}
		}
		if w.Autoscaler.set("force-ds") {
			w.putDaemons(&at)
		}
		return at, basis, true
	}
	at.capacity = at.allocatable
	if !isEnough(at.allocatable) {
		return at, "", false
	}
	at.labels = map[string]string{corev1.LabelOSStable: "linux", corev1.LabelArchStable: w.architecture(), corev1.LabelHostname: at.name}
	if t := g.Infrastructure; t != nil && w.readsTemplate(g) && w.Autoscaler.Release().SystemOfTemplate {
		at.system = map[string]string{}
		for label, value := range map[string]string{corev1.LabelArchStable: t.Architecture, corev1.LabelOSStable: t.System} {
			if value == "" {
				at.system[label] = at.labels[label]
			}
			at.labels[label] = value
		}
	}
	if told := announcedLabels(g); w.Autoscaler.Release().KnowsEmptyGroups {
		maps.Copy(at.labels, told)
		maps.DeleteFunc(at.system, func(label, _ string) bool { _, there := told[label]; return there })
	} else {
		at.unread = told
	}
	at.managed = w.managed(g, p)
	at.taints = w.taints(g)
	at.put(&Pod{Name: "kube-system/kube-proxy-" + at.name, Pod: shape.Pod{Requests: corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(proxyCPU, resource.DecimalSI)}}})
	w.putDaemons(&at)
	return at, "by its annotations and its template", true
}

// putDaemons adds the pods of DaemonSets that run on such a node, and that the place does not have
// yet.
func (w *World) putDaemons(at *place) {
	for _, d := range w.daemons() {
		there := slices.ContainsFunc(at.has, func(p *Pod) bool {
			return p.OfDaemonSet() && p.Owner != nil && *p.Owner == *d.Owner && namespaceOf(p.Name) == namespaceOf(d.Name)
		})
		if d := d.onAnyNode(); !there && d.fitsBut(*at) {
			at.put(d)
		}
	}
}

// stableAfter is how long a node must have been Ready before the autoscaler expects new nodes of
// its group to be like it. Source: stabilizationDelay in
// processors/nodeinfosprovider/mixed_nodeinfos_processor.go of 1.24.0 to 1.36.1.
const stableAfter = time.Minute

// example returns the node of a group that the autoscaler takes as the example for the next one;
// nil if there is none. The autoscaler treats a node whose GPUs are not there yet as not Ready.
// Source: isNodeGoodTemplateCandidate, and processors/customresources/gpu_processor.go.
func (w *World) example(g *Group) *Node {
	if w.Lost(g) != nil {
		return nil
	}
	i := slices.IndexFunc(g.Nodes, func(n *Node) bool {
		stable := !w.Autoscaler.Release().StableExamples || w.At.Sub(n.ReadySince) > stableAfter
		return n.open() && stable && !n.lacksGPUs() && !slices.ContainsFunc(n.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeUnschedulable })
	})
	if i < 0 {
		return nil
	}
	return g.Nodes[i]
}

// announcedLabels returns the labels that a group's annotations tell of its nodes.
func announcedLabels(g *Group) map[string]string {
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
func (w *World) architecture() string {
	for _, n := range w.Nodes {
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
func (w *World) passing(key string) bool {
	for _, flag := range []string{"startup-taint", "status-taint", "ignore-taint"} {
		if slices.Contains(strings.Split(strings.Trim(w.Autoscaler.Flags[flag], "[]"), ","), key) {
			return true
		}
	}
	return slices.Contains(conditionTaints, key) || strings.HasPrefix(key, "startup-taint.cluster-autoscaler.kubernetes.io/") ||
		strings.HasPrefix(key, "status-taint.cluster-autoscaler.kubernetes.io/") || strings.HasPrefix(key, "ignore-taint.cluster-autoscaler.kubernetes.io/")
}

// taints returns the taints that the autoscaler expects on a node of an empty group.
func (w *World) taints(g *Group) []corev1.Taint {
	var taints []corev1.Taint
	if w.Autoscaler.Release().TemplateTaints {
		taints = slices.Clone(g.NodeTaints)
	}
	told := g.Annotations[release.CapacityPrefix+"taints"]
	if !w.Autoscaler.Release().KnowsEmptyGroups {
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
	return slices.DeleteFunc(taints, func(t corev1.Taint) bool { return w.passing(t.Key) })
}

// managed returns the labels of the group's machines that Cluster API gives to nodes, that
// the pod asks for, and that the autoscaler does not expect on a node of an empty group.
func (w *World) managed(g *Group, p *Pod) map[string]string {
	labels := map[string]string{}
	for key, value := range g.NodeLabels {
		domain, _, _ := strings.Cut(key, "/")
		for _, d := range []string{"node-role.kubernetes.io", "node-restriction.kubernetes.io", "node.cluster.x-k8s.io"} {
			if (domain == d || strings.HasSuffix(domain, "."+d) && d != "node-role.kubernetes.io") && p.asksFor(key) {
				labels[key] = value
			}
		}
	}
	return labels
}

// asksFor reports whether nodeSelector or node affinity names a label.
func (p *Pod) asksFor(label string) bool {
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

// daemons returns a pod of each DaemonSet. If the record may lack DaemonSets, it adds those that
// have a pod.
func (w *World) daemons() []*Pod {
	if w.complete[timeline.DaemonSet] {
		return w.daemonSets
	}
	all := slices.Clone(w.daemonSets)
	for _, p := range w.Pods {
		if p.Owner != nil && p.OfDaemonSet() && !slices.ContainsFunc(all, func(d *Pod) bool { return *d.Owner == *p.Owner && namespaceOf(d.Name) == namespaceOf(p.Name) }) {
			all = append(all, p)
		}
	}
	return all
}

// onAnyNode returns a DaemonSet's pod without the affinity to its node.
func (p *Pod) onAnyNode() *Pod {
	any := *p
	if p.Affinity == nil || p.Affinity.NodeAffinity == nil {
		return &any
	}
	required := p.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.DeepCopy()
	terms := required.NodeSelectorTerms[:0]
	for _, t := range required.NodeSelectorTerms {
		if t.MatchFields = nil; len(t.MatchExpressions) > 0 {
			terms = append(terms, t)
		}
	}
	any.Affinity = nil
	if required.NodeSelectorTerms = terms; len(terms) > 0 {
		any.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: required}}
	}
	return &any
}

// fitsBut reports whether selectors and taints admit the pod, whatever it requests.
func (p *Pod) fitsBut(at place) bool { return len(p.selectors(at)) == 0 && len(p.taints(at)) == 0 }
