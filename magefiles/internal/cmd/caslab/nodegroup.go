package main

import (
	"context"
	"flag"

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
		fs.StringVar(&o.From, "from", "", "machine deployment `NAME` whose machine template the group uses, instead of the first one")
		fs.BoolVar(&o.Own, "own", false, "copy the machine template instead of sharing it")
		fs.StringVar(&o.Labels, "labels", "", "`LABELS` of the nodes, key=value,key=value")
		fs.StringVar(&o.Taints, "taints", "", "`TAINTS` of the nodes, key=value:Effect,key=value:Effect")
		fs.StringVar(&o.Capacity, "capacity", "", "`CAPACITY` of the nodes, at most this machine's, such as cpu=1,memory=4Gi; in a cluster that is not the lab's own, what the autoscaler expects of a node while the group is empty")
	}, func(ctx context.Context, s *session, o groups.Options, args []string) error {
		lowest, highest, err := parseLimits(args[1:])
		if err != nil {
			return err
		}
		return s.groups.Add(ctx, args[0], lowest, highest, o)
	}),
	simpleVerb(usage{
		name:    "nodegroup:list",
		summary: "Prints the node groups with their limits, sizes, capacities, labels and taints.",
	}, func(ctx context.Context, s *session) error { return s.groups.List(ctx) }),
	verbWithOptions(usage{
		name:    "nodegroup:set",
		summary: "Sets the limits that the autoscaler keeps for a machine deployment.",
		details: "The environment's first machine deployment can have limits too. With MIN 0 it also tells the autoscaler what a node of the environment has, unless the group's annotations do.",
		args: []argument{
			{"NAME", "the name of the machine deployment"},
			{"MIN", "the lowest number of nodes"},
			{"MAX", "the highest number of nodes"},
		},
		example: "go tool mage nodegroup:set work-cluster-md-0 1 3",
	}, noOptions, func(ctx context.Context, s *session, _ struct{}, args []string) error {
		lowest, highest, err := parseLimits(args[1:])
		if err != nil {
			return err
		}
		return s.groups.Set(ctx, args[0], lowest, highest)
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
