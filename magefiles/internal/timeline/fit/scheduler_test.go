package fit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/predicates"
	"caslab/magefiles/internal/timeline/shape"
)

const zone = corev1.LabelTopologyZone

// web selects the pods with the label app=web.
var web = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}

// zoned returns a record with the group g of zone a, a node with a pod in that zone, and the pod
// default/p, which waits.
func zoned(p shape.Pod) record {
	var r record
	r.Group(0, shape.Group{Annotations: sizes("2", cpu4, mem8, labelled+zone+"=a")})
	r.Node("n", "other", shape.Node{Labels: map[string]string{zone: "a", corev1.LabelHostname: "n"}})
	r.Add(timeline.Fact{Kind: timeline.Pod, What: timeline.Shaped, Name: "default/old", UID: "default/old", Node: "n", Shape: shape.Encode(shape.Pod{Labels: web.MatchLabels})})
	r.Waits(p)
	return r
}

// refuse returns a scheduler that answers that all nodes refuse all pods for a reason.
func refuse(plugin string, reasons ...string) Scheduler {
	return func(_ context.Context, r predicates.Request) (predicates.Answer, error) {
		answer := predicates.Answer{Version: "v1.36.1"}
		for range r.Ask {
			verdicts := predicates.Verdicts{}
			for _, n := range r.Nodes {
				verdicts[n.Name] = []predicates.Refusal{{Plugin: plugin, Reasons: reasons}}
			}
			for _, t := range r.Templates {
				verdicts[t.Node.Name] = []predicates.Refusal{{Plugin: plugin, Reasons: reasons}}
			}
			answer.Pods = append(answer.Pods, verdicts)
		}
		return answer, nil
	}
}

