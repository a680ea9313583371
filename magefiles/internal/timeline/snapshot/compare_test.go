package snapshot

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

// recorded reads a snapshot and a record of one moment of a real cluster with the autoscaler
// 1.36.1. They have the pods of the namespace default alone. The group zero, which is empty,
// was just scaled up for the pod gpu, and the priority of the pod cheap is -20.
func recorded(t *testing.T) (*Snapshot, []timeline.Fact, time.Time) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "scale-up.json"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := timeline.Read(filepath.Join("testdata", "scale-up.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return s, facts, s.End.Add(time.Second)
}

// lines are differences as text.
func lines(differences []Difference) (lines []string) {
	for _, d := range differences {
		lines = append(lines, strings.TrimSuffix(fmt.Sprintf("%s %s: %s | %s | %s", d.What, d.Name, d.Autoscaler, d.Record, d.Why), " | "))
	}
	return lines
}

// Differences that the recorded cluster has.
const (
	cheapPod = "pod default/cheap: does not count | on serve-md-0-kkr9k-7l2cg | its priority -20 is below --expendable-pods-priority-cutoff=-10"
	gpuPod   = "pod default/gpu: needs no new node | waits | the scheduler: 0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."
)

func TestRealSnapshot(t *testing.T) {
	t.Parallel()
	s, facts, until := recorded(t)
	if got, want := lines(Compare(s, facts, until)), []string{cheapPod, gpuPod}; !slices.Equal(got, want) {
		t.Errorf("the differences are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// node returns the node of that name in the snapshot.
func (s *Snapshot) node(name string) *Node {
	i := slices.IndexFunc(s.Nodes, func(n Node) bool { return n.Node.Name == name })
	return &s.Nodes[i]
}

func (s *Snapshot) without(name string) {
	s.Nodes = slices.DeleteFunc(s.Nodes, func(n Node) bool { return n.Node.Name == name })
}

// Names in the recorded cluster.
const (
	first    = "serve-work-md-1-m9q5n-m8rcm"
	second   = "serve-work-md-1-m9q5n-7rdl6"
	onSecond = "default/scale-up-d8f775d49-k9htq"
	workID   = "MachineDeployment/default/work-md-1"
	zeroID   = "MachineDeployment/default/zero"
)

// TestDifferences: each change of the recorded snapshot or record is a difference, and the
// only new one.
func TestDifferences(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(s *Snapshot, facts []timeline.Fact) []timeline.Fact
		want   []string
	}{
		"the autoscaler lacks a node": {
			func(s *Snapshot, facts []timeline.Fact) []timeline.Fact { s.without(second); return facts },
			[]string{"node " + second + ": does not count | Ready"},
		},
		"the autoscaler lacks a node that is not Ready": {
			func(s *Snapshot, facts []timeline.Fact) []timeline.Fact {
				s.without(second)
				return append(facts, timeline.Fact{Time: s.Start.Add(-time.Minute), Kind: timeline.Node, What: timeline.NotReady, Name: second, UID: uidOf(facts, timeline.Node, second)})
			},
			[]string{
				"node " + second + ": does not count | not Ready | a node that is not Ready does not count",
			},
		},
		"the record lacks a node": {
			func(s *Snapshot, facts []timeline.Fact) []timeline.Fact {
				s.Nodes = append(s.Nodes, Node{Node: corev1.Node{}})
				s.Nodes[len(s.Nodes)-1].Node.Name = "ghost"
				return facts
			},
			[]string{"node ghost: counts | none"},
		},
		"a node that joins meanwhile": {
			func(s *Snapshot, facts []timeline.Fact) []timeline.Fact {
				return append(facts, timeline.Fact{
					Time: s.Start.Add(time.Second), Kind: timeline.Node, What: timeline.Shaped, Name: "late", UID: "late", Shape: shape.Encode(shape.Node{ProviderID: "x"}),
				})
			},
			nil,
		},
		"another amount": {
			func(s *Snapshot, facts []timeline.Fact) []timeline.Fact {
				s.node(first).Node.Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("1500m")
				return facts
			},
			[]string{"node " + first + ": cpu allocatable: 1500m | cpu allocatable: 2"},
		},
		"another label": {
			func(s *Snapshot, facts []timeline.Fact) []timeline.Fact {
				s.node(first).Node.Labels["kubernetes.io/arch"] = ""
				return facts
			},
			[]string{`node ` + first + `: label kubernetes.io/arch: "" | label kubernetes.io/arch: amd64`},
		},
		"another taint": {
			func(s *Snapshot, facts []timeline.Fact) []timeline.Fact {
				n := s.node(first)
				n.Node.Spec.Taints = []corev1.Taint{{Key: "a", Value: "b", Effect: corev1.TaintEffectNoExecute}, {Key: "DeletionCandidateOfClusterAutoscaler", Effect: corev1.TaintEffectPreferNoSchedule}}
				return facts
			},
			[]string{"node " + first + ": taint a:NoExecute: b | taint a:NoExecute: none"},
		},
		"another request": {
			func(s *Snapshot, facts []timeline.Fact) []timeline.Fact {
				s.node(second).Pods[0].Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
				return facts
			},
			[]string{"node " + second + ": memory requested: 1Gi | memory requested: 13259Mi"},
		},
		"a pod on another node": {
			func(s *Snapshot, facts []timeline.Fact) []timeline.Fact {
				a, b := s.node(first), s.node(second)
				a.Pods, b.Pods = append(a.Pods, b.Pods...), nil
				return facts
			},
			[]string{"pod " + onSecond + ": on " + first + " | on " + second},
		},
		"the record lacks a pod": {
			func(s *Snapshot, facts []timeline.Fact) []timeline.Fact {
				return slices.DeleteFunc(facts, func(f timeline.Fact) bool { return f.Name == onSecond })
			},
			[]string{"pod " + onSecond + ": on " + second + " | none"},
		},
		"a pod that fits": {
			func(s *Snapshot, facts []timeline.Fact) []timeline.Fact {
				at := s.Start.Add(-time.Minute)
				fact := timeline.Fact{Time: at, Kind: timeline.Pod, What: timeline.Shaped, Name: "default/small", UID: "small", Shape: shape.Encode(shape.Pod{})}
				marked := fact
				marked.What, marked.Shape = timeline.Unschedulable, nil
				return append(facts, fact, marked)
			},
			[]string{"pod default/small: needs a new node | fits on serve-md-0-kkr9k-7l2cg"},
		},
		"one expected node too few": {
			func(s *Snapshot, facts []timeline.Fact) []timeline.Fact {
				s.Nodes = slices.DeleteFunc(s.Nodes, func(n Node) bool { return s.expects(n.Node.Name) != "" })
				return facts
			},
			[]string{"group zero: expects 0 more nodes | 1 machine on the way"},
		},
		"a template that is unlike the nodes": {
			func(s *Snapshot, facts []timeline.Fact) []timeline.Fact {
				template := s.Templates[workID].Node
				template.Labels["tier"] = "web"
				template.Spec.Taints = []corev1.Taint{{Key: "a", Effect: corev1.TaintEffectNoSchedule}}
				delete(template.Status.Allocatable, corev1.ResourceMemory)
				s.Templates[workID] = Node{Node: template}
				return facts
			},
			[]string{
				"template work-md-1: label tier: web | label tier: none",
				`template work-md-1: taint a:NoSchedule: "" | taint a:NoSchedule: none`,
				"template work-md-1: memory: none | memory: 24684084Ki",
			},
		},
		"a template that is unlike a node that is gone": {
			func(s *Snapshot, facts []timeline.Fact) []timeline.Fact {
				gone := timeline.Fact{Time: s.Start.Add(-time.Hour), Kind: timeline.Node, What: timeline.Shaped, Name: "old", UID: "old", Group: "zero", Shape: shape.Encode(shape.Node{
					Labels:      map[string]string{"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "tier": "gpu", "beta": "x"},
					Taints:      []corev1.Taint{{Key: "dedicated", Value: "gpu", Effect: corev1.TaintEffectNoSchedule}, {Key: "node.kubernetes.io/not-ready", Effect: corev1.TaintEffectNoSchedule}},
					Allocatable: s.Templates[zeroID].Node.Status.Allocatable,
				})}
				end := gone
				end.Time, end.What, end.Shape = gone.Time.Add(time.Minute), timeline.Gone, nil
				return append([]timeline.Fact{gone, end}, facts...)
			},
			[]string{
				"template zero: label beta: none | label beta: x | compared with old, which is gone",
				`template zero: label kubernetes.io/arch: "" | label kubernetes.io/arch: amd64 | compared with old, which is gone`,
				`template zero: label kubernetes.io/os: "" | label kubernetes.io/os: linux | compared with old, which is gone`,
			},
		},
	} {
		s, facts, until := recorded(t)
		facts = tc.change(s, facts)
		slices.SortStableFunc(facts, func(a, b timeline.Fact) int { return a.Time.Compare(b.Time) })
		got := slices.DeleteFunc(lines(Compare(s, facts, until)), func(l string) bool { return l == cheapPod || l == gpuPod })
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: the differences are\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
		}
	}
}

func uidOf(facts []timeline.Fact, kind timeline.Kind, name string) string {
	i := slices.IndexFunc(facts, func(f timeline.Fact) bool { return f.Kind == kind && f.Name == name })
	return facts[i].UID
}

func TestDecodeRefusesWhatIsNoSnapshot(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"404 page not found": "read the autoscaler's snapshot", `{"kind":"List"}`: "want the JSON that an autoscaler serves at /snapshotz"} {
		if _, err := Decode([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Decode(%q) = %v", text, err)
		}
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	s, facts, until := recorded(t)
	write := func(differences []Difference) string {
		var out strings.Builder
		if err := Write(&out, s, differences); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	asOf := "as of " + timeline.Clock(s.Start) + " to " + timeline.Clock(s.End)
	if got := write(nil); !strings.HasPrefix(got, "The autoscaler and the record agree on 5 nodes, ") || !strings.Contains(got, asOf) {
		t.Errorf("without a difference it writes\n%s", got)
	}
	got := write(Compare(s, facts, until))
	for _, want := range []string{"WHAT", "AUTOSCALER", "default/cheap   does not count", "2 differences in 5 nodes, ", asOf} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not write %q:\n%s", want, got)
		}
	}
	many := make([]Difference, mostRows+3)
	many[0].Name = "evil\x1b[2J\nname"
	if got := write(many); !strings.Contains(got, "and 3 more\n") || strings.Contains(got, "\x1b") || strings.Count(got, "\n") != mostRows+4 {
		t.Errorf("it writes\n%s", got)
	}
}

// FuzzDecode: what is decoded can be compared with a record, shown and imported.
func FuzzDecode(f *testing.F) {
	data, err := os.ReadFile(filepath.Join("testdata", "scale-up.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"StartTimestamp":"2026-11-27T00:00:00Z","NodeList":[{"Node":{"metadata":{"name":"template-node-for-MachineDeployment/default/a-1"}},"Pods":[{}]},{}],"TemplateNodes":{"MachineDeployment/default/a":{}}}`))
	f.Add([]byte(`{"StartTimestamp":"0001-01-01T00:00:00Z"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(data)
		if err != nil {
			return
		}
		nodes, pods := s.Objects()
		if len(nodes) > len(s.Nodes) {
			t.Errorf("%d of %d nodes", len(nodes), len(s.Nodes))
		}
		for _, p := range pods {
			s.Standing(&world.Pod{Name: podName(p), Pod: shape.OfPod(p)})
		}
		Compare(s, nil, s.End)
	})
}
