package hollow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/rand"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/list"
)

// Kinds of the objects, and the version of their API.
var (
	Machines  = schema.GroupKind{Group: "infrastructure.cluster.x-k8s.io", Kind: "HollowMachine"}
	Templates = schema.GroupKind{Group: "infrastructure.cluster.x-k8s.io", Kind: "HollowMachineTemplate"}
)

const version = "v1beta2"

// path of the machines' specification in a template.
var specPath = []string{"spec", "template", "spec"}

// Is reports whether the machines of a MachineDeployment are hollow.
func Is(group *unstructured.Unstructured) bool { return capi.MachineTemplate(group) == Templates }

// Group returns the node group with hollow machines of that kind. It sets the fields of g that
// depend on the machines.
func (s Spec) Group(g capi.NodeGroup) (capi.NodeGroup, error) {
	fields, err := s.fields()
	if err != nil {
		return g, err
	}
	g.Template = &unstructured.Unstructured{Object: map[string]any{}}
	g.Template.SetGroupVersionKind(Templates.WithVersion(version))
	if err := unstructured.SetNestedMap(g.Template.Object, fields, specPath...); err != nil {
		return g, fmt.Errorf("write the template of %s: %w", g.Name, err)
	}
	g.Labels, g.Taints, g.Capacity = s.labels(), nil, s.announced()
	for _, t := range s.Node.Taints {
		g.Taints = append(g.Taints, capi.Taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
	}
	return g, nil
}

// fields returns the specification as fields of an object.
func (s Spec) fields() (map[string]any, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write what hollow machines are: %w", err)
	}
	fields := map[string]any{}
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("write what hollow machines are: %w", err)
	}
	return fields, nil
}

// labels returns the labels by which pods select the nodes. The autoscaler reads them while the
// group is empty.
func (s Spec) labels() map[string]string {
	labels := map[string]string{kube.MachinesLabel: kube.Hollow}
	maps.Copy(labels, s.Node.Labels)
	for key, value := range map[string]string{
		corev1.LabelTopologyZone: s.Node.Zone, corev1.LabelArchStable: s.Node.Architecture, corev1.LabelInstanceTypeStable: s.Node.InstanceType,
	} {
		if value != "" {
			labels[key] = value
		}
	}
	return labels
}

// announced returns what annotations tell the autoscaler of the capacity, by their names. It
// reads the rest, such as a second device, from the template's status: releases that read no
// template know what the annotations have. It takes the number of pods from its annotation
// alone (cluster-autoscaler 1.36.1, cloudprovider/clusterapi/clusterapi_unstructured.go:
// InstanceCapacity).
func (s Spec) announced() map[string]string {
	total := s.Total()
	announced := map[string]string{}
	var devices []corev1.ResourceName
	for _, name := range slices.Sorted(maps.Keys(total)) {
		amount := total[name]
		switch {
		case name == corev1.ResourceCPU || name == corev1.ResourceMemory:
			announced[string(name)] = amount.String()
		case name == corev1.ResourcePods:
			announced["maxPods"] = amount.String()
		case name == corev1.ResourceEphemeralStorage:
			announced["ephemeral-disk"] = amount.String()
		case isDevice(name):
			devices = append(devices, name)
		}
	}
	switch {
	case len(s.Node.DeviceDrivers) == 1:
		// The annotation with the number is either for the driver or for the GPU type. The template
		// has the other one.
		d := s.Node.DeviceDrivers[0]
		announced[draDriver], announced[gpuCount] = d.Name, fmt.Sprint(d.Devices)
	case len(devices) == 1:
		amount := total[devices[0]]
		announced[gpuType], announced[gpuCount] = string(devices[0]), fmt.Sprint(amount.Value())
	}
	if text := s.volumeDrivers(); text != "" {
		announced[csiDriver] = text
	}
	return announced
}

