//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Hollow has the controller of hollow machines.
type Hollow mg.Namespace

// Run runs the controller of hollow machines on this machine, for a cluster
// that the lab did not create, until it is stopped. It needs the right to create
// CustomResourceDefinitions there. In the lab's own environment, nodegroup:add
// installs the controller.
func (Hollow) Run(ctx context.Context) error { return lab(ctx, "hollow:run") }

// Remove removes the controller and the kinds of hollow machines from the
// cluster. It refuses while there are node groups with hollow machines. The
// affinity that keeps the pods of the system off hollow nodes stays; it does
// nothing without such nodes.
func (Hollow) Remove(ctx context.Context) error { return lab(ctx, "hollow:remove") }
