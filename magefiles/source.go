//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Source has the source trees of Cluster API and the cluster autoscaler.
type Source mg.Namespace

// Fetch fetches the pinned sources of Cluster API and of the autoscaler and
// prints where they are. They come from git, the Go module proxy or your
// checkout. Example: go tool mage source:fetch -component=cluster-api
func (Source) Fetch(ctx context.Context,
	component *string, // fetch this COMPONENT alone: cluster-api or autoscaler
) error {
	return lab(ctx, "source:fetch", option("component", component))
}
