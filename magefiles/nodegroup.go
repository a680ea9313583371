//go:build mage

package main

import (
	"context"
	"strconv"

	"github.com/magefile/mage/mg"
)

// Nodegroup has the machine deployments that the autoscaler scales.
type Nodegroup mg.Namespace

// Add adds a node group and waits for its first nodes. A node group is a
// machine deployment with limits that the autoscaler keeps. With MIN 0 the
// group starts empty. NAME is the name of the new machine deployment. MIN is the
// lowest number of nodes, with which it starts. MAX is the highest number of
// nodes. Example: go tool mage nodegroup:add gpu 0 2 -labels=tier=gpu
// -taints=dedicated=gpu:NoSchedule
func (Nodegroup) Add(ctx context.Context, name string, min, max int,
	capacity *string, // CAPACITY of the nodes, at most this machine's, such as cpu=1,memory=4Gi; in a cluster that is not the lab's own, what the autoscaler expects of a node while the group is empty
	from *string, // machine deployment NAME whose machine template the group uses, instead of the first one
	labels *string, // LABELS of the nodes, key=value,key=value
	own *bool, // copy the machine template instead of sharing it
	taints *string, // TAINTS of the nodes, key=value:Effect,key=value:Effect
) error {
	return lab(ctx, "nodegroup:add", option("capacity", capacity), option("from", from), option("labels", labels),
		option("own", own), option("taints", taints), "--", name, strconv.Itoa(min), strconv.Itoa(max))
}

// List prints the node groups with their limits, sizes, capacities, labels and
// taints.
func (Nodegroup) List(ctx context.Context) error { return lab(ctx, "nodegroup:list") }

// Set sets the limits that the autoscaler keeps for a machine deployment. The
// environment's first machine deployment can have limits too. With MIN 0 it
// also tells the autoscaler what a node of the environment has, unless the
// group's annotations do. NAME is the name of the machine deployment. MIN is the
// lowest number of nodes. MAX is the highest number of nodes. Example: go tool
// mage nodegroup:set work-cluster-md-0 1 3
func (Nodegroup) Set(ctx context.Context, name string, min, max int) error {
	return lab(ctx, "nodegroup:set", "--", name, strconv.Itoa(min), strconv.Itoa(max))
}

// Delete deletes a node group that nodegroup:add created, and waits until its
// machines are gone. NAME is the name of the machine deployment. Example: go
// tool mage nodegroup:delete gpu
func (Nodegroup) Delete(ctx context.Context, name string) error {
	return lab(ctx, "nodegroup:delete", "--", name)
}
