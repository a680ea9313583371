package shape

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/kube"
)

// External is what an external object of a Machine reports of itself. Cluster API calls objects of
// providers to which its own objects refer external objects: for a Machine, these are its
// infrastructure machine and its bootstrap config.
type External struct {
	// Machine is the name of the Machine to which the object belongs.
	Machine string `json:"machine"`
	// Problems lists the conditions that are not True and have a message, each as one text. A
	// condition that is False when all is well is listed only if it is Unknown and there is no
	// other problem.
	Problems []string `json:"problems,omitempty"`
	// Failure is the terminal failure in its status, empty if it has none.
	Failure string `json:"failure,omitempty"`
}

// undesirable lists the conditions of Cluster API's objects that are False when all is well.
var undesirable = map[string]bool{
	clusterv1.PausedCondition: true, clusterv1.DeletingCondition: true, "Remediating": true, "RollingOut": true, "ScalingUp": true, "ScalingDown": true,
}

// OfExternal returns the shape of an infrastructure machine or a bootstrap config of any provider. It returns
// false if the object reports no problem.
func OfExternal(o *unstructured.Unstructured) (External, bool) {
	e := External{Machine: o.GetName(), Failure: failureInFields(o)} // since Cluster API v1.7, it has the name of its Machine
	for _, owner := range o.GetOwnerReferences() {
		if owner.Kind == kube.Machines.Kind {
			e.Machine = owner.Name
		}
	}
	seen := map[string]bool{}
	var unknown, summary []string
	for _, c := range slices.Concat(conditions(o, "status", "v1beta2", "conditions"), conditions(o, "status", "conditions")) {
		if seen[c.kind] || c.status == "True" || c.message == "" || undesirable[c.kind] && c.status != "Unknown" {
			continue
		}
		seen[c.kind] = true
		text := c.kind + ": " + c.message
		switch {
		case undesirable[c.kind]:
			unknown = append(unknown, text)
		case c.kind == clusterv1.ReadyCondition:
			summary = []string{text} // Ready summarizes the other conditions
		default:
			e.Problems = append(e.Problems, text)
		}
	}
	for _, instead := range [][]string{unknown, summary} {
		if len(e.Problems) == 0 {
			e.Problems = instead
		}
	}
	return e, len(e.Problems) > 0 || e.Failure != ""
}

// InfrastructureKind returns the kind of the infrastructure machine to which a Machine refers, without a Kind
// if it refers to none.
func InfrastructureKind(machine *unstructured.Unstructured) schema.GroupKind {
	return referredKind(machine, "spec", "infrastructureRef")
}

// BootstrapKind returns the kind of the bootstrap config to which a Machine refers, without a Kind if it
// refers to none.
func BootstrapKind(machine *unstructured.Unstructured) schema.GroupKind {
	return referredKind(machine, "spec", "bootstrap", "configRef")
}

// referredKind returns the kind in a reference of any version of Cluster API's API.
func referredKind(o *unstructured.Unstructured, path ...string) schema.GroupKind {
	field := func(name string) string { return kube.Field(o, slices.Concat(path, []string{name})...) }
	group, _, _ := strings.Cut(field("apiVersion"), "/")
	return schema.GroupKind{Group: cmp.Or(field("apiGroup"), group), Kind: field("kind")}
}