// TestConsult has the words for what the scheduler's filters refuse, with the smallest change.
func TestConsult(t *testing.T) {
	t.Parallel()
	term := []corev1.PodAffinityTerm{{TopologyKey: zone, LabelSelector: web}}
	spread := []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: zone, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: web}}
	anti := shape.Pod{Labels: web.MatchLabels, Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: term}}}
	for name, tc := range map[string]struct {
		pod    shape.Pod
		ask    Scheduler
		more   func(*record)
		group  string
		nodes  string
		unsaid string // what is not judged
	}{
		"anti-affinity": {
			pod: anti, ask: refuse("InterPodAffinity", predicates.AntiAffinityRefuses),
			group: `pod anti-affinity to app=web by topology.kubernetes.io/zone: such a pod is in topology.kubernetes.io/zone "a" → a node in another topology.kubernetes.io/zone`,
			nodes: `pod anti-affinity to app=web by topology.kubernetes.io/zone: such a pod is in topology.kubernetes.io/zone "a"`,
		},
		"affinity": {
			pod: shape.Pod{Affinity: &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: term}}}, ask: refuse("InterPodAffinity", predicates.AffinityRefuses),
			group: `pod affinity to app=web by topology.kubernetes.io/zone: no such pod is in topology.kubernetes.io/zone "a" → such a pod there, or a node in the same topology.kubernetes.io/zone as such a pod`,
			nodes: `pod affinity to app=web by topology.kubernetes.io/zone: no such pod is in topology.kubernetes.io/zone "a"`,
		},
		"spread": {
			pod: shape.Pod{Labels: web.MatchLabels, Spread: spread}, ask: refuse("PodTopologySpread", predicates.SpreadRefuses),
			group: `topology spread: too many of its pods are in topology.kubernetes.io/zone "a" already: maxSkew 1 over topology.kubernetes.io/zone (a: 1) → a node in another topology.kubernetes.io/zone, or a larger maxSkew`,
			nodes: `topology spread: too many of its pods are in topology.kubernetes.io/zone "a" already: maxSkew 1 over topology.kubernetes.io/zone (a: 1)`,
		},
		"spread over a label that nodes lack": {
			pod: shape.Pod{Spread: []corev1.TopologySpreadConstraint{{TopologyKey: "rack"}}}, ask: refuse("PodTopologySpread", predicates.SpreadWantsLabel),
			group: "topology spread over rack: no such label on the template → label rack on the template", nodes: "topology spread over rack: no such label on the node",
		},
		"a volume elsewhere": {
			pod: shape.Pod{Claims: []string{"data"}}, ask: refuse("VolumeBinding", predicates.VolumeIsElsewhere),
			more: func(r *record) {
				r.Add(timeline.Fact{Kind: timeline.Claim, What: timeline.Shaped, Name: "default/data", UID: "c", Shape: json.RawMessage(`{"metadata":{"namespace":"default","name":"data"},"spec":{"volumeName":"v"}}`)})
				r.Add(timeline.Fact{Kind: timeline.Volume, What: timeline.Shaped, Name: "v", UID: "v", Shape: json.RawMessage(`{"metadata":{"name":"v"},"spec":{"claimRef":{"namespace":"default","name":"data"},"nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"topology.kubernetes.io/zone","operator":"In","values":["b"]}]}]}}}}`)})
			},
			group: "volumes: the PersistentVolume v of its claim data wants topology.kubernetes.io/zone In [b], and that does not match the template → a node that matches the volume's node affinity",
			nodes: "volumes: the PersistentVolume v of its claim data wants topology.kubernetes.io/zone In [b], and that does not match the node",
		},
		"no volume can be provisioned": {
			pod: shape.Pod{Claims: []string{"data"}}, ask: refuse("VolumeBinding", predicates.NoVolumeHere),
			more: func(r *record) {
				r.Add(timeline.Fact{Kind: timeline.Claim, What: timeline.Shaped, Name: "default/data", UID: "c", Shape: json.RawMessage(`{"metadata":{"namespace":"default","name":"data"},"spec":{"storageClassName":"late"}}`)})
				r.Add(timeline.Fact{Kind: timeline.StorageClass, What: timeline.Shaped, Name: "late", UID: "s", Shape: json.RawMessage(`{"metadata":{"name":"late"},"allowedTopologies":[{"matchLabelExpressions":[{"key":"topology.kubernetes.io/zone","values":["b"]}]}]}`)})
			},
			group: "volumes: no PersistentVolume for it here, and none can be provisioned: the StorageClass late of its claim data wants topology.kubernetes.io/zone In [b] → a node where its StorageClass provisions, or a PersistentVolume here",
			nodes: "volumes: no PersistentVolume for it here, and none can be provisioned: the StorageClass late of its claim data wants topology.kubernetes.io/zone In [b]",
		},
		"a claim that is not there": {
			pod: shape.Pod{Claims: []string{"data"}}, ask: refuse("VolumeZone", `persistentvolumeclaim "data" not found`),
			group: "volumes: its PersistentVolumeClaim data does not exist → the PersistentVolumeClaim data", nodes: "volumes: its PersistentVolumeClaim data does not exist",
		},
		"a filter without words of the lab": {
			pod: anti, ask: refuse("NodeVolumeLimits", "node(s) exceed max volume count"),
			group: "NodeVolumeLimits: exceed max volume count → ", nodes: "NodeVolumeLimits: exceed max volume count",
		},
		"what the lab judges has its own words": {
			pod:   shape.Pod{Labels: anti.Labels, Affinity: anti.Affinity, Requests: quantities("cpu=5")},
			ask:   refuse("NodeResourcesFit", "Insufficient cpu"),
			group: "cpu: 1100m missing (it requests 5; 3900m of 4 are free) → request 1100m less cpu", nodes: "cpu: 1 missing (it requests 5; 4 of 4 are free)",
		},
		"no filter refuses": {
			pod: anti,
			ask: func(_ context.Context, r predicates.Request) (predicates.Answer, error) {
				return predicates.Answer{Pods: []predicates.Verdicts{{}}}, nil
			},
			group: "yes, by its annotations and its template",
		},
		"the filters cannot be asked": {
			pod: anti, ask: func(context.Context, predicates.Request) (predicates.Answer, error) {
				return predicates.Answer{}, errors.New("offline")
			},
			group: "yes, by its annotations and its template", unsaid: "pod anti-affinity; offline",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := zoned(tc.pod)
			if tc.more != nil {
				tc.more(&r)
			}
			for _, kind := range []timeline.Kind{timeline.Claim, timeline.Volume, timeline.StorageClass, timeline.CSINode} {
				r.Add(timeline.Fact{Kind: kind, What: timeline.Shaped})
			}
			j := judged(r, start.Add(time.Hour))
			p := j.PodOf("", "default/p")
			err := j.Consult(t.Context(), tc.ask, p)
			if got := verdict(t, j, p); got != tc.group {
				t.Errorf("the group: %s\nwant %s", got, tc.group)
			}
			var nodes []string
			for _, o := range j.Refusals(p) {
				nodes = append(nodes, o.Text)
			}
			if got := strings.Join(nodes, "\n"); got != tc.nodes {
				t.Errorf("the node: %s\nwant %s", got, tc.nodes)
			}
			unsaid := j.Unjudged(p)
			if err != nil {
				unsaid = append(unsaid, err.Error())
			}
			if got := strings.Join(unsaid, "; "); got != tc.unsaid {
				t.Errorf("not judged: %s, want %s", got, tc.unsaid)
			}
		})
	}
}

