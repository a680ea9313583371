// Package predicates asks the program magefiles/components/predicates on which nodes pods fit. The
// program uses the filters of the default scheduler, as the autoscaler does.
package predicates

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"

	"caslab/magefiles/internal/run"
)

// Request describes a cluster at one moment, and the pods that need a node. The program has the
// same type, whose comments explain the fields.
type Request struct {
	Ask       []corev1.Pod  `json:"ask"`
	Nodes     []corev1.Node `json:"nodes"`
	Pods      []corev1.Pod  `json:"pods"`
	Templates []Template    `json:"templates,omitempty"`
	Move      bool          `json:"move,omitempty"`
	Closed    []string      `json:"closed,omitempty"`

	// The following are objects as the record has them.
	Namespaces        []json.RawMessage `json:"namespaces,omitempty"`
	Claims            []json.RawMessage `json:"claims,omitempty"`
	Volumes           []json.RawMessage `json:"volumes,omitempty"`
	StorageClasses    []json.RawMessage `json:"storageClasses,omitempty"`
	CSINodes          []json.RawMessage `json:"csiNodes,omitempty"`
	CSIDrivers        []json.RawMessage `json:"csiDrivers,omitempty"`
	StorageCapacities []json.RawMessage `json:"storageCapacities,omitempty"`
	VolumeAttachments []json.RawMessage `json:"volumeAttachments,omitempty"`
	ResourceClaims    []json.RawMessage `json:"resourceClaims,omitempty"`
	DeviceClasses     []json.RawMessage `json:"deviceClasses,omitempty"`
	ResourceSlices    []json.RawMessage `json:"resourceSlices,omitempty"`
}

// Template is a node that a node group may add, the pods that would run on it, and the devices that it
// would have. CSINode has the volumes that each CSI driver could attach to it, nil if nothing limits
// them.
type Template struct {
	Node           corev1.Node                 `json:"node"`
	Pods           []corev1.Pod                `json:"pods,omitempty"`
	CSINode        *storagev1.CSINode          `json:"csiNode,omitempty"`
	ResourceSlices []*resourcev1.ResourceSlice `json:"resourceSlices,omitempty"`
}

// Answer has the refusals of each pod of Request.Ask, in that order.
type Answer struct {
	// Version is the version of Kubernetes that the filters come from; empty if it is not known.
	Version string     `json:"version,omitempty"`
	Pods    []Verdicts `json:"pods"`
}

// Verdicts has the refusals of one pod, by the name of the node or of the template's node. A node
// without a refusal takes the pod, unless it is closed.
type Verdicts map[string][]Refusal

// Refusal names a filter that refuses a node, and its reasons.
type Refusal struct {
	Plugin  string   `json:"plugin"`
	Reasons []string `json:"reasons"`
	// Alone are the terms or constraints of the pod that refuse the node by themselves, counted from 0,
	// if the pod has several of which the filter says only that one does.
	Alone []int `json:"alone,omitempty"`
}

// Without returns the verdicts without those of a filter.
func (v Verdicts) Without(plugin string) Verdicts {
	left := Verdicts{}
	for node, refusals := range v {
		if some := slices.DeleteFunc(slices.Clone(refusals), func(r Refusal) bool { return r.Plugin == plugin }); len(some) > 0 {
			left[node] = some
		}
	}
	return left
}

// Ask runs the program in the file binary with a request.
func Ask(ctx context.Context, runner run.Runner, binary string, r Request) (Answer, error) {
	input, err := json.Marshal(r)
	if err != nil {
		return Answer{}, fmt.Errorf("ask the scheduler's filters: %w", err)
	}
	result, err := runner.Run(ctx, run.Cmd{Name: binary, Stdin: bytes.NewReader(input)})
	if err != nil {
		if failed := new(run.Error); errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", failed.Err, strings.TrimSpace(string(failed.Output)))
		}
		return Answer{}, fmt.Errorf("ask the scheduler's filters: %w", err)
	}
	var answer Answer
	if err := json.Unmarshal(result.Stdout, &answer); err != nil {
		return Answer{}, fmt.Errorf("read the answer of the scheduler's filters: %w", err)
	}
	if len(answer.Pods) != len(r.Ask) {
		return Answer{}, fmt.Errorf("read the answer of the scheduler's filters: it is about %d pods, but the request is about %d", len(answer.Pods), len(r.Ask))
	}
	return answer, nil
}
