package env

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
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
		Name: name, Namespace: l.cfg.Namespace, ClusterName: l.cfg.ClusterName, Prefix: release.OfAutoscaler(l.autoscalerRelease()).SizePrefix,
		Min: lowest, Max: highest, From: o.From, Own: o.Own, Labels: labels, Taints: taints, Capacity: capacity,
	}
	if err := errors.Join(group.Validate(), lerr, terr, cerr); err != nil {
		return err
	}
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	if lowest == 0 && len(capacity) == 0 && s.own {
		var like string
		if group.Capacity, like, err = capacityOfANode(ctx, s); err != nil {
			return err
		}
		if like == "" {
			return errors.New("a group that may be empty needs the capacity of its nodes, and there is no worker to take it from; give -capacity=cpu=4,memory=16Gi")
		}
		l.tellCapacity(like)
	} else if lowest == 0 && len(capacity) == 0 {
		l.log.Printf("! from zero nodes it grows only if its template tells their capacity; else give -capacity=cpu=4,memory=16Gi")
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

// capacityOfANode is that of a worker of the environment, and its name: all
// have the machine's, which CAPD's templates do not tell the autoscaler. Of other
// infrastructure's nodes one is not like another. Both are empty
// if there is no worker.
func capacityOfANode(ctx context.Context, s *subject) (capacity map[string]string, node string, err error) {
	workers, err := workload.Workers(ctx, s.workload)
	if err != nil || len(workers) == 0 {
		return nil, "", err
	}
	return map[string]string{
		"cpu":    kube.Field(&workers[0], "status", "capacity", "cpu"),
		"memory": kube.Field(&workers[0], "status", "capacity", "memory"),
	}, workers[0].GetName(), nil
}

func (l *Lab) tellCapacity(node string) {
	l.log.Printf("the autoscaler is told that a node of the group has the capacity of %s; nodegroup:add -capacity=cpu=…,memory=… says otherwise", node)
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
	if err := capi.CheckSizes(lowest, highest); err != nil {
		return err
	}
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	var capacity map[string]string
	var like string
	if lowest == 0 && s.own {
		if capacity, like, err = capacityOfANode(ctx, s); err != nil {
			return err
		}
	}
	prefix := release.OfAutoscaler(l.autoscalerRelease()).SizePrefix
	told, err := capi.SetSizes(ctx, s.management, s.namespace, s.name, name, prefix, lowest, highest, capacity)
	if err != nil {
		return err
	}
	if told {
		l.tellCapacity(like)
	}
	l.log.Printf("the autoscaler may give %s %d to %d nodes", name, lowest, highest)
	return nil
}

// NodeGroupDelete deletes a machine deployment and waits until its nodes are
// gone.
func (l *Lab) NodeGroupDelete(ctx context.Context, name string) (err error) {
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	step := l.log.Start("delete the node group "+name, 20*time.Second)
	defer func() { step.Done("", err) }()
	ctx, cancel := within(ctx, 5*time.Minute)
	defer cancel()
	return capi.DeleteGroup(ctx, s.management, s.namespace, s.name, name, release.OfAutoscaler(l.autoscalerRelease()).SizePrefix, step.Progress)
}
