package kube

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// FirstImage returns the image of a Deployment's first container; empty if it
// has none.
func FirstImage(deployment *unstructured.Unstructured) string {
	containers, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		if m, ok := c.(map[string]any); ok {
			return fmt.Sprint(m["image"])
		}
	}
	return ""
}

// ImageID returns the ID of the image that one of the pods, in that namespace, runs
// under the name image, such as sha256:…; empty if none does.
func ImageID(pods []unstructured.Unstructured, namespace, image string) string {
	for i := range pods {
		if pods[i].GetNamespace() != namespace {
			continue
		}
		for _, container := range ContainerStatuses(&pods[i]) {
			if container["image"] == image {
				id := fmt.Sprint(container["imageID"])
				return id[strings.LastIndex(id, "@")+1:]
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
