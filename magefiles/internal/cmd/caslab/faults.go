package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"caslab/magefiles/internal/environment"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/ops/faults"
)

var faultVerbs = []verb{
	simpleVerb(usage{
		name:    "faults:list",
		summary: "Prints the faults that faults:run makes.",
	}, func(_ context.Context, s *session) error {
		f := faults.Faults{Lab: s.lab, Steps: environment.StepNames()}
		return f.List()
	}),
	verbWithOptions(usage{
		name:    "faults:run",
		summary: "Breaks an environment of its own in many ways, repairs it after each fault with env:up, and prints the results.",
		details: "After each repair it compares all Cluster API objects, node groups and workloads. The environment is called caslab-faults and is removed at the end. All faults take about an hour on 2 cores. " +
			"It fails if a fault ended badly.",
		example: "go tool mage faults:run -only=killed-in/,node-killed -out=results",
	}, func(fs *flag.FlagSet, o *faults.Options) {
		fs.StringVar(&o.Only, "only", "", "`FAULTS` to make, separated by commas: names that faults:list prints, or beginnings of names that end with a slash; without it, all that leave other containers alone")
		fs.StringVar(&o.Nodes, "nodes", "2,5,10", "`NUMBERS` of nodes with which the engine is killed, separated by commas")
		fs.BoolVar(&o.Engine, "engine", false, "also restart the Docker engine, and remove unused networks and all stopped containers, OTHER PEOPLE'S TOO")
		fs.BoolVar(&o.Down, "down", false, "after each fault, remove the environment with env:down instead of repairing it")
		fs.IntVar(&o.Seed, "seed", 0, "`SEED` of the random moments, which is printed; without it, another one each time")
		fs.StringVar(&o.Out, "out", "", "`FOLDER` for summary.md, results.json and the output of the commands")
	}, func(ctx context.Context, s *session, o faults.Options, _ []string) error {
		command, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the lab's command: %w", err)
		}
		f := faults.Faults{Lab: s.lab, Command: command, Steps: environment.StepNames(), Open: kube.Open, Root: os.Geteuid() == 0}
		return f.Run(ctx, o)
	}),
}
