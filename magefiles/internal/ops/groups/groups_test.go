package groups

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/target/targettest"
	"caslab/magefiles/internal/timeline"
)

// fixture is a cluster with a group, whose controllers answer at once, unless idle is set.
type fixture struct {
	*Groups
	lab     *labtest.Lab
	cluster *target.Cluster
	server  *kubetest.Server
	facts   []timeline.Fact
	idle    bool
	// prepared counts how often the cluster was made ready for hollow machines, and refusal is
	// the answer.
	prepared int
	refusal  error
}

func newFixture(t *testing.T, variables map[string]string) *fixture {
	t.Helper()
	l := labtest.New(t, variables)
	c, server := targettest.New(t)
	// It comes first, and is no measure of this machine.
	server.PutYAML(`{apiVersion: v1, kind: Node, metadata: {name: a-hollow-one, labels: {caslab.local/machines: hollow}}, status: {capacity: {cpu: "96", memory: 1Ti}}}`)
	s := &fixture{lab: l, cluster: c, server: server}
	server.Intercept(func(r kubetest.Request) error {
		if !s.idle && r.Verb == "watch" && r.Resource == "machinedeployments" {
			go func() {
				for _, g := range server.List(kube.MachineDeployments) {
					if kube.Field(g, "status", "observedGeneration") != "" {
						continue
					}
					// The group may have been deleted by now, so the result does
					// not matter.
					server.Merge("controller", kube.MachineDeployments, g.GetNamespace(), g.GetName(), map[string]any{
						"status": map[string]any{"observedGeneration": g.GetGeneration(), "readyReplicas": g.Object["spec"].(map[string]any)["replicas"]},
					})
				}
			}()
		}
		return nil
	})
	s.Groups = &Groups{Lab: l.Lab, Open: targettest.Open(c), AddFact: func(_ *target.Cluster, f timeline.Fact) { s.facts = append(s.facts, f) },
		Prepare: func(context.Context, *target.Cluster) error { s.prepared++; return s.refusal }}
	return s
}

func (s *fixture) group(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	g := s.server.Get(kube.MachineDeployments, "default", name)
	if g == nil {
		t.Fatalf("there is no group %s", name)
	}
	return g
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestAdd(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	if err := s.Add(testContext(t), "web", 1, 3, Options{Labels: "tier=web", Taints: "dedicated=web:NoSchedule"}); err != nil {
		t.Fatal(err)
	}
	g := s.group(t, "web")
	if lowest, highest := capi.Sizes(g); lowest != "1" || highest != "3" || kube.Field(g, "spec", "replicas") != "1" {
		t.Errorf("the group has %s to %s nodes: %v", lowest, highest, g.Object["spec"])
	}
	if got := g.GetAnnotations()[release.CapacityPrefix+"cpu"]; got != "" {
		t.Errorf("a group that is never empty has an annotation with the capacity %s", got)
	}
}

var bootstrapTemplates = schema.GroupKind{Group: "bootstrap.cluster.x-k8s.io", Kind: "KubeadmConfigTemplate"}

// TestAddAnEmptyGroup: the autoscaler reads the capacity of future nodes from annotations.
func TestAddAnEmptyGroup(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		own           bool
		capacity      string
		cpu, said, no string
		// reserved is the kubelet's argument system-reserved.
		reserved string
	}{
		"the environment's":                 {own: true, cpu: "8", said: "to have what this machine has, cpu=8,memory=16Gi"},
		"the environment's, with an option": {own: true, capacity: "cpu=2,memory=4Gi", cpu: "2", reserved: "cpu=6,memory=12Gi"},
		"more than this machine has":        {own: true, capacity: "cpu=9,memory=17Gi", no: "capacity cpu=9: a node has 8\ncapacity memory=17Gi: a node has 16Gi"},
		"a GPU":                             {own: true, capacity: "cpu=8,memory=16Gi,gpu-type=nvidia.com/gpu,gpu-count=1", cpu: "8", said: "no node of the Docker provider has a GPU"},
		"devices to claim":                  {own: true, capacity: "cpu=8,memory=16Gi,dra-driver=gpu.example.com", cpu: "8", said: "has devices of gpu.example.com, but the autoscaler expects it, so pods that claim them never run"},
		"volumes":                           {own: true, capacity: "cpu=8,memory=16Gi,csi-driver=ebs.csi.aws.com=25", cpu: "8", said: "has the CSI driver ebs.csi.aws.com=25"},
		"another's, with an option":         {capacity: "cpu=64,memory=1Ti", cpu: "64"},
		"another's":                         {said: "only if its machine template has the capacity"},
	} {
		s := newFixture(t, nil)
		s.cluster.Own = tc.own
		s.server.Remove(kube.Nodes, "", "worker")
		err := s.Add(testContext(t), "zero", 0, 2, Options{Capacity: tc.capacity})
		if (err != nil) != (tc.no != "") || err != nil && !strings.Contains(err.Error(), tc.no) {
			t.Errorf("%s: Add() = %v, want %q", name, err, tc.no)
			continue
		}
		if tc.no != "" {
			if s.server.Get(kube.MachineDeployments, "default", "zero") != nil {
				t.Errorf("%s: the group is there", name)
			}
			continue
		}
		if got := s.group(t, "zero").GetAnnotations()[release.CapacityPrefix+"cpu"]; got != tc.cpu {
			t.Errorf("%s: the annotation has %q processors, want %q", name, got, tc.cpu)
		}
		var want []string
		if tc.reserved != "" {
			want = []string{"system-reserved=" + tc.reserved}
		}
		if got := kubeletArgs(s.server.Get(bootstrapTemplates, "default", "zero")); !slices.Equal(got, want) {
			t.Errorf("%s: kubelets have %q, want %q", name, got, want)
		}
		if logged := s.lab.Logged.String(); !strings.Contains(logged, tc.said) {
			t.Errorf("%s: said\n%s\nwant %q", name, logged, tc.said)
		}
	}
}

