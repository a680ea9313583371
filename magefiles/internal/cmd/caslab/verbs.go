package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strconv"

	"caslab/magefiles/internal/env"
)

// verb is what a target becomes: args are its options, then its arguments.
type verb func(ctx context.Context, lab *env.Lab, args []string) error

// verbs are the targets' names.
var verbs = map[string]verb{
	"env:up":             plain(func(ctx context.Context, lab *env.Lab) error { return lab.Up(ctx, env.Ready) }),
	"env:status":         plain(func(ctx context.Context, lab *env.Lab) error { return lab.Status(ctx) }),
	"env:down":           plain(func(ctx context.Context, lab *env.Lab) error { return lab.Down(ctx) }),
	"env:kubeconfig":     plain(func(ctx context.Context, lab *env.Lab) error { return lab.Kubeconfig(ctx) }),
	"env:doctor":         plain(func(ctx context.Context, lab *env.Lab) error { return lab.Doctor(ctx) }),
	"cluster:management": plain(func(ctx context.Context, lab *env.Lab) error { return lab.Up(ctx, env.ManagementTarget) }),
	"cluster:workload":   plain(func(ctx context.Context, lab *env.Lab) error { return lab.Up(ctx, env.WorkloadTarget) }),
	"cluster:pivot":      plain(func(ctx context.Context, lab *env.Lab) error { return lab.Up(ctx, env.Ready) }),
	"cluster:describe":   plain(func(ctx context.Context, lab *env.Lab) error { return lab.Describe(ctx) }),
	"image:build":        plain(func(ctx context.Context, lab *env.Lab) error { return lab.BuildImages(ctx) }),
	"image:node":         plain(func(ctx context.Context, lab *env.Lab) error { return lab.BuildNodeImage(ctx) }),
	"image:load":         plain(func(ctx context.Context, lab *env.Lab) error { return lab.LoadImages(ctx) }),
	"bench":              plain(func(ctx context.Context, lab *env.Lab) error { return lab.Bench(ctx) }),
	"source:fetch": with(0, func(fs *flag.FlagSet, component *string) {
		fs.StringVar(component, "component", "", "")
	}, func(ctx context.Context, lab *env.Lab, component string, _ []string) error {
		return lab.FetchSources(ctx, component)
	}),

	"autoscaler:build": with(0, func(fs *flag.FlagSet, debug *bool) {
		fs.BoolVar(debug, "debug", false, "")
	}, func(ctx context.Context, lab *env.Lab, debug bool, _ []string) error {
		return lab.AutoscalerBuild(ctx, debug)
	}),
	"autoscaler:run": with(0, runOptions, func(ctx context.Context, lab *env.Lab, o env.RunOptions, _ []string) error {
		return lab.AutoscalerRun(ctx, o)
	}),
	"autoscaler:flags": with(0, runOptions, func(ctx context.Context, lab *env.Lab, o env.RunOptions, _ []string) error {
		return lab.AutoscalerFlags(ctx, o.Flags)
	}),
	"autoscaler:debug": with(0, func(fs *flag.FlagSet, o *env.DebugOptions) {
		runOptions(fs, &o.RunOptions)
		fs.StringVar(&o.Listen, "listen", delveAddress, "")
		fs.BoolVar(&o.Terminal, "terminal", false, "")
		fs.BoolVar(&o.Wait, "wait", false, "")
	}, func(ctx context.Context, lab *env.Lab, o env.DebugOptions, _ []string) error {
		return lab.AutoscalerDebug(ctx, o)
	}),
	"autoscaler:ide": with(1, func(fs *flag.FlagSet, listen *string) {
		fs.StringVar(listen, "listen", delveAddress, "")
	}, func(_ context.Context, lab *env.Lab, listen string, args []string) error {
		return lab.AutoscalerIDE(args[0], listen)
	}),
	"autoscaler:deploy": with(0, func(fs *flag.FlagSet, o *env.DeployOptions) {
		fs.StringVar(&o.Flags, "flags", "", "")
		fs.StringVar(&o.Image, "image", "", "")
	}, func(ctx context.Context, lab *env.Lab, o env.DeployOptions, _ []string) error {
		return lab.AutoscalerDeploy(ctx, o)
	}),
	"autoscaler:undeploy": plain(func(ctx context.Context, lab *env.Lab) error { return lab.AutoscalerUndeploy(ctx) }),
	"autoscaler:status":   plain(func(ctx context.Context, lab *env.Lab) error { return lab.AutoscalerStatus(ctx) }),

	"nodegroup:add": with(3, func(fs *flag.FlagSet, o *env.NodeGroupOptions) {
		fs.StringVar(&o.From, "from", "", "")
		fs.BoolVar(&o.Own, "own", false, "")
		fs.StringVar(&o.Labels, "labels", "", "")
		fs.StringVar(&o.Taints, "taints", "", "")
		fs.StringVar(&o.Capacity, "capacity", "", "")
	}, func(ctx context.Context, lab *env.Lab, o env.NodeGroupOptions, args []string) error {
		n, err := numbers(args[1:])
		if err != nil {
			return err
		}
		return lab.NodeGroupAdd(ctx, args[0], n[0], n[1], o)
	}),
	"nodegroup:list": plain(func(ctx context.Context, lab *env.Lab) error { return lab.NodeGroupList(ctx) }),
	"nodegroup:set": with(3, none, func(ctx context.Context, lab *env.Lab, _ struct{}, args []string) error {
		n, err := numbers(args[1:])
		if err != nil {
			return err
		}
		return lab.NodeGroupSet(ctx, args[0], n[0], n[1])
	}),
	"nodegroup:delete": with(1, none, func(ctx context.Context, lab *env.Lab, _ struct{}, args []string) error {
		return lab.NodeGroupDelete(ctx, args[0])
	}),

	"workload:add": with(0, func(fs *flag.FlagSet, o *env.WorkloadOptions) {
		workloadName(fs, &o.Name)
		fs.IntVar(&o.Pods, "pods", 1, "")
		fs.StringVar(&o.Memory, "memory", "", "")
		fs.StringVar(&o.Image, "image", "", "")
		fs.StringVar(&o.NodeSelector, "selector", "", "")
		fs.StringVar(&o.Tolerations, "tolerations", "", "")
	}, func(ctx context.Context, lab *env.Lab, o env.WorkloadOptions, _ []string) error {
		return lab.WorkloadAdd(ctx, o)
	}),
	"workload:scale": with(1, workloadName, func(ctx context.Context, lab *env.Lab, name string, args []string) error {
		n, err := numbers(args)
		if err != nil {
			return err
		}
		return lab.WorkloadScale(ctx, name, n[0])
	}),
	"workload:delete": with(0, workloadName, func(ctx context.Context, lab *env.Lab, name string, _ []string) error {
		return lab.WorkloadDelete(ctx, name)
	}),

	"scenario:list": plain(func(_ context.Context, lab *env.Lab) error { return lab.ScenarioList() }),
	"scenario:run": with(1, scenarioOptions, func(ctx context.Context, lab *env.Lab, o env.ScenarioOptions, args []string) error {
		return lab.ScenarioRun(ctx, args[0], o)
	}),
	"scenario:compare": with(2, func(fs *flag.FlagSet, o *comparison) {
		scenarioOptions(fs, &o.ScenarioOptions)
		fs.StringVar(&o.names, "scenarios", env.AllScenarios, "")
	}, func(ctx context.Context, lab *env.Lab, o comparison, args []string) error {
		return lab.ScenarioCompare(ctx, args[0], args[1], o.names, o.ScenarioOptions)
	}),

	"timeline:watch": plain(func(ctx context.Context, lab *env.Lab) error { return lab.TimelineWatch(ctx) }),
	"timeline:report": with(0, func(fs *flag.FlagSet, o *env.ReportOptions) {
		fs.StringVar(&o.Out, "out", "", "")
		fs.DurationVar(&o.Since, "since", 0, "")
	}, func(ctx context.Context, lab *env.Lab, o env.ReportOptions, _ []string) error {
		return lab.TimelineReport(ctx, o)
	}),
	"timeline:explain": with(1, none, func(ctx context.Context, lab *env.Lab, _ struct{}, args []string) error {
		return lab.TimelineExplain(ctx, args[0])
	}),
}

