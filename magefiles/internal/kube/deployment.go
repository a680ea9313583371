package kube

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// FirstImage returns the image of a Deployment's first container; empty if it
// has none.
func FirstImage(deployment *unstructured.Unstructured) string {
	d, err := Deployment(deployment)
	if err != nil || len(d.Spec.Template.Spec.Containers) == 0 {
		return ""
	}
	return d.Spec.Template.Spec.Containers[0].Image
}

// ImageID returns the ID of the image that one of the pods, in that namespace, runs
// under the name image, such as sha256:…; empty if none does.
func ImageID(pods []unstructured.Unstructured, namespace, image string) string {
	for i := range pods {
		if pods[i].GetNamespace() != namespace {
			continue
		}
		pod, err := Pod(&pods[i])
		if err != nil {
			continue
		}
		for _, c := range pod.Status.ContainerStatuses {
			if c.Image == image {
				return c.ImageID[strings.LastIndex(c.ImageID, "@")+1:]
			}
		}
	}
	return ""
}

// Roles returns the roles that a node's labels name, sorted.
func Roles(node *unstructured.Unstructured) []string {
	var all []string
	for label := range node.GetLabels() {
		if role, ok := strings.CutPrefix(label, "node-role.kubernetes.io/"); ok {
			all = append(all, role)
		}
	}
	slices.Sort(all)
	return all
}
