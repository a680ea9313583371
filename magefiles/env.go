//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Env has the environment: one self-managed cluster and what it is built of.
type Env mg.Namespace

// Up makes the environment ready. It fetches and builds Cluster API, builds the
// images, creates the management cluster and the workload cluster, moves Cluster
// API into the workload cluster, and deletes the management cluster. After an
// interruption it continues where the last run stopped. A ready environment is
// only verified. `go tool mage config:show` lists the settings.
func (Env) Up(ctx context.Context) error { return lab(ctx, "env:up") }

// Stop stops the environment's containers and keeps everything in it. Commands that
// work on it in other terminals wait, and go on when it is started again.
func (Env) Stop(ctx context.Context) error { return lab(ctx, "env:stop") }

// Start starts an environment again, and repairs it if necessary: after env:stop,
// after a restart of the engine or of the machine, or after containers were stopped
// by hand. env:up does the same.
func (Env) Start(ctx context.Context) error { return lab(ctx, "env:start") }

// Status prints the environment's nodes, machines, node groups, providers,
// versions and image digests.
func (Env) Status(ctx context.Context) error { return lab(ctx, "env:status") }

// Down removes the environment and nothing else. It removes containers, volumes
// and kubeconfigs. Commands in other terminals that work on the environment end
// first. Caches, built images and logs stay for the next env:up. Running it twice is
// harmless.
func (Env) Down(ctx context.Context) error { return lab(ctx, "env:down") }

// Kubeconfig prints the path of the environment's kubeconfig and nothing else.
// Example: export KUBECONFIG=$(go tool mage env:kubeconfig)
func (Env) Kubeconfig(ctx context.Context) error { return lab(ctx, "env:kubeconfig") }

// Doctor checks this machine and prints a verdict for each finding and what to do about it.
// It looks at the engine, privileges, cgroups, limits, disk, memory and Go, and
// asks whether the sources and registries answer. It starts one privileged
// container for a moment.
func (Env) Doctor(ctx context.Context) error { return lab(ctx, "env:doctor") }