// TestConsultAsks: the filters are asked only if they are needed, and get the whole cluster.
func TestConsultAsks(t *testing.T) {
	t.Parallel()
	var asked []predicates.Request
	var failure error
	ask := func(_ context.Context, r predicates.Request) (predicates.Answer, error) {
		asked = append(asked, r)
		return predicates.Answer{Pods: make([]predicates.Verdicts, len(r.Ask))}, failure
	}
	consult := func(r record) *Judge {
		t.Helper()
		j := judged(r, start.Add(time.Hour))
		if err := j.Consult(t.Context(), ask, j.PodOf("", "default/p")); err != nil {
			t.Fatal(err)
		}
		return j
	}
	if j := consult(zoned(shape.Pod{Requests: quantities("cpu=1")})); len(asked) != 0 || j.FiltersOf(j.Pods...) != "" {
		t.Errorf("a pod that the lab judges was asked for: %+v", asked)
	}
	avoiding := shape.Pod{Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: zone, LabelSelector: web}}}}}
	r := zoned(shape.Pod{Labels: web.MatchLabels, HostPorts: []string{"tcp/80"}, Claims: []string{"data"}, Devices: []string{"gpu"}})
	r.Add(timeline.Fact{Kind: timeline.Pod, What: timeline.Shaped, Name: "shop/avoids", UID: "a", Node: "n", Shape: shape.Encode(avoiding)})
	r.Add(timeline.Fact{Kind: timeline.Claim, What: timeline.Shaped, Name: "default/data", UID: "c", Shape: json.RawMessage(`{"metadata":{"name":"data"}}`)})
	before := judged(r, start.Add(time.Hour))
	if got, want := strings.Join(before.Unjudged(before.PodOf("", "default/p")), "; "), "anti-affinity of other pods to it; volumes (data); device claims (gpu)"; got != want {
		t.Errorf("not judged: %s, want %s", got, want)
	}
	j := consult(r)
	if got, want := strings.Join(j.Unjudged(j.PodOf("", "default/p")), "; "), "volumes (data); device claims (gpu)"; got != want || len(asked) != 1 {
		t.Fatalf("after %d questions, and with claims that may not all be on record, not judged: %s, want %s", len(asked), got, want)
	}
	q := asked[0]
	if len(q.Ask) != 1 || q.Ask[0].Namespace != "default" || q.Ask[0].Spec.Containers[0].Ports[0].HostPort != 80 || len(q.Ask[0].Spec.Volumes) != 0 {
		t.Errorf("asked for %+v", q.Ask)
	}
	if len(q.Nodes) != 1 || q.Nodes[0].Name != "n" || len(q.Pods) != 2 || q.Pods[0].Spec.NodeName != "n" || len(q.Claims) != 1 || len(q.Closed) != 0 {
		t.Errorf("asked with the nodes %+v, the pods %+v and the claims %s", q.Nodes, q.Pods, q.Claims)
	}
	template := q.Templates[0]
	if len(q.Templates) != 1 || template.Node.Labels[zone] != "a" || template.Node.Labels[corev1.LabelHostname] != template.Node.Name || len(template.Pods) != 1 {
		t.Errorf("asked with the templates %+v", q.Templates)
	}
	for _, kind := range []timeline.Kind{timeline.Claim, timeline.Volume, timeline.StorageClass, timeline.CSINode} {
		r.Add(timeline.Fact{Kind: kind, What: timeline.Shaped})
	}
	if consult(r); len(asked) != 2 || asked[1].Ask[0].Spec.Volumes[0].PersistentVolumeClaim.ClaimName != "data" {
		t.Errorf("with all claims on record, asked for %+v", asked[len(asked)-1].Ask)
	}
	for name, pod := range map[string]shape.Pod{"devices alone": {Devices: []string{"gpu"}}, "volumes that are not on record": {Claims: []string{"data"}}} {
		if consult(zoned(pod)); len(asked) != 2 {
			t.Errorf("%s: asked for %+v", name, asked[len(asked)-1].Ask)
			asked = asked[:2]
		}
	}
	failure = errors.New("does not compile")
	if err := before.Consult(t.Context(), ask, before.PodOf("", "default/p")); !errors.Is(err, failure) || before.FiltersOf(before.Pods...) != "" {
		t.Errorf("filters that cannot be asked: %v, %q", err, before.FiltersOf(before.Pods...))
	}
}

