package explain

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/timelinetest"
)

// busy is a record of an autoscaler that waits for everything that it can wait for.
func busy() *cluster {
	c := newCluster(1)
	log := func(at float64, a shape.Autoscaler) {
		c.Add(at, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Shape: shape.Encode(a), Source: timeline.Log})
	}
	c.Add(.5, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Source: timeline.Own, Shape: shape.Encode(shape.Autoscaler{
		Flags: map[string]string{"v": "4", "scan-interval": "10s", "node-group-auto-discovery": "clusterapi:clusterName=work"}, Tree: "1.36.1 from /src, commit 0123456789ab",
	})})
	log(1.6, shape.Autoscaler{Flags: map[string]string{"v": "4", "scan-interval": "10s", "scale-down-unneeded-time": "2m0s"}})
	log(1.7, shape.Autoscaler{API: "v1beta2"})
	c.shaped(3, timeline.Group, "md-0", "md-0", "", shape.Group{Namespace: "default"})
	three := 3
	c.Add(30, timeline.Fact{Kind: timeline.Group, What: timeline.Sized, Name: "web", UID: "g-web", Group: "web", N: &three, Source: timeline.Watch})
	log(31, shape.Autoscaler{CoolDown: &shape.CoolDown{Add: c.At(30), Delete: c.At(-3600), Failure: c.At(-3600)}})
	c.shaped(32, timeline.Machine, "web-new", "web", "", shape.Machine{})
	c.Add(32, timeline.Fact{Kind: timeline.Machine, What: timeline.Phase, Name: "web-new", UID: "m-web-new", Group: "web", Text: "Provisioning", Source: timeline.Watch})
	c.Log(60, "W Disabling scale-up for node group MachineDeployment/default/web until "+c.At(360).Format("2006-01-02 15:04:05.999999999 -0700 MST")+" m=+360.1; errorClass=Other; errorCode=timeout")
	for _, at := range []float64{61, 71, 81} {
		c.Log(at, `E "Failed to watch" err="failed to list *v1.ResourceClaim: resourceclaims.resource.k8s.io is forbidden: User \"system:serviceaccount:default:ca\" cannot list resource \"resourceclaims\" in API group \"resource.k8s.io\" at the cluster scope" type="*v1.ResourceClaim"`)
	}
	c.Log(100, c.node+" is unneeded since "+c.At(100).Format("2006-01-02 15:04:05.999999999 -0700 MST")+" m=+100.1 duration 0s")
	c.on(101, timeline.Node, timeline.Tainted, "DeletionCandidateOfClusterAutoscaler")
	c.Log(102, `Scale-down: removing empty node "`+c.other+`"`)
	c.Add(103, timeline.Fact{Kind: timeline.Node, What: timeline.Tainted, Name: c.other, UID: "n-" + c.other, Group: "web", Text: "ToBeDeletedByClusterAutoscaler", Source: timeline.Watch})
	c.shaped(104, timeline.Machine, "web-old", "web", "", shape.Machine{Deletion: &shape.Deletion{Since: c.At(104), Step: "WaitingForInfrastructureDeletion"}})
	log(110, shape.Autoscaler{Loops: &shape.Loops{N: 6, From: c.At(50), Last: c.At(110), Median: 200 * time.Millisecond, Longest: 1500 * time.Millisecond}})
	c.Add(115, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Health, Text: "Healthy, scale-up InProgress", Source: timeline.Status})
	return c
}

