package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func node(name, podCIDR string, addresses ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: podCIDR}}
	for _, a := range addresses {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	return n
}

func TestPlan(t *testing.T) {
	got := plan([]*corev1.Node{
		node("self", "10.244.0.0/24", "172.18.0.3"),
		node("other", "10.244.1.0/24", "fc00::4", "172.18.0.4"),
		node("new", "", "172.18.0.5"),      // no range yet
		node("unplugged", "10.244.2.0/24"), // no address yet
	}, "self")
	if got.own != "10.244.0.0/24" {
		t.Errorf("own range %q, want 10.244.0.0/24", got.own)
	}
	if len(got.routes) != 1 || got.routes["10.244.1.0/24"].String() != "172.18.0.4" {
		t.Errorf("routes %v, want only 10.244.1.0/24 through 172.18.0.4", got.routes)
	}
}

// TestKeep: a change of nodes that leaves the network as it is costs nothing, unless the last try
// failed. A repair is always made.
func TestKeep(t *testing.T) {
	one, two := node("other", "10.244.1.0/24", "172.18.0.4"), node("other", "10.244.1.0/24", "172.18.0.5")
	heartbeat := one.DeepCopy()
	heartbeat.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady}}
	self := node("self", "10.244.0.0/24", "172.18.0.3")
	failure := errors.New("no iptables")
	applied := 0
	var answer error
	k := keeper{apply: func(network) error { applied++; return answer }}
	for i, step := range []struct {
		nodes   []*corev1.Node
		repair  bool
		answer  error
		applies bool
	}{
		{[]*corev1.Node{self, one}, true, nil, true},
		{[]*corev1.Node{self, heartbeat}, false, nil, false},
		{[]*corev1.Node{self, heartbeat}, true, nil, true},
		{[]*corev1.Node{self, two}, false, failure, true}, // another address
		{[]*corev1.Node{self, two}, false, nil, true},     // the last try failed
		{[]*corev1.Node{self, two}, false, nil, false},
		{[]*corev1.Node{self}, false, nil, true},
		{nil, false, nil, true}, // no range of its own
		{nil, true, failure, true},
		{nil, false, nil, true},
	} {
		before := applied
		answer = step.answer
		err := k.keep(plan(step.nodes, "self"), step.repair)
		if (applied > before) != step.applies || !errors.Is(err, step.answer) {
			t.Errorf("step %d: applied %t, want %t; error %v, want %v", i, applied > before, step.applies, err, step.answer)
		}
	}
}

func TestWriteConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "10-caslab.conflist")
	if err := writeConfig("10.244.3.0/24", path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Plugins []struct {
			Type string
			IPAM struct{ Ranges [][]struct{ Subnet string } }
		}
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Plugins) != 2 || list.Plugins[0].Type != "ptp" || list.Plugins[1].Type != "portmap" {
		t.Fatalf("plugins %+v, want ptp and portmap", list.Plugins)
	}
	if got := list.Plugins[0].IPAM.Ranges[0][0].Subnet; got != "10.244.3.0/24" {
		t.Errorf("addresses from %s, want 10.244.3.0/24", got)
	}
	before, _ := os.Stat(path)
	if err := writeConfig("10.244.3.0/24", path); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("an unchanged configuration was written again; the runtime would reload it")
	}
}
