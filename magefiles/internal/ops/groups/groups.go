// Package groups adds, lists, changes and deletes the node groups of a cluster.
package groups

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/grouptable"
	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/timeline"
)

// Groups are the node groups of a cluster.
type Groups struct {
	*lab.Lab
	// Open opens the cluster.
	Open target.Opener
	// AddFact records what the lab did to a cluster.
	AddFact func(*target.Cluster, timeline.Fact)
	// Prepare makes a cluster ready for hollow machines.
	Prepare func(context.Context, *target.Cluster) error

	// answerWithin replaces lab.AnswerWithin in tests.
	answerWithin time.Duration
}

// bounded returns a context for requests that wait for nothing but the answer.
func (g *Groups) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return interrupt.WithTimeout(ctx, cmp.Or(g.answerWithin, lab.AnswerWithin))
}

// Kinds of machines.
const (
	// Docker machines are containers, with kubelets.
	Docker = "docker"
	// Hollow machines are Node objects that the lab's controller plays.
	Hollow = "hollow"
)

// Options of Add, as text from a command line.
type Options struct {
	// Machines is Docker, which is the default, or Hollow.
	Machines string
	// From names the machine deployment whose templates the group takes.
	From string
	// Own copies the machine template instead of sharing it.
	Own bool
	// Labels and Taints of the nodes, and their Capacity. Nodes of the lab's own environment
	// have that capacity. In another cluster, it is what the autoscaler expects of them, unless
	// they are hollow.
	Labels, Taints, Capacity string
	// Zones makes a group for each of the zones, instead of one group.
	Zones string
	// Zone, Arch and InstanceType are labels of hollow nodes.
	Zone, Arch, InstanceType string
	// DRA and CSI are drivers of hollow nodes.
	DRA, CSI string
	// Behaviour is what hollow machines do.
	Behaviour hollow.Behaviour
	// Extra are more labels of the machine deployment, its machines and its own templates.
	Extra map[string]string
}

// validate refuses options that do not fit together.
func (o Options) validate() error {
	switch o.Machines {
	case Docker, "":
		var errs []error
		for _, option := range o.hollowOptions() {
			errs = append(errs, fmt.Errorf("%s: only hollow machines have that; want -machines=%s with it", option, Hollow))
		}
		return errors.Join(errs...)
	case Hollow:
		switch {
		case o.From != "":
			return fmt.Errorf("-from=%s: hollow machines have a template of their own; want -from with -machines=%s alone", o.From, Docker)
		case o.Own:
			return fmt.Errorf("-own: hollow machines have a template of their own anyway; want -own with -machines=%s alone", Docker)
		case o.Zone != "" && o.Zones != "":
			return fmt.Errorf("-zone=%s and -zones=%s: want one of them", o.Zone, o.Zones)
		}
		return nil
	}
	return fmt.Errorf("-machines=%s: want %s or %s", o.Machines, Docker, Hollow)
}

// hollowOptions returns those of the options that only hollow machines have, as they are typed.
func (o Options) hollowOptions() []string {
	b := o.Behaviour
	var given []string
	for _, option := range [][2]string{
		{"zone", o.Zone}, {"zones", o.Zones}, {"arch", o.Arch}, {"instance", o.InstanceType}, {"dra", o.DRA}, {"csi", o.CSI},
		{"start", b.Start}, {"ready", b.Ready}, {"stop", b.Stop}, {"fail", b.Fail}, {"never", b.Never},
		{"late", b.Late}, {"untaint", b.Untaint}, {"podstart", b.PodStart}, {"podfail", b.PodFail}, {"seed", b.Seed},
	} {
		if option[1] != "" {
			given = append(given, "-"+option[0]+"="+option[1])
		}
	}
	return given
}

// Add adds a machine deployment that the autoscaler scales between
// lowest and highest, or one for each zone.
func (g *Groups) Add(ctx context.Context, name string, lowest, highest int, o Options) (err error) {
	if err := o.validate(); err != nil {
		return err
	}
	group := capi.NodeGroup{
		Name: name, Namespace: g.Config.Namespace, ClusterName: g.Config.ClusterName, Prefix: release.OfAutoscaler(component.AutoscalerRelease(g.Config)).SizePrefix,
		Min: lowest, Max: highest, From: o.From, Own: o.Own, Extra: o.Extra,
	}
	if o.Machines == Hollow {
		return g.addHollow(ctx, group, o)
	}
	var lerr, terr, cerr error
	group.Labels, lerr = capi.ParseLabels(o.Labels)
	group.Taints, terr = capi.ParseTaints(o.Taints)
	group.Capacity, cerr = capi.ParseCapacity(o.Capacity)
	if err := errors.Join(group.Validate(), lerr, terr, cerr); err != nil {
		return err
	}
	c, err := g.Open(ctx)
	if err != nil {
		return err
	}
	switch {
	case c.Own:
		if err := g.size(ctx, c, &group); err != nil {
			return err
		}
	case lowest == 0 && len(group.Capacity) == 0:
		g.Log.Printf("! it scales up from zero nodes only if its machine template has the capacity of a node; otherwise give -capacity=cpu=4,memory=16Gi")
	}
	g.warnOfDaemons(ctx, c, group)
	return g.add(ctx, c, group, lowest, leastTime)
}