// TestExplainAutoscaler compares the answers about the autoscaler with testdata.
func TestExplainAutoscaler(t *testing.T) {
	t.Parallel()
	stopped := busy()
	stopped.Log(118, "Cleaned up, exiting...")
	old := slices.DeleteFunc(busy().Record(), func(f timeline.Fact) bool { return f.What == timeline.Shaped })
	for name, facts := range map[string][]timeline.Fact{
		"busy": busy().Record(), "stopped": stopped.Record(), "old-record": old, "recorded": recorded(t, "01:12:12"),
	} {
		got, err := Text(t.Context(), facts, "autoscaler", Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		golden.Check(t, "autoscaler-"+name+".txt", got)
	}
}

// TestExplainTheProvisionTimeOfAGroup: a group may have less time than the flag says.
func TestExplainTheProvisionTimeOfAGroup(t *testing.T) {
	t.Parallel()
	c := busy()
	c.shaped(105, timeline.Group, "web", "web", "", hasty)
	got, err := Text(t.Context(), c.Record(), "autoscaler", Options{})
	if want := "the autoscaler waits at most 5m00s for it (the group's annotation maxnodeprovisiontime)\n"; err != nil || !strings.Contains(got, want) {
		t.Errorf("%v: want %q:\n%s", err, want, got)
	}
}

// TestExplainNoAutoscaler: a record without an autoscaler says so; one that fell silent is
// not said to run without a word.
func TestExplainNoAutoscaler(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	b.Group("web", 0, 4, 1)
	if got, err := Text(t.Context(), b.Record(), "autoscaler", Options{}); err != nil || got != "nothing of an autoscaler is on record.\n" {
		t.Errorf("%v: %s", err, got)
	}
	b.Log(0, "Cluster Autoscaler 1.36.1")
	b.Log(10, "No expansion options")
	b.Add(600, timeline.Fact{Kind: timeline.Pod, What: timeline.Created, Name: "default/p", UID: "p"})
	if got, err := Text(t.Context(), b.Record(), "autoscaler", Options{}); err != nil || !strings.HasPrefix(got, "the autoscaler 1.36.1 has been running since 22:00:00; its last message on record is from 22:00:10.\n") {
		t.Errorf("%v: %s", err, got)
	}
}

// TestExplainAsOfNow: while nothing changes, no fact is added. Answers are as of now, and
// what is left of a time is counted from now.
func TestExplainAsOfNow(t *testing.T) {
	t.Parallel()
	c := busy()
	pod := c.Pods(112, "shop", 1)[0]
	for what, want := range map[string]string{
		autoscalerWord:   "10m00s (the default of --scale-down-delay-after-add): 7m00s more, until 22:10:30",
		"pod/" + pod:     "has waited 1m38s and still waits",
		"node/" + c.node: "(as of 22:03:30, ",
	} {
		for _, o := range []Options{{Now: c.At(210)}, {Now: c.At(-210)}, {}} {
			got, err := Text(t.Context(), c.Record(), what, o)
			if err != nil || strings.Contains(got, want) != (o.Now.Equal(c.At(210))) {
				t.Errorf("%s at %s: %v: want %q:\n%s", what, o.Now, err, want, got)
			}
		}
	}
}

// TestExplainLoops: what is said of the recent loops is not said of all loops of the process, and
// those of the process before do not count.
func TestExplainLoops(t *testing.T) {
	t.Parallel()
	const last, all = "  loops  the last on record began at 22:04:00", "; the longest of all 4 complete loops on record took 40.2s\n"
	for name, want := range map[string]string{
		"it runs":           last + "; in the 1m00s before it 2 loops, one every 30s; the interval is 10s (the default of --scan-interval); each of them took 25s at the median and 29s at most, by its lines" + all,
		"stopped":           last + all,
		"stopped after one": "  loops  the last on record began at 22:00:50; the only complete one on record took 48s\n",
	} {
		c := newCluster(1)
		loops := func(at float64, l shape.Loops) {
			l.Last = c.At(at)
			c.Add(at, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Shape: shape.Encode(shape.Autoscaler{Loops: &l}), Source: timeline.Log})
		}
		loops(50, shape.Loops{N: 1, From: c.At(1), Longest: 48 * time.Second})
		if name != "stopped after one" {
			c.Log(90, "Cluster Autoscaler 1.36.1")
			loops(100, shape.Loops{From: c.At(100)})
			loops(180, shape.Loops{N: 2, From: c.At(100), Median: 30 * time.Second, Longest: 40200 * time.Millisecond})
			loops(240, shape.Loops{N: 2, From: c.At(180), Median: 25 * time.Second, Longest: 29 * time.Second})
		}
		if name != "it runs" {
			c.Log(250, "Cleaned up, exiting...")
		}
		got, err := Text(t.Context(), c.Record(), autoscalerWord, Options{})
		spaces := regexp.MustCompile(`loops {2,}`).ReplaceAllString(got, "loops  ")
		if err != nil || !strings.Contains(spaces, want) {
			t.Errorf("%s: %v: want %q:\n%s", name, err, want, got)
		}
	}
}

// TestExplainWithoutLoops: why no loop is on record.
func TestExplainWithoutLoops(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		flags map[string]string
		log   bool
		want  string
	}{
		"unknown flags":     {nil, true, "none is on record; it logs them from --v=4 on"},
		"the default":       {map[string]string{"namespace": "a"}, true, "it logs them from --v=4 on, and has --v=0"},
		"below":             {map[string]string{"v": "3"}, true, "it logs them from --v=4 on, and has --v=3"},
		"without a log":     {map[string]string{"v": "4"}, false, "its log is not on record"},
		"before its first":  {map[string]string{"v": "4"}, true, "none was recorded yet"},
		"a log with values": {map[string]string{"v": "5"}, true, "none was recorded yet"},
	} {
		b := timelinetest.New()
		b.Add(1, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Shape: shape.Encode(shape.Autoscaler{Flags: tc.flags}), Source: timeline.Watch})
		b.Add(2, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, Name: "default/ca", UID: "ca", Text: "example.com/ca:v1.36.1", Source: timeline.Watch})
		if tc.log {
			b.Log(3, "Cluster Autoscaler 1.36.1")
		}
		if got, err := Text(t.Context(), b.Record(), "autoscaler", Options{}); err != nil || !strings.Contains(got, "  loops       "+tc.want+"\n") {
			t.Errorf("%s: %v: want %q in\n%s", name, err, tc.want, got)
		}
	}
}

