package main

import (
	"context"

	"caslab/magefiles/internal/environment"
)

var clusterVerbs = []verb{
	simpleVerb(usage{
		name:    "cluster:management",
		summary: "Creates the kind management cluster and installs Cluster API in it.",
	}, func(ctx context.Context, s *session) error {
		return s.environment.Up(ctx, environment.ManagementTarget)
	}),
	simpleVerb(usage{
		name:    "cluster:workload",
		summary: "Creates the workload cluster from the management cluster and waits until its nodes are Ready.",
	}, func(ctx context.Context, s *session) error { return s.environment.Up(ctx, environment.WorkloadTarget) }),
	simpleVerb(usage{
		name:    "cluster:pivot",
		summary: "Installs Cluster API in the workload cluster, moves the objects there and deletes the management cluster.",
		details: "It first makes what is missing: with nothing there, it does what env:up does.",
	}, func(ctx context.Context, s *session) error { return s.environment.Up(ctx, environment.Ready) }),
	simpleVerb(usage{
		name:    "cluster:describe",
		summary: "Prints the tree of the cluster's Cluster API objects and what is wrong with them.",
	}, func(ctx context.Context, s *session) error { return s.environment.Describe(ctx) }),
}
