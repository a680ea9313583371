//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Scenario has asserted scenarios: did it scale as it should?
type Scenario mg.Namespace

// List prints the scenarios that there are and what each shows.
func (Scenario) List(ctx context.Context) error { return lab(ctx, "scenario:list") }

// Run runs a scenario against the autoscaler and fails if an expectation does:
// a name of scenario:list, a path of your own file, several of both separated
// by commas, or all. -autoscaler says against which one: run compiles and runs
// it here, which is the default; deploy compiles it and runs it in the cluster;
// as-is takes whatever scales the cluster already. -flags adds to those of
// manifests/autoscaler/flags.tmpl. -out=FOLDER keeps junit.xml, results.json
// and summary.md.
func (Scenario) Run(ctx context.Context, names string, autoscaler, flags, out *string) error {
	return lab(ctx, "scenario:run", option("autoscaler", autoscaler), option("flags", flags), option("out", out), names)
}

// Compare runs the same scenarios with two autoscalers on one cluster and
// prints what came of them side by side, differences first; it fails if the
// second fails what the first passes. Each is a release,
// such as 1.35.2, or the folder of a checkout. -scenarios are names as of
// scenario:run, all if not given; -out, -flags and -autoscaler as there.
func (Scenario) Compare(ctx context.Context, a, b string, scenarios, autoscaler, flags, out *string) error {
	return lab(ctx, "scenario:compare", option("scenarios", scenarios), option("autoscaler", autoscaler), option("flags", flags), option("out", out), a, b)
}