// TestConsultTellsTheAffinityOfDaemonSets: a DaemonSet's pod on a new node has no affinity to a node, and
// yet keeps other pods away.
func TestConsultTellsTheAffinityOfDaemonSets(t *testing.T) {
	t.Parallel()
	term := []corev1.PodAffinityTerm{{TopologyKey: zone, LabelSelector: web}}
	named := &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"n"}}}}}}
	r := zoned(shape.Pod{Labels: web.MatchLabels})
	r.Bound("n", map[string]shape.Pod{"kube-system/agent-1": {Owner: &shape.Owner{Kind: "DaemonSet", Name: "agent"}, Affinity: &corev1.Affinity{
		NodeAffinity:    &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: named},
		PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: term},
	}}})
	j := judged(r, start.Add(time.Hour))
	var q predicates.Request
	if err := j.Consult(t.Context(), func(_ context.Context, r predicates.Request) (predicates.Answer, error) {
		q = r
		return predicates.Answer{Pods: make([]predicates.Verdicts, len(r.Ask))}, nil
	}, j.PodOf("", "default/p")); err != nil {
		t.Fatal(err)
	}
	pods := q.Templates[0].Pods
	if a := pods[len(pods)-1].Spec.Affinity; len(pods) != 2 || a == nil || a.NodeAffinity != nil || a.PodAntiAffinity == nil {
		t.Errorf("the pods of the template are %+v", pods)
	}
}

// TestNamespacesThatAreNotOnRecord: what the filters say of affinity to pods does not count if it depends
// on namespaces that the record may lack.
func TestNamespacesThatAreNotOnRecord(t *testing.T) {
	t.Parallel()
	term := func(namespaces *metav1.LabelSelector) *corev1.Affinity {
		return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: zone, LabelSelector: web, NamespaceSelector: namespaces}}}}
	}
	const unsaid = "pod affinity by namespaces, which are not all on record"
	for name, tc := range map[string]struct {
		pod, other shape.Pod
		complete   bool
		want       string
	}{
		"by labels":                   {pod: shape.Pod{Affinity: term(web)}, want: unsaid},
		"by labels, all on record":    {pod: shape.Pod{Affinity: term(web)}, complete: true},
		"all namespaces":              {pod: shape.Pod{Affinity: term(&metav1.LabelSelector{})}},
		"its own namespace":           {pod: shape.Pod{Affinity: term(nil)}},
		"of another pod":              {pod: shape.Pod{Labels: web.MatchLabels}, other: shape.Pod{Affinity: term(web)}, want: unsaid},
		"of another pod, and not it":  {pod: shape.Pod{Affinity: term(nil)}, other: shape.Pod{Affinity: term(web)}},
		"of another pod, in all ones": {pod: shape.Pod{Labels: web.MatchLabels}, other: shape.Pod{Affinity: term(&metav1.LabelSelector{})}},
	} {
		r := zoned(tc.pod)
		r.Bound("n", map[string]shape.Pod{"shop/other": tc.other})
		if tc.complete {
			r.Add(timeline.Fact{Kind: timeline.Namespace, What: timeline.Shaped})
		}
		j := judged(r, start.Add(time.Hour))
		p := j.PodOf("", "default/p")
		if err := j.Consult(t.Context(), refuse(predicates.InterPodAffinity, predicates.OthersRefuse), p); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(j.Unjudged(p), "; "); got != tc.want || (len(j.Room(p)) > 0) != (tc.want != "") {
			t.Errorf("%s: not judged: %q, want %q; room on %d nodes", name, got, tc.want, len(j.Room(p)))
		}
	}
}

