package shape

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/kube"
)

// DeviceClaim is a request of a pod for a ResourceClaim.
type DeviceClaim struct {
	// Name of the request in the pod.
	Name string `json:"name"`
	// Claim is the name of the ResourceClaim; empty while it is not created from a template.
	Claim string `json:"claim,omitempty"`
	// Template is the name of the ResourceClaimTemplate of a claim that is not created yet.
	Template string `json:"template,omitempty"`
}

// deviceClaims returns the ResourceClaims that the pod needs. If the pod's status has an entry
// without the name of a claim, the pod needs no claim of that template.
func deviceClaims(pod *corev1.Pod) []DeviceClaim {
	var found []DeviceClaim
	for _, c := range pod.Spec.ResourceClaims {
		d := DeviceClaim{Name: c.Name}
		i := slices.IndexFunc(pod.Status.ResourceClaimStatuses, func(s corev1.PodResourceClaimStatus) bool { return s.Name == c.Name })
		switch {
		case c.ResourceClaimName != nil:
			d.Claim = *c.ResourceClaimName
		case i >= 0 && pod.Status.ResourceClaimStatuses[i].ResourceClaimName != nil:
			d.Claim = *pod.Status.ResourceClaimStatuses[i].ResourceClaimName
		case i >= 0:
			continue
		case c.ResourceClaimTemplateName != nil:
			d.Template = *c.ResourceClaimTemplateName
		}
		found = append(found, d)
	}
	return found
}

// DeviceVersions are the versions of resource.k8s.io that OfScheduling can read. The versions before
// them have other objects.
var DeviceVersions = []string{kube.DevicesVersion, "v1beta2", "v1beta1"}

// ofDevices returns the fields of an object of resource.k8s.io that the scheduler reads, as the version v1
// has them. It leaves out what only the driver reads, and what the driver says to people.
func ofDevices(o *unstructured.Unstructured, kept map[string]any) json.RawMessage {
	if o.GroupVersionKind().GroupKind() == kube.ClaimTemplates {
		delete(kept, "spec") // the ResourceClaims that are created from it have the same spec
		return Encode(kept)
	}
	for _, path := range [][]string{{"spec", "config"}, {"spec", "devices", "config"}, {"status", "allocation", "devices", "config"}} {
		unstructured.RemoveNestedField(kept, path...)
	}
	each(kept, func(device map[string]any) {
		delete(device, "data")
		delete(device, "networkData")
	}, "status", "devices")
	if o.GroupVersionKind().Version == "v1beta1" {
		fromBeta1(kept)
	}
	return Encode(kept)
}

// fromBeta1 changes the fields of v1beta1 to those of v1: a request has the device class and what belongs
// to it in the field exactly, and a device of a slice has no field basic.
func fromBeta1(kept map[string]any) {
	each(kept, func(request map[string]any) {
		exactly := maps.Clone(request)
		maps.DeleteFunc(exactly, func(key string, _ any) bool { return key == "name" || key == "firstAvailable" })
		if len(exactly) == 0 {
			return
		}
		for key := range exactly {
			delete(request, key)
		}
		request["exactly"] = exactly
	}, "spec", "devices", "requests")
	each(kept, func(device map[string]any) {
		basic, _ := device["basic"].(map[string]any)
		delete(device, "basic")
		maps.Copy(device, basic)
	}, "spec", "devices")
}

// each calls change for each object of a list. It does nothing if the field is no list.
func each(kept map[string]any, change func(map[string]any), path ...string) {
	list, _, _ := unstructured.NestedFieldNoCopy(kept, path...)
	items, _ := list.([]any)
	for _, item := range items {
		if object, is := item.(map[string]any); is {
			change(object)
		}
	}
}

// CheckDevices returns an error for an object of resource.k8s.io in a version that OfScheduling cannot
// read.
func CheckDevices(o *unstructured.Unstructured) error {
	kind := o.GroupVersionKind()
	if kind.Group != kube.DevicesGroup || slices.Contains(DeviceVersions, kind.Version) {
		return nil
	}
	return fmt.Errorf("read the %s %s: its version %s of %s is none of %v", kind.Kind, o.GetName(), kind.Version, kind.Group, DeviceVersions)
}