// comparison has the options of scenario:compare.
type comparison struct {
	env.ScenarioOptions
	names string
}

func scenarioOptions(fs *flag.FlagSet, o *env.ScenarioOptions) {
	fs.StringVar(&o.Out, "out", "", "")
	fs.StringVar(&o.Autoscaler, "autoscaler", env.OnThisMachine, "")
	fs.StringVar(&o.Flags, "flags", "", "")
}

// delveAddress is where editors look for Delve.
const delveAddress = "127.0.0.1:2345"

func runOptions(fs *flag.FlagSet, o *env.RunOptions) {
	fs.StringVar(&o.Flags, "flags", "", "")
	fs.BoolVar(&o.All, "all", false, "")
}

func workloadName(fs *flag.FlagSet, name *string) { fs.StringVar(name, "name", "", "") }

func none(*flag.FlagSet, *struct{}) {}

// plain is a verb without options and arguments.
func plain(do func(ctx context.Context, lab *env.Lab) error) verb {
	return with(0, none, func(ctx context.Context, lab *env.Lab, _ struct{}, _ []string) error { return do(ctx, lab) })
}

// with is a verb that has the options which define names, and as many
// arguments after them as wanted.
func with[O any](want int, define func(*flag.FlagSet, *O), do func(ctx context.Context, lab *env.Lab, options O, args []string) error) verb {
	return func(ctx context.Context, lab *env.Lab, args []string) error {
		var o O
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		fs.SetOutput(io.Discard) // the error is printed once, at the top
		define(fs, &o)
		if err := fs.Parse(args); err != nil {
			return err
		}
		if fs.NArg() != want {
			return fmt.Errorf("%d arguments %q, want %d; `go tool mage -h TARGET` explains a target", fs.NArg(), fs.Args(), want)
		}
		return do(ctx, lab, o, fs.Args())
	}
}

func numbers(args []string) ([]int, error) {
	all := make([]int, len(args))
	for i, text := range args {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%q: want a whole number", text)
		}
		all[i] = n
	}
	return all, nil
}
