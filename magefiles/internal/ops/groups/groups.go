// Package groups adds, lists, changes and deletes the node groups of a cluster.
package groups

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/workload"
)

// Groups are the node groups of a cluster.
type Groups struct {
	*lab.Lab
	// Open opens the cluster.
	Open target.Opener
	// AddFact records what the lab did to a cluster.
	AddFact func(*target.Cluster, timeline.Fact)

	// answerWithin replaces lab.AnswerWithin in tests.
	answerWithin time.Duration
}

// bounded returns a context for requests that wait for nothing but the answer.
func (g *Groups) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return lab.WithTimeout(ctx, cmp.Or(g.answerWithin, lab.AnswerWithin))
}

// Options of Add, as text from a command line.
type Options struct {
	// From names the machine deployment whose templates the group takes.
	From string
	// Own copies the machine template instead of sharing it.
	Own bool
	// Labels and Taints of the nodes, and the Capacity of a future node.
	Labels, Taints, Capacity string
}

// Add adds a machine deployment that the autoscaler scales between
// lowest and highest.
func (g *Groups) Add(ctx context.Context, name string, lowest, highest int, o Options) (err error) {
	labels, lerr := capi.ParseLabels(o.Labels)
	taints, terr := capi.ParseTaints(o.Taints)
	capacity, cerr := capi.ParseCapacity(o.Capacity)
	group := capi.NodeGroup{
		Name: name, Namespace: g.Config.Namespace, ClusterName: g.Config.ClusterName, Prefix: release.OfAutoscaler(component.AutoscalerRelease(g.Config)).SizePrefix,
		Min: lowest, Max: highest, From: o.From, Own: o.Own, Labels: labels, Taints: taints, Capacity: capacity,
	}
	if err := errors.Join(group.Validate(), lerr, terr, cerr); err != nil {
		return err
	}
	c, err := g.Open(ctx)
	if err != nil {
		return err
	}
	if lowest == 0 && len(capacity) == 0 && c.Own {
		var like string
		if group.Capacity, like, err = g.capacityOfANode(ctx, c); err != nil {
			return err
		}
		if like == "" {
			return errors.New("a group that may be empty needs the capacity of its nodes, and there is no worker to take it from; give -capacity=cpu=4,memory=16Gi")
		}
		g.printCapacity(like)
	} else if lowest == 0 && len(capacity) == 0 {
		g.Log.Printf("! it scales up from zero nodes only if its machine template has the capacity of a node; otherwise give -capacity=cpu=4,memory=16Gi")
	}
	step := g.Log.Start("add the node group "+name, 40*time.Second)
	defer func() { step.Done(fmt.Sprintf("%d to %d nodes", lowest, highest), err) }()
	ctx, cancel := lab.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := group.Add(ctx, c.Management); err != nil {
		return lab.Waited(ctx, "accept the node group "+name, err)
	}
	return capi.WaitGroup(ctx, c.Management, c.Namespace, name, lowest, step.Progress)
}

// capacityOfANode returns the capacity and the name of a worker of the environment, both
// empty if there is none. All workers have the capacity of this machine. Cluster API's
// Docker provider reports it in its templates only since v1.11, and not every autoscaler
// reads it there. On other infrastructures, nodes differ.
func (g *Groups) capacityOfANode(ctx context.Context, c *target.Cluster) (capacity map[string]string, node string, err error) {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	workers, err := workload.Workers(ctx, c.Workload)
	err = lab.Waited(ctx, "list the nodes", err)
	if err != nil || len(workers) == 0 {
		return nil, "", err
	}
	return map[string]string{
		"cpu":    workers[0].Status.Capacity.Cpu().String(),
		"memory": workers[0].Status.Capacity.Memory().String(),
	}, workers[0].Name, nil
}

func (g *Groups) printCapacity(node string) {
	g.Log.Printf("the autoscaler expects a node of the group to have the capacity of %s; nodegroup:add -capacity=cpu=…,memory=… sets another one", node)
}

// List prints the machine deployments with the autoscaler's limits.
func (g *Groups) List(ctx context.Context) error {
	c, err := g.Open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	return lab.Waited(ctx, "list the node groups", capi.WriteGroups(ctx, g.Out, c.Management, c.Namespace, c.Name))
}

// Set sets the autoscaler's limits of a machine deployment.
func (g *Groups) Set(ctx context.Context, name string, lowest, highest int) error {
	if err := capi.CheckSizes(lowest, highest); err != nil {
		return err
	}
	c, err := g.Open(ctx)
	if err != nil {
		return err
	}
	var capacity map[string]string
	var like string
	if lowest == 0 && c.Own {
		if capacity, like, err = g.capacityOfANode(ctx, c); err != nil {
			return err
		}
	}
	prefix := release.OfAutoscaler(component.AutoscalerRelease(g.Config)).SizePrefix
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	annotated, err := capi.SetSizes(ctx, c.Management, c.Namespace, c.Name, name, prefix, lowest, highest, capacity)
	if err != nil {
		return lab.Waited(ctx, "accept the limits of the machine deployment "+name, err)
	}
	if annotated {
		g.printCapacity(like)
	}
	g.Log.Printf("%s has the limits %d to %d nodes, which an autoscaler keeps while it runs", name, lowest, highest)
	return nil
}

// Delete deletes a machine deployment and waits until its nodes are
// gone.
func (g *Groups) Delete(ctx context.Context, name string) (err error) {
	c, err := g.Open(ctx)
	if err != nil {
		return err
	}
	step := g.Log.Start("delete the node group "+name, 20*time.Second)
	defer func() { step.Done("", err) }()
	ctx, cancel := lab.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	began := g.Now()
	err = capi.DeleteGroup(ctx, c.Management, c.Namespace, c.Name, name, release.OfAutoscaler(component.AutoscalerRelease(g.Config)).SizePrefix, step.Progress)
	if err == nil || ctx.Err() != nil { // the deletion may go on
		g.AddFact(c, timeline.Fact{Time: began, What: timeline.Deleting, Name: "nodegroup:delete", Group: name})
	}
	return err
}
