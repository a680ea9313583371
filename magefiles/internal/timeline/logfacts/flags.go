package logfacts

import (
	"slices"
	"time"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// decisive are the flags that decide what the autoscaler does with a pod, a node or a
// group. The others are not recorded.
var decisive = []string{
	"allowed-scheduler-names", "balance-similar-node-groups", "balancing-ignore-label", "balancing-label", "blocking-system-pod-distruption-timeout", "bypassed-scheduler-names", "cloud-config",
	"cloud-provider", "cores-total",
	"enable-csi-node-aware-scheduling", "enable-dynamic-resource-allocation", "enable-provisioning-requests", "enforce-node-group-min-size", "expander", "expendable-pods-priority-cutoff", "force-ds",
	"ignore-daemonsets-utilization", "ignore-mirror-pods-utilization", "ignore-taint", "initial-node-group-backoff-duration", "kubeconfig",
	"leader-elect", "max-allocatable-difference-ratio", "max-drain-parallelism", "max-free-difference-ratio", "max-graceful-termination-sec", "max-node-group-backoff-duration", "max-node-provision-time", "max-nodes-total", "memory-difference-ratio", "memory-total",
	"min-replica-count", "namespace", "new-pod-scale-up-delay", "node-group-auto-discovery", "node-info-cache-expire-time", "nodes", "scale-down-delay-after-add",
	"scale-down-delay-after-delete", "scale-down-delay-after-failure", "scale-down-delay-type-local", "scale-down-enabled", "scale-down-gpu-utilization-threshold",
	"scale-down-unneeded-time", "scale-down-unready-enabled", "scale-down-unready-time", "scale-down-utilization-threshold", "scan-interval",
	"skip-nodes-with-custom-controller-pods", "skip-nodes-with-local-storage", "skip-nodes-with-system-pods", "startup-taint", "startup-taint-prefix",
	"status-config-map-name", "status-taint", "unremovable-node-recheck-timeout", "v",
}

// Flags returns the fact of an autoscaler's flags, and of the tree that it was compiled from,
// if that is not empty.
func Flags(flags []autoscaler.Flag, tree string, at time.Time) timeline.Fact {
	values := map[string]string{}
	for _, f := range flags {
		if f.Bare {
			f.Value = "true"
		}
		if before, twice := values[f.Name]; twice {
			f.Value = before + "," + f.Value
		}
		if slices.Contains(decisive, f.Name) {
			values[f.Name] = f.Value
		}
	}
	return timeline.Fact{Time: at, Kind: timeline.Autoscaler, What: timeline.Shaped, Shape: shape.Encode(shape.Autoscaler{Flags: values, Tree: tree})}
}
