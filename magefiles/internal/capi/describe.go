package capi

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/cluster-api/cmd/clusterctl/client"
	"sigs.k8s.io/cluster-api/cmd/clusterctl/client/tree"
	object "sigs.k8s.io/controller-runtime/pkg/client"
)

// Described is one object of a cluster's tree. A list of them is in the order in
// which to print them.
type Described struct {
	// Depth is 0 for the Cluster and one more at every level.
	Depth int
	// Name is Kind/name, with the object's role before it where it has one. Objects of a kind with
	// the same statuses and reasons are one, such as "3 Machines, such as a".
	Name string
	// Available and Ready are the statuses of those two conditions, or empty if
	// the object has no such condition.
	Available, Ready string
	// Message says why one of them is not True. It is the reason if there is no message.
	Message string
}

// Describe returns the tree of a cluster and of the objects that it consists of,
// as `clusterctl describe cluster` finds it.
func (l *library) Describe(ctx context.Context, kubeconfig, namespace, name string) ([]Described, error) {
	objects, err := l.client.DescribeCluster(ctx, client.DescribeClusterOptions{
		Kubeconfig:      client.Kubeconfig{Path: kubeconfig},
		Namespace:       namespace,
		ClusterName:     name,
		ShowMachineSets: true,
		Grouping:        true, // a group may have hundreds of machines
	})
	if err != nil {
		return nil, fmt.Errorf("clusterctl describe cluster %s: %w", name, err)
	}
	return flatten(objects, objects.GetRoot(), 0), nil
}

func flatten(objects *tree.ObjectTree, o object.Object, depth int) []Described {
	line := Described{Depth: depth, Name: o.GetObjectKind().GroupVersionKind().Kind + "/" + o.GetName()}
	if role := tree.GetMetaName(o); role != "" {
		line.Name = role + " - " + line.Name
	}
	switch {
	case tree.IsGroupObject(o):
		names := strings.Split(tree.GetGroupItems(o), tree.GroupItemsSeparator)
		line.Name = fmt.Sprintf("%d %ss, such as %s", len(names), strings.TrimSuffix(o.GetObjectKind().GroupVersionKind().Kind, "Group"), names[0])
	case tree.IsVirtualObject(o):
		line.Name = o.GetName()
	}
	var problems []string
	status := func(c *metav1.Condition) string {
		if c == nil {
			return ""
		}
		// The objects of a group differ in their messages, and have one reason.
		text := cmp.Or(c.Message, c.Reason)
		if c.Status != metav1.ConditionTrue && text != "" && !slices.Contains(problems, text) {
			problems = append(problems, text)
		}
		return string(c.Status)
	}
	line.Available, line.Ready = status(tree.GetAvailableCondition(o)), status(tree.GetReadyCondition(o))
	line.Message = strings.Join(problems, "; ")

	lines := []Described{line}
	children := objects.GetObjectsByParent(o.GetUID())
	slices.SortStableFunc(children, func(a, b object.Object) int {
		if byOrder := tree.GetZOrder(b) - tree.GetZOrder(a); byOrder != 0 {
			return byOrder
		}
		return strings.Compare(a.GetName(), b.GetName())
	})
	for _, child := range children {
		lines = append(lines, flatten(objects, child, depth+1)...)
	}
	return lines
}
