package fit

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// TestSimilarities: what makes a difference for the autoscaler's comparator, resource by
// resource and label by label.
func TestSimilarities(t *testing.T) {
	t.Parallel()
	node := func(change func(*shape.Node)) shape.Node {
		n := shape.Node{Labels: map[string]string{"tier": "web"}, Allocatable: quantities("cpu=4", "memory=8Gi", "pods=110", "ephemeral-storage=100Gi", "hugepages-2Mi=0")}
		change(&n)
		return n
	}
	for name, tc := range map[string]struct {
		release string
		flags   map[string]string
		// Changes of the nodes of the two groups; the other group is empty without one.
		here, there func(*shape.Node)
		daemon      string
		want        []string
	}{
		"the same": {there: func(*shape.Node) {}},
		"other CPUs": {
			there: func(n *shape.Node) { n.Allocatable["cpu"] = quantities("cpu=5")["cpu"] },
			want:  []string{"capacity cpu: 4 here, 5 there"},
		},
		"memory within the tolerance": {there: func(n *shape.Node) { n.Allocatable["memory"] = quantities("memory=8100Mi")["memory"] }},
		"memory beyond it": {
			there: func(n *shape.Node) { n.Allocatable["memory"] = quantities("memory=8000Mi")["memory"] },
			want:  []string{"capacity memory: 8192Mi here, 8000Mi there (at most 1.5% may differ)"},
		},
		"memory, with a flag": {flags: map[string]string{"memory-difference-ratio": "0.1"}, there: func(n *shape.Node) { n.Allocatable["memory"] = quantities("memory=8000Mi")["memory"] }},
		"other reservations": {
			here: func(n *shape.Node) { n.Capacity = quantities("cpu=4") },
			there: func(n *shape.Node) {
				n.Capacity, n.Allocatable["cpu"] = quantities("cpu=4"), quantities("cpu=3")["cpu"]
			},
			want: []string{"allocatable cpu: 4 here, 3 there (at most 5% may differ)"},
		},
		"the pods of a DaemonSet": {there: func(*shape.Node) {}, daemon: "here", want: []string{"free cpu: 3 here, 4 there (at most 5% may differ)"}},
		"a resource of none": {
			there: func(n *shape.Node) { delete(n.Allocatable, "hugepages-2Mi") },
			want:  []string{"capacity hugepages-2Mi: 0Mi here, none there"},
		},
		"labels": {
			here:  func(n *shape.Node) { n.Labels["a"] = "" },
			there: func(n *shape.Node) { n.Labels["tier"] = "db"; n.Labels["b"] = "x" },
			want:  []string{`label a: "" here, none there`, "label b: none here, x there", "label tier: web here, db there"},
		},
		"labels that make no difference": {there: func(n *shape.Node) {
			n.Labels["kubernetes.io/hostname"], n.Labels["topology.kubernetes.io/zone"] = "x", "y"
		}},
		"an ignored label": {flags: map[string]string{"balancing-ignore-label": "[tier,other]"}, there: func(n *shape.Node) { n.Labels["tier"] = "db" }},
		"only some labels": {flags: map[string]string{"balancing-label": "tier"}, there: func(n *shape.Node) { n.Allocatable["cpu"] = quantities("cpu=5")["cpu"] }},
		"only some labels, which differ": {
			flags: map[string]string{"balancing-label": "tier,none"}, there: func(n *shape.Node) { n.Labels["tier"] = "db" },
			want: []string{"label tier: web here, db there", "label none: none here, none there"},
		},
		"a cloud's label": {
			there: func(n *shape.Node) { n.Labels["topology.ebs.csi.aws.com/zone"] = "x" },
			want:  []string{"label topology.ebs.csi.aws.com/zone: none here, x there"},
		},
		"a cloud's label, in an old release": {release: "1.26.8", there: func(n *shape.Node) { n.Labels["topology.ebs.csi.aws.com/zone"] = "x" }},
		// Row 14 of what is reported: two equal groups, of which one is empty.
		"an empty group": {want: []string{
			"capacity ephemeral-storage: 100Gi here, none there", "capacity hugepages-2Mi: 0Mi here, none there",
			`label kubernetes.io/arch: none here, "" there`, `label kubernetes.io/os: none here, "" there`, "label tier: web here, none there",
		}},
	} {
		if tc.release == "" {
			tc.release = "1.36.1"
		}
		var r record
		r.Add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, Text: tc.release})
		r.Shaped(timeline.Autoscaler, "", "", shape.Autoscaler{Flags: tc.flags})
		add := func(group string, change func(*shape.Node)) {
			size := 0
			if change != nil {
				size = 1
				r.Shaped(timeline.Node, group+"-1", group, node(change))
				r.Add(timeline.Fact{Kind: timeline.Node, What: timeline.Ready, Name: group + "-1", UID: group + "-1", Group: group})
			}
			r.Shaped(timeline.Group, group, group, shape.Group{Annotations: sizes("2", cpu4, mem8), Template: shape.Reference{Kind: "T", Name: group}})
			r.Shaped(timeline.Template, "T/"+group, "", shape.Template{})
			r.Add(timeline.Fact{Kind: timeline.Group, What: timeline.Sized, Name: group, UID: group, N: &size})
		}
		if tc.here == nil {
			tc.here = func(*shape.Node) {}
		}
		add("here", tc.here)
		add("there", tc.there)
		r.Shaped(timeline.Group, "outside", "outside", shape.Group{})
		if tc.daemon != "" {
			r.Shaped(timeline.Pod, "d/agent", "", shape.Pod{Owner: &shape.Owner{Kind: "DaemonSet", Name: "agent"}, Requests: quantities("cpu=1")})
			r.Add(timeline.Fact{Kind: timeline.Pod, What: timeline.Scheduled, Name: "d/agent", UID: "d/agent", Node: tc.daemon + "-1"})
		}
		j := judged(r, start.Add(time.Hour))
		got := j.Similarities(j.GroupOf("here"))
		if len(got) != 1 || got[0].Unknown != "" || !slices.Equal(got[0].Differences, tc.want) {
			t.Errorf("%s: the comparison is %+v\nwant\n%s", name, got, strings.Join(tc.want, "\n"))
			continue
		}
		if back := j.Similarities(j.GroupOf("there")); len(back) != 1 || len(back[0].Differences) != len(tc.want) {
			t.Errorf("%s: the other way round it is %+v", name, back)
		}
	}
}