// TestVolumesOfNodesToCome: with --enable-csi-node-aware-scheduling, the filters are told which CSI
// drivers a node to come has: those of the group's example or, of an empty group, those that its
// annotation tells. Volumes that are attached are told always.
func TestVolumesOfNodesToCome(t *testing.T) {
	t.Parallel()
	const annotation = release.CapacityPrefix + "csi-driver=disk.example.com=3, nfs.example.com=0,broken=x,=4,alone"
	for name, tc := range map[string]struct {
		size  int
		flags map[string]string
		want  string
	}{
		"by default":     {0, nil, ""},
		"off":            {0, map[string]string{csiAware: "false"}, ""},
		"an empty group": {0, map[string]string{csiAware: "true"}, "template-node-for-g: disk.example.com=3 nfs.example.com"},
		"an example":     {1, map[string]string{csiAware: "true"}, "template-node-for-g: disk.example.com=7"},
	} {
		var r record
		r.Shaped(timeline.Autoscaler, "", "", shape.Autoscaler{Flags: tc.flags})
		r.Group(tc.size, shape.Group{Annotations: sizes("2", cpu4, mem8, annotation)})
		if tc.size > 0 {
			r.Node("n", "g", shape.Node{})
		}
		r.Waits(shape.Pod{Claims: []string{"data"}})
		r.Shaped(timeline.Claim, "default/data", "", json.RawMessage(`{"metadata":{"namespace":"default","name":"data"},"spec":{}}`))
		r.Shaped(timeline.CSINode, "n", "", json.RawMessage(`{"metadata":{"name":"n"},"spec":{"drivers":[{"name":"disk.example.com","allocatable":{"count":7}}]}}`))
		r.Shaped(timeline.Attachment, "va", "", json.RawMessage(`{"metadata":{"name":"va"},"spec":{"attacher":"disk.example.com","nodeName":"n"}}`))
		for _, kind := range []timeline.Kind{timeline.Claim, timeline.Volume, timeline.StorageClass, timeline.CSINode} {
			r.Add(timeline.Fact{Kind: kind, What: timeline.Shaped})
		}
		j := judged(r, start.Add(time.Hour))
		var told []string
		attached := 0
		if err := j.Consult(t.Context(), func(_ context.Context, q predicates.Request) (predicates.Answer, error) {
			attached = len(q.VolumeAttachments)
			for _, next := range q.Templates {
				if next.CSINode == nil {
					continue
				}
				text := next.CSINode.Name + ":"
				for _, d := range next.CSINode.Spec.Drivers {
					text += " " + d.Name
					if d.Allocatable != nil {
						text += fmt.Sprintf("=%d", *d.Allocatable.Count)
					}
				}
				told = append(told, text)
			}
			return predicates.Answer{Pods: []predicates.Verdicts{{}}}, nil
		}, j.PodOf("", "default/p")); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(told, "; "); got != tc.want || attached != 1 {
			t.Errorf("%s: told of %q and of %d attached volumes, want %q and 1", name, got, attached, tc.want)
		}
	}
}

