//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Bench measures env:up.
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
