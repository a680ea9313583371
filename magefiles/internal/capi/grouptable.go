package capi

import (
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/ui"
)

// WriteGroups writes a table of a cluster's machine deployments and of what the
// autoscaler may do to them.
func WriteGroups(ctx context.Context, w io.Writer, c *kube.Client, namespace, cluster string) error {
	groups, err := Groups(ctx, c, namespace, cluster)
	if err != nil && !meta.IsNoMatchError(err) { // a cluster that is starting has no such kind
		return err
	}
	t := ui.NewTable(w, "NODE GROUP", "MIN", "MAX", "REPLICAS", "READY", "CAPACITY", "LABELS", "TAINTS")
	for i := range groups {
		g := &groups[i]
		lowest, highest := Sizes(g)
		t.Row(g.GetName(), cmp.Or(lowest, "-"), cmp.Or(highest, "-"), kube.Field(g, "spec", "replicas"),
			cmp.Or(kube.Field(g, "status", "readyReplicas"), "0"), capacityOf(g), announced(g, "labels"), announced(g, "taints"))
	}
	return t.End()
}

// announced returns what the group's annotations say about its nodes.
func announced(g *unstructured.Unstructured, what string) string {
	return cmp.Or(g.GetAnnotations()[release.CapacityPrefix+what], "-")
}

// capacityOf returns the capacity that the group's annotations announce, as ParseCapacity
// reads it.
func capacityOf(g *unstructured.Unstructured) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(capacityNames)) {
		if value, ok := g.GetAnnotations()[release.CapacityPrefix+name]; ok {
			parts = append(parts, name+"="+value)
		}
	}
	return cmp.Or(strings.Join(parts, ","), "-")
}
