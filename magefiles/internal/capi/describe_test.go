package capi

import (
	"fmt"
	"reflect"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/cmd/clusterctl/client/tree"
)

// TestFlattenGroups: machines with the same statuses are one line, with the reason if they are not
// Ready. Another machine has a line of its own.
func TestFlattenGroups(t *testing.T) {
	t.Parallel()
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name)}
	}
	cluster := &clusterv1.Cluster{TypeMeta: metav1.TypeMeta{Kind: "Cluster"}, ObjectMeta: meta("work")}
	set := &clusterv1.MachineSet{TypeMeta: metav1.TypeMeta{Kind: "MachineSet"}, ObjectMeta: meta("web-1")}
	objects := tree.NewObjectTree(cluster, tree.ObjectTreeOptions{Grouping: true})
	objects.Add(cluster, set, tree.GroupingObject(true))
	machine := func(name string, status metav1.ConditionStatus, reason, message string) {
		m := &clusterv1.Machine{TypeMeta: metav1.TypeMeta{Kind: "Machine"}, ObjectMeta: meta(name)}
		m.Status.Conditions = []metav1.Condition{{Type: clusterv1.ReadyCondition, Status: status, Reason: reason, Message: message}}
		objects.Add(set, m)
	}
	for i := range 3 {
		machine(fmt.Sprintf("web-1-%c", 'a'+i), metav1.ConditionTrue, "Ready", "")
		machine(fmt.Sprintf("web-1-x%c", 'a'+i), metav1.ConditionFalse, "NotReady", fmt.Sprintf("wait for %d", i))
	}
	machine("web-1-z", metav1.ConditionUnknown, "Unknown", "no answer")
	got := flatten(objects, cluster, 0)
	want := []Described{
		{Name: "Cluster/work"},
		{Depth: 1, Name: "MachineSet/web-1"},
		{Depth: 2, Name: "Machine/web-1-z", Ready: "Unknown", Message: "no answer"},
		{Depth: 2, Name: "3 Machines, such as web-1-xa", Ready: "False", Message: "NotReady"},
		{Depth: 2, Name: "3 Machines, such as web-1-a", Ready: "True"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the tree is\n%+v\nwant\n%+v", got, want)
	}
}