// TestAddFromAGroup: a group that takes another one's templates has nodes like that one, and
// announces them, unless it has a capacity of its own.
func TestAddFromAGroup(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	add := func(name string, o Options) {
		t.Helper()
		if err := s.Add(testContext(t), name, 0, 2, o); err != nil {
			t.Fatal(err)
		}
	}
	add("small", Options{Labels: "size=small", Taints: "a=b:NoSchedule", Capacity: "cpu=2,memory=4Gi,maxPods=8"})
	add("like", Options{From: "small"})
	add("labelled", Options{From: "small", Labels: "tier=web"})
	add("whole", Options{From: "small", Capacity: "cpu=8,memory=16Gi"})
	const small = "max-pods=8 node-labels=size=small system-reserved=cpu=6,memory=12Gi"
	for name, want := range map[string]struct{ announced, args string }{
		"small":    {"cpu=2 labels=size=small maxPods=8 memory=4Gi taints=a=b:NoSchedule", small},
		"like":     {"cpu=2 labels=size=small maxPods=8 memory=4Gi taints=a=b:NoSchedule", small},
		"labelled": {"cpu=2 labels=size=small,tier=web maxPods=8 memory=4Gi taints=a=b:NoSchedule", "max-pods=8 node-labels=size=small,tier=web system-reserved=cpu=6,memory=12Gi"},
		"whole":    {"cpu=8 labels=size=small memory=16Gi taints=a=b:NoSchedule", "node-labels=size=small"},
	} {
		g := s.group(t, name)
		var announced []string
		for key, value := range g.GetAnnotations() {
			if what, ok := strings.CutPrefix(key, release.CapacityPrefix); ok {
				announced = append(announced, what+"="+value)
			}
		}
		slices.Sort(announced)
		template := kube.Field(g, "spec", "template", "spec", "bootstrap", "configRef", "name")
		if got := strings.Join(announced, " "); got != want.announced || strings.Join(kubeletArgs(s.server.Get(bootstrapTemplates, "default", template)), " ") != want.args {
			t.Errorf("%s announces %s, and the kubelets of its template %s have %q; want %s and %s", name, got, template, kubeletArgs(s.server.Get(bootstrapTemplates, "default", template)), want.announced, want.args)
		}
	}
}

// kubeletArgs returns the kubelet's arguments in a bootstrap template, sorted.
func kubeletArgs(template *unstructured.Unstructured) []string {
	if template == nil {
		return nil
	}
	args, _, _ := unstructured.NestedSlice(template.Object, "spec", "template", "spec", "joinConfiguration", "nodeRegistration", "kubeletExtraArgs")
	var texts []string
	for _, a := range args {
		arg, _ := a.(map[string]any)
		texts = append(texts, fmt.Sprintf("%s=%s", arg["name"], arg["value"]))
	}
	slices.Sort(texts)
	return texts
}

