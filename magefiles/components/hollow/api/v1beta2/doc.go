// Package v1beta2 has the API of the infrastructure provider of hollow machines. It meets
// Cluster API's contracts v1beta1 and v1beta2 for an InfraMachine and its template:
// https://cluster-api.sigs.k8s.io/developer/providers/contracts/infra-machine
//
// Its version is the one that sorts first in the group, which the autoscaler asks
// discovery for in each loop (kubernetes/autoscaler#6784).
//
// +kubebuilder:object:generate=true
// +groupName=infrastructure.cluster.x-k8s.io
package v1beta2

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of the kinds of this package.
var GroupVersion = schema.GroupVersion{Group: "infrastructure.cluster.x-k8s.io", Version: "v1beta2"}

// AddToScheme adds the kinds of this package to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&HollowMachine{}, &HollowMachineList{},
		&HollowMachineTemplate{}, &HollowMachineTemplateList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
