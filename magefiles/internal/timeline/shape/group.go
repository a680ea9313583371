package shape

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
)

// Group is what the MachineDeployment, MachinePool or MachineSet of a node group says of its nodes.
type Group struct {
	// Kind is empty for a MachineDeployment.
	Kind      string            `json:"kind,omitempty"`
	Namespace string            `json:"namespace,omitempty"`
	Cluster   string            `json:"cluster,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	// Annotations are those that the autoscaler reads.
	Annotations map[string]string `json:"annotations,omitempty"`
	// NodeLabels and NodeTaints are those of the machine template. Cluster API gives
	// the labels to nodes whose keys are in its domains.
	NodeLabels map[string]string `json:"nodeLabels,omitempty"`
	NodeTaints []corev1.Taint    `json:"nodeTaints,omitempty"`
	// Template is the infrastructure template of its machines.
	Template Reference `json:"template"`
}

// Reference names an object in the group's namespace.
type Reference struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Versioned reports whether the reference names a version of the API, as objects
	// before v1beta2 do.
	Versioned bool `json:"versioned,omitempty"`
}

// String returns Kind/name, the Name of facts about the object.
func (r Reference) String() string { return r.Kind + "/" + r.Name }

// Prefixes of annotations of MachineDeployments that the autoscaler reads.
var groupPrefixes = []string{
	release.SizePrefix + "/cluster-api-autoscaler-", release.OldSizePrefix + "/cluster-api-autoscaler-",
	release.SizePrefix + "/autoscaling-options-", release.CapacityPrefix, clusterv1.PausedAnnotation,
}

// OfGroup returns the shape of a MachineDeployment, a MachinePool or a MachineSet of any version of
// Cluster API's API.
func OfGroup(o *unstructured.Unstructured) Group {
	template := []string{"spec", "template", "spec", "infrastructureRef"}
	g := Group{
		Namespace: o.GetNamespace(), Cluster: kube.Field(o, "spec", "clusterName"), Labels: o.GetLabels(), Annotations: with(o.GetAnnotations(), groupPrefixes...),
		Template: Reference{
			Kind: kube.Field(o, append(template, "kind")...), Name: kube.Field(o, append(template, "name")...),
			Versioned: kube.Field(o, append(template, "apiVersion")...) != "",
		},
	}
	if kind := o.GetKind(); kind != kube.MachineDeployments.Kind {
		g.Kind = kind
	}
	g.NodeLabels, _, _ = unstructured.NestedStringMap(o.Object, "spec", "template", "metadata", "labels")
	taints, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "taints")
	for _, t := range taints {
		fields, _ := t.(map[string]any)
		var taint corev1.Taint
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, &taint); err == nil {
			g.NodeTaints = append(g.NodeTaints, taint)
		}
	}
	return g
}

// Hollow reports whether the group's machines are hollow: nodes without kubelets, on which pods
// only seem to run.
func (g Group) Hollow() bool { return g.Template.Kind == hollow.Templates.Kind }

// TemplateKind returns the kind of the infrastructure template of a MachineDeployment, a MachinePool or a
// MachineSet, without a Kind if it names none.
func TemplateKind(o *unstructured.Unstructured) schema.GroupKind {
	return referredKind(o, "spec", "template", "spec", "infrastructureRef")
}

// Template is what an infrastructure template tells of the nodes of its machines.
type Template struct {
	Capacity     corev1.ResourceList `json:"capacity,omitempty"`
	Architecture string              `json:"architecture,omitempty"`
	System       string              `json:"system,omitempty"`
}

// OfTemplate returns the shape of an infrastructure template of any provider.
func OfTemplate(o *unstructured.Unstructured) Template {
	t := Template{Architecture: kube.Field(o, "status", "nodeInfo", "architecture"), System: kube.Field(o, "status", "nodeInfo", "operatingSystem")}
	capacity, _, _ := unstructured.NestedStringMap(o.Object, "status", "capacity")
	for name, text := range capacity {
		q, err := resource.ParseQuantity(text)
		if err != nil {
			continue // the autoscaler ignores it too
		}
		if t.Capacity == nil {
			t.Capacity = corev1.ResourceList{}
		}
		t.Capacity[corev1.ResourceName(name)] = q
	}
	return t
}
