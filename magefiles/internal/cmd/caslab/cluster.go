package main

import (
	"context"

	"caslab/magefiles/internal/env"
)

var clusterVerbs = []verb{
	plain(usage{
		name: "cluster:management",
		does: "Creates the kind management cluster and installs Cluster API in it.",
	}, func(ctx context.Context, s *session) error { return s.lab.Up(ctx, env.ManagementTarget) }),
	plain(usage{
		name: "cluster:workload",
		does: "Creates the workload cluster from the management cluster and waits until its nodes are Ready.",
	}, func(ctx context.Context, s *session) error { return s.lab.Up(ctx, env.WorkloadTarget) }),
	plain(usage{
		name: "cluster:pivot",
		does: "Installs Cluster API in the workload cluster, moves the objects there and deletes the management cluster.",
	}, func(ctx context.Context, s *session) error { return s.lab.Up(ctx, env.Ready) }),
	plain(usage{
		name: "cluster:describe",
		does: "Prints the tree of the cluster's Cluster API objects and what is wrong with them.",
	}, func(ctx context.Context, s *session) error { return s.lab.Describe(ctx) }),
}