// An operation on a group may take leastTime, and timePerMachine more for each machine: Cluster API
// creates one machine of a group after the other, and deletes them at the pace of its clients'
// limits.
const (
	leastTime      = 5 * time.Minute
	timePerMachine = 2 * time.Second
)

// add creates a group, and waits until as many nodes as wanted are ready, for within and for the
// time that so many machines take.
func (g *Groups) add(ctx context.Context, c *target.Cluster, group capi.NodeGroup, want int, within time.Duration) (err error) {
	step := g.Log.Start("add the node group "+group.Name, 40*time.Second)
	defer func() { step.Done(fmt.Sprintf("%d to %d nodes", group.Min, group.Max), err) }()
	ctx, cancel := interrupt.WithTimeout(ctx, within+time.Duration(want)*timePerMachine)
	defer cancel()
	if err := group.Add(ctx, c.Management); err != nil {
		return lab.Waited(ctx, "accept the node group "+group.Name, err)
	}
	return capi.WaitGroup(ctx, c.Management, c.Namespace, group.Name, want, step.Progress)
}

// size makes nodes of the environment have the group's capacity. A group that may be empty and
// has none gets that of a node.
func (g *Groups) size(ctx context.Context, c *target.Cluster, group *capi.NodeGroup) error {
	if group.Min > 0 && len(group.Capacity) == 0 {
		return nil
	}
	if len(group.Capacity) == 0 && group.From != "" {
		groups, err := capi.Groups(ctx, c.Management, c.Namespace, c.Name)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(groups, func(other unstructured.Unstructured) bool { return other.GetName() == group.From && capi.Added(&other) }) {
			return nil // it has that of the other one
		}
	}
	node, err := g.node(ctx, c)
	if err != nil {
		return err
	}
	if len(group.Capacity) == 0 {
		group.Capacity = capacityOf(node)
		g.printCapacity(group.Capacity)
		return nil
	}
	if group.KubeletArgs, err = capi.KubeletArgs(group.Capacity, node.Status.Capacity); err != nil {
		return fmt.Errorf("want at most what this machine has: %w", err)
	}
	g.warnOfPromises(group.Capacity)
	return nil
}

// warnOfPromises says what the autoscaler expects because of a capacity that no node of the Docker
// provider has.
func (g *Groups) warnOfPromises(capacity map[string]string) {
	for _, promise := range []struct{ names, of, pods string }{
		{"gpu-type gpu-count", "a GPU", "pods that request it"},
		{"dra-driver", "devices of " + capacity["dra-driver"], "pods that claim them"},
		{"csi-driver", "the CSI driver " + capacity["csi-driver"], "pods with its volumes"},
	} {
		if slices.ContainsFunc(strings.Fields(promise.names), func(name string) bool { return capacity[name] != "" }) {
			g.Log.Printf("! no node of the Docker provider has %s, but the autoscaler expects it, so %s never run; hollow machines can have it", promise.of, promise.pods)
		}
	}
}

// node returns a real node of the environment. All of them have the capacity of this machine,
// of which those of a group with a smaller capacity reserve a part. Cluster API's Docker provider
// reports it in its templates only since v1.11, and not every autoscaler reads it there. On
// other infrastructures, nodes differ.
func (g *Groups) node(ctx context.Context, c *target.Cluster) (*corev1.Node, error) {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	nodes, err := c.Workload.List(ctx, kube.Nodes, "")
	if err != nil {
		return nil, lab.Waited(ctx, "list the nodes", err)
	}
	real := slices.IndexFunc(nodes, func(n unstructured.Unstructured) bool { return !kube.IsHollow(&n) })
	if real < 0 {
		return nil, errors.New("the environment has no node to measure")
	}
	return kube.Node(&nodes[real])
}

func capacityOf(n *corev1.Node) map[string]string {
	return map[string]string{"cpu": n.Status.Capacity.Cpu().String(), "memory": n.Status.Capacity.Memory().String()}
}

