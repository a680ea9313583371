package main

import (
	"context"
	"flag"

	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/ops/groups"
)

var nodegroupVerbs = []verb{
	verbWithOptions(usage{
		name:    "nodegroup:add",
		summary: "Adds a node group and waits for its first nodes.",
		details: "A node group is a machine deployment with limits that the autoscaler keeps. With MIN 0 the group starts empty.",
		args: []argument{
			{"NAME", "the name of the new machine deployment"},
			{"MIN", "the lowest number of nodes, with which it starts"},
			{"MAX", "the highest number of nodes"},
		},
		example: "go tool mage nodegroup:add gpu 0 2 -labels=tier=gpu -taints=dedicated=gpu:NoSchedule",
	}, func(fs *flag.FlagSet, o *groups.Options) {
		fs.StringVar(&o.Machines, "machines", groups.Docker, "`KIND` of machines: docker has containers with kubelets; hollow has Node objects of any size that the lab plays, without a kubelet: pods do not really run, with no images, network, volumes, logs or exec")
		definePlace(fs, &o.Zone, &o.Arch, &o.InstanceType)
		fs.StringVar(&o.Zones, "zones", "", "`ZONES` of hollow nodes, a,b,c: a group NAME-ZONE for each of them, with MIN to MAX nodes")
		defineDrivers(fs, &o.DRA, &o.CSI)
		defineBehaviour(fs, &o.Behaviour)
		fs.StringVar(&o.From, "from", "", "machine deployment `NAME` whose machine template the group uses, instead of the first one")
		fs.BoolVar(&o.Own, "own", false, "copy the machine template instead of sharing it")
		fs.StringVar(&o.Labels, "labels", "", "`LABELS` of the nodes, key=value,key=value")
		fs.StringVar(&o.Taints, "taints", "", "`TAINTS` of the nodes, key=value:Effect,key=value:Effect")
		fs.StringVar(&o.Capacity, "capacity", "", "`CAPACITY` of the nodes, at most this machine's, such as cpu=1,memory=4Gi; in a cluster that is not the lab's own, what the autoscaler expects of a node while the group is empty; hollow nodes may have any capacity, and devices, such as cpu=96,memory=1Ti,pods=250,nvidia.com/gpu=8")
	}, func(ctx context.Context, s *session, o groups.Options, args []string) error {
		lowest, highest, err := parseLimits(args[1:])
		if err != nil {
			return err
		}
		return s.groups.Add(ctx, args[0], lowest, highest, o)
	}),
	simpleVerb(usage{
		name:    "nodegroup:list",
		summary: "Prints the node groups: their machines, limits, sizes, capacities, labels and taints, and what hollow machines do.",
	}, func(ctx context.Context, s *session) error { return s.groups.List(ctx) }),
	verbWithOptions(usage{
		name:    "nodegroup:set",
		summary: "Sets the limits that the autoscaler keeps for a machine deployment.",
		details: "The environment's first machine deployment can have limits too. With MIN 0 it also tells the autoscaler what a node of the environment has, unless the group's annotations do. The options change hollow machines that the group gets from then on. " +
			"If one of -arch, -instance, -labels, -taints and -zone is given, Cluster API also replaces the machines that are there.",
		args: []argument{
			{"NAME", "the name of the machine deployment"},
			{"MIN", "the lowest number of nodes"},
			{"MAX", "the highest number of nodes"},
		},
		example: "go tool mage nodegroup:set work-cluster-md-0 1 3",
	}, func(fs *flag.FlagSet, o *groups.Changes) {
		definePlace(fs, &o.Zone, &o.Arch, &o.InstanceType)
		defineDrivers(fs, &o.DRA, &o.CSI)
		fs.StringVar(&o.Labels, "labels", "", "`LABELS` of hollow nodes instead of those that they have, key=value,key=value, or none")
		fs.StringVar(&o.Taints, "taints", "", "`TAINTS` of hollow nodes instead of those that they have, key=value:Effect,key=value:Effect, or none")
		fs.StringVar(&o.Capacity, "capacity", "", "`CAPACITY` of hollow nodes, such as cpu=96,memory=1Ti,nvidia.com/gpu=8")
		defineBehaviour(fs, &o.Behaviour)
	}, func(ctx context.Context, s *session, o groups.Changes, args []string) error {
		lowest, highest, err := parseLimits(args[1:])
		if err != nil {
			return err
		}
		return s.groups.Set(ctx, args[0], lowest, highest, o)
	}),
	verbWithOptions(usage{
		name:    "nodegroup:delete",
		summary: "Deletes a node group that nodegroup:add created, and waits until its machines are gone.",
		args:    []argument{{"NAME", "the name of the machine deployment"}},
		example: "go tool mage nodegroup:delete gpu",
	}, noOptions, func(ctx context.Context, s *session, _ struct{}, args []string) error {
		return s.groups.Delete(ctx, args[0])
	}),
}

// definePlace declares the options for well-known labels of hollow nodes.
func definePlace(fs *flag.FlagSet, zone, arch, instanceType *string) {
	fs.StringVar(zone, "zone", "", "`ZONE` of hollow nodes")
	fs.StringVar(arch, "arch", "", "`ARCH` of hollow nodes: amd64, arm64, ppc64le or s390x")
	fs.StringVar(instanceType, "instance", "", "instance `TYPE` of hollow nodes, a label")
}

// defineDrivers declares the options for drivers of hollow nodes.
func defineDrivers(fs *flag.FlagSet, dra, csi *string) {
	fs.StringVar(dra, "dra", "", "`DRIVERS` that give hollow nodes devices for ResourceClaims, each with its number of devices, gpu.example.com=4; each driver gets a DeviceClass of the same name")
	fs.StringVar(csi, "csi", "", "CSI `DRIVERS` of hollow nodes, each with the number of volumes that a node can have, ebs.csi.aws.com=25")
}

// defineBehaviour declares what hollow machines do.
func defineBehaviour(fs *flag.FlagSet, o *hollow.Behaviour) {
	fs.StringVar(&o.Start, "start", "", "`TIME` from the creation of a hollow machine until it has a Node, 30s or 30s±10s (or 30s+-10s)")
	fs.StringVar(&o.Ready, "ready", "", "`TIME` from the Node's creation until it is Ready, 5s or 5s±2s")
	fs.StringVar(&o.Stop, "stop", "", "`TIME` that the deletion of a hollow machine takes")
	fs.StringVar(&o.Fail, "fail", "", "hollow machines that report a failure: a `SHARE`, 10%, or the next ones, 3")
	fs.StringVar(&o.Never, "never", "", "hollow machines that get no Node and report nothing: a `SHARE`, 10%, or the next ones, 3")
	fs.StringVar(&o.Late, "late", "", "`TIME` after Ready at which the devices of a hollow node come, 60s, or only some of them, 60s,nvidia.com/gpu")
	fs.StringVar(&o.Untaint, "untaint", "", "a time and `TAINTS`: new nodes lose these taints when they have been Ready for that time, 30s,key=value:Effect; the autoscaler needs --startup-taint=KEY to know that")
	fs.StringVar(&o.PodStart, "podstart", "", "`TIME` from the binding of a pod to a hollow node until it runs, 2s or 2s±1s")
	fs.StringVar(&o.PodFail, "podfail", "", "`SHARE` of the pods on hollow nodes that fail, 5%")
	fs.StringVar(&o.Seed, "seed", "", "`NUMBER` that decides the jitter and the failures of hollow machines: the same number gives a group of the same name the same machines, and the same pods if their names are the same, as in a StatefulSet")
}
