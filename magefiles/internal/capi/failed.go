package capi

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/kube"
)

var devMachines = schema.GroupKind{Group: "infrastructure.cluster.x-k8s.io", Kind: "DevMachine"}

// failedEvery is the time between two calls of RemoveFailed.
const failedEvery = 5 * time.Second

// ReplaceFailed calls RemoveFailed again and again until stop is called, or ctx is done. It
// calls replaced with the name of each machine, and failed with each error.
func ReplaceFailed(ctx context.Context, c *kube.Client, namespace, cluster string, replaced func(name string), failed func(error)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = wait.PollUntilContextCancel(ctx, failedEvery, true, func(ctx context.Context) (bool, error) { // it ends with ctx only
			names, err := RemoveFailed(ctx, c, namespace, cluster)
			for _, name := range names {
				replaced(name)
			}
			if err != nil && ctx.Err() == nil {
				failed(err)
			}
			return false, nil
		})
	}()
	return func() {
		cancel()
		<-done
	}
}

// RemoveFailed deletes the workers' Machines on which kubeadm failed, so that their
// MachineSets create others, and returns their names. The provider runs kubeadm once (Cluster
// API v1.14.0, test/infrastructure/docker/internal/controllers/backends/docker/
// dockermachine_backend.go: reconcileBootstrap; devmachine_types.go has the condition).
// Earlier releases run it again.
func RemoveFailed(ctx context.Context, c *kube.Client, namespace, cluster string) (names []string, err error) {
	all, err := c.List(ctx, devMachines, namespace)
	if kube.IsAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for machines on which kubeadm failed: %w", err)
	}
	for i := range all {
		d := &all[i]
		_, controlPlane := d.GetLabels()[clusterv1.MachineControlPlaneLabel]
		if d.GetLabels()[clusterv1.ClusterNameLabel] != cluster || controlPlane || d.GetDeletionTimestamp() != nil || !bootstrapFailed(d) {
			continue
		}
		for _, owner := range d.GetOwnerReferences() {
			if owner.Kind != kube.Machines.Kind {
				continue
			}
			if err := c.Delete(ctx, kube.Machines, namespace, owner.Name); err != nil {
				return names, fmt.Errorf("replace the machine %s, on which kubeadm failed: %w", owner.Name, err)
			}
			names = append(names, owner.Name)
		}
	}
	return names, nil
}

func bootstrapFailed(d *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(d.Object, "status", "conditions") // none if it has another type
	return slices.ContainsFunc(conditions, func(c any) bool {
		condition, _ := c.(map[string]any)
		return condition["type"] == "BootstrapCompleted" && condition["status"] == "False" && condition["reason"] == "Failed"
	})
}
