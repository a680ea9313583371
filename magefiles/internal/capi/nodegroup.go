package capi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/list"
)

// GroupLabel marks a MachineDeployment that the lab created. The lab deletes only
// those.
const GroupLabel = "caslab.local/node-group"

// Added reports whether the lab added the MachineDeployment as a node group.
func Added(group *unstructured.Unstructured) bool { return group.GetLabels()[GroupLabel] != "" }

// Sizes returns the minimum and maximum in a node group's annotations, with either
// prefix. They are empty if there are none.
func Sizes(group *unstructured.Unstructured) (lowest, highest string) {
	for _, prefix := range []string{release.SizePrefix, release.OldSizePrefix} {
		a := group.GetAnnotations()
		lowest, highest = a[release.SizeAnnotation(prefix, "min")], a[release.SizeAnnotation(prefix, "max")]
		if lowest != "" || highest != "" {
			return lowest, highest
		}
	}
	return "", ""
}

// NodeGroup is a MachineDeployment that the autoscaler scales.
type NodeGroup struct {
	Name, Namespace string
	// ClusterName is the name of the Cluster that it belongs to.
	ClusterName string
	// Prefix of the size annotations, as the autoscaler's release reads them.
	Prefix string
	// Min and Max bound its size.
	Min, Max int
	// From is the MachineDeployment whose templates it uses. If empty, that is the cluster's
	// first by name that has both, if possible one that the lab did not add. Of a group that
	// the lab added, it takes the labels, the taints and the capacity too, where it has none
	// of its own.
	From string
	// Template, if not nil, is the infrastructure template of its machines. Add creates it
	// under the group's name, and the machines have no bootstrap template. Of the
	// MachineDeployment From, the group then takes neither templates nor capacity.
	Template *unstructured.Unstructured
	// Own copies the machine template instead of sharing it.
	Own bool
	// Labels and Taints of its nodes. They need a bootstrap template of the group's
	// own, and annotations from which the autoscaler reads them while the group is
	// empty.
	Labels map[string]string
	Taints []Taint
	// Capacity is what the autoscaler expects of a node while the group is empty, by the
	// annotation's name: cpu, memory, ephemeral-disk, maxPods, gpu-type, gpu-count.
	Capacity map[string]string
	// KubeletArgs are more arguments of its nodes' kubelets, which need a bootstrap template
	// of the group's own. An empty one removes the template's. With those of the function
	// KubeletArgs, nodes have the Capacity.
	KubeletArgs map[string]string
	// Extra are labels for the MachineDeployment, its MachineSets and Machines, and its own
	// templates. An autoscaler that discovers groups by a label wants it on all of them.
	Extra map[string]string
}

// Taint is a taint of a node.
type Taint struct{ Key, Value, Effect string }

// String writes the taint as kubectl does.
func (t Taint) String() string {
	if t.Value == "" {
		return t.Key + ":" + t.Effect
	}
	return t.Key + "=" + t.Value + ":" + t.Effect
}

// ParseLabels reads key=value,key=value, and refuses labels that a kubelet may not set.
func ParseLabels(text string) (map[string]string, error) {
	labels, err := ParseNodeLabels(text)
	if err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if reserved(key) {
			return nil, fmt.Errorf("label %q: a kubelet may not set this label of kubernetes.io or k8s.io, only those of a fixed list, such as topology.kubernetes.io/zone, and any of node.kubernetes.io", key)
		}
	}
	return labels, nil
}

// ParseNodeLabels reads key=value,key=value: any labels that a Node may have.
func ParseNodeLabels(text string) (map[string]string, error) {
	labels := map[string]string{}
	parts, err := list.Split(text)
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	for _, part := range parts {
		key, value, found := strings.Cut(part, "=")
		problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...)
		if !found {
			problems = append(problems, "want key=value")
		}
		if len(problems) > 0 {
			return nil, fmt.Errorf("label %q: %s", part, strings.Join(problems, "; "))
		}
		labels[key] = value
	}
	return labels, nil
}

// kubeletLabels are those of kubernetes.io that a kubelet may set: the list of
// k8s.io/kubelet/pkg/apis/well_known_labels.go.
var kubeletLabels = []string{
	"kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
	"topology.kubernetes.io/zone", "topology.kubernetes.io/region", "node.kubernetes.io/instance-type",
	"failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region", "beta.kubernetes.io/instance-type",
}

