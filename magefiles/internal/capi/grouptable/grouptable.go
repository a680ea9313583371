// Package grouptable prints a cluster's node groups.
package grouptable

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/ui"
)

// Write writes a table of a cluster's machine deployments and machine pools: what they are, and
// what the autoscaler may do to them.
func Write(ctx context.Context, w io.Writer, c *kube.Client, namespace, cluster string) error {
	groups, err := capi.Groups(ctx, c, namespace, cluster)
	if err != nil && !meta.IsNoMatchError(err) { // a cluster that is starting has no such kind
		return err
	}
	t := ui.NewTable(w, "NODE GROUP", "MACHINES", "MIN", "MAX", "REPLICAS", "READY", "CAPACITY", "LABELS", "TAINTS", "BEHAVIOUR")
	for i := range groups {
		g := &groups[i]
		m, err := machinesOf(ctx, c, g)
		if err != nil {
			return err
		}
		lowest, highest := capi.Sizes(g)
		t.Row(g.GetName(), m.kind, cmp.Or(lowest, "-"), cmp.Or(highest, "-"), kube.Field(g, "spec", "replicas"),
			cmp.Or(kube.Field(g, "status", "readyReplicas"), "0"), cmp.Or(m.capacity, "-"), announced(g, "labels"), announced(g, "taints"), cmp.Or(m.behaviour, "-"))
	}
	denied := writePools(ctx, t, c, namespace, cluster)
	if denied != nil && !apierrors.IsForbidden(denied) {
		return denied
	}
	if err := t.End(); err != nil || denied == nil {
		return err
	}
	_, err = fmt.Fprintf(w, "Machine pools are not in the table: %v\n", denied)
	return err
}

// writePools writes the rows of the machine pools, which the autoscaler scales as it does machine
// deployments.
func writePools(ctx context.Context, t *ui.Table, c *kube.Client, namespace, cluster string) error {
	pools, err := c.List(ctx, kube.MachinePools, namespace)
	if err != nil && !kube.IsAbsent(err) {
		return err
	}
	for i := range pools {
		p := &pools[i]
		if kube.Field(p, "spec", "clusterName") != cluster {
			continue
		}
		lowest, highest := capi.Sizes(p)
		t.Row(p.GetName(), MachineKind(p), cmp.Or(lowest, "-"), cmp.Or(highest, "-"), cmp.Or(kube.Field(p, "spec", "replicas"), "-"),
			cmp.Or(kube.Field(p, "status", "readyReplicas"), "0"), cmp.Or(announcedCapacity(p), "-"), announced(p, "labels"), announced(p, "taints"), "-")
	}
	return nil
}

// machines are the machines of a group, as texts.
type machines struct{ kind, capacity, behaviour string }

// MachineKind returns the kind of a group's machines in lower case and without Machine, such as
// docker or hollow. A DevMachine, which newer releases of the Docker provider have, gives docker
// too. A machine pool gives, for example, "docker pool". A group that refers to no template gives
// "-".
func MachineKind(group *unstructured.Unstructured) string {
	kind := capi.MachineTemplate(group).Kind
	if group.GetKind() == "MachinePool" {
		return strings.TrimSpace(strings.ToLower(strings.TrimSuffix(kind, "MachinePool")) + " pool")
	}
	kind = strings.ToLower(strings.TrimSuffix(kind, "MachineTemplate"))
	if kind == "dev" {
		kind = "docker"
	}
	return cmp.Or(kind, "-")
}

// machinesOf describes the machines of a group.
func machinesOf(ctx context.Context, c *kube.Client, g *unstructured.Unstructured) (machines, error) {
	m := machines{kind: MachineKind(g), capacity: announcedCapacity(g)}
	if !hollow.Is(g) {
		return m, nil
	}
	s, err := hollow.Read(ctx, c, g)
	if kube.IsAbsent(err) {
		return m, nil // it is being deleted
	}
	if err != nil {
		return m, err
	}
	m.capacity, m.behaviour = strings.TrimSpace(s.Capacity()+" "+s.Drivers()), s.Behaviour()
	return m, nil
}

// announced returns what the group's annotations say about its nodes.
func announced(g *unstructured.Unstructured, what string) string {
	return cmp.Or(g.GetAnnotations()[release.CapacityPrefix+what], "-")
}

// announcedCapacity returns the capacity that the group's annotations announce, as
// capi.ParseCapacity reads it.
func announcedCapacity(g *unstructured.Unstructured) string {
	var parts []string
	for _, name := range capi.CapacityNames() {
		if value, ok := g.GetAnnotations()[release.CapacityPrefix+name]; ok {
			parts = append(parts, name+"="+value)
		}
	}
	return strings.Join(parts, ",")
}