// TestForbidden: the verb and the resource that a role lacks, in the words of client-go and
// of the API server, quoted or not.
func TestForbidden(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`machinedeployments.cluster.x-k8s.io "web" is forbidden: User "system:serviceaccount:ns:ca" cannot patch resource "machinedeployments/scale" in API group "cluster.x-k8s.io" in the namespace "default"`: "forbidden: no role allows system:serviceaccount:ns:ca to patch machinedeployments/scale.cluster.x-k8s.io in the namespace default",
		`err="pods is forbidden: User \"ca\" cannot list resource \"pods\" in API group \"\" at the cluster scope"`:                                                                                              "forbidden: no role allows ca to list pods in the cluster",
		"Failed to get nodes": "",
	} {
		if got := forbidden(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// TestLeaseOfAFormerProcess: a process without leader election does not wait for the lease for which the one
// before it waited. Of a process that has stopped, no lease is reported.
func TestLeaseOfAFormerProcess(t *testing.T) {
	t.Parallel()
	const asks, stops, starts = `"Attempting to acquire leader lease..." lock="kube-system/%s"`, "Cleaned up, exiting...", "Cluster Autoscaler 1.36.1"
	for name, tc := range map[string]struct {
		lines []string
		want  string
	}{
		"the first one waits":            {lines: nil, want: "kube-system/first"},
		"the first one has stopped":      {lines: []string{stops}},
		"the second one follows a stop":  {lines: []string{stops, starts}},
		"the second one follows a crash": {lines: []string{starts}},
		"the second one waits, too":      {lines: []string{stops, starts, fmt.Sprintf(asks, "second")}, want: "kube-system/second"},
	} {
		c := newCluster(0)
		c.Log(2, fmt.Sprintf(asks, "first"))
		for i, line := range tc.lines {
			c.Log(60+10*float64(i), line)
		}
		got, err := Text(t.Context(), c.Record(), autoscalerWord, Options{})
		if err != nil || strings.Contains(got, "\n  lease") != (tc.want != "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %v: want the lease %q:\n%s", name, err, tc.want, got)
		}
	}
}

// TestExplainAReplicaThatWaitsForItsLease: an autoscaler that asked for its lease and has not got it does
// nothing. If loops go on meanwhile, another replica has the lease.
func TestExplainAReplicaThatWaitsForItsLease(t *testing.T) {
	t.Parallel()
	const asks, gets = `"Attempting to acquire leader lease..." lock="kube-system/cluster-autoscaler"`, `"Successfully acquired lease" lock="kube-system/cluster-autoscaler"`
	const alone, beside = "kube-system/cluster-autoscaler, since 22:00:02; it does nothing until it has the lease\n", "one replica has waited for kube-system/cluster-autoscaler since 22:00:02; another replica is active\n"
	for name, tc := range map[string]struct {
		lines []string
		loops bool
		want  string
	}{
		"it waits":             {lines: []string{asks}, want: alone},
		"in older words":       {lines: []string{"attempting to acquire leader lease kube-system/cluster-autoscaler..."}, want: alone},
		"it has the lease":     {lines: []string{asks, gets}},
		"it never asked":       {},
		"another one works":    {lines: []string{asks}, loops: true, want: beside},
		"it asked a long ago":  {lines: []string{asks, gets}, loops: true},
		"it got the old lease": {lines: []string{asks, "successfully acquired lease kube-system/cluster-autoscaler"}},
	} {
		c := newCluster(0)
		for i, line := range tc.lines {
			c.Log(2+float64(i), line)
		}
		if tc.loops {
			c.Add(60, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Shape: shape.Encode(shape.Autoscaler{Loops: &shape.Loops{N: 3, From: c.At(30), Last: c.At(60)}}), Source: timeline.Log})
		}
		got, err := Text(t.Context(), c.Record(), autoscalerWord, Options{})
		if err != nil || strings.Contains(got, "\n  lease") != (tc.want != "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %v: want %q:\n%s", name, err, tc.want, got)
		}
	}
}
