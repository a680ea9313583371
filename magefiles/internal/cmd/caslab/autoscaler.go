package main

import (
	"context"
	"flag"

	"caslab/magefiles/internal/ops/autoscalers"
)

// delveAddress is where editors look for Delve.
const delveAddress = "127.0.0.1:2345"

var autoscalerVerbs = []verb{
	verbWithOptions(usage{
		name:    "autoscaler:build",
		summary: "Compiles the autoscaler and prints the path of the program.",
		details: "The source is the pinned release, or AUTOSCALER_DIR, your checkout.",
		example: "AUTOSCALER_DIR=../autoscaler go tool mage autoscaler:build",
	}, func(fs *flag.FlagSet, debug *bool) {
		fs.BoolVar(debug, "debug", false, "compile without optimisation, for a debugger")
	}, func(ctx context.Context, s *session, debug bool, _ []string) error {
		return s.autoscalers.Build(ctx, debug)
	}),
	verbWithOptions(usage{
		name:    "autoscaler:run",
		summary: "Compiles the autoscaler and runs it on this machine against the environment until Ctrl-C.",
		details: "SIGTERM stops it too; shells start background jobs with SIGINT ignored, so a script sends SIGTERM.",
		example: "go tool mage autoscaler:run -flags='--v=5 --expander=priority'",
	}, func(fs *flag.FlagSet, o *autoscalers.RunOptions) {
		autoscalerFlags(fs, &o.Flags)
		fs.BoolVar(&o.All, "all", false, "show every line of the log, not only decisions, refusals and problems")
	}, func(ctx context.Context, s *session, o autoscalers.RunOptions, _ []string) error {
		return s.autoscalers.Run(ctx, o)
	}),
	verbWithOptions(usage{
		name:    "autoscaler:flags",
		summary: "Prints the command line that autoscaler:run runs.",
		details: "Flags come from manifests/autoscaler/flags.tmpl, then AUTOSCALER_FLAGS or autoscaler.flags in caslab.yaml, then -flags; the last value of a flag wins.",
		example: "go tool mage autoscaler:flags -flags=--expander=priority",
	}, autoscalerFlags, func(ctx context.Context, s *session, flags string, _ []string) error {
		return s.autoscalers.Flags(ctx, flags)
	}),
	verbWithOptions(usage{
		name:    "autoscaler:debug",
		summary: "Runs the autoscaler, compiled without optimisation, under Delve.",
		details: "Delve is headless and an editor attaches to it (autoscaler:ide says how), or it is in this terminal.",
		example: "go tool mage autoscaler:debug -wait",
	}, func(fs *flag.FlagSet, o *autoscalers.DebugOptions) {
		autoscalerFlags(fs, &o.Flags)
		fs.BoolVar(&o.Terminal, "terminal", false, "debug in this terminal instead of headless")
		fs.BoolVar(&o.Wait, "wait", false, "hold the autoscaler until the first client continues")
		delveListen(fs, &o.Listen)
	}, func(ctx context.Context, s *session, o autoscalers.DebugOptions, _ []string) error {
		return s.autoscalers.Debug(ctx, o)
	}),
	verbWithOptions(usage{
		name:    "autoscaler:ide",
		summary: "Prints how an editor attaches to autoscaler:debug.",
		args:    []argument{{"EDITOR", "vscode, for a .vscode/launch.json of your tree, or goland, for a note"}},
		example: "go tool mage autoscaler:ide vscode >.vscode/launch.json",
	}, delveListen, func(_ context.Context, s *session, listen string, args []string) error {
		return s.autoscalers.IDE(args[0], listen)
	}),
	verbWithOptions(usage{
		name:    "autoscaler:deploy",
		summary: "Builds the autoscaler's image and runs it in the environment's cluster, with the rights it needs.",
		example: "go tool mage autoscaler:deploy -flags=--v=5",
	}, func(fs *flag.FlagSet, o *autoscalers.DeployOptions) {
		autoscalerFlags(fs, &o.Flags)
		fs.StringVar(&o.Image, "image", "", "deploy the image `REF`, of release AUTOSCALER_VERSION, instead of building one")
	}, func(ctx context.Context, s *session, o autoscalers.DeployOptions, _ []string) error {
		return s.autoscalers.Deploy(ctx, o)
	}),
	simpleVerb(usage{
		name:    "autoscaler:undeploy",
		summary: "Removes what autoscaler:deploy created.",
	}, func(ctx context.Context, s *session) error { return s.autoscalers.Undeploy(ctx) }),
	simpleVerb(usage{
		name:    "autoscaler:status",
		summary: "Prints which autoscaler runs and what it reports about each node group.",
	}, func(ctx context.Context, s *session) error { return s.autoscalers.Status(ctx) }),
}

func autoscalerFlags(fs *flag.FlagSet, flags *string) {
	fs.StringVar(flags, "flags", "", "autoscaler `FLAGS` that add to the settings' or replace them, such as '--v=5 --expander=priority'")
}

func delveListen(fs *flag.FlagSet, listen *string) {
	fs.StringVar(listen, "listen", delveAddress, "`HOST:PORT` of the headless debugger")
}
