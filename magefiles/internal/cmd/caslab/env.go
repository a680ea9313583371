package main

import (
	"context"

	"caslab/magefiles/internal/environment"
)

var envVerbs = []verb{
	simpleVerb(usage{
		name:    "env:up",
		summary: "Makes the environment ready.",
		details: "It fetches and builds Cluster API, builds the images, creates the management cluster and the workload cluster, moves Cluster API into the workload cluster, and deletes the management cluster. " +
			"After an interruption it continues where the last run stopped. A ready environment is only verified. `go tool mage config:show` lists the settings.",
	}, func(ctx context.Context, s *session) error { return s.environment.Up(ctx, environment.Ready) }),
	simpleVerb(usage{
		name:    "env:stop",
		summary: "Stops the environment's containers and keeps everything in it.",
		details: "Commands that work on it in other terminals wait, and go on when it is started again.",
	}, func(ctx context.Context, s *session) error { return s.environment.Stop(ctx) }),
	simpleVerb(usage{
		name:    "env:start",
		summary: "Starts an environment again, and repairs it if necessary: after env:stop, after a restart of the engine or of the machine, or after containers were stopped by hand.",
		details: "env:up does the same.",
	}, func(ctx context.Context, s *session) error { return s.environment.Start(ctx) }),
	simpleVerb(usage{
		name:    "env:status",
		summary: "Prints the environment's nodes, machines, node groups, providers, versions and image digests.",
	}, func(ctx context.Context, s *session) error { return s.environment.Status(ctx) }),
	simpleVerb(usage{
		name:    "env:down",
		summary: "Removes the environment and nothing else.",
		details: "It removes containers, volumes and kubeconfigs. Commands in other terminals that work on the environment end first. Caches, built images and logs stay for the next env:up. Running it twice is harmless.",
	}, func(ctx context.Context, s *session) error { return s.environment.Down(ctx) }),
	simpleVerb(usage{
		name:    "env:kubeconfig",
		summary: "Prints the path of the environment's kubeconfig and nothing else.",
		example: "export KUBECONFIG=$(go tool mage env:kubeconfig)",
	}, func(ctx context.Context, s *session) error { return s.environment.Kubeconfig(ctx) }),
	simpleVerb(usage{
		name:    "env:doctor",
		summary: "Checks this machine and prints a verdict for each finding and what to do about it.",
		details: "It looks at the engine, privileges, cgroups, limits, disk, memory and Go, and asks whether the sources and registries answer. It starts one privileged container for a moment.",
	}, func(ctx context.Context, s *session) error { return s.environment.Doctor(ctx) }),
}
