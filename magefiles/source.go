//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Source has the source trees of Cluster API and the cluster autoscaler.
type Source mg.Namespace

// Fetch fetches the pinned sources of Cluster API and of the autoscaler, from
// git, the Go module proxy or your checkout, and prints where they are. Name
// one to fetch it alone: -component=cluster-api or -component=autoscaler.
func (Source) Fetch(ctx context.Context, component *string) error {
	return lab(ctx, "source:fetch", option("component", component))
}
