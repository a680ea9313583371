package fit

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/timeline/world"
)

// Outside returns why a group is no node group of this autoscaler, nil if it is one. The
// rules are those of the provider for Cluster API in the release.
func (j *Judge) Outside(g *world.Group) []Obstacle {
	var found []Obstacle
	low, high := g.Annotations[j.SizeAnnotation("min")], g.Annotations[j.SizeAnnotation("max")]
	least, most := 0, 0
	for _, bound := range []struct {
		name, text string
		n          *int
	}{{"min", low, &least}, {"max", high, &most}} {
		n, err := strconv.Atoi(bound.text)
		if bound.text != "" && (err != nil || n < 0) {
			return []Obstacle{{
				fmt.Sprintf("its annotation %s=%s is no number, with which the autoscaler reads no group at all", j.SizeAnnotation(bound.name), bound.text),
				"a whole number in " + j.SizeAnnotation(bound.name),
			}}
		}
		*bound.n = n
	}
	switch {
	case low == "" && high == "":
		found = append(found, Obstacle{
			"it has no annotations with a minimum and a maximum",
			fmt.Sprintf("the annotations %s and %s", j.SizeAnnotation("min"), j.SizeAnnotation("max")),
		})
	case most < least:
		found = append(found, Obstacle{
			fmt.Sprintf("its maximum %d is below its minimum %d, with which the autoscaler reads no group at all", most, least), fmt.Sprintf("max to %d", max(1, least)),
		})
	case most == 0:
		found = append(found, Obstacle{"its maximum is 0: the autoscaler leaves it out", "max to 1"})
	}
	if text := j.undiscovered(g); text != "" {
		found = append(found, Obstacle{text, "a group, or --node-group-auto-discovery, with which the two match"})
	}
	if _, annotated := g.Annotations[clusterv1.PausedAnnotation]; annotated && j.Autoscaler.Release().SkipsPaused {
		found = append(found, Obstacle{"it is paused", "no annotation " + clusterv1.PausedAnnotation})
	}
	if len(found) == 0 && g.Wanted == 0 {
		if text := j.unknownCapacity(g); text != "" {
			found = append(found, Obstacle{text, fmt.Sprintf("the annotations %scpu and %smemory", release.CapacityPrefix, release.CapacityPrefix)})
		}
	}
	return found
}

// undiscovered returns why --node-group-auto-discovery does not match a group, empty if it
// does, or if the flags are not on record.
func (j *Judge) undiscovered(g *world.Group) string {
	misses := j.discoveryMisses(g, g.Labels)
	if misses == nil {
		return ""
	}
	var texts []string
	for _, m := range misses {
		texts = append(texts, fmt.Sprintf("it wants %s=%s, and the group has %q", m.name, m.want, m.have))
	}
	return fmt.Sprintf("--%s=%s does not match it: %s", discovery, j.Autoscaler.Flags[discovery], strings.Join(texts, "; "))
}

// Lost returns why the autoscaler does not recognise a group's nodes, although it
// scales the group; nil if it takes them. It finds a node's group through the node's MachineSet,
// which --node-group-auto-discovery must match too. Source: findResourceByKey in
// cloudprovider/clusterapi/clusterapi_controller.go of 1.18.3 to 1.36.1.
func (j *Judge) Lost(g *world.Group) *Obstacle {
	if g.Kind != "" { // a MachinePool has no MachineSet, and a MachineSet is the group itself
		return nil
	}
	labels := map[string]string{clusterv1.ClusterNameLabel: g.Cluster, clusterv1.MachineDeploymentNameLabel: g.Name}
	maps.Copy(labels, g.NodeLabels)
	var wanted []string
	for _, m := range j.discoveryMisses(g, labels) {
		if m.name != "namespace" && m.name != "clusterName" { // these are no labels, and the group lacks them too
			wanted = append(wanted, m.name+"="+m.want)
		}
	}
	if wanted == nil {
		return nil
	}
	return &Obstacle{
		fmt.Sprintf("the autoscaler does not recognise the nodes of %s: their MachineSets lack the label %s, which --%s wants (MachineSets get labels from the machine template)", g.Name, strings.Join(wanted, " or "), discovery),
		"the labels that --node-group-auto-discovery wants in spec.template.metadata.labels of " + g.Name + ", or discovery by namespace and clusterName alone",
	}
}

// discovery is the flag that says which objects the autoscaler discovers.
const discovery = "node-group-auto-discovery"

// miss is a value that a discovery wants, and that an object does not have.
type miss struct{ name, want, have string }

// discoveryMisses returns why --node-group-auto-discovery does not match an object with these
// labels that belongs to a group. It has a miss for each discovery. It is nil if one discovery
// matches, or if the flags are not on record.
func (j *Judge) discoveryMisses(g *world.Group, labels map[string]string) []miss {
	specs := strings.Trim(j.Autoscaler.Flags[discovery], "[]")
	if specs == "" {
		return nil
	}
	var misses []miss
	for spec := range strings.SplitSeq(specs, "clusterapi:") {
		spec = strings.Trim(spec, ", ")
		if spec == "" {
			continue
		}
		var missed *miss
		for part := range strings.SplitSeq(spec, ",") {
			name, want, _ := strings.Cut(part, "=")
			have := labels[name]
			switch name {
			case "":
				continue
			case "namespace":
				have = g.Namespace
			case "clusterName":
				have = g.Cluster
			}
			if have != want && (want != "" || name != "namespace" && name != "clusterName") {
				missed = &miss{name, want, have}
				break
			}
		}
		if missed == nil {
			return nil
		}
		misses = append(misses, *missed)
	}
	return misses
}
