package env

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/workload"
)

// NodeGroupOptions of NodeGroupAdd, as text from a command line.
type NodeGroupOptions struct {
	// From names the machine deployment whose templates the group takes.
	From string
	// Own copies the machine template instead of sharing it.
	Own bool
	// Labels and Taints of the nodes, and the Capacity of one to be.
	Labels, Taints, Capacity string
}

// NodeGroupAdd adds a machine deployment that the autoscaler scales between
// lowest and highest.
func (l *Lab) NodeGroupAdd(ctx context.Context, name string, lowest, highest int, o NodeGroupOptions) (err error) {
	labels, lerr := capi.ParseLabels(o.Labels)
	taints, terr := capi.ParseTaints(o.Taints)
	capacity, cerr := capi.ParseCapacity(o.Capacity)
	group := capi.NodeGroup{
		Name: name, Namespace: l.cfg.Namespace, ClusterName: l.cfg.ClusterName, Prefix: annotationPrefix(l.autoscalerRelease()),
		Min: lowest, Max: highest, From: o.From, Own: o.Own, Labels: labels, Taints: taints, Capacity: capacity,
	}
	if err := errors.Join(group.Validate(), lerr, terr, cerr); err != nil {
		return err
	}
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	if lowest == 0 && len(capacity) == 0 {
		if group.Capacity, err = l.capacityOfANode(ctx, s); err != nil {
			return err
		}
	}
	step := l.log.Start("add the node group "+name, 40*time.Second)
	defer func() { step.Done(fmt.Sprintf("%d to %d nodes", lowest, highest), err) }()
	ctx, cancel := within(ctx, 5*time.Minute)
	defer cancel()
	if err := group.Add(ctx, s.management); err != nil {
		return err
	}
	return capi.WaitGroup(ctx, s.management, s.namespace, name, lowest, step.Progress)
}

// capacityOfANode is that of a worker there is, for infrastructure whose
// machine templates do not tell the autoscaler what a node will have.
func (l *Lab) capacityOfANode(ctx context.Context, s *subject) (map[string]string, error) {
	workers, err := workload.Workers(ctx, s.workload)
	if err != nil {
		return nil, err
	}
	if len(workers) == 0 {
		return nil, errors.New("a group that may be empty needs the capacity of its nodes, and there is no worker to take it from; give -capacity=cpu=4,memory=16Gi")
	}
	l.log.Printf("a node of the group will have the capacity of %s, the autoscaler is told; -capacity=cpu=…,memory=… says otherwise", workers[0].GetName())
	return map[string]string{
		"cpu":    kube.Field(&workers[0], "status", "capacity", "cpu"),
		"memory": kube.Field(&workers[0], "status", "capacity", "memory"),
	}, nil
}

// NodeGroupList prints the machine deployments with what the autoscaler may do
// to them.
func (l *Lab) NodeGroupList(ctx context.Context) error {
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	return l.printNodeGroups(ctx, s.management)
}

func (l *Lab) printNodeGroups(ctx context.Context, client *kube.Client) error {
	groups, err := capi.Groups(ctx, client, l.cfg.Namespace, l.cfg.ClusterName)
	if err != nil && !meta.IsNoMatchError(err) { // a cluster that is coming up has no such kind
		return err
	}
	w := l.table("NODE GROUP", "MIN", "MAX", "REPLICAS", "READY", "LABELS", "TAINTS")
	for i := range groups {
		g := &groups[i]
		lowest, highest := capi.Sizes(g)
		row(w, g.GetName(), or(lowest, "-"), or(highest, "-"), kube.Field(g, "spec", "replicas"),
			or(kube.Field(g, "status", "readyReplicas"), "0"), told(g, "labels"), told(g, "taints"))
	}
	return w.Flush()
}

// told is what the autoscaler is told of the group's nodes.
func told(g *unstructured.Unstructured, what string) string {
	return or(g.GetAnnotations()[capi.CapacityPrefix+what], "-")
}

// NodeGroupSet gives a machine deployment the autoscaler's limits.
func (l *Lab) NodeGroupSet(ctx context.Context, name string, lowest, highest int) error {
	if err := errors.Join(capi.CheckGroupName(name), capi.CheckSizes(lowest, highest)); err != nil {
		return err
	}
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	var capacity map[string]string
	if lowest == 0 {
		if capacity, err = l.capacityOfANode(ctx, s); err != nil {
			return err
		}
	}
	prefix := annotationPrefix(l.autoscalerRelease())
	if err := capi.SetSizes(ctx, s.management, s.namespace, s.name, name, prefix, lowest, highest, capacity); err != nil {
		return err
	}
	l.log.Printf("the autoscaler may give %s %d to %d nodes", name, lowest, highest)
	return nil
}

// NodeGroupDelete deletes a machine deployment and waits until its nodes are
// gone.
func (l *Lab) NodeGroupDelete(ctx context.Context, name string) (err error) {
	if err := capi.CheckGroupName(name); err != nil {
		return err
	}
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	step := l.log.Start("delete the node group "+name, 20*time.Second)
	defer func() { step.Done("", err) }()
	ctx, cancel := within(ctx, 5*time.Minute)
	defer cancel()
	return capi.DeleteGroup(ctx, s.management, s.namespace, s.name, name, annotationPrefix(l.autoscalerRelease()), step.Progress)
}
