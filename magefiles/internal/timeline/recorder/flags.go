package recorder

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// flagLine matches a line in which the autoscaler logs one of its flags when it starts.
var flagLine = regexp.MustCompile(`^FLAG: --([^=]+)=(".*")$`)

// apiLine matches the line in which it logs the version of Cluster API's API that it uses.
var apiLine = regexp.MustCompile(`^Using version "([^"]+)" for API group `)

// decisive are the flags that decide what the autoscaler does with a pod, a node or a
// group. The others are not recorded.
var decisive = []string{
	"allowed-scheduler-names", "balance-similar-node-groups", "bypassed-scheduler-names", "cloud-config", "cloud-provider", "cores-total",
	"enable-provisioning-requests", "enforce-node-group-min-size", "expander", "expendable-pods-priority-cutoff", "force-ds",
	"ignore-daemonsets-utilization", "ignore-mirror-pods-utilization", "ignore-taint", "initial-node-group-backoff-duration", "kubeconfig",
	"leader-elect", "max-graceful-termination-sec", "max-node-group-backoff-duration", "max-node-provision-time", "max-nodes-total", "memory-total",
	"min-replica-count", "namespace", "new-pod-scale-up-delay", "node-group-auto-discovery", "nodes", "scale-down-delay-after-add",
	"scale-down-delay-after-delete", "scale-down-delay-after-failure", "scale-down-enabled", "scale-down-gpu-utilization-threshold",
	"scale-down-unneeded-time", "scale-down-unready-enabled", "scale-down-unready-time", "scale-down-utilization-threshold", "scan-interval",
	"skip-nodes-with-custom-controller-pods", "skip-nodes-with-local-storage", "skip-nodes-with-system-pods", "startup-taint", "startup-taint-prefix",
	"status-config-map-name", "status-taint", "unremovable-node-recheck-timeout", "v",
}

// flagReader collects the flags that an autoscaler logs, one a line, when it starts. Some
// releases log none.
type flagReader struct {
	shape shape.Autoscaler
	// at is the time of the last flag while flags are read, and else zero.
	at time.Time
}

// read reads a line of the log. It returns a fact at the first line after the flags, and
// again when the version of the API follows.
func (r *flagReader) read(e speech.Entry, day time.Time) (timeline.Fact, bool) {
	if m := flagLine.FindStringSubmatch(e.Message); m != nil {
		if r.at.IsZero() {
			r.shape = shape.Autoscaler{Flags: map[string]string{}}
		}
		if value, err := strconv.Unquote(m[2]); err == nil && slices.Contains(decisive, m[1]) {
			r.shape.Flags[m[1]] = value
		}
		r.at = e.At(day)
		return timeline.Fact{}, false
	}
	at := r.at
	if m := apiLine.FindStringSubmatch(e.Message); m != nil {
		r.shape.API, at = m[1], e.At(day)
	}
	r.at = time.Time{}
	return timeline.Fact{
		Time: at, Kind: timeline.Autoscaler, What: timeline.Shaped, Shape: shape.Encode(r.shape), Source: timeline.Log,
	}, !at.IsZero()
}

// FlagsFact returns the fact of an autoscaler's flags.
func FlagsFact(flags []autoscaler.Flag, at time.Time) timeline.Fact {
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
	return timeline.Fact{Time: at, Kind: timeline.Autoscaler, What: timeline.Shaped, Shape: shape.Encode(shape.Autoscaler{Flags: values})}
}

// commandLine returns the fact of the flags in the command line of an autoscaler's
// container, because its log may not have them.
func commandLine(pod *corev1.Pod, container string, now time.Time) []timeline.Fact {
	for _, c := range pod.Spec.Containers {
		if c.Name == container {
			f := FlagsFact(autoscaler.FlagsOf(slices.Concat(c.Command, c.Args)), cmp.Or(pod.CreationTimestamp.UTC(), now))
			f.Name, f.UID, f.Source = pod.Namespace+"/"+pod.Name, string(pod.UID), timeline.Watch
			return []timeline.Fact{f}
		}
	}
	return nil
}