// TestWrongOptionsAreRefusedFirst: all wrong options are reported together,
// before the first request to the cluster.
func TestWrongOptionsAreRefusedFirst(t *testing.T) {
	t.Parallel()
	g := &Groups{Lab: labtest.New(t, nil).Lab, Open: targettest.Closed(t)}
	err := g.Add(t.Context(), "Web", 5, 4, Options{Labels: "=", Taints: "a=b:Never", Capacity: "cpu=much"})
	for _, want := range []string{"Web", "not above the maximum", `"a=b:Never"`, "much"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Add() = %v, want %q in it", err, want)
		}
	}
	if err := g.Set(t.Context(), "web", -1, 4, Changes{}); err == nil || !strings.Contains(err.Error(), "-1") {
		t.Errorf("Set() of a negative minimum = %v", err)
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	if err := s.Set(testContext(t), "work-cluster-md-0", 0, 4, Changes{}); err != nil {
		t.Fatal(err)
	}
	g := s.group(t, "work-cluster-md-0")
	lowest, highest := capi.Sizes(g)
	if lowest != "0" || highest != "4" || g.GetAnnotations()[release.CapacityPrefix+"memory"] != "16Gi" {
		t.Errorf("the group has %s to %s nodes and the annotations %v", lowest, highest, g.GetAnnotations())
	}
	if logged := s.lab.Logged.String(); !strings.Contains(logged, "what this machine has, cpu=8,memory=16Gi") || !strings.Contains(logged, "work-cluster-md-0 has the limits 0 to 4 nodes") {
		t.Errorf("said\n%s", logged)
	}
	if err := s.Set(testContext(t), "nope", 1, 2, Changes{}); !errors.As(err, new(*capi.MissingGroupError)) {
		t.Errorf("Set() of no group = %v", err)
	}
}

// TestSetOnAForeignCluster: in a cluster that the lab did not create, nodes may differ, so
// no capacity is set.
func TestSetOnAForeignCluster(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"AUTOSCALER_VERSION": "1.36.1"})
	s.cluster.Own = false
	if err := s.Set(testContext(t), "work-cluster-md-0", 0, 4, Changes{}); err != nil {
		t.Fatal(err)
	}
	if got := s.group(t, "work-cluster-md-0").GetAnnotations()[release.CapacityPrefix+"cpu"]; got != "" {
		t.Errorf("the group has an annotation with the capacity %s", got)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	if err := s.Delete(testContext(t), "work-cluster-md-0"); err == nil || !strings.Contains(err.Error(), "was not added as a node group") {
		t.Errorf("Delete() of what the lab did not make = %v", err)
	}
	if err := s.Add(testContext(t), "web", 1, 3, Options{Own: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(testContext(t), "web"); err != nil {
		t.Fatal(err)
	}
	if g := s.server.Get(kube.MachineDeployments, "default", "web"); g != nil {
		t.Errorf("it is there: %v", g)
	}
	if err := s.Delete(testContext(t), "web"); !errors.As(err, new(*capi.MissingGroupError)) {
		t.Errorf("Delete() of what is gone = %v", err)
	}
	if len(s.facts) != 1 || s.facts[0].What != timeline.Deleting || s.facts[0].Group != "web" {
		t.Errorf("recorded %+v, want one deletion", s.facts)
	}
	s.group(t, "work-cluster-md-0")
}

func TestList(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	if err := s.Set(testContext(t), "work-cluster-md-0", 1, 4, Changes{}); err != nil {
		t.Fatal(err)
	}
	if err := s.List(testContext(t)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(s.lab.Printed.String(), "\n")
	if len(lines) != 3 || strings.Join(strings.Fields(lines[1]), " ") != "work-cluster-md-0 docker 1 4 1 1 - - - -" {
		t.Errorf("printed\n%s", s.lab.Printed)
	}
}

// TestSilentServer: if the API server does not answer, every operation ends with
// an error that says what it waited for.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	for want, do := range map[string]func(*Groups, context.Context) error{
		"waited for the API server to accept the limits of the machine deployment web": func(g *Groups, ctx context.Context) error { return g.Set(ctx, "web", 1, 3, Changes{}) },
		"waited for the API server to list the nodes":                                  func(g *Groups, ctx context.Context) error { return g.Set(ctx, "web", 0, 3, Changes{}) },
		"waited for the API server to list the node groups":                            (*Groups).List,
	} {
		s := newFixture(t, nil)
		s.answerWithin = time.Millisecond
		silence := make(chan struct{})
		t.Cleanup(func() { close(silence) })
		s.server.Intercept(func(kubetest.Request) error { <-silence; return nil })
		if err := do(s.Groups, t.Context()); err == nil || !strings.HasPrefix(err.Error(), want+": ") || !strings.Contains(err.Error(), "not within 1ms") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