func (g *Groups) printCapacity(capacity map[string]string) {
	g.Log.Printf("the autoscaler expects a node of the group to have what this machine has, cpu=%s,memory=%s; nodegroup:add -capacity=cpu=…,memory=… makes nodes smaller", capacity["cpu"], capacity["memory"])
}

// List prints the machine deployments with the autoscaler's limits.
func (g *Groups) List(ctx context.Context) error {
	c, err := g.Open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	return lab.Waited(ctx, "list the node groups", grouptable.Write(ctx, g.Out, c.Management, c.Namespace, c.Name))
}

// Changes are the options of Set, as text from a command line, that change hollow machines. The
// options of Shape also replace the machines.
type Changes struct {
	hollow.Shape
	hollow.Change
}

// Set sets the autoscaler's limits of a machine deployment, and changes what hollow machines of
// it are and do.
func (g *Groups) Set(ctx context.Context, name string, lowest, highest int, o Changes) error {
	if err := errors.Join(capi.CheckSizes(lowest, highest), o.Shape.Check(), o.Change.Check()); err != nil {
		return err
	}
	c, err := g.Open(ctx)
	if err != nil {
		return err
	}
	if o.Shape.Any() || o.Change.Any() {
		if err := g.change(ctx, c, name, o); err != nil {
			return err
		}
	}
	var capacity map[string]string
	if lowest == 0 && c.Own {
		node, err := g.node(ctx, c)
		if err != nil {
			return err
		}
		capacity = capacityOf(node)
	}
	prefix := release.OfAutoscaler(component.AutoscalerRelease(g.Config)).SizePrefix
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	annotated, err := capi.SetSizes(ctx, c.Management, c.Namespace, c.Name, name, prefix, lowest, highest, capacity)
	if err := g.withZonesNamed(ctx, c, name, "nodegroup:set %s MIN MAX", err); err != nil {
		return lab.Waited(ctx, "accept the limits of the machine deployment "+name, err)
	}
	if annotated {
		g.printCapacity(capacity)
	}
	g.Log.Printf("%s has the limits %d to %d nodes, which an autoscaler keeps while it runs", name, lowest, highest)
	g.warnOfTotal(ctx, c)
	return nil
}

// Delete deletes a machine deployment and waits until its nodes are gone. After some seconds, it
// says what the deletions wait for.
func (g *Groups) Delete(ctx context.Context, name string) (err error) {
	c, err := g.Open(ctx)
	if err != nil {
		return err
	}
	step := g.Log.Start("delete the node group "+name, 20*time.Second)
	defer func() { step.Done("", err) }()
	ctx, cancel := interrupt.WithTimeout(ctx, g.deletionTime(ctx, c, name))
	defer cancel()
	began := g.Now()
	telling, end := context.WithCancel(ctx)
	var told sync.WaitGroup
	told.Go(func() { g.tellWaits(telling, c, name) })
	defer told.Wait()
	defer end()
	err = capi.DeleteGroup(ctx, c.Management, c.Namespace, c.Name, name, release.OfAutoscaler(component.AutoscalerRelease(g.Config)).SizePrefix, step.Progress)
	// At an interruption the deletion may go on, and of a group that is gone a template may be left.
	if err == nil || ctx.Err() != nil || errors.As(err, new(*interrupt.LeftError)) {
		g.AddFact(c, timeline.Fact{Time: began, What: timeline.Deleting, Name: "nodegroup:delete", Group: name})
	}
	return g.withZonesNamed(ctx, c, name, "nodegroup:delete %s", err)
}

// deletionTime returns how long the deletion of a group may take, by the number of its machines and
// by what hollow ones need to stop. What cannot be read adds nothing: the deletion itself reports why.
func (g *Groups) deletionTime(ctx context.Context, c *target.Cluster, name string) time.Duration {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	within := leastTime
	machines, err := c.Management.List(ctx, kube.Machines, c.Namespace)
	if err != nil {
		return within
	}
	for i := range machines {
		if machines[i].GetLabels()[clusterv1.MachineDeploymentNameLabel] == name {
			within += timePerMachine
		}
	}
	groups, err := capi.Groups(ctx, c.Management, c.Namespace, c.Name)
	if err != nil {
		return within
	}
	group, err := capi.Find(groups, name)
	if err != nil || !hollow.Is(group) {
		return within
	}
	if spec, err := hollow.Read(ctx, c.Management, group); err == nil {
		within += spec.Lifecycle.Stop.Duration
	}
	return within
}
