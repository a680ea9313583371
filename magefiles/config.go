//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Config has the lab's settings.
type Config mg.Namespace

// Show prints every setting with its value, where the value comes from, and
// the environment variable that changes it.
func (Config) Show(ctx context.Context) error { return lab(ctx, "config:show") }

// Matrix prints which releases of Cluster API, Kubernetes and the autoscaler
// work together, and which were tried. Example: go tool mage config:matrix -all
func (Config) Matrix(ctx context.Context,
	all *bool, // every release that changed something, and every pair that was tried
) error {
	return lab(ctx, "config:matrix", option("all", all))
}
