//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Cluster has the steps of env:up that concern clusters, one target each.
type Cluster mg.Namespace

// Management creates the kind management cluster and installs Cluster API in
// it.
func (Cluster) Management(ctx context.Context) error { return lab(ctx, "cluster:management") }

// Workload creates the workload cluster from the management cluster and waits
// until its nodes are Ready.
func (Cluster) Workload(ctx context.Context) error { return lab(ctx, "cluster:workload") }

// Pivot installs Cluster API in the workload cluster, moves the objects there
// and deletes the management cluster. It first makes what is missing: with nothing there, it
// does what env:up does.
func (Cluster) Pivot(ctx context.Context) error { return lab(ctx, "cluster:pivot") }

// Describe prints the tree of the cluster's Cluster API objects and what is
// wrong with them.
func (Cluster) Describe(ctx context.Context) error { return lab(ctx, "cluster:describe") }
