package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
)

// snapshot has what must survive, by "KIND NAMESPACE/NAME": the Cluster API objects, the
// nodes, the node groups and the workloads. Each has its labels, owners and specification,
// without UIDs and times.
type snapshot map[string]string

// clusterAPIGroup is the suffix of the groups of Cluster API's kinds.
const clusterAPIGroup = "cluster.x-k8s.io"

// take returns the snapshot of the cluster that a client reaches.
func take(ctx context.Context, client *kube.Client) (snapshot, error) {
	definitions, err := client.List(ctx, kube.Definitions, "")
	if err != nil {
		return nil, err
	}
	kinds := []schema.GroupKind{kube.Nodes, kube.Deployments}
	for i := range definitions {
		d := &definitions[i]
		if group := kube.Field(d, "spec", "group"); strings.HasSuffix(group, clusterAPIGroup) {
			kinds = append(kinds, schema.GroupKind{Group: group, Kind: kube.Field(d, "spec", "names", "kind")})
		}
	}
	s := snapshot{}
	for _, kind := range kinds {
		objects, err := client.List(ctx, kind, "")
		if err != nil {
			return nil, err
		}
		for i := range objects {
			o := &objects[i]
			if s[kind.Kind+" "+o.GetNamespace()+"/"+o.GetName()], err = essence(kind, o); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// essence returns what an object of a kind is, without its UID and times. A node's taints
// come and go with its health, so only its name counts.
func essence(kind schema.GroupKind, o *unstructured.Unstructured) (string, error) {
	if kind == kube.Nodes {
		return "", nil
	}
	var owners []string
	for _, owner := range o.GetOwnerReferences() {
		owners = append(owners, owner.Kind+" "+owner.Name)
	}
	data, err := json.Marshal([]any{o.GetLabels(), owners, o.Object["spec"]})
	if err != nil {
		return "", fmt.Errorf("compare %s %s: %w", kind.Kind, o.GetName(), err)
	}
	return string(data), nil
}

// changes returns what differs between two snapshots.
func (s snapshot) changes(later snapshot) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if now, there := later[name]; !there {
			all = append(all, name+" is gone")
		} else if now != s[name] {
			all = append(all, name+" has changed")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(later)) {
		if _, there := s[name]; !there {
			all = append(all, name+" is new")
		}
	}
	return all
}

// shape returns how many objects of each kind there are. That is all that two environments
// have in common, because names have random parts.
func (s snapshot) shape() snapshot {
	counts := map[string]int{}
	for name := range s {
		kind, _, _ := strings.Cut(name, " ")
		counts[kind]++
	}
	shape := snapshot{}
	for kind, n := range counts {
		shape[fmt.Sprintf("%d %s", n, kind)] = ""
	}
	return shape
}