// TestCapacityOfDrivers: a driver on a node may report how much capacity is left for new volumes. A record
// may lack that.
func TestCapacityOfDrivers(t *testing.T) {
	t.Parallel()
	const disk, unsaid = `[{"name":"disk.example.com"}]`, "the capacity that the driver disk.example.com may report for new volumes"
	drivers, all := []timeline.Kind{timeline.CSIDriver}, []timeline.Kind{timeline.CSIDriver, timeline.StorageCapacity}
	for name, tc := range map[string]struct {
		claim, drivers, reports string
		complete                []timeline.Kind
		want                    string
		told                    int // drivers of which the filters are told
	}{
		"a driver":                        {claim: `{}`, drivers: disk, want: unsaid},
		"no driver on the nodes":          {claim: `{}`, drivers: `[]`},
		"the claim has its volume":        {claim: `{"volumeName":"v"}`, drivers: disk},
		"the class is not on record":      {claim: `{"storageClassName":"other"}`, drivers: disk},
		"a driver that reports nothing":   {claim: `{}`, drivers: disk, reports: "false", complete: drivers},
		"what it reports is not recorded": {claim: `{}`, drivers: disk, reports: "true", complete: drivers, want: unsaid},
		"what it reports is on record":    {claim: `{}`, drivers: disk, reports: "true", complete: all, told: 1},
	} {
		r := zoned(shape.Pod{Claims: []string{"data"}})
		if !strings.Contains(tc.claim, "storageClassName") {
			tc.claim = `{"storageClassName":"late",` + strings.TrimPrefix(tc.claim, "{")
			tc.claim = strings.Replace(tc.claim, ",}", "}", 1)
		}
		r.Shaped(timeline.Claim, "default/data", "", json.RawMessage(`{"metadata":{"namespace":"default","name":"data"},"spec":`+tc.claim+`}`))
		r.Shaped(timeline.StorageClass, "late", "", json.RawMessage(`{"metadata":{"name":"late"},"provisioner":"disk.example.com"}`))
		r.Shaped(timeline.CSINode, "n", "", json.RawMessage(`{"metadata":{"name":"n"},"spec":{"drivers":`+tc.drivers+`}}`))
		if tc.reports != "" {
			r.Shaped(timeline.CSIDriver, "disk.example.com", "", json.RawMessage(`{"metadata":{"name":"disk.example.com"},"spec":{"storageCapacity":`+tc.reports+`}}`))
		}
		for _, kind := range append([]timeline.Kind{timeline.Claim, timeline.Volume, timeline.StorageClass, timeline.CSINode}, tc.complete...) {
			r.Add(timeline.Fact{Kind: kind, What: timeline.Shaped})
		}
		j := judged(r, start.Add(time.Hour))
		p := j.PodOf("", "default/p")
		told := 0
		if err := j.Consult(t.Context(), func(ctx context.Context, q predicates.Request) (predicates.Answer, error) {
			told = len(q.CSIDrivers)
			return refuse("VolumeBinding", predicates.NoVolumeHere)(ctx, q)
		}, p); err != nil {
			t.Fatal(err)
		}
		if told != tc.told {
			t.Errorf("%s: the filters are told of %d drivers, want %d", name, told, tc.told)
		}
		if got := strings.Join(j.Unjudged(p), "; "); got != tc.want {
			t.Errorf("%s: not judged: %q, want %q", name, got, tc.want)
		}
	}
}

