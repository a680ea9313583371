package autoscaler

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// deleteMarks are the annotations with which the autoscaler marks the machines that it
// wants Cluster API to delete, the current one first. Releases before 1.18.3 and 1.19.1
// write only the second one, and the next ones write both: machineDeleteAnnotationKey and
// deprecatedMachineDeleteAnnotationKey in
// cloudprovider/clusterapi/clusterapi_nodegroup.go at cluster-autoscaler-1.18.2 and
// cluster-autoscaler-1.21.3.
var deleteMarks = []string{"cluster.x-k8s.io/delete-machine", "cluster.k8s.io/delete-machine"}

// DeleteMark reports whether the autoscaler marked a machine for deletion, and returns the
// annotation's value: the time, as time.Time's String writes it.
func DeleteMark(machine metav1.Object) (at string, marked bool) {
	for _, mark := range deleteMarks {
		if at, marked = machine.GetAnnotations()[mark]; marked {
			return at, true
		}
	}
	return "", false
}
