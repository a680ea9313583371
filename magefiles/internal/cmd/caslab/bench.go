package main

import (
	"context"
	"flag"
	"io"
	"time"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/environment"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/ops/bench"
	"caslab/magefiles/internal/ops/scalability"
	"caslab/magefiles/internal/ui"
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
	verbWithOptions(usage{
		name:    scalability.Command,
		summary: "Measures how an autoscaler does with many node groups, nodes and pods.",
		details: "It adds groups of hollow machines to the environment, runs the autoscaler on this machine, makes pods that need all nodes, and deletes them again. " +
			"For each phase it prints the seconds, the nodes, the durations of the autoscaler's functions, its requests to the API server, and its processor time and memory. The last table compares the autoscalers, if there are several. The groups are removed at the end.",
		example: "go tool mage bench:autoscaler -groups=50 -nodes=300 -pods=3000 -out=results",
	}, func(fs *flag.FlagSet, o *scalability.Options) {
		fs.IntVar(&o.Groups, "groups", 10, "`N` node groups")
		fs.IntVar(&o.Nodes, "nodes", 50, "`N` nodes that the pods need")
		fs.IntVar(&o.Pods, "pods", 500, "`N` pods")
		fs.StringVar(&o.Trees, "trees", "", "`AUTOSCALERS` to compare, by turns: releases or folders of checkouts, separated by commas; without it, that of the settings")
		fs.IntVar(&o.Rounds, "rounds", 1, "measure each autoscaler `N` times")
		fs.StringVar(&o.Flags, "flags", "", "more `FLAGS` of the autoscaler, as on a command line")
		fs.DurationVar(&o.Quiet, "quiet", time.Minute, "`DURATION` for which it is watched while nothing changes")
		fs.StringVar(&o.Out, "out", "", "`FOLDER` for results.json and for profiles of the autoscaler's processor time, which go tool pprof reads")
	}, func(ctx context.Context, s *session, o scalability.Options, _ []string) error {
		quiet := *s.groups
		quiet.Lab = s.lab.With(func(*config.Config) {})
		quiet.Log = ui.New(io.Discard, ui.Options{})
		defer quiet.Log.Close()
		b := scalability.Bench{Lab: s.lab, Open: s.groups.Open, Autoscalers: s.autoscalers, Groups: &quiet, Prepare: s.groups.Prepare}
		return b.Run(ctx, o)
	}),
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
