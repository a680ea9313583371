package objectfacts

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// Scheduling returns the fact of the shape of an object that, beside pods and nodes, decides where
// pods fit.
func Scheduling(kind timeline.Kind, o *unstructured.Unstructured, now time.Time) (timeline.Fact, error) {
	f := factAbout(kind, o, "")
	if o.GetNamespace() != "" {
		f.Name = o.GetNamespace() + "/" + f.Name
	}
	if err := shape.CheckDevices(o); err != nil {
		return f, err
	}
	var what any = shape.OfScheduling(o)
	if kind == timeline.DaemonSet {
		pod, err := shape.OfDaemonSet(o)
		if err != nil {
			return f, err
		}
		what = pod
	}
	return shaped(f, o, now, what), nil
}
