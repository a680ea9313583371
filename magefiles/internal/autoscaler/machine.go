package autoscaler

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// deleteMarks are the annotations with which the autoscaler marks the machines that Cluster
// API shall delete, the current one first. Releases before 1.18.3, and 1.19.0, write only
// the second one. Later releases up to 1.22 write both, and releases since 1.23 only the
// first one: machineDeleteAnnotationKey and deprecatedMachineDeleteAnnotationKey in
// cloudprovider/clusterapi at cluster-autoscaler-1.18.2, cluster-autoscaler-1.21.3 and
// cluster-autoscaler-1.23.0.
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
