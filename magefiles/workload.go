//go:build mage

package main

import (
	"context"
	"strconv"

	"github.com/magefile/mage/mg"
)

// Workload has the pods that make the cluster grow.
type Workload mg.Namespace

// Add makes a deployment of pods, one of which fills one node, or changes the
// one of that name. -pods is how many, 1 if not given; -memory=2Gi requests that
// instead; -image runs another image than the one that every node has; -name
// lets several be; -selector=key=value,… and -tolerations=key,… choose nodes.
func (Workload) Add(ctx context.Context, pods *int, memory, image, name, selector, tolerations *string) error {
	return lab(ctx, "workload:add", option("pods", pods), option("memory", memory), option("image", image),
		option("name", name), option("selector", selector), option("tolerations", tolerations))
}

// Scale changes the number of pods.
func (Workload) Scale(ctx context.Context, pods int, name *string) error {
	return lab(ctx, "workload:scale", option("name", name), "--", strconv.Itoa(pods))
}

// Delete deletes the deployment and waits until its pods are gone.
func (Workload) Delete(ctx context.Context, name *string) error {
	return lab(ctx, "workload:delete", option("name", name))
}
