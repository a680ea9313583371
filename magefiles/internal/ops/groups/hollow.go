package groups

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/target"
)

// addHollow adds a group with hollow machines, or one for each zone. All options are checked
// before the cluster is opened, and all names before the first group is made.
func (g *Groups) addHollow(ctx context.Context, group capi.NodeGroup, o Options) error {
	groups, spec, err := hollowGroups(group, o)
	if err != nil {
		return err
	}
	c, err := g.Open(ctx)
	if err != nil {
		return err
	}
	if err := g.checkFree(ctx, c, groups); err != nil {
		return err
	}
	if err := g.checkDevices(ctx, c, spec); err != nil {
		return err
	}
	if err := g.Prepare(ctx, c); err != nil {
		return err
	}
	if err := spec.DefineClasses(ctx, c.Workload); err != nil {
		return err
	}
	want := group.Min
	if spec.Lifecycle.Fail != nil || spec.Lifecycle.Never != nil {
		want = 0
		g.Log.Printf("some of its machines never become nodes, so nothing waits for them")
	}
	g.warnOfClaims(group.Min, spec)
	g.warnOfDaemons(ctx, c, groups[0]) // the others differ in their zones
	for i, one := range groups {
		if err := g.add(ctx, c, one, want, leastTime+spec.Slowest()); err != nil {
			return g.withMade(groups[:i], err)
		}
	}
	g.warnOfTotal(ctx, c)
	return nil
}

// withMade returns err. If groups of other zones were made before, the error names them, and the
// commands that delete them: the same command would be refused because they are there.
func (g *Groups) withMade(made []capi.NodeGroup, err error) error {
	if len(made) == 0 {
		return err
	}
	var names, commands []string
	for _, one := range made {
		names = append(names, one.Name)
		commands = append(commands, g.Config.Command("nodegroup:delete "+one.Name))
	}
	return fmt.Errorf("%w\nThese groups were made before, and stay: %s. Before you type the same command again, type:\n  %s", err, strings.Join(names, ", "), strings.Join(commands, "\n  "))
}

// warnOfClaims says what an autoscaler does not know about the devices of an empty group. The
// autoscaler reads only one driver from the annotations, and expects a ResourceSlice whose pool has
// no resourceSliceCount (cluster-autoscaler 1.36.1,
// cloudprovider/clusterapi/clusterapi_unstructured.go: InstanceResourceSlices). The scheduler's
// library considers such a pool incomplete, and allocates nothing from it
// (k8s.io/dynamic-resource-allocation v0.36.1, structured/internal/stable/pools_stable.go:
// GatherPools).
func (g *Groups) warnOfClaims(lowest int, spec hollow.Spec) {
	if lowest == 0 && len(spec.Node.DeviceDrivers) > 0 {
		g.Log.Printf("! autoscalers up to 1.36.1 do not scale an empty group up for a ResourceClaim, because they expect an incomplete pool of devices; with MIN 1, they scale it up")
	}
}

// warnOfTotal says what to type if the node groups may have more nodes than the autoscaler's
// flags allow in all.
func (g *Groups) warnOfTotal(ctx context.Context, c *target.Cluster) {
	const flag = "max-nodes-total"
	flags, err := autoscaler.Flags(autoscaler.Settings{Release: release.OfAutoscaler(component.AutoscalerRelease(g.Config))}, g.Config.AutoscalerFlags)
	if err != nil {
		g.Log.Printf("! whether the autoscaler's flags allow the nodes of all groups is not known: %v", err)
		return
	}
	limit := 0
	for _, f := range flags {
		if f.Name == flag {
			limit, _ = strconv.Atoi(f.Value) // the autoscaler refuses another value itself
		}
	}
	if limit == 0 {
		return
	}
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	allowed, others, err := totals(ctx, c)
	if err != nil {
		g.Log.Printf("! whether --%s=%d allows the nodes of all groups is not known: %v", flag, limit, err)
		return
	}
	if total := allowed + others; total > limit {
		g.Log.Printf("! the groups allow %d nodes, and the cluster has %d others, but --%s=%d limits the cluster; start the autoscaler with -flags='--%[3]s=%[5]d'", allowed, others, flag, limit, total+100)
	}
}

// totals returns how many nodes the groups with limits allow, and how many other machines the
// cluster has: those of the control plane, and of groups without limits. The autoscaler compares
// its limit with all nodes (cluster-autoscaler 1.36.1, core/scaleup/orchestrator/orchestrator.go:
// GetCappedNewNodeCount).
func totals(ctx context.Context, c *target.Cluster) (allowed, others int, err error) {
	groups, err := capi.Groups(ctx, c.Management, c.Namespace, c.Name)
	if err != nil {
		return 0, 0, fmt.Errorf("list the node groups: %w", err)
	}
	limited := map[string]bool{}
	for i := range groups {
		_, highest := capi.Sizes(&groups[i])
		if n, err := strconv.Atoi(highest); err == nil {
			allowed += n
			limited[groups[i].GetName()] = true
		}
	}
	machines, err := c.Management.List(ctx, kube.Machines, c.Namespace)
	if err != nil {
		return 0, 0, fmt.Errorf("list the machines: %w", err)
	}
	for i := range machines {
		m := &machines[i]
		if kube.Field(m, "spec", "clusterName") == c.Name && !limited[m.GetLabels()[clusterv1.MachineDeploymentNameLabel]] {
			others++
		}
	}
	return allowed, others, nil
}

