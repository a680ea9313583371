package timelinetest

import (
	"fmt"

	"caslab/magefiles/internal/timeline"
)

// Crowd returns the record of many groups, with as many pods for each: pods wait, each
// group is scaled up for some of its pods and refuses the others, and the first half of
// the groups is scaled down again.
func Crowd(groups, podsEach int) []timeline.Fact {
	t := New()
	for i := range groups {
		t.Group(fmt.Sprintf("pool-%02d", i), 0, 20, 1)
	}
	t.Add(0, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording, Source: timeline.Own})
	t.Log(1, "Cluster Autoscaler 1.36.1")
	for i := range groups {
		group, at := fmt.Sprintf("pool-%02d", i), 30+60*float64(i)
		pods := t.Pods(at, "load-"+group, podsEach)
		grown := pods[:max(1, podsEach/5)]
		nodes := t.ScaleUp(at+11, group, 20, grown...)
		t.Log(at+16, "Skipping node group MachineDeployment/default/"+group+" - max size reached")
		for _, p := range pods[len(grown):] {
			t.Add(at+20, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Name: p, Text: "pod didn't trigger scale-up: 1 max node group size reached", Source: timeline.Event})
			t.runPod(at+80, p, nodes[0])
		}
		if i < groups/2 {
			for j, n := range nodes {
				t.scaleDown(at+900+float64(j), group, n)
			}
			for _, p := range pods {
				t.deletePod(at+899, p)
			}
		}
	}
	return t.Record()
}
