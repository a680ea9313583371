package main

import (
	"context"
	"flag"

	"caslab/magefiles/internal/environment"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/ops/bench"
)

var benchVerbs = []verb{
	verbWithOptions(usage{
		name:    "bench:run",
		summary: "Measures env:up against a person who types the commands of kind, kubectl and clusterctl, and prints what each step took.",
		details: "Everything is built before. Both are measured by turns, each from nothing with an environment of its own, which is removed. " +
			"Each step has its fastest, median and slowest time, and the ratio of the medians.",
		example: "go tool mage bench:run -pairs=1",
	}, func(fs *flag.FlagSet, o *bench.Options) {
		fs.IntVar(&o.Pairs, "pairs", 3, "how often both are measured: `N` times")
		fs.BoolVar(&o.Alone, "alone", false, "measure env:up alone")
	}, func(ctx context.Context, s *session, o bench.Options, _ []string) error {
		return newBench(s).Run(ctx, o)
	}),
	simpleVerb(usage{
		name:    "bench:hand",
		summary: "Brings a cluster that manages itself up as a person does, with the commands of kind, kubectl and clusterctl one after the other, and prints what each step took.",
		details: "The programs are built from the pinned sources before. The clusters are removed.",
	}, func(ctx context.Context, s *session) error { return newBench(s).Hand(ctx) }),
}

func newBench(s *session) bench.Bench {
	return bench.Bench{Lab: s.lab, Open: openBench, Steps: environment.StepNames()}
}

// benchEnvironment is an environment that is removed at the end.
type benchEnvironment struct{ *environment.Environment }

func openBench(l *lab.Lab) bench.Environment {
	e := sessionOf(l, "bench").environment
	e.Temporary = true
	return benchEnvironment{e}
}

func (b benchEnvironment) Up(ctx context.Context) error {
	return b.Environment.Up(ctx, environment.Ready)
}
