package main

import (
	"context"
	"flag"

	"caslab/magefiles/internal/ops/timelines"
)

var timelineVerbs = []verb{
	simpleVerb(usage{
		name:    "timeline:watch",
		summary: "Shows live what happens, and records it, until Ctrl-C.",
		details: "autoscaler:run and scenario:run record too, so it is for times when neither runs, or for a second terminal. timeline:explain and timeline:report read the record.",
	}, func(ctx context.Context, s *session) error { return s.timelines.Watch(ctx) }),
	verbWithOptions(usage{
		name:    "timeline:report",
		summary: "Writes the record as a page that needs no network, as a picture and as JSON, and prints their paths.",
		details: "The JSON has the whole record. Page and picture have lanes for scenarios, the autoscaler, how long its loops take, its API calls, the share of cpu and memory that pods request, waiting pods, and each node group; a lane without facts is left out.",
		example: "go tool mage timeline:report -since=15m -out=results/timeline.html",
	}, func(fs *flag.FlagSet, o *timelines.ReportOptions) {
		fs.StringVar(&o.Out, "out", "", "`FILE` of the page, which ends in .html; the picture and the JSON are beside it")
		fs.StringVar(&o.Record, "record", "", recordMeaning)
		fs.DurationVar(&o.Since, "since", 0, "how far back the page and the picture go, a `DURATION` such as 15m")
	}, func(ctx context.Context, s *session, o timelines.ReportOptions, _ []string) error {
		return s.timelines.Report(ctx, o)
	}),
	verbWithOptions(usage{
		name:    "timeline:explain",
		summary: "Explains in words what happened to a pod, a node or a node group, or what the autoscaler does and waits for.",
		details: "It says why a pod waited, why a node stays or what its removal waits for, what changed a group's size, and which groups the autoscaler scales. If timeline:snapshot took a snapshot while a pod waited, the answer also has what the snapshot says of the pod. The scheduler's filters are compiled for the first answer about affinity, topology spread, volumes or devices, which may take minutes.",
		args:    []argument{{"WHAT", "pod/NAME, pod/NAMESPACE/NAME, node/NAME, machine/NAME, group/NAME or autoscaler"}},
		example: "go tool mage timeline:explain pod/sc-shop-7d9f8-x2x8z",
	}, func(fs *flag.FlagSet, o *timelines.ExplainOptions) {
		fs.StringVar(&o.Record, "record", "", recordMeaning)
	}, func(ctx context.Context, s *session, o timelines.ExplainOptions, args []string) error {
		return s.timelines.Explain(ctx, args[0], o)
	}),
	verbWithOptions(usage{
		name:    "timeline:export",
		summary: "Writes the record as a trace for Perfetto, and prints its path.",
		details: "The trace has the nodes and pods with their states, the sizes and the utilisation of the node groups, how long the autoscaler's loops take, its API calls, and what it said. ui.perfetto.dev and chrome://tracing open it.",
		example: "go tool mage timeline:export -since=15m -out=results/trace.json",
	}, func(fs *flag.FlagSet, o *timelines.ExportOptions) {
		fs.StringVar(&o.Out, "out", "", "`FILE` of the trace; by default trace.json beside the record")
		fs.StringVar(&o.Record, "record", "", recordMeaning)
		fs.DurationVar(&o.Since, "since", 0, "how far back the trace goes, a `DURATION` such as 15m")
	}, func(ctx context.Context, s *session, o timelines.ExportOptions, _ []string) error {
		return s.timelines.Export(ctx, o)
	}),
	verbWithOptions(usage{
		name:    "timeline:import",
		summary: "Makes a record from saved objects and logs of a cluster, so that timeline:explain and timeline:report work on it without the cluster.",
		details: "It reads objects and events in YAML or JSON, such as the output of kubectl get -o yaml, must-gather folders, logs of the autoscaler, and what it serves at /snapshotz. It prints what it used, what it did not use, and what to type next. Volumes, devices, PodDisruptionBudgets and affinity by namespaces are judged only with -complete, because an object that was not saved may matter.",
		args:    []argument{{"DIR", "a folder, a file, or a tar archive"}},
		example: "go tool mage timeline:import ~/Downloads/must-gather.tar.gz",
	}, func(fs *flag.FlagSet, o *timelines.ImportOptions) {
		fs.BoolVar(&o.Complete, "complete", false, "for each kind in DIR, DIR has all objects of the cluster")
		fs.StringVar(&o.Out, "out", "", "`FILE` of the record, a new file; by default one in .caslab/imports")
	}, func(ctx context.Context, s *session, o timelines.ImportOptions, args []string) error {
		return s.timelines.Import(ctx, args[0], o)
	}),
	verbWithOptions(usage{
		name:    "timeline:serve",
		summary: "Serves the page of timeline:report on this machine until Ctrl-C, and records; the page shows what is recorded meanwhile.",
		details: "The page has the lanes of timeline:report, with loop duration, API calls and utilisation. It prints the page's address, which only this machine can open. While another command records, it waits; then it records itself.",
		example: "go tool mage timeline:serve -port=0 -since=1h",
	}, func(fs *flag.FlagSet, o *timelines.ServeOptions) {
		fs.IntVar(&o.Port, "port", timelines.ServePort, "`PORT` of the page, 0 for any free one")
		fs.DurationVar(&o.Since, "since", 0, "how far back the page goes, a `DURATION` such as 15m")
	}, func(ctx context.Context, s *session, o timelines.ServeOptions, _ []string) error {
		return s.timelines.Serve(ctx, o)
	}),
	verbWithOptions(usage{
		name:    "timeline:snapshot",
		summary: "Compares what the autoscaler knows with the record, and prints where they differ.",
		details: "It takes the autoscaler's debugging snapshot, which the autoscaler makes in its next loop, stores it, and prints its path. The table has nodes, what they offer and what is requested, pods that the autoscaler counts on another node or that need no new node, and templates of groups that are unlike the groups' nodes.",
		example: "go tool mage timeline:snapshot -out=results/snapshot.json",
	}, func(fs *flag.FlagSet, o *timelines.SnapshotOptions) {
		fs.StringVar(&o.Out, "out", "", "`FILE` of the snapshot; by default one in the folder record.snapshots beside the record, where timeline:explain reads it")
		fs.DurationVar(&o.Within, "within", timelines.SnapshotWithin, "how long to wait for the loop, a `DURATION` such as 10m")
	}, func(ctx context.Context, s *session, o timelines.SnapshotOptions, _ []string) error {
		return s.timelines.Snapshot(ctx, o)
	}),
}

// recordMeaning is the meaning of -record.
const recordMeaning = "`FILE` that timeline:import wrote, to read instead of the cluster's record"
