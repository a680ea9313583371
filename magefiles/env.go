//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Env is the whole environment: one self-managed cluster and what made it.
type Env mg.Namespace

// Up makes the environment ready: fetches and builds Cluster API, builds the
// images, creates the management and the workload cluster, moves Cluster API
// into the workload cluster and deletes the management cluster. It takes up
// what an interrupted run left, and only verifies an environment that is
// ready. Settings: `go tool mage config:show`.
func (Env) Up(ctx context.Context) error { return lab(ctx, "env:up") }

// Status prints the nodes, machines, node groups, providers, versions and
// image digests of the environment.
func (Env) Status(ctx context.Context) error { return lab(ctx, "env:status") }

// Down removes everything of the environment and nothing else: containers,
// volumes and kubeconfigs. Caches, built images and logs stay for the next
// env:up. Doing it twice is fine.
func (Env) Down(ctx context.Context) error { return lab(ctx, "env:down") }

// Kubeconfig prints the path of the environment's kubeconfig and nothing else:
// export KUBECONFIG=$(go tool mage env:kubeconfig).
func (Env) Kubeconfig(ctx context.Context) error { return lab(ctx, "env:kubeconfig") }

// Doctor checks the machine: engine, privileges, cgroup, limits, disk, memory,
// Go, and whether the sources and registries answer; each with a verdict and
// a cure. It makes one privileged container, for a moment.
func (Env) Doctor(ctx context.Context) error { return lab(ctx, "env:doctor") }
