//go:build mage

package main

import (
	"context"
	"strconv"

	"github.com/magefile/mage/mg"
)

// Workload has the pods that make the cluster grow.
type Workload mg.Namespace

// Add creates a deployment whose pods each fill one node, or changes the one of
// that name. Example: go tool mage workload:add -pods=4
func (Workload) Add(ctx context.Context,
	claims *string, // CLASSES of devices that each pod claims, each with the number of devices, gpu.example.com=1
	devices *string, // DEVICES that each pod requests, nvidia.com/gpu=1
	image *string, // image REF of the pods, instead of one that every node has
	memory *string, // MEMORY that each pod requests instead of most of a node's, such as 2Gi
	name *string, // NAME of the workload (default scale-up)
	pods *int, // number of pods, N (default 1)
	selector *string, // LABELS of the nodes that the pods may run on, key=value,key=value
	tolerations *string, // KEYS of the taints that the pods tolerate, key,key
) error {
	return lab(ctx, "workload:add", option("claims", claims), option("devices", devices), option("image", image), option("memory", memory),
		option("name", name), option("pods", pods), option("selector", selector), option("tolerations", tolerations))
}

// Scale changes the number of pods of a workload. PODS is the number of pods.
// Example: go tool mage workload:scale 2
func (Workload) Scale(ctx context.Context, pods int,
	name *string, // NAME of the workload (default scale-up)
) error {
	return lab(ctx, "workload:scale", option("name", name), "--", strconv.Itoa(pods))
}

// Delete deletes a workload and waits until its pods are gone.
func (Workload) Delete(ctx context.Context,
	name *string, // NAME of the workload (default scale-up)
) error {
	return lab(ctx, "workload:delete", option("name", name))
}
