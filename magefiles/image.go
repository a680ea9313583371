//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Image has the container images: the managers' and the nodes'.
type Image mg.Namespace

// Build compiles the managers and clusterctl from the pinned source and
// assembles the managers' images.
func (Image) Build(ctx context.Context) error { return lab(ctx, "image:build") }

// Node makes the node image, managers baked in, and the load balancer's.
func (Image) Node(ctx context.Context) error { return lab(ctx, "image:node") }

// Load rebuilds the managers' images and loads them into every node of the
// running environment; it prints how a manager comes to run its new one.
func (Image) Load(ctx context.Context) error { return lab(ctx, "image:load") }
