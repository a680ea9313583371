package timelinetest

import (
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// Measured returns ten minutes of a group web of one node, on which a pod requests half of the
// processors and a quarter of the memory. The autoscaler logs its loops, serves metrics, and is
// restarted once.
func Measured() []timeline.Fact {
	t := New()
	node := t.Group("web", 0, 3, 1)[0]
	t.Add(0, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording, Source: timeline.Own})
	t.Facts = append(t.Facts, NodeOffers(t.At(0), node, "web", "cpu=4", "memory=8Gi"))
	t.Log(1, "Cluster Autoscaler 1.36.1")
	const pod = "default/web-0"
	t.Add(30, timeline.Fact{Kind: timeline.Pod, What: timeline.Created, Name: pod, UID: "p-" + pod, Source: timeline.Watch})
	t.Add(30, timeline.Fact{Kind: timeline.Pod, What: timeline.Shaped, Name: pod, UID: "p-" + pod, Shape: shape.Encode(shape.Pod{Requests: Resources("cpu=2", "memory=2Gi")}), Source: timeline.Watch})
	t.runPod(40, pod, node)
	minute := func(from float64, longest time.Duration) {
		t.Add(from+60, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Source: timeline.Log, Shape: shape.Encode(shape.Autoscaler{
			Loops: &shape.Loops{N: 6, From: t.At(from), Last: t.At(from + 60), Median: 200 * time.Millisecond, Longest: longest},
		})})
		t.Add(from+60, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Source: timeline.Metrics, Shape: shape.Encode(shape.Autoscaler{
			Requests: &shape.Requests{N: 90, From: t.At(from), To: t.At(from + 60)},
		})})
	}
	minute(2, time.Second)
	minute(62, 3*time.Second)
	minute(122, time.Second)
	t.Log(185, "Cleaned up, exiting...")
	t.Log(300, "Cluster Autoscaler 1.36.1")
	t.Add(361, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Source: timeline.Log, Shape: shape.Encode(shape.Autoscaler{
		Loops: &shape.Loops{N: 6, From: t.At(301), Last: t.At(361), Median: 100 * time.Millisecond, Longest: 100 * time.Millisecond},
	})})
	t.deletePod(500, pod)
	t.Add(600, timeline.Fact{Kind: timeline.Pod, What: timeline.Created, Name: "default/last", UID: "p-last", Source: timeline.Watch})
	return t.Record()
}

// NodeOffers returns the fact of what a node of a group offers, of texts such as cpu=4. It has the UID
// of a node of a Builder.
func NodeOffers(at time.Time, node, group string, offers ...string) timeline.Fact {
	return timeline.Fact{
		Time: at, Kind: timeline.Node, What: timeline.Shaped, Name: node, UID: "n-" + node, Group: group,
		Shape: shape.Encode(shape.Node{Allocatable: Resources(offers...)}), Source: timeline.Watch,
	}
}
