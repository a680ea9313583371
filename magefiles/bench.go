//go:build mage

package main

import (
	"context"
	"time"

	"github.com/magefile/mage/mg"
)

// Bench measures env:up, and autoscalers.
type Bench mg.Namespace

// Run measures env:up against a person who types the commands of kind, kubectl and
// clusterctl, and prints what each step took. Everything is built before. Both are
// measured by turns, each from nothing with an environment of its own, which is
// removed. Each step has its fastest, median and slowest time, and the ratio of the
// medians. Example: go tool mage bench:run -pairs=1
func (Bench) Run(ctx context.Context,
	alone *bool, // measure env:up alone
	pairs *int, // how often both are measured: N times (default 3)
) error {
	return lab(ctx, "bench:run", option("alone", alone), option("pairs", pairs))
}

// Hand brings a cluster that manages itself up as a person does, with the commands of
// kind, kubectl and clusterctl one after the other, and prints what each step took.
// The programs are built from the pinned sources before. The clusters are removed.
func (Bench) Hand(ctx context.Context) error { return lab(ctx, "bench:hand") }

// Autoscaler measures how an autoscaler does with many node groups, nodes and pods. It
// adds groups of hollow machines to the environment, runs the autoscaler on this
// machine, makes pods that need all nodes, and deletes them again. For each phase it
// prints the seconds, the nodes, the durations of the autoscaler's functions, its
// requests to the API server, and its processor time and memory. The last table
// compares the autoscalers, if there are several. The groups are removed at the end.
// Example: go tool mage bench:autoscaler -groups=50 -nodes=300 -pods=3000 -out=results
func (Bench) Autoscaler(ctx context.Context,
	flags *string, // more FLAGS of the autoscaler, as on a command line
	groups *int, // N node groups (default 10)
	nodes *int, // N nodes that the pods need (default 50)
	out *string, // FOLDER for results.json and for profiles of the autoscaler's processor time, which go tool pprof reads
	pods *int, // N pods (default 500)
	quiet *time.Duration, // DURATION for which it is watched while nothing changes (default 1m0s)
	rounds *int, // measure each autoscaler N times (default 1)
	trees *string, // AUTOSCALERS to compare, by turns: releases or folders of checkouts, separated by commas; without it, that of the settings
) error {
	return lab(ctx, "bench:autoscaler", option("flags", flags), option("groups", groups), option("nodes", nodes), option("out", out),
		option("pods", pods), option("quiet", quiet), option("rounds", rounds), option("trees", trees))
}
