package main

import (
	"context"
	"flag"

	"caslab/magefiles/internal/ops/scenarios"
)

var scenarioVerbs = []verb{
	verbWithOptions(usage{
		name:    "scenario:list",
		summary: "Prints the lab's scenarios, what each of them shows, and where it is from.",
		details: "NEEDS lists the kinds of machines that the scenario names (most run on both), DRA, control (it cannot use an autoscaler that already runs, -autoscaler=as-is), deployed (it needs -autoscaler=deploy) and own-cluster (a cluster that the lab created). SECONDS is the median of the last runs in this checkout that passed.",
		example: "go tool mage scenario:list -tags=upstream-e2e",
	}, func(fs *flag.FlagSet, o *scenarios.ListOptions) { scenarioTags(fs, &o.Tags) },
		func(_ context.Context, s *session, o scenarios.ListOptions, _ []string) error {
			return s.scenarios.List(o)
		}),
	verbWithOptions(usage{
		name:    "scenario:run",
		summary: "Runs scenarios against the autoscaler and fails if an expectation fails.",
		args:    []argument{{"NAMES", "all, or names from scenario:list and paths of your own files, separated by commas"}},
		example: "go tool mage scenario:run scale-up,./mine.yaml -out=results",
	}, func(fs *flag.FlagSet, o *scenarios.Options) {
		scenarioOptions(fs, o)
		fs.IntVar(&o.Repeat, "repeat", 1, "`N`, how often each scenario runs: the results say how many of the runs passed, and which checks failed in the others")
	}, func(ctx context.Context, s *session, o scenarios.Options, args []string) error {
		return s.scenarios.Run(ctx, args[0], o)
	}),
	verbWithOptions(usage{
		name:    "scenario:compare",
		summary: "Runs the same scenarios with two autoscalers on one cluster and prints both results, differences first.",
		details: "It fails if the second autoscaler fails what the first one passes.",
		args: []argument{
			{"A", "a release, such as 1.35.2, or the folder of a checkout"},
			{"B", "another release or folder"},
		},
		example: "go tool mage scenario:compare 1.35.2 ../autoscaler -scenarios=scale-up,scale-down",
	}, func(fs *flag.FlagSet, o *comparison) {
		fs.StringVar(&o.names, "scenarios", scenarios.AllScenarios, "`NAMES` of scenarios, as for scenario:run")
		scenarioOptions(fs, &o.Options)
	}, func(ctx context.Context, s *session, o comparison, args []string) error {
		return s.scenarios.Compare(ctx, args[0], args[1], o.names, o.Options)
	}),
	bisectVerb,
}

var bisectVerb = verbWithOptions(usage{
	name:    "scenario:bisect",
	summary: "Finds the commit of the autoscaler from which a scenario fails.",
	details: "It checks that the scenario passes with GOOD and fails with BAD. Then it runs the scenario with commits that git bisect chooses in the lab's own clone of AUTOSCALER_DIR or AUTOSCALER_GIT. " +
		"A commit that does not compile is skipped. Anything else that keeps it from being compiled, such as a full disk, ends the search. The results are kept, unless the other tree that is compiled has changes: the same command continues the search.",
	args: []argument{
		{"GOOD", "a release, such as 1.35.2, or a commit, a branch or a tag"},
		{"BAD", "a release, commit, branch or tag from which the scenario fails"},
		{"NAME", "the scenario, as for scenario:run"},
	},
	example: "go tool mage scenario:bisect 1.35.2 1.36.1 restart-in-the-middle -out=results",
}, func(fs *flag.FlagSet, o *scenarios.BisectOptions) {
	fs.BoolVar(&o.Again, "again", false, "forget the results of earlier searches")
	fs.StringVar(&o.Of, "of", scenarios.OfAutoscaler, "`REPOSITORY` to search: autoscaler, or core for AUTOSCALER_CORE_DIR, which is tested with the autoscaler of AUTOSCALER_DIR")
	fs.IntVar(&o.Repeat, "repeat", 1, "`N`, how often the scenario has to pass for a commit to be good")
	whereAutoscaler(fs, &o.Autoscaler)
	autoscalerFlags(fs, &o.Flags)
	scenarioMachines(fs, &o.Machines)
	fs.StringVar(&o.Out, "out", "", "`FOLDER` for bisect.json, summary.md, and a folder with the results of each commit")
}, func(ctx context.Context, s *session, o scenarios.BisectOptions, args []string) error {
	return s.scenarios.Bisect(ctx, args[0], args[1], args[2], o)
})

// comparison has the options of scenario:compare.
type comparison struct {
	scenarios.Options
	names string
}

// whereAutoscaler is the option of a command that compiles the autoscaler.
func whereAutoscaler(fs *flag.FlagSet, where *string) {
	fs.StringVar(where, "autoscaler", scenarios.OnThisMachine, "`WHERE` the autoscaler runs: run compiles and runs it on this machine, deploy compiles it and runs it in the cluster")
}

func scenarioOptions(fs *flag.FlagSet, o *scenarios.Options) {
	fs.StringVar(&o.Autoscaler, "autoscaler", scenarios.OnThisMachine,
		"`WHERE` the autoscaler runs: run compiles and runs it on this machine, deploy compiles it and runs it in the cluster, as-is uses the one that scales the cluster already")
	fs.IntVar(&o.Parallel, "parallel", 1, "`N`, how many scenarios run at the same time, if they can share one autoscaler and touch only their own objects; without -repeat, one that fails beside others runs again alone, and the second verdict counts")
	autoscalerFlags(fs, &o.Flags)
	scenarioMachines(fs, &o.Machines)
	fs.StringVar(&o.Out, "out", "", "`FOLDER` for junit.xml, results.json and summary.md")
	scenarioTags(fs, &o.Tags)
}

func scenarioMachines(fs *flag.FlagSet, machines *string) {
	fs.StringVar(machines, "machines", "", "`KIND` of the machines where a scenario does not say it: hollow (nodes that the lab's controller plays: no kubelet, images, network, volumes or logs) or docker (nodes with kubelets); without it, hollow in an environment of the lab, docker elsewhere")
}

func scenarioTags(fs *flag.FlagSet, tags *string) {
	fs.StringVar(tags, "tags", "", "`TAGS` of scenarios, separated by commas: only scenarios that have one of them")
}
