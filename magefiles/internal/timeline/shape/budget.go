package shape

import (
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"caslab/magefiles/internal/kube"
)

// Budget is a PodDisruptionBudget.
type Budget struct {
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
	// MinAvailable or MaxUnavailable is a number or a percentage; the other is empty.
	MinAvailable   string `json:"minAvailable,omitempty"`
	MaxUnavailable string `json:"maxUnavailable,omitempty"`
	// Allowed is how many of its pods may be evicted now. Of the Expected pods, Healthy
	// are Ready, and Desired must be.
	Allowed  int `json:"allowed,omitempty"`
	Healthy  int `json:"healthy,omitempty"`
	Desired  int `json:"desired,omitempty"`
	Expected int `json:"expected,omitempty"`
}

// OfBudget returns the shape of a PodDisruptionBudget of any version of its API.
func OfBudget(o *unstructured.Unstructured) Budget {
	number := func(field string) int {
		n, _ := strconv.Atoi(kube.Field(o, "status", field)) // it is left out while it is 0
		return n
	}
	b := Budget{
		MinAvailable: kube.Field(o, "spec", "minAvailable"), MaxUnavailable: kube.Field(o, "spec", "maxUnavailable"),
		Allowed: number("disruptionsAllowed"), Healthy: number("currentHealthy"), Desired: number("desiredHealthy"), Expected: number("expectedPods"),
	}
	if selector, found, _ := unstructured.NestedMap(o.Object, "spec", "selector"); found {
		b.Selector = &metav1.LabelSelector{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(selector, b.Selector); err != nil {
			b.Selector = nil // no pod is known to be its
		}
	}
	return b
}