// reserved reports whether a kubelet refuses to start with a label of that key.
func reserved(key string) bool {
	domain, _, found := strings.Cut(key, "/")
	in := func(parent string) bool { return domain == parent || strings.HasSuffix(domain, "."+parent) }
	return found && (in("kubernetes.io") || in("k8s.io")) && !in("node.kubernetes.io") && !in("kubelet.kubernetes.io") &&
		!slices.Contains(kubeletLabels, key)
}

// ParseTaints reads key=value:Effect,key:Effect.
func ParseTaints(text string) ([]Taint, error) {
	var taints []Taint
	parts, err := list.Split(text)
	if err != nil {
		return nil, fmt.Errorf("taints: %w", err)
	}
	for _, part := range parts {
		rest, effect, found := strings.Cut(part, ":")
		key, value, _ := strings.Cut(rest, "=")
		problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...)
		if !found || !slices.Contains([]string{"NoSchedule", "PreferNoSchedule", "NoExecute"}, effect) {
			problems = append(problems, "want key=value:Effect with the effect NoSchedule, PreferNoSchedule or NoExecute")
		}
		if len(problems) > 0 {
			return nil, fmt.Errorf("taint %q: %s", part, strings.Join(problems, "; "))
		}
		taints = append(taints, Taint{key, value, effect})
	}
	return taints, nil
}

// capacityNames are the annotations that describe a node of an empty group, each
// with the check of its value.
var capacityNames = map[string]func(string) error{
	"cpu": quantity, "memory": quantity, "ephemeral-disk": quantity,
	"maxPods": wholeNumber, "gpu-count": wholeNumber,
	"gpu-type": anyText, "dra-driver": anyText, "csi-driver": driverLimits,
}

// CapacityNames returns the names of the annotations that describe a node of an empty group,
// without their prefix.
func CapacityNames() []string { return slices.Sorted(maps.Keys(capacityNames)) }

func quantity(v string) error {
	if q, err := resource.ParseQuantity(v); err != nil || q.Sign() <= 0 {
		return errors.New("want a quantity, such as 4 or 16Gi")
	}
	return nil
}

func wholeNumber(v string) error {
	if n, err := strconv.Atoi(v); err != nil || n < 0 {
		return errors.New("want a whole number")
	}
	return nil
}

func anyText(v string) error {
	if v == "" {
		return errors.New("want the resource's name, such as nvidia.com/gpu")
	}
	return nil
}

// driverLimits checks the drivers of volumes and how many volumes of each a node can have.
func driverLimits(v string) error {
	if v == "" {
		return errors.New("want drivers with numbers of volumes, such as ebs.csi.aws.com=25")
	}
	if _, err := list.Numbers(v, 0, math.MaxInt32); err != nil {
		return fmt.Errorf("want drivers with numbers of volumes, such as ebs.csi.aws.com=25: %w", err)
	}
	return nil
}

// CheckCapacity checks an annotation that describes a node of an empty group. The name is that
// of the annotation without its prefix.
func CheckCapacity(name, value string) error {
	check, ok := capacityNames[name]
	if !ok {
		return fmt.Errorf("capacity %q: want one of %s", name, strings.Join(CapacityNames(), ", "))
	}
	if err := check(value); err != nil {
		return fmt.Errorf("capacity %s=%s: %w", name, value, err)
	}
	return nil
}

// ParseCapacity reads cpu=4,memory=16Gi and the like.
func ParseCapacity(text string) (map[string]string, error) {
	capacity := map[string]string{}
	parts, err := list.Split(text)
	if err != nil {
		return nil, fmt.Errorf("capacity: %w", err)
	}
	for _, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		check, ok := capacityNames[name]
		if !ok {
			return nil, fmt.Errorf("capacity %q: want one of %s", part, strings.Join(CapacityNames(), ", "))
		}
		if err := check(value); err != nil {
			return nil, fmt.Errorf("capacity %q: %w", part, err)
		}
		capacity[name] = value
	}
	if len(capacity) > 0 && (capacity["cpu"] == "" || capacity["memory"] == "") {
		return nil, fmt.Errorf("capacity %q: the autoscaler needs at least cpu and memory", text)
	}
	return capacity, nil
}

// cleanupTime bounds a clean-up that goes on after the first interruption.
const cleanupTime = 5 * time.Minute

// maxGroupName leaves room for what Cluster API appends to a machine's name.
const maxGroupName = 63 - len("-xxxxx-xxxxx")

