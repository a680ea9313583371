package main

import (
	"context"

	"caslab/magefiles/internal/environment"
)

var clusterVerbs = []verb{
	plain(usage{
		name: "cluster:management",
		does: "Creates the kind management cluster and installs Cluster API in it.",
	}, func(ctx context.Context, s *session) error {
		return s.environment.Up(ctx, environment.ManagementTarget)
	}),
	plain(usage{
		name: "cluster:workload",
		does: "Creates the workload cluster from the management cluster and waits until its nodes are Ready.",
	}, func(ctx context.Context, s *session) error { return s.environment.Up(ctx, environment.WorkloadTarget) }),
	plain(usage{
		name: "cluster:pivot",
		does: "Installs Cluster API in the workload cluster, moves the objects there and deletes the management cluster.",
	}, func(ctx context.Context, s *session) error { return s.environment.Up(ctx, environment.Ready) }),
	plain(usage{
		name: "cluster:describe",
		does: "Prints the tree of the cluster's Cluster API objects and what is wrong with them.",
	}, func(ctx context.Context, s *session) error { return s.environment.Describe(ctx) }),
}
