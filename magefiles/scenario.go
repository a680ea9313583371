//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Scenario has asserted scenarios: did it scale as it should?
type Scenario mg.Namespace

// List prints the lab's scenarios, what each of them shows, and where it is
// from. NEEDS lists the kinds of machines that the scenario names (most run on
// both), DRA, control (it cannot use an autoscaler that already runs,
// -autoscaler=as-is), deployed (it needs -autoscaler=deploy) and own-cluster (a
// cluster that the lab created). SECONDS is the median of the last runs in this checkout that passed. Example: go tool mage scenario:list -tags=upstream-e2e
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
	machines *string, // KIND of the machines where a scenario does not say it: hollow (nodes that the lab's controller plays: no kubelet, images, network, volumes or logs) or docker (nodes with kubelets); without it, hollow in an environment of the lab, docker elsewhere
	out *string, // FOLDER for junit.xml, results.json and summary.md
	parallel *int, // N, how many scenarios run at the same time, if they can share one autoscaler and touch only their own objects; without -repeat, one that fails beside others runs again alone, and the second verdict counts (default 1)
	repeat *int, // N, how often each scenario runs: the results say how many of the runs passed, and which checks failed in the others (default 1)
	tags *string, // TAGS of scenarios, separated by commas: only scenarios that have one of them
) error {
	return lab(ctx, "scenario:run", option("autoscaler", autoscaler), option("flags", flags), option("machines", machines), option("out", out), option("parallel", parallel), option("repeat", repeat), option("tags", tags), "--", names)
}

// Compare runs the same scenarios with two autoscalers on one cluster and
// prints both results, differences first. It fails if the second autoscaler
// fails what the first one passes. A is a release, such as 1.35.2, or the folder
// of a checkout. B is another release or folder. Example: go tool mage
// scenario:compare 1.35.2 ../autoscaler -scenarios=scale-up,scale-down
func (Scenario) Compare(ctx context.Context, a, b string,
	autoscaler *string, // WHERE the autoscaler runs: run compiles and runs it on this machine, deploy compiles it and runs it in the cluster, as-is uses the one that scales the cluster already (default run)
	flags *string, // autoscaler FLAGS that add to the settings' or replace them, such as '--v=5 --expander=priority'
	machines *string, // KIND of the machines where a scenario does not say it: hollow (nodes that the lab's controller plays: no kubelet, images, network, volumes or logs) or docker (nodes with kubelets); without it, hollow in an environment of the lab, docker elsewhere
	out *string, // FOLDER for junit.xml, results.json and summary.md
	parallel *int, // N, how many scenarios run at the same time, if they can share one autoscaler and touch only their own objects; without -repeat, one that fails beside others runs again alone, and the second verdict counts (default 1)
	scenarios *string, // NAMES of scenarios, as for scenario:run (default all)
	tags *string, // TAGS of scenarios, separated by commas: only scenarios that have one of them
) error {
	return lab(ctx, "scenario:compare", option("autoscaler", autoscaler), option("flags", flags), option("machines", machines), option("out", out), option("parallel", parallel), option("scenarios", scenarios), option("tags", tags), "--", a, b)
}

// Bisect finds the commit of the autoscaler from which a scenario fails. It
// checks that the scenario passes with GOOD and fails with BAD. Then it runs the
// scenario with commits that git bisect chooses in the lab's own clone of
// AUTOSCALER_DIR or AUTOSCALER_GIT. A commit that does not compile is skipped.
// Anything else that keeps it from being compiled, such as a full disk, ends the
// search. The results are kept, unless the other tree that is compiled has
// changes: the same command continues the search. GOOD is a release, such as 1.35.2, or a commit, a branch or a tag. BAD is a release,
// commit, branch or tag from which the scenario fails. NAME is the scenario, as
// for scenario:run. Example: go tool mage scenario:bisect 1.35.2 1.36.1 restart-in-the-middle -out=results
func (Scenario) Bisect(ctx context.Context, good, bad, name string,
	again *bool, // forget the results of earlier searches
	autoscaler *string, // WHERE the autoscaler runs: run compiles and runs it on this machine, deploy compiles it and runs it in the cluster (default run)
	flags *string, // autoscaler FLAGS that add to the settings' or replace them, such as '--v=5 --expander=priority'
	machines *string, // KIND of the machines where a scenario does not say it: hollow (nodes that the lab's controller plays: no kubelet, images, network, volumes or logs) or docker (nodes with kubelets); without it, hollow in an environment of the lab, docker elsewhere
	of *string, // REPOSITORY to search: autoscaler, or core for AUTOSCALER_CORE_DIR, which is tested with the autoscaler of AUTOSCALER_DIR (default autoscaler)
	out *string, // FOLDER for bisect.json, summary.md, and a folder with the results of each commit
	repeat *int, // N, how often the scenario has to pass for a commit to be good (default 1)
) error {
	return lab(ctx, "scenario:bisect", option("again", again), option("autoscaler", autoscaler), option("flags", flags), option("machines", machines), option("of", of), option("out", out), option("repeat", repeat), "--", good, bad, name)
}