// hollowGroups returns the groups to make, and what their machines are.
func hollowGroups(group capi.NodeGroup, o Options) (groups []capi.NodeGroup, spec hollow.Spec, err error) {
	zones := []string{o.Zone}
	if o.Zones != "" {
		if zones, err = hollow.ParseZones(o.Zones); err != nil {
			return nil, spec, err
		}
	}
	for _, zone := range zones {
		one := group
		if o.Zones != "" {
			one.Name = hollow.InZone(group.Name, zone)
		}
		spec, err = hollow.New(hollow.Shape{Labels: o.Labels, Taints: o.Taints, Zone: zone, Arch: o.Arch, InstanceType: o.InstanceType}, hollow.Change{Capacity: o.Capacity, DRA: o.DRA, CSI: o.CSI, Behaviour: o.Behaviour})
		if err := errors.Join(one.Validate(), err); err != nil {
			return nil, spec, err
		}
		if one, err = spec.Group(one); err != nil {
			return nil, spec, err
		}
		groups = append(groups, one)
	}
	return groups, spec, nil
}

// withZonesNamed returns err. If err says that there is no group of that name, but there are groups
// for its zones, it returns an error that names these groups instead. command is the command for
// one of them, with %s for its name.
func (g *Groups) withZonesNamed(ctx context.Context, c *target.Cluster, name, command string, err error) error {
	if !errors.As(err, new(*capi.MissingGroupError)) {
		return err
	}
	groups, failed := capi.Groups(ctx, c.Management, c.Namespace, c.Name)
	if failed != nil {
		return err // the first error says enough
	}
	zones := hollow.GroupsOfZones(groups, name)
	if len(zones) == 0 {
		return err
	}
	text := fmt.Sprintf("there is no node group %s, but one for each of its zones: %s; type:", name, strings.Join(zones, ", "))
	for _, zone := range zones {
		text += "\n  " + g.Config.Command(fmt.Sprintf(command, zone))
	}
	return errors.New(text)
}

// checkFree refuses names that machine deployments of the cluster have.
func (g *Groups) checkFree(ctx context.Context, c *target.Cluster, groups []capi.NodeGroup) error {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	there, err := capi.Groups(ctx, c.Management, c.Namespace, c.Name)
	if err != nil {
		return lab.Waited(ctx, "list the node groups", err)
	}
	for _, one := range groups {
		if _, err := capi.Find(there, one.Name); err == nil {
			return &capi.TakenError{Name: one.Name}
		}
	}
	return nil
}

// checkDevices refuses drivers of devices in a cluster that cannot have them.
func (g *Groups) checkDevices(ctx context.Context, c *target.Cluster, spec hollow.Spec) error {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	return lab.Waited(ctx, "look for the API of devices", spec.CheckDevices(ctx, c.Workload))
}

// change changes what hollow machines of a group are and do. Everything is read and checked before
// anything is written.
func (g *Groups) change(ctx context.Context, c *target.Cluster, name string, o Changes) error {
	planned, err := g.plan(ctx, c, name, o)
	if err != nil {
		return err
	}
	// The kinds may be those of an earlier lab.
	if err := g.Prepare(ctx, c); err != nil {
		return err
	}
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	if o.DRA != "" {
		if err := planned.DefineClasses(ctx, c.Workload); err != nil {
			return lab.Waited(ctx, "accept the DeviceClasses", err)
		}
	}
	if err := planned.Write(ctx, c.Management); err != nil {
		return lab.Waited(ctx, "change the machines of "+name, err)
	}
	g.Log.Printf("machines that %s gets from now on have %s, and: %s", name, strings.TrimSpace(planned.Capacity()+" "+planned.Drivers()), cmp.Or(planned.Behaviour(), "no delays, no failures"))
	if o.Shape.Any() {
		g.Log.Printf("Cluster API replaces the machines that %s has, because the autoscaler assumes that the nodes of a group are alike", name)
	}
	return nil
}

// plan returns the change of a group. It refuses groups without hollow machines, and drivers of
// devices in a cluster that cannot have them.
func (g *Groups) plan(ctx context.Context, c *target.Cluster, name string, o Changes) (hollow.Planned, error) {
	var none hollow.Planned
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	groups, err := capi.Groups(ctx, c.Management, c.Namespace, c.Name)
	if err != nil {
		return none, lab.Waited(ctx, "list the node groups", err)
	}
	group, err := capi.Find(groups, name)
	if err := g.withZonesNamed(ctx, c, name, "nodegroup:set %s MIN MAX", err); err != nil {
		return none, err
	}
	if !hollow.Is(group) {
		return none, fmt.Errorf("%s has no hollow machines, so only MIN and MAX can change; for other nodes, add another group, and delete this one:\n  %s\n  %s", name,
			g.Config.Command("nodegroup:add NAME MIN MAX"), g.Config.Command("nodegroup:delete "+name))
	}
	planned, err := hollow.Plan(ctx, c.Management, group, o.Shape, o.Change)
	if err != nil {
		return none, lab.Waited(ctx, "read the machines of "+name, err)
	}
	if o.DRA == "" {
		return planned, nil
	}
	return planned, g.checkDevices(ctx, c, planned.Spec)
}
