//go:build mage

package main

import (
	"context"
	"time"

	"github.com/magefile/mage/mg"
)

// Timeline shows what happened to pods, node groups, machines and nodes, and
// what the autoscaler logged meanwhile.
type Timeline mg.Namespace

// Watch shows live what happens, and records it, until Ctrl-C. autoscaler:run and
// scenario:run record too, so it is for times when neither runs, or for a second terminal.
// timeline:explain and timeline:report read the record.
func (Timeline) Watch(ctx context.Context) error { return lab(ctx, "timeline:watch") }

// Report writes the record as a page that needs no network, as a picture and as
// JSON, and prints their paths. The JSON has the whole record. Page and picture
// have lanes for scenarios, the autoscaler, how long its loops take, its API calls,
// the share of cpu and memory that pods request, waiting pods, and each node group;
// a lane without facts is left out. Example: go tool mage timeline:report
// -since=15m -out=results/timeline.html
func (Timeline) Report(ctx context.Context,
	out *string, // FILE of the page, which ends in .html; the picture and the JSON are beside it
	record *string, // FILE that timeline:import wrote, to read instead of the cluster's record
	since *time.Duration, // how far back the page and the picture go, a DURATION such as 15m
) error {
	return lab(ctx, "timeline:report", option("out", out), option("record", record), option("since", since))
}

// Serve serves the page of timeline:report on this machine until Ctrl-C, and
// records; the page shows what is recorded meanwhile. The page has the lanes
// of timeline:report, with loop duration, API calls and utilisation. It prints the page's address, which only this machine can open. While another
// command records, it waits; then it records itself. Example: go tool mage timeline:serve -port=0 -since=1h
func (Timeline) Serve(ctx context.Context,
	port *int, // PORT of the page, 0 for any free one (default 8480)
	since *time.Duration, // how far back the page goes, a DURATION such as 15m
) error {
	return lab(ctx, "timeline:serve", option("port", port), option("since", since))
}

// Snapshot compares what the autoscaler knows with the record, and prints where
// they differ. It takes the autoscaler's debugging snapshot, which the autoscaler
// makes in its next loop, stores it, and prints its path. The table has nodes, what
// they offer and what is requested, pods that the autoscaler counts on another node
// or that need no new node, and templates of groups that are unlike the groups'
// nodes. Example: go tool mage timeline:snapshot -out=results/snapshot.json
func (Timeline) Snapshot(ctx context.Context,
	out *string, // FILE of the snapshot; by default one in the folder record.snapshots beside the record, where timeline:explain reads it
	within *time.Duration, // how long to wait for the loop, a DURATION such as 10m (default 2m0s)
) error {
	return lab(ctx, "timeline:snapshot", option("out", out), option("within", within))
}

// Explain explains in words what happened to a pod, a node or a node group, or
// what the autoscaler does and waits for. It says why a pod waited, why a node
// stays or what its removal waits for, what changed a group's size, and which
// groups the autoscaler scales. If timeline:snapshot took a snapshot while a pod
// waited, the answer also has what the snapshot says of the pod. The scheduler's
// filters are compiled for the first answer about affinity, topology spread,
// volumes or devices, which may take minutes. WHAT is pod/NAME, pod/NAMESPACE/NAME, node/NAME, machine/NAME,
// group/NAME or autoscaler. Example: go tool mage timeline:explain pod/sc-shop-7d9f8-x2x8z
func (Timeline) Explain(ctx context.Context, what string,
	record *string, // FILE that timeline:import wrote, to read instead of the cluster's record
) error {
	return lab(ctx, "timeline:explain", option("record", record), "--", what)
}

// Export writes the record as a trace for Perfetto, and prints its path. The trace
// has the nodes and pods with their states, the sizes and the utilisation of the
// node groups, how long the autoscaler's loops take, its API calls, and what it
// said. ui.perfetto.dev and chrome://tracing open it. Example: go
// tool mage timeline:export -since=15m -out=results/trace.json
func (Timeline) Export(ctx context.Context,
	out *string, // FILE of the trace; by default trace.json beside the record
	record *string, // FILE that timeline:import wrote, to read instead of the cluster's record
	since *time.Duration, // how far back the trace goes, a DURATION such as 15m
) error {
	return lab(ctx, "timeline:export", option("out", out), option("record", record), option("since", since))
}

// Import makes a record from saved objects and logs of a cluster, so that
// timeline:explain and timeline:report work on it without the cluster. It reads
// objects and events in YAML or JSON, such as the output of kubectl get -o yaml,
// must-gather folders, logs of the autoscaler, and what it serves at /snapshotz.
// It prints what it used, what it did not use, and what to type next. Volumes,
// devices, PodDisruptionBudgets and affinity by namespaces are judged only with
// -complete, because an object that was not saved may matter. DIR is a folder, a file, or a tar archive. Example: go tool mage timeline:import
// ~/Downloads/must-gather.tar.gz
func (Timeline) Import(ctx context.Context, dir string,
	complete *bool, // for each kind in DIR, DIR has all objects of the cluster
	out *string, // FILE of the record, a new file; by default one in .caslab/imports
) error {
	return lab(ctx, "timeline:import", option("complete", complete), option("out", out), "--", dir)
}