// TestRefuser: the pods whose anti-affinity refuses a node are named, with the key.
func TestRefuser(t *testing.T) {
	t.Parallel()
	avoids := func(key string, namespaces ...string) shape.Pod {
		return shape.Pod{Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: key, LabelSelector: web, Namespaces: namespaces}}}}}
	}
	r := zoned(shape.Pod{Labels: web.MatchLabels})
	r.Node("far", "other", shape.Node{Labels: map[string]string{zone: "b", corev1.LabelHostname: "far"}})
	r.Bound("n", map[string]shape.Pod{"default/host": avoids(corev1.LabelHostname), "default/zone": avoids(zone), "shop/own": avoids(zone), "shop/zone": avoids(zone, "default")})
	r.Bound("far", map[string]shape.Pod{"default/far": avoids(zone)})
	j := judged(r, start.Add(time.Hour))
	p := j.PodOf("", "default/p")
	if err := j.Consult(t.Context(), refuse(predicates.InterPodAffinity, predicates.OthersRefuse), p); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range j.Refusals(p) {
		got = append(got, o.Nodes[0]+": "+o.Text)
	}
	got = append(got, "g: "+j.Verdicts(p)[0].Obstacles[0].Text)
	want := []string{
		"far: the pod anti-affinity of default/far by " + zone + " refuses it",
		"n: the pod anti-affinity of default/host by kubernetes.io/hostname, default/zone by " + zone + ", shop/zone by " + zone + " refuses it",
		"g: the pod anti-affinity of default/zone by " + zone + ", shop/zone by " + zone + " refuses it",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// TestSpreadCountsWhatTheConstraintCounts: not every pod that the selector selects counts.
func TestSpreadCountsWhatTheConstraintCounts(t *testing.T) {
	t.Parallel()
	honour, ignore := corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore
	pool := map[string]string{"pool": "x"}
	for name, tc := range map[string]struct {
		constraint corev1.TopologySpreadConstraint
		pod        shape.Pod
		want       string
	}{
		"all nodes with the key":           {want: "a: 1, b: 1, c: 1"},
		"only nodes that the pod selects":  {pod: shape.Pod{NodeSelector: pool}, want: "a: 1"},
		"also nodes that it does not":      {pod: shape.Pod{NodeSelector: pool}, constraint: corev1.TopologySpreadConstraint{NodeAffinityPolicy: &ignore}, want: "a: 1, b: 1, c: 1"},
		"no nodes with a taint":            {constraint: corev1.TopologySpreadConstraint{NodeTaintsPolicy: &honour}, want: "a: 1, b: 1"},
		"a taint that is tolerated":        {pod: shape.Pod{Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}}}, constraint: corev1.TopologySpreadConstraint{NodeTaintsPolicy: &honour}, want: "a: 1, b: 1, c: 1"},
		"pods with the pod's own labels":   {constraint: corev1.TopologySpreadConstraint{MatchLabelKeys: []string{"rev", "none"}}, want: "a: 0, b: 1, c: 0"},
		"nodes with the keys of all alone": {pod: shape.Pod{Spread: []corev1.TopologySpreadConstraint{{TopologyKey: "rack"}}}, want: "b: 1"},
	} {
		var r record
		r.Node("a", "", shape.Node{Labels: map[string]string{zone: "a", "pool": "x"}})
		r.Node("b", "", shape.Node{Labels: map[string]string{zone: "b", "rack": "1"}})
		r.Node("c", "", shape.Node{Labels: map[string]string{zone: "c"}, Taints: []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}})
		for node, revision := range map[string]string{"a": "1", "b": "2", "c": "1"} {
			r.Bound(node, map[string]shape.Pod{"default/web-" + node: {Labels: map[string]string{"app": "web", "rev": revision}}, "shop/web-" + node: {Labels: web.MatchLabels}})
		}
		tc.constraint.TopologyKey, tc.constraint.LabelSelector = zone, web
		tc.pod.Labels, tc.pod.Spread = map[string]string{"app": "web", "rev": "2"}, append([]corev1.TopologySpreadConstraint{tc.constraint}, tc.pod.Spread...)
		r.Waits(tc.pod)
		j := judged(r, start.Add(time.Hour))
		counts := j.spread(j.PodOf("", "default/p"))[0]
		var got []string
		for _, value := range slices.Sorted(maps.Keys(counts)) {
			got = append(got, fmt.Sprintf("%s: %d", value, counts[value]))
		}
		if strings.Join(got, ", ") != tc.want {
			t.Errorf("%s: %q, want %s", name, got, tc.want)
		}
	}
}

// TestConsultMoves: the pods of a node that would be removed are judged one after the other,
// without the node.
func TestConsultMoves(t *testing.T) {
	t.Parallel()
	var r record
	r.Group(2, shape.Group{Annotations: sizes("2")})
	r.Node("a", "g", shape.Node{})
	r.Node("b", "g", shape.Node{})
	pod := shape.Pod{Owner: &shape.Owner{Kind: "ReplicaSet", Name: "web"}, Spread: []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: zone}}}
	r.Add(timeline.Fact{Kind: timeline.Pod, What: timeline.Shaped, Name: "default/p", UID: "p", Node: "a", Shape: shape.Encode(pod)})
	j := judged(r, start.Add(time.Hour))
	var q predicates.Request
	from := j.NodeOf("a")
	err := j.ConsultMoves(t.Context(), func(ctx context.Context, r predicates.Request) (predicates.Answer, error) {
		q = r
		return refuse("PodTopologySpread", predicates.SpreadWantsLabel)(ctx, r)
	}, from, from.Pods)
	if err != nil || !q.Move || !slices.Equal(q.Closed, []string{"a"}) || len(q.Pods) != 0 || len(q.Ask) != 1 || q.Ask[0].Spec.NodeName != "" {
		t.Errorf("asked %+v, %v", q, err)
	}
	found := j.Homeless(from, from.Pods)
	if len(found) != 1 || found[0].Text != "it fits on no other node: topology spread over topology.kubernetes.io/zone: no such label on the node (1 node)" || j.FiltersOf(from.Pods...) != "v1.36.1" {
		t.Errorf("%+v, by the filters %s", found, j.FiltersOf(from.Pods...))
	}
}
