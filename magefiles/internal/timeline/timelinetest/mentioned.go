package timelinetest

import (
	"fmt"
	"strings"

	"caslab/magefiles/internal/timeline"
)

// Mentioned returns half an hour in which pods wait of which only the autoscaler speaks, as in a record
// without the right to read pods. They come in thirty waves. In each wave the autoscaler enlarges one of
// ten groups, each node of which it then names a few times as one that it keeps. Of the last wave it still
// speaks at the end.
func Mentioned(pods, nodes int) []timeline.Fact {
	const waves, groups = 30, 10
	t := New()
	group := func(i int) string { return fmt.Sprintf("pool-%02d", i%groups) }
	for i := range groups {
		t.Group(group(i), 0, nodes, 0)
	}
	t.Add(0, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording, Source: timeline.Own})
	t.Log(1, "Cluster Autoscaler 1.36.1")
	waits, keeps := t.like("Pod default/NAME is unschedulable"), t.like("Node NAME unremovable: memory requested (55.1% of allocatable) is above the scale-down utilization threshold")
	refuses := t.like("Pod default/NAME can't be scheduled on MachineDeployment/default/pool-09, predicate checking error: Insufficient cpu")
	var all []string
	serial := 0
	for i := range waves {
		at, name := 60*float64(i)+10, "MachineDeployment/default/"+group(i)
		var wave []string
		for range (pods*(i+1))/waves - (pods*i)/waves {
			wave = append(wave, fmt.Sprintf("load-6cf9d-%05d", serial))
			serial++
		}
		for j, pod := range wave {
			waits(at+.001*float64(j), pod)
			refuses(at+1+.001*float64(j), pod)
		}
		from := t.wanted[group(i)]
		to := from + (nodes*(i+1))/waves - (nodes*i)/waves
		plan := fmt.Sprintf("[{%s %d->%d (max: %d)}]", name, from, to, nodes)
		t.Log(at+5, "Final scale-up plan: "+plan)
		t.Log(at+5.1, fmt.Sprintf("Scale-up: setting group %s size to %d", name, to))
		for j, pod := range wave {
			if j%2 == 0 || i == waves-1 {
				continue
			}
			t.Add(at+6, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Name: "default/" + pod, Group: group(i), N: &to, Text: "pod triggered scale-up: " + plan, Source: timeline.Event})
		}
		t.setSize(at+5.4, group(i), to)
		for range to - from {
			all = append(all, t.machine(at+7, group(i), 20))
		}
		t.setReady(at+30, group(i), to)
		for _, node := range all[:len(all)-(to-from)] {
			keeps(at+40, node)
		}
		if i == waves-1 {
			for j, pod := range wave {
				waits(at+15+.001*float64(j), pod)
			}
		}
	}
	t.Add(waves*60+400, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Health, Text: "Healthy", Source: timeline.Status})
	return t.Record()
}

// like returns a function that records a message in which a name stands for NAME. The message is parsed once.
func (t *Builder) like(message string) func(at float64, name string) {
	t.Log(0, message)
	last := len(t.Facts) - 1
	f := t.Facts[last]
	t.Facts = t.Facts[:last]
	return func(at float64, name string) {
		named := f
		for _, text := range []*string{&named.Name, &named.Node, &named.Text} {
			*text = strings.ReplaceAll(*text, "NAME", name)
		}
		named.Group = f.Group
		if g := t.groups[named.Node]; g != "" {
			named.Group = g
		}
		t.Add(at, named)
	}
}
