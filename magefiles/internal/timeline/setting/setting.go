// Package setting knows the defaults of the autoscaler's flags, and reads their values.
package setting

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
)

// Defaults are the defaults of flags, the same in all releases from 1.18.0 to 1.36.1 that
// have the flag. Source: cluster-autoscaler/main.go and, until 1.25, simulator/cluster.go of
// the tags; later config/flags/flags.go and config/const.go. The default of --expander depends
// on the release, and that of --cloud-provider on how the program was compiled.
var Defaults = map[string]string{
	"allowed-scheduler-names": "", "bypassed-scheduler-names": "", "cloud-config": "", "cores-total": "0:320000", "force-ds": "false",
	"ignore-taint": "", "kubeconfig": "", "leader-elect": "true", "memory-total": "0:6400000", "namespace": "kube-system",
	"node-group-auto-discovery": "", "nodes": "", "startup-taint": "", "startup-taint-prefix": "",
	"status-config-map-name": "cluster-autoscaler-status", "status-taint": "", "v": "0",
	"balance-similar-node-groups": "false", "balancing-ignore-label": "", "balancing-label": "",
	"max-allocatable-difference-ratio": "0.05", "max-free-difference-ratio": "0.05", "memory-difference-ratio": "0.015",
	"blocking-system-pod-distruption-timeout": "1h0m0s", "enable-csi-node-aware-scheduling": "false", "enable-provisioning-requests": "false",
	"enforce-node-group-min-size": "false", "expendable-pods-priority-cutoff": "-10", "ignore-daemonsets-utilization": "false",
	"ignore-mirror-pods-utilization": "false", "initial-node-group-backoff-duration": "5m0s", "max-drain-parallelism": "1",
	"max-graceful-termination-sec": "600", "max-node-group-backoff-duration": "30m0s", "max-node-provision-time": "15m0s", "max-nodes-total": "0",
	"min-replica-count": "0", "new-pod-scale-up-delay": "0s", "node-info-cache-expire-time": "87600h0m0s", "scale-down-delay-after-add": "10m0s", "scale-down-delay-after-delete": "0s",
	"scale-down-delay-after-failure": "3m0s", "scale-down-delay-type-local": "false", "scale-down-enabled": "true",
	"scale-down-gpu-utilization-threshold": "0.5", "scale-down-unneeded-time": "10m0s", "scale-down-unready-enabled": "true",
	"scale-down-unready-time": "20m0s", "scale-down-utilization-threshold": "0.5", "scan-interval": "10s",
	"skip-nodes-with-custom-controller-pods": "true", "skip-nodes-with-local-storage": "true", "skip-nodes-with-system-pods": "true",
	"unremovable-node-recheck-timeout": "5m0s",
}

// Setting is the value of a flag, or of an annotation that overrides the flag.
type Setting struct {
	Value string
	// By says where the value comes from: "--flag", "the default of --flag", "the group's
	// annotation".
	By string
}

// Words returns the value for a reader.
func (s Setting) Words() string {
	if d, err := time.ParseDuration(s.Value); err == nil {
		return timeline.DurationText(d)
	}
	return s.Value
}

// Same reports whether two values of a flag are the same text, list, duration or
// number. The autoscaler logs an empty list as [].
func Same(a, b string) bool {
	a, b = strings.TrimSuffix(a, "[]"), strings.TrimSuffix(b, "[]")
	if a == b {
		return true
	}
	x, errX := time.ParseDuration(a)
	y, errY := time.ParseDuration(b)
	if errX == nil && errY == nil {
		return x == y
	}
	f, errF := strconv.ParseFloat(a, 64)
	g, errG := strconv.ParseFloat(b, 64)
	return errF == nil && errG == nil && f == g
}

// Duration returns the setting as a duration, and where it comes from. A value that is not a
// duration counts as 0.
func (s Setting) Duration() (time.Duration, string) {
	d, err := time.ParseDuration(s.Value)
	if err != nil {
		return 0, fmt.Sprintf("%s=%s is no duration", s.By, s.Value)
	}
	return d, s.By
}

// Number returns the setting as a number. A value that is not a number counts as 0.
func (s Setting) Number() float64 {
	f, _ := strconv.ParseFloat(s.Value, 64)
	return f
}
