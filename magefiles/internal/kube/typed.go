package kube

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Pod returns a pod as its type. The error says which object does not have the
// fields of a pod.
func Pod(o *unstructured.Unstructured) (*corev1.Pod, error) { return typed[corev1.Pod](o) }

// Node returns a node as its type, as Pod does.
func Node(o *unstructured.Unstructured) (*corev1.Node, error) { return typed[corev1.Node](o) }

// Event returns an event of the core group as its type, as Pod does.
func Event(o *unstructured.Unstructured) (*corev1.Event, error) { return typed[corev1.Event](o) }

// Deployment returns a deployment as its type, as Pod does.
func Deployment(o *unstructured.Unstructured) (*appsv1.Deployment, error) {
	return typed[appsv1.Deployment](o)
}

// Lease returns a lease as its type, as Pod does.
func Lease(o *unstructured.Unstructured) (*coordinationv1.Lease, error) {
	return typed[coordinationv1.Lease](o)
}

func typed[T any](o *unstructured.Unstructured) (*T, error) {
	object := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, object); err != nil {
		return nil, fmt.Errorf("read the %s %s: %w", o.GetKind(), key(o), err)
	}
	return object, nil
}
