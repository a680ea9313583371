//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Scenario has asserted scenarios: did it scale as it should?
type Scenario mg.Namespace

// List prints the lab's scenarios, what each of them shows, and where it is
// from. NEEDS has the kinds of machines, DRA, and control for a scenario that no
// running autoscaler can be used for (-autoscaler=as-is). SECONDS is the median
// of the last runs in this checkout that passed. Example: go tool mage scenario:list -tags=upstream-e2e
func (Scenario) List(ctx context.Context,
	tags *string, // TAGS of scenarios, separated by commas: only scenarios that have one of them
) error {
	return lab(ctx, "scenario:list", option("tags", tags))
}

// Run runs scenarios against the autoscaler and fails if an expectation fails.
// NAMES is all, or names from scenario:list and paths of your own files,
// separated by commas. Example: go tool mage scenario:run scale-up,./mine.yaml
// -out=results
func (Scenario) Run(ctx context.Context, names string,
	autoscaler *string, // WHERE the autoscaler runs: run compiles and runs it on this machine, deploy compiles it and runs it in the cluster, as-is uses the one that scales the cluster already (default run)
	flags *string, // autoscaler FLAGS that add to the settings' or replace them, such as '--v=5 --expander=priority'
	out *string, // FOLDER for junit.xml, results.json and summary.md
	repeat *int, // N, how often each scenario runs: the results say how many of the runs passed, and which checks failed in the others (default 1)
	tags *string, // TAGS of scenarios, separated by commas: only scenarios that have one of them
) error {
	return lab(ctx, "scenario:run", option("autoscaler", autoscaler), option("flags", flags), option("out", out), option("repeat", repeat), option("tags", tags), "--", names)
}

// Compare runs the same scenarios with two autoscalers on one cluster and
// prints both results, differences first. It fails if the second autoscaler
// fails what the first one passes. A is a release, such as 1.35.2, or the folder
// of a checkout. B is another release or folder. Example: go tool mage
// scenario:compare 1.35.2 ../autoscaler -scenarios=scale-up,scale-down
func (Scenario) Compare(ctx context.Context, a, b string,
	autoscaler *string, // WHERE the autoscaler runs: run compiles and runs it on this machine, deploy compiles it and runs it in the cluster, as-is uses the one that scales the cluster already (default run)
	flags *string, // autoscaler FLAGS that add to the settings' or replace them, such as '--v=5 --expander=priority'
	out *string, // FOLDER for junit.xml, results.json and summary.md
	scenarios *string, // NAMES of scenarios, as for scenario:run (default all)
	tags *string, // TAGS of scenarios, separated by commas: only scenarios that have one of them
) error {
	return lab(ctx, "scenario:compare", option("autoscaler", autoscaler), option("flags", flags), option("out", out), option("scenarios", scenarios), option("tags", tags), "--", a, b)
}