// Read returns what the machines of a group are, from its template.
func Read(ctx context.Context, c *kube.Client, group *unstructured.Unstructured) (Spec, error) {
	var s Spec
	template, err := c.Get(ctx, Templates, group.GetNamespace(), capi.MachineTemplateName(group))
	if err != nil {
		return s, fmt.Errorf("read the %s of %s: %w", Templates.Kind, group.GetName(), err)
	}
	fields, _, err := unstructured.NestedMap(template.Object, specPath...)
	if err != nil {
		return s, fmt.Errorf("read the %s of %s: %w", Templates.Kind, group.GetName(), err)
	}
	data, err := json.Marshal(fields)
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return s, fmt.Errorf("read the %s of %s: %w", Templates.Kind, group.GetName(), err)
	}
	return s, nil
}

// Planned is a change of the machines of a group that nothing has written yet.
type Planned struct {
	// Spec is what machines have after the change.
	Spec

	group *unstructured.Unstructured
	// before and after are the fields of the template.
	before, after map[string]any
	shape         Shape
	change        Change
}

// Plan reads what the machines of a group are, and returns the change of the machines that the
// group gets later. The error names every option that is wrong. Is must be true for the group.
func Plan(ctx context.Context, c *kube.Client, group *unstructured.Unstructured, shape Shape, change Change) (Planned, error) {
	p := Planned{group: group, shape: shape, change: change}
	var err error
	if p.Spec, err = Read(ctx, c, group); err != nil {
		return p, err
	}
	if p.before, err = p.fields(); err != nil {
		return p, err
	}
	if err := errors.Join(p.Spec.shape(shape), p.Apply(change)); err != nil {
		return p, err
	}
	p.after, err = p.fields()
	return p, err
}

// Write makes the change. The annotations that tell the autoscaler about the machines change too.
// If the shape has an option, Cluster API replaces the machines that exist. The error is a
// *capi.PrunedError if the cluster does not know all fields; the annotations then stay.
func (p Planned) Write(ctx context.Context, c *kube.Client) error {
	if p.shape.Any() {
		return p.replace(ctx, c)
	}
	if err := changeTemplate(ctx, c, p.group, p.before, p.after); err != nil {
		return err
	}
	if p.change.Capacity == "" && p.change.DRA == "" && p.change.CSI == "" {
		return nil
	}
	patch, err := p.patch()
	if err != nil {
		return err
	}
	return c.Patch(ctx, kube.MachineDeployments, p.group.GetNamespace(), p.group.GetName(), patch)
}

// replace gives the group another template. If the group does not get it, the template is deleted.
func (p Planned) replace(ctx context.Context, c *kube.Client) error {
	patch, err := p.patch()
	if err != nil {
		return err
	}
	namespace, group := p.group.GetNamespace(), p.group.GetName()
	name, err := createTemplate(ctx, c, p.group, p.after)
	if err != nil {
		return err
	}
	if err := unstructured.SetNestedField(patch, name, "spec", "template", "spec", "infrastructureRef", "name"); err != nil {
		return fmt.Errorf("name the template of %s: %w", group, err)
	}
	err = c.Patch(ctx, kube.MachineDeployments, namespace, group, patch)
	if err == nil {
		return nil
	}
	// A request whose answer is lost may have changed the group.
	if now, unread := c.Get(ctx, kube.MachineDeployments, namespace, group); unread == nil && capi.MachineTemplateName(now) != name {
		err = errors.Join(err, c.Delete(ctx, Templates, namespace, name))
	}
	return err
}

// patch returns the patch of the annotations that tell the autoscaler about the machines.
func (p Planned) patch() (map[string]any, error) {
	annotations := map[string]any{}
	for _, name := range append(capi.CapacityNames(), "labels", "taints") {
		annotations[release.CapacityPrefix+name] = nil
	}
	announced, err := p.Group(capi.NodeGroup{})
	if err != nil {
		return nil, err
	}
	for key, value := range announced.Announced() {
		annotations[key] = value
	}
	return map[string]any{"metadata": map[string]any{"annotations": annotations}}, nil
}

// Set does at once what Plan and Write do, and returns what the machines are.
func Set(ctx context.Context, c *kube.Client, group *unstructured.Unstructured, shape Shape, change Change) (Spec, error) {
	p, err := Plan(ctx, c, group, shape, change)
	if err != nil {
		return p.Spec, err
	}
	return p.Spec, p.Write(ctx, c)
}

