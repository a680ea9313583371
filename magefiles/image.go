//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Image has the container images: the managers' and the nodes'.
type Image mg.Namespace

// Build compiles the managers from the pinned source and assembles their
// images.
func (Image) Build(ctx context.Context) error { return lab(ctx, "image:build") }

// Node builds the node image, which contains the managers, and the load
// balancer's image.
func (Image) Node(ctx context.Context) error { return lab(ctx, "image:node") }

// Load rebuilds the managers' images and loads them into every node of the
// running environment. After a change in your checkout of Cluster API (CAPI_DIR), it is
// quicker than a new environment. It prints how to restart a manager with its new image.
func (Image) Load(ctx context.Context) error { return lab(ctx, "image:load") }
