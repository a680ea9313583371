// Package snapshot compares what an autoscaler knows, by its debugging snapshot, with what a
// record has of the same time.
package snapshot

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Snapshot is the debugging snapshot of one loop of an autoscaler. Source:
// cluster-autoscaler/debuggingsnapshot/debugging_snapshot.go of 1.24.0 and 1.36.1.
type Snapshot struct {
	// Nodes are those that count in the loop. A node that is not Ready yet does not; for
	// each that is expected there is one that is made of a template.
	Nodes []Node `json:"NodeList"`
	// Schedulable are the pods without a node that need no new one.
	Schedulable []corev1.Pod `json:"UnscheduledPodsCanBeScheduled"`
	// Templates has what a new node of a group would be, by Kind/namespace/name of the group.
	Templates map[string]Node `json:"TemplateNodes"`
	// Start is when the loop began, End when the snapshot was complete.
	Start time.Time `json:"StartTimestamp"`
	End   time.Time `json:"EndTimestamp"`
}

// Node is a node with its pods.
type Node struct {
	Node corev1.Node  `json:"Node"`
	Pods []corev1.Pod `json:"Pods"`
}

// Objects returns the nodes of the cluster and the pods that the snapshot has, without those
// that the autoscaler only expects.
func (s *Snapshot) Objects() (nodes []*corev1.Node, pods []*corev1.Pod) {
	for i := range s.Nodes {
		n := &s.Nodes[i]
		if s.expects(n.Node.Name) != "" {
			continue
		}
		nodes = append(nodes, &n.Node)
		for j := range n.Pods {
			pods = append(pods, &n.Pods[j])
		}
	}
	for i := range s.Schedulable {
		pods = append(pods, &s.Schedulable[i])
	}
	return nodes, pods
}

// Decode reads what the autoscaler answers.
func Decode(data []byte) (*Snapshot, error) {
	var s Snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("read the autoscaler's snapshot: %w", err)
	}
	if s.Start.IsZero() {
		return nil, fmt.Errorf("read the autoscaler's snapshot: it has no StartTimestamp; want the JSON that an autoscaler serves at /snapshotz, got %.60q", data)
	}
	return &s, nil
}

// templatePrefix begins the names of nodes that are made of a template; the name of the
// group follows. Source: cluster-autoscaler/core/utils/utils.go of 1.24.0 and
// simulator/node_info_utils.go of 1.36.1.
const templatePrefix = "template-node-for-"

// templateLabel is on nodes that are made of a template. Source: the same file of 1.36.1.
const templateLabel = "cluster-autoscaler.kubernetes.io/template-node"

// expects returns the group for which the autoscaler counts a node that is not there yet,
// empty for a node of the cluster.
func (s *Snapshot) expects(node string) string {
	rest, isTemplate := strings.CutPrefix(node, templatePrefix)
	if !isTemplate {
		return ""
	}
	longest := ""
	for group := range s.Templates {
		if strings.HasPrefix(rest, group+"-") && len(group) > len(longest) {
			longest = group
		}
	}
	return longest
}
