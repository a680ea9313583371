package main

import (
	"context"
	"errors"
	"flag"

	"caslab/magefiles/internal/ops/workloads"
	"caslab/magefiles/internal/workload"
)

var workloadVerbs = []verb{
	verbWithOptions(usage{
		name:    "workload:add",
		summary: "Creates a deployment whose pods each fill one node, or changes the one of that name.",
		example: "go tool mage workload:add -pods=4",
	}, func(fs *flag.FlagSet, o *workloads.Options) {
		workloadName(fs, &o.Name)
		fs.IntVar(&o.Pods, "pods", 1, "number of pods, `N`")
		fs.StringVar(&o.Memory, "memory", "", "`MEMORY` that each pod requests instead of most of a node's, such as 2Gi")
		fs.StringVar(&o.Devices, "devices", "", "`DEVICES` that each pod requests, nvidia.com/gpu=1")
		fs.StringVar(&o.Claims, "claims", "", "`CLASSES` of devices that each pod claims, each with the number of devices, gpu.example.com=1")
		fs.StringVar(&o.Image, "image", "", "image `REF` of the pods, instead of one that every node has")
		fs.StringVar(&o.NodeSelector, "selector", "", "`LABELS` of the nodes that the pods may run on, key=value,key=value")
		fs.StringVar(&o.Tolerations, "tolerations", "", "`KEYS` of the taints that the pods tolerate, key,key")
	}, func(ctx context.Context, s *session, o workloads.Options, _ []string) error {
		if err := checkWorkloadName(o.Name); err != nil {
			return err
		}
		return s.workloads.Add(ctx, o)
	}),
	verbWithOptions(usage{
		name:    "workload:scale",
		summary: "Changes the number of pods of a workload.",
		args:    []argument{{"PODS", "the number of pods"}},
		example: "go tool mage workload:scale 2",
	}, workloadName, func(ctx context.Context, s *session, name string, args []string) error {
		pods, err := parseNumber("PODS", args[0])
		if err := errors.Join(err, checkWorkloadName(name)); err != nil {
			return err
		}
		return s.workloads.Scale(ctx, name, pods)
	}),
	verbWithOptions(usage{
		name:    "workload:delete",
		summary: "Deletes a workload and waits until its pods are gone.",
	}, workloadName, func(ctx context.Context, s *session, name string, _ []string) error {
		if err := checkWorkloadName(name); err != nil {
			return err
		}
		return s.workloads.Delete(ctx, name)
	}),
}

func workloadName(fs *flag.FlagSet, name *string) {
	fs.StringVar(name, "name", workload.DefaultName, "`NAME` of the workload")
}

// checkWorkloadName refuses -name= with nothing after it, as a script types it whose
// variable is missing: it must not delete the default workload.
func checkWorkloadName(name string) error {
	if name == "" {
		return errors.New("-name is empty; want the name of a workload, or leave the option out for " + workload.DefaultName)
	}
	return nil
}