var groupName = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

// checkGroupName refuses what cannot be the name of a node group.
func checkGroupName(name string) error {
	if !groupName.MatchString(name) || len(name) > maxGroupName {
		return fmt.Errorf("node group %q: want a DNS label of at most %d characters, such as work-md-1: lower case letters, digits and hyphens, first a letter, last not a hyphen", name, maxGroupName)
	}
	return nil
}

// CheckSizes refuses limits that no node group can have.
func CheckSizes(lowest, highest int) error {
	switch {
	case lowest < 0:
		return fmt.Errorf("minimum %d: want 0 or more", lowest)
	case highest < 1:
		return fmt.Errorf("maximum %d: want 1 or more", highest)
	case lowest > highest:
		return fmt.Errorf("minimum %d, maximum %d: want a minimum that is not above the maximum", lowest, highest)
	}
	return nil
}

// Validate refuses names and sizes that no cluster can have.
func (g NodeGroup) Validate() error {
	return errors.Join(checkGroupName(g.Name), CheckSizes(g.Min, g.Max))
}

// TakenError is returned when a node group of that name exists.
type TakenError struct{ Name string }

func (e *TakenError) Error() string {
	return fmt.Sprintf("the machine deployment %s already exists; choose another name", e.Name)
}

// MissingGroupError is returned when no node group has that name.
type MissingGroupError struct {
	Name  string
	There []string
}

func (e *MissingGroupError) Error() string {
	if len(e.There) == 0 {
		return fmt.Sprintf("there is no machine deployment %s, and no other", e.Name)
	}
	return fmt.Sprintf("there is no machine deployment %s; there are %s", e.Name, strings.Join(e.There, ", "))
}

// Groups returns the MachineDeployments of a cluster, by name.
func Groups(ctx context.Context, c *kube.Client, namespace, cluster string) ([]unstructured.Unstructured, error) {
	all, err := c.List(ctx, kube.MachineDeployments, namespace)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(g unstructured.Unstructured) bool {
		return kube.Field(&g, "spec", "clusterName") != cluster
	})
	slices.SortFunc(all, func(a, b unstructured.Unstructured) int { return strings.Compare(a.GetName(), b.GetName()) })
	return all, nil
}

// Find returns the group of that name, or a *MissingGroupError.
func Find(groups []unstructured.Unstructured, name string) (*unstructured.Unstructured, error) {
	var there []string
	for i := range groups {
		if groups[i].GetName() == name {
			return &groups[i], nil
		}
		there = append(there, groups[i].GetName())
	}
	return nil, &MissingGroupError{Name: name, There: there}
}

// get returns the cluster's group of that name, or a *MissingGroupError.
func get(ctx context.Context, c *kube.Client, namespace, cluster, name string) (*unstructured.Unstructured, error) {
	groups, err := Groups(ctx, c, namespace, cluster)
	if err != nil {
		return nil, err
	}
	return Find(groups, name)
}