// TestGroupsThatCannotBeCompared: they come after the groups that can be compared, however
// different those are.
func TestGroupsThatCannotBeCompared(t *testing.T) {
	t.Parallel()
	var r record
	for name, annotations := range map[string]map[string]string{
		"here": sizes("2", cpu4, mem8), "a-unknown": sizes("2"), "b-other": sizes("2", release.CapacityPrefix+"cpu=2", mem8), "c-same": sizes("2", cpu4, mem8),
	} {
		one := 1 // an empty group without a capacity is outside
		r.Shaped(timeline.Group, name, name, shape.Group{Annotations: annotations})
		r.Add(timeline.Fact{Kind: timeline.Group, What: timeline.Sized, Name: name, UID: name, N: &one})
	}
	j := judged(r, start.Add(time.Hour))
	for name, want := range map[string]string{
		"here":      "c-same: 0; b-other: 1; a-unknown: what a node of it has is not known",
		"a-unknown": "b-other: what a node of a-unknown has is not known; c-same: what a node of a-unknown has is not known; here: what a node of a-unknown has is not known",
	} {
		var got []string
		for _, s := range j.Similarities(j.GroupOf(name)) {
			got = append(got, s.Other.Name+": "+cmp.Or(s.Unknown, strconv.Itoa(len(s.Differences))))
		}
		if strings.Join(got, "; ") != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
