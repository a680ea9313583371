package shape

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/kube"
)

// Machine is what keeps a machine from becoming a node, or from going.
type Machine struct {
	// Problems has the conditions that are not as they should be, each as one text.
	Problems []string `json:"problems,omitempty"`
	// Unknown has the conditions whose status is Unknown and that have a message, each as one text: often what it
	// waits for.
	Unknown []string `json:"unknown,omitempty"`
	// Failure is why the machine has failed, empty if it has not.
	Failure string `json:"failure,omitempty"`
	// Unseen is set if the machine has failed, but has no status.failureMessage, which is all that
	// the autoscaler reads (cluster-autoscaler 1.36.1, cloudprovider/clusterapi). Since v1.11,
	// Cluster API has it only in the API v1beta1.
	Unseen bool `json:"unseen,omitempty"`
	// Deletion is nil unless the machine is being deleted.
	Deletion *Deletion `json:"deletion,omitempty"`
}

// Deletion is the deletion of a Machine that is under way.
type Deletion struct {
	Since time.Time `json:"since,omitzero"`
	// Step is the reason of the condition Deleting, which tells what it waits for, and
	// Message its text.
	Step    string `json:"step,omitempty"`
	Message string `json:"message,omitempty"`
	// Hooks are the annotations of the deletion hooks that are left.
	Hooks []string `json:"hooks,omitempty"`
}

// healthy are the conditions of a Machine that are True when it is well.
var healthy = map[string]bool{"InfrastructureReady": true, "BootstrapReady": true, "BootstrapConfigReady": true, nodeHealthy: true, "Ready": false}

// nodeHealthy is the condition of a Machine that tells the conditions of its node. Releases before
// 1.11 give it the reason NodeConditionsFailed while a node joins, and whenever it is not Ready.
const nodeHealthy = "NodeHealthy"

// condition is a condition of an object of Cluster API, of any version.
type condition struct{ kind, status, reason, message string }

// conditions returns the conditions at a path.
func conditions(o *unstructured.Unstructured, path ...string) []condition {
	list, _, _ := unstructured.NestedSlice(o.Object, path...)
	var all []condition
	for _, item := range list {
		fields, _ := item.(map[string]any)
		text := func(key string) string { s, _ := fields[key].(string); return s }
		all = append(all, condition{text("type"), text("status"), text("reason"), text("message")})
	}
	return all
}

// OfMachine returns the shape of a Machine of any version of Cluster API's API.
func OfMachine(o *unstructured.Unstructured) Machine {
	m := Machine{Deletion: deletionOf(o), Failure: failureOf(o)}
	m.Unseen = m.Failure != "" && kube.Field(o, "status", "failureMessage") == ""
	for _, path := range [][]string{{"status", "failureMessage"}, {"status", "deprecated", "v1beta1", "failureMessage"}} {
		if text := kube.Field(o, path...); text != "" {
			m.Problems = append(m.Problems, text)
		}
	}
	for _, c := range conditions(o, "status", "conditions") {
		if !healthy[c.kind] || c.message == "" {
			continue
		}
		switch text := c.kind + ": " + c.message; c.status {
		case "False":
			m.Problems = append(m.Problems, text)
		case "Unknown":
			m.Unknown = append(m.Unknown, text)
		}
	}
	return m
}

// failed matches the reasons of conditions that report a failure, and not that something is still
// to come. The infrastructure provider and the bootstrap provider set these reasons.
var failed = regexp.MustCompile(`(?:Failed|Failure|Error)$`)

// failureOf returns why a Machine has failed, empty if it has not. Up to the contract v1beta1, the
// status has fields for a failure. Later, only conditions report it.
func failureOf(o *unstructured.Unstructured) string {
	if text := failureInFields(o); text != "" {
		return text
	}
	for _, c := range conditions(o, "status", "conditions") {
		if healthy[c.kind] && c.kind != nodeHealthy && c.status == "False" && failed.MatchString(c.reason) {
			return strings.Trim(c.kind+": "+c.reason+": "+c.message, ": ")
		}
	}
	return ""
}

// failureInFields returns the terminal failure of an object of Cluster API, up to the contract v1beta1.
func failureInFields(o *unstructured.Unstructured) string {
	for _, path := range [][]string{{"status"}, {"status", "deprecated", "v1beta1"}} {
		field := func(name string) string { return kube.Field(o, slices.Concat(path, []string{name})...) }
		reason, message := field("failureReason"), field("failureMessage")
		if text := strings.Trim(reason+": "+message, ": "); text != "" {
			return text
		}
	}
	return ""
}

// oldSteps has the reason for each condition of a Machine that is being deleted, of releases
// of Cluster API that have no condition Deleting, in the order of the steps of a deletion. The
// first one that is False is the current step.
var oldSteps = []struct{ condition, reason string }{
	{"PreDrainDeleteHookSucceeded", clusterv1.MachineDeletingWaitingForPreDrainHookReason},
	{"DrainingSucceeded", clusterv1.MachineDeletingDrainingNodeReason},
	{"VolumeDetachSucceeded", clusterv1.MachineDeletingWaitingForVolumeDetachReason},
	{"PreTerminateDeleteHookSucceeded", clusterv1.MachineDeletingWaitingForPreTerminateHookReason},
	{"InfrastructureReady", clusterv1.MachineDeletingWaitingForInfrastructureDeletionReason},
}

// deletionOf returns the deletion of a Machine, nil if it is not being deleted.
func deletionOf(o *unstructured.Unstructured) *Deletion {
	since := o.GetDeletionTimestamp()
	if since == nil {
		return nil
	}
	d := &Deletion{Since: since.UTC()}
	for key := range o.GetAnnotations() {
		prefix, _, _ := strings.Cut(key, "/")
		if prefix == clusterv1.PreDrainDeleteHookAnnotationPrefix || prefix == clusterv1.PreTerminateDeleteHookAnnotationPrefix {
			d.Hooks = append(d.Hooks, key)
		}
	}
	slices.Sort(d.Hooks)
	old := conditions(o, "status", "conditions")
	// Releases 1.9 and 1.10 have the new conditions beside the old ones.
	for _, c := range slices.Concat(conditions(o, "status", "v1beta2", "conditions"), old) {
		if c.kind == clusterv1.MachineDeletingCondition && c.status == "True" {
			d.Step, d.Message = c.reason, c.message
			return d
		}
	}
	for _, step := range oldSteps {
		i := slices.IndexFunc(old, func(c condition) bool { return c.kind == step.condition })
		if i >= 0 && old[i].status == "False" {
			d.Step, d.Message = step.reason, strings.Trim(old[i].reason+": "+old[i].message, ": ")
			return d
		}
	}
	return d
}