// Add creates the group and its own templates. If a part is refused, it removes
// the parts that it created. The error is a *PrunedError if the cluster does not know all fields
// of the Template.
func (g NodeGroup) Add(ctx context.Context, c *kube.Client) (err error) {
	if err := g.Validate(); err != nil {
		return err
	}
	groups, err := Groups(ctx, c, g.Namespace, g.ClusterName)
	if err != nil {
		return err
	}
	if _, err := c.Get(ctx, kube.MachineDeployments, g.Namespace, g.Name); err == nil {
		return &TakenError{Name: g.Name}
	} else if !apierrors.IsNotFound(err) {
		return fmt.Errorf("look for a machine deployment %s: %w", g.Name, err)
	}
	from, err := g.from(groups)
	if err != nil {
		return err
	}
	group := g.deployment(from)
	templates, err := g.templates(ctx, c, group)
	if err != nil {
		return err
	}
	var made []*unstructured.Unstructured
	defer func() {
		if err == nil {
			return
		}
		ctx, cancel := interrupt.Cleanup(ctx, cleanupTime)
		defer cancel()
		for _, o := range made {
			kind := o.GroupVersionKind().GroupKind()
			if derr := c.Delete(ctx, kind, o.GetNamespace(), o.GetName()); derr != nil {
				err = errors.Join(err, &interrupt.LeftError{
					What: "the " + kind.Kind + " " + o.GetName(), Command: fmt.Sprintf("kubectl -n %s delete %s %s", o.GetNamespace(), kind, o.GetName()), Err: derr,
				})
			}
		}
	}()
	for _, o := range append(templates, group) {
		if err := c.Create(ctx, o); err != nil {
			return fmt.Errorf("make the %s %s: %w", o.GetKind(), o.GetName(), err)
		}
		made = append(made, o)
		if fields, isMap := o.Object["spec"].(map[string]any); isMap && g.Template != nil && o != group {
			if err := CheckStored(ctx, c, o.GroupVersionKind().GroupKind(), o.GetNamespace(), o.GetName(), fields, "spec"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g NodeGroup) from(groups []unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if g.From != "" {
		from, err := Find(groups, g.From)
		if err != nil {
			return nil, fmt.Errorf("take the templates of %s: %w", g.From, err)
		}
		if !g.usable(from) {
			return nil, fmt.Errorf("take the templates of %s: its machines have no bootstrap template, so no other group can use its templates", g.From)
		}
		return from, nil
	}
	groups = slices.DeleteFunc(slices.Clone(groups), func(group unstructured.Unstructured) bool { return !g.usable(&group) })
	for i := range groups {
		if !Added(&groups[i]) {
			return &groups[i], nil
		}
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("the cluster %s has no machine deployment to take templates from", g.ClusterName)
	}
	return &groups[0], nil
}

// usable reports whether the group can be made from another one: a group without a template
// of its own needs a bootstrap template.
func (g NodeGroup) usable(from *unstructured.Unstructured) bool {
	bootstrap, _ := reference(from, bootstrapRef)
	return g.Template != nil || bootstrap.Kind != ""
}

// like returns a new object with the specification of another one, and with the
// name and the labels of the group.
func (g NodeGroup) like(original *unstructured.Unstructured) *unstructured.Unstructured {
	spec, _, _ := unstructured.NestedMap(original.Object, "spec")
	o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	o.SetGroupVersionKind(original.GroupVersionKind())
	o.SetNamespace(g.Namespace)
	o.SetName(g.Name)
	labels := map[string]string{clusterv1.ClusterNameLabel: g.ClusterName, GroupLabel: g.Name}
	maps.Copy(labels, g.Extra)
	o.SetLabels(labels)
	return o
}

// deployment returns the group's MachineDeployment, a changed copy of another.
func (g NodeGroup) deployment(from *unstructured.Unstructured) *unstructured.Unstructured {
	group := g.like(from)
	annotations := map[string]string{
		release.SizeAnnotation(g.Prefix, "min"): strconv.Itoa(g.Min),
		release.SizeAnnotation(g.Prefix, "max"): strconv.Itoa(g.Max),
	}
	if Added(from) && g.Template == nil {
		for name, value := range from.GetAnnotations() {
			what, announces := strings.CutPrefix(name, release.CapacityPrefix)
			_, replaced := capacityNames[what]
			replaced = replaced && len(g.Capacity) > 0
			if announces && !replaced {
				annotations[name] = value
			}
		}
	}
	g.announce(annotations)
	group.SetAnnotations(annotations)

	own := map[string]any{
		clusterv1.ClusterNameLabel:           g.ClusterName,
		clusterv1.MachineDeploymentNameLabel: g.Name,
	}
	// The template's other labels stay: node.cluster.x-k8s.io/… reach the nodes.
	labels, _, _ := unstructured.NestedMap(group.Object, "spec", "template", "metadata", "labels")
	if labels == nil {
		labels = map[string]any{}
	}
	maps.Copy(labels, own)
	for name, value := range g.Extra {
		labels[name] = value
	}
	set := func(value any, path ...string) {
		// It fails only if a field on the path is not a map, which the API server's
		// objects never have.
		_ = unstructured.SetNestedField(group.Object, value, path...)
	}
	set(int64(g.Min), "spec", "replicas")
	set(own, "spec", "selector", "matchLabels")
	set(labels, "spec", "template", "metadata", "labels")
	if g.Template != nil {
		// Machines of the other infrastructure may have other failure domains.
		unstructured.RemoveNestedField(group.Object, "spec", "template", "spec", "failureDomain")
		set(g.reference(group), machineRef...)
		set(map[string]any{"dataSecretName": noBootstrap}, bootstrapRef[:len(bootstrapRef)-1]...)
	}
	return group
}

// noBootstrap stands for the bootstrap data of machines that nothing bootstraps. Cluster API
// reads the name alone, and takes the machine for bootstrapped (v1.14.2,
// core/reconcilers/machine/machine_controller_phases.go: reconcileBootstrap).
const noBootstrap = "caslab-hollow"

// reference returns the reference to the group's Template, in the form of the one that the
// MachineDeployment has.
func (g NodeGroup) reference(group *unstructured.Unstructured) map[string]any {
	kind := g.Template.GroupVersionKind()
	ref := map[string]any{"kind": kind.Kind, "name": g.Name}
	if kube.Field(group, append(slices.Clone(machineRef), "apiVersion")...) != "" { // before v1beta2
		ref["apiVersion"], ref["namespace"] = kind.GroupVersion().String(), g.Namespace
	} else {
		ref["apiGroup"] = kind.Group
	}
	return ref
}

// Announced returns the annotations that tell the autoscaler what an empty group's nodes have.
func (g NodeGroup) Announced() map[string]string {
	annotations := map[string]string{}
	g.announce(annotations)
	return annotations
}

// announce adds the annotations that tell the autoscaler about the group's nodes.
func (g NodeGroup) announce(annotations map[string]string) {
	for name, value := range g.Capacity {
		annotations[release.CapacityPrefix+name] = value
	}
	if len(g.Labels) > 0 {
		annotations[release.CapacityPrefix+"labels"] = g.withLabels(annotations[release.CapacityPrefix+"labels"])
	}
	if len(g.Taints) > 0 {
		annotations[release.CapacityPrefix+"taints"] = joinedTaints(g.Taints)
	}
}

// JoinLabels writes labels as ParseLabels reads them, in the order of the keys.
func JoinLabels(labels map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, key+"="+labels[key])
	}
	return strings.Join(parts, ",")
}

func joinedTaints(taints []Taint) string {
	parts := make([]string, len(taints))
	for i, t := range taints {
		parts[i] = t.String()
	}
	return strings.Join(parts, ",")
}

// Paths of the fields in which a MachineDeployment names its templates.
var (
	machineRef   = []string{"spec", "template", "spec", "infrastructureRef"}
	bootstrapRef = []string{"spec", "template", "spec", "bootstrap", "configRef"}
)

// reference reads the reference at path: its kind and its name.
func reference(group *unstructured.Unstructured, path []string) (schema.GroupKind, string) {
	at := func(field string) string { return kube.Field(group, append(slices.Clone(path), field)...) }
	apiGroup := at("apiGroup")
	if apiGroup == "" { // before v1beta2
		apiGroup = schema.FromAPIVersionAndKind(at("apiVersion"), "").Group
	}
	return schema.GroupKind{Group: apiGroup, Kind: at("kind")}, at("name")
}

// MachineTemplate returns the kind of the infrastructure template of a group's machines.
func MachineTemplate(group *unstructured.Unstructured) schema.GroupKind {
	kind, _ := reference(group, machineRef)
	return kind
}

// MachineTemplateName returns the name of the infrastructure template of a group's machines.
func MachineTemplateName(group *unstructured.Unstructured) string {
	_, name := reference(group, machineRef)
	return name
}

// BootstrapTemplate returns the kind and the name of the template of a group's bootstrap
// data; both are empty if the group has none.
func BootstrapTemplate(group *unstructured.Unstructured) (schema.GroupKind, string) {
	return reference(group, bootstrapRef)
}

// TemplateKinds returns the kinds of the templates that the groups refer to.
func TemplateKinds(groups []unstructured.Unstructured) map[schema.GroupKind]bool {
	kinds := map[schema.GroupKind]bool{}
	for i := range groups {
		for _, ref := range [][]string{machineRef, bootstrapRef} {
			if kind, _ := reference(&groups[i], ref); kind.Kind != "" {
				kinds[kind] = true
			}
		}
	}
	return kinds
}

// templates returns the templates to create, which only this group will use, and changes group
// so that it refers to them. The templates of others that it uses must exist.
func (g NodeGroup) templates(ctx context.Context, c *kube.Client, group *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	if g.Template != nil {
		return []*unstructured.Unstructured{g.like(g.Template)}, nil
	}
	for _, ref := range [][]string{machineRef, bootstrapRef} {
		// Without its template the group would never get a node.
		kind, name := reference(group, ref)
		if _, err := c.Get(ctx, kind, g.Namespace, name); err != nil {
			return nil, fmt.Errorf("read the template %s %s of the node group: %w", kind.Kind, name, err)
		}
	}
	var copies []*unstructured.Unstructured
	if g.Own {
		machine, err := g.copyOf(ctx, c, group, machineRef)
		if err != nil {
			return nil, err
		}
		copies = append(copies, machine)
	}
	if !g.Own && len(g.Labels)+len(g.Taints)+len(g.KubeletArgs) == 0 {
		return copies, nil
	}
	bootstrap, err := g.copyOf(ctx, c, group, bootstrapRef)
	if err != nil {
		return nil, err
	}
	if err := g.register(bootstrap); err != nil {
		return nil, err
	}
	return append(copies, bootstrap), nil
}

// copyOf copies the template that group refers to at ref. The copy has the
// group's name.
func (g NodeGroup) copyOf(ctx context.Context, c *kube.Client, group *unstructured.Unstructured, ref []string) (*unstructured.Unstructured, error) {
	kind, name := reference(group, ref)
	original, err := c.Get(ctx, kind, g.Namespace, name)
	if err != nil {
		return nil, fmt.Errorf("read the template %s %s of the node group: %w", kind.Kind, name, err)
	}
	template := g.like(original)
	if err := unstructured.SetNestedField(group.Object, g.Name, append(slices.Clone(ref), "name")...); err != nil {
		return nil, fmt.Errorf("name the template of %s: %w", g.Name, err)
	}
	return template, nil
}

// register makes the kubelets of the group register with its labels and taints, and gives
// them its arguments.
func (g NodeGroup) register(bootstrap *unstructured.Unstructured) error {
	if kind := bootstrap.GetKind(); kind != "KubeadmConfigTemplate" {
		return fmt.Errorf("labels, taints and the size of nodes are set through kubeadm, and %s bootstraps with a %s", g.Name, kind)
	}
	registration := []string{"spec", "template", "spec", "joinConfiguration", "nodeRegistration"}
	if len(g.Taints) > 0 {
		var taints []any
		for _, t := range g.Taints {
			taint := map[string]any{"key": t.Key, "effect": t.Effect}
			if t.Value != "" {
				taint["value"] = t.Value
			}
			taints = append(taints, taint)
		}
		if err := unstructured.SetNestedSlice(bootstrap.Object, taints, append(slices.Clone(registration), "taints")...); err != nil {
			return fmt.Errorf("taint the nodes of %s: %w", g.Name, err)
		}
	}
	if len(g.Labels)+len(g.KubeletArgs) == 0 {
		return nil
	}
	return g.setKubeletArgs(bootstrap, append(registration, "kubeletExtraArgs")...)
}

// SetSizes sets the minimum and maximum of a MachineDeployment, and the capacity of
// its nodes if no annotation has one. annotated reports whether it set the capacity.
func SetSizes(ctx context.Context, c *kube.Client, namespace, cluster, name, prefix string, lowest, highest int, capacity map[string]string) (annotated bool, err error) {
	if err := CheckSizes(lowest, highest); err != nil {
		return false, err
	}
	group, err := get(ctx, c, namespace, cluster, name)
	if err != nil {
		return false, err
	}
	annotations := map[string]any{
		release.SizeAnnotation(prefix, "min"): strconv.Itoa(lowest),
		release.SizeAnnotation(prefix, "max"): strconv.Itoa(highest),
	}
	if annotated = len(capacity) > 0 && group.GetAnnotations()[release.CapacityPrefix+"cpu"] == ""; annotated {
		for key, value := range capacity {
			annotations[release.CapacityPrefix+key] = value
		}
	}
	return annotated, c.Patch(ctx, kube.MachineDeployments, namespace, name, map[string]any{"metadata": map[string]any{"annotations": annotations}})
}

// WaitGroup waits until its controller has seen the group and as many nodes as
// wanted are ready. A group that begins empty has no nodes to wait for.
func WaitGroup(ctx context.Context, c *kube.Client, namespace, name string, want int, progress func(string)) error {
	return c.Wait(ctx, kube.MachineDeployments, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		for _, g := range all {
			if g.GetName() != name {
				continue
			}
			ready, _ := strconv.Atoi(kube.Field(g, "status", "readyReplicas"))
			seen := kube.Field(g, "status", "observedGeneration") == fmt.Sprint(g.GetGeneration())
			return seen && ready >= want, fmt.Sprintf("%d of %d nodes ready", ready, want)
		}
		return false, "the machine deployment " + name
	}, progress)
}