// changeTemplate changes the template of a group in place, from the fields before to those after.
// Cluster API uses it for later machines, and leaves the machines that exist as they are.
func changeTemplate(ctx context.Context, c *kube.Client, group *unstructured.Unstructured, before, after map[string]any) error {
	name := capi.MachineTemplateName(group)
	write := func(fields map[string]any) error {
		patch := map[string]any{}
		if err := unstructured.SetNestedMap(patch, fields, specPath...); err != nil {
			return fmt.Errorf("write the template of %s: %w", group.GetName(), err)
		}
		return c.Patch(ctx, Templates, group.GetNamespace(), name, patch)
	}
	if err := write(replacing(before, after)); err != nil {
		return err
	}
	err := capi.CheckStored(ctx, c, Templates, group.GetNamespace(), name, after, specPath...)
	if errors.As(err, new(*capi.PrunedError)) {
		err = errors.Join(err, write(replacing(after, before))) // part of a change is none
	}
	return err
}

// createTemplate creates another template with these fields and returns its name. When a group
// refers to another template, Cluster API replaces its machines. Earlier templates are deleted only
// with the group, because MachineSets refer to them.
func createTemplate(ctx context.Context, c *kube.Client, group *unstructured.Unstructured, fields map[string]any) (string, error) {
	template := &unstructured.Unstructured{Object: map[string]any{}}
	template.SetGroupVersionKind(Templates.WithVersion(version))
	template.SetNamespace(group.GetNamespace())
	template.SetName(group.GetName() + "-" + rand.String(5))
	labels := map[string]string{}
	for _, key := range []string{clusterv1.ClusterNameLabel, capi.GroupLabel} {
		labels[key] = group.GetLabels()[key]
	}
	template.SetLabels(labels)
	if err := unstructured.SetNestedMap(template.Object, fields, specPath...); err != nil {
		return "", fmt.Errorf("write another template of %s: %w", group.GetName(), err)
	}
	if err := c.Create(ctx, template); err != nil {
		return "", fmt.Errorf("create another template of %s: %w", group.GetName(), err)
	}
	err := capi.CheckStored(ctx, c, Templates, group.GetNamespace(), template.GetName(), fields, specPath...)
	if errors.As(err, new(*capi.PrunedError)) {
		err = errors.Join(err, c.Delete(ctx, Templates, group.GetNamespace(), template.GetName()))
	}
	return template.GetName(), err
}

// replacing returns the merge patch that makes after of before.
func replacing(before, after map[string]any) map[string]any {
	patch := maps.Clone(after)
	for key, value := range before {
		was, isMap := value.(map[string]any)
		now, stays := after[key].(map[string]any)
		switch {
		case isMap && stays:
			patch[key] = replacing(was, now)
		case after[key] == nil:
			patch[key] = nil
		}
	}
	return patch
}

// ParseZones reads a,b,c. Names of groups are lower case, so zones must differ in more than case.
func ParseZones(text string) ([]string, error) {
	zones, err := list.Split(text)
	if err != nil {
		return nil, fmt.Errorf("-zones=%s: %w", text, err)
	}
	seen := map[string]bool{}
	for _, zone := range zones {
		seen[strings.ToLower(zone)] = true
	}
	if len(zones) == 0 || len(seen) != len(zones) {
		return nil, fmt.Errorf("-zones=%s: want different zones, such as a,b,c; upper and lower case make no difference", text)
	}
	return zones, nil
}

// GroupsOfZones returns the names of the groups that InZone names after the group and a zone.
func GroupsOfZones(groups []unstructured.Unstructured, group string) []string {
	var names []string
	for i := range groups {
		g := &groups[i]
		labels, err := capi.ParseNodeLabels(g.GetAnnotations()[release.CapacityPrefix+"labels"])
		zone := labels[corev1.LabelTopologyZone]
		if err == nil && Is(g) && zone != "" && g.GetName() == InZone(group, zone) {
			names = append(names, g.GetName())
		}
	}
	return names
}

// InZone returns the name of the group of a zone: the autoscaler assumes that a group's nodes are
// alike, so each zone has a group of its own.
func InZone(group, zone string) string { return group + "-" + strings.ToLower(zone) }
