//go:build mage

package main

import (
	"context"
	"strconv"

	"github.com/magefile/mage/mg"
)

// Nodegroup has the machine deployments that the autoscaler scales.
type Nodegroup mg.Namespace

// Add adds a node group, such as work-md-1 1 4, and waits for its first nodes.
// It shares the machine template of the first machine deployment, or of
// -from=NAME; -own copies it. -labels=key=value,… and -taints=key=value:Effect,…
// are of its nodes; -capacity=cpu=4,memory=16Gi is what the autoscaler believes
// of a node while there is none (MIN 0).
func (Nodegroup) Add(ctx context.Context, name string, min, max int, from *string, own *bool, labels, taints, capacity *string) error {
	return lab(ctx, "nodegroup:add", option("from", from), option("own", own), option("labels", labels),
		option("taints", taints), option("capacity", capacity), "--", name, strconv.Itoa(min), strconv.Itoa(max))
}

// List prints the node groups with their limits, sizes, labels and taints.
func (Nodegroup) List(ctx context.Context) error { return lab(ctx, "nodegroup:list") }

// Set gives a machine deployment, the environment's first one too, the limits
// that the autoscaler keeps. With MIN 0 it also tells the autoscaler what a node
// of the environment has, unless the group's annotations do.
func (Nodegroup) Set(ctx context.Context, name string, min, max int) error {
	return lab(ctx, "nodegroup:set", "--", name, strconv.Itoa(min), strconv.Itoa(max))
}

// Delete deletes a node group that nodegroup:add made, and waits until its
// machines are gone.
func (Nodegroup) Delete(ctx context.Context, name string) error {
	return lab(ctx, "nodegroup:delete", name)
}
