package groups

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/target/targettest"
)

// names returns the names of the node groups.
func (s *fixture) names() []string {
	var names []string
	for _, g := range s.server.List(kube.MachineDeployments) {
		names = append(names, g.GetName())
	}
	return names
}

func TestAddHollow(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	o := Options{Machines: Hollow, Labels: "node-role.kubernetes.io/gpu=", Zone: "a", Capacity: "cpu=96,memory=2Ti,nvidia.com/gpu=8", Behaviour: hollow.Behaviour{Late: "60s"}}
	if err := s.Add(testContext(t), "gpu", 2, 30, o); err != nil {
		t.Fatal(err)
	}
	g := s.group(t, "gpu")
	if lowest, highest := capi.Sizes(g); lowest != "2" || highest != "30" || !hollow.Is(g) || s.prepared != 1 {
		t.Errorf("the group has %s to %s nodes, and the cluster was prepared %d times: %v", lowest, highest, s.prepared, g.Object["spec"])
	}
	if got, want := g.GetAnnotations()[release.CapacityPrefix+"labels"], "caslab.local/machines=hollow,node-role.kubernetes.io/gpu=,topology.kubernetes.io/zone=a"; got != want {
		t.Errorf("the autoscaler expects the labels %s, want %s", got, want)
	}
	if err := s.Add(testContext(t), "gpu", 0, 1, Options{Machines: Hollow}); !errors.As(err, new(*capi.TakenError)) || s.prepared != 1 {
		t.Errorf("Add() of what is there = %v", err)
	}
	if logged := s.lab.Logged.String(); !strings.Contains(logged, "! the groups allow 30 nodes, and the cluster has 0 others, but --max-nodes-total=24 limits the cluster; start the autoscaler with -flags='--max-nodes-total=130'") {
		t.Errorf("said\n%s", logged)
	}
	// A group of containers does not take the templates of the hollow one.
	if err := s.Add(testContext(t), "web", 1, 2, Options{Machines: Docker}); err != nil || hollow.Is(s.group(t, "web")) {
		t.Errorf("Add() = %v, %v", err, s.group(t, "web").Object["spec"])
	}
	if err := s.Delete(testContext(t), "gpu"); err != nil || s.server.Get(hollow.Templates, "default", "gpu") != nil {
		t.Errorf("Delete() = %v, the template is %v", err, s.server.Get(hollow.Templates, "default", "gpu"))
	}
}

// TestZones: each zone has a group, because the autoscaler assumes that a group's nodes are alike.
func TestZones(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	if err := s.Add(testContext(t), "web", 0, 3, Options{Machines: Hollow, Zones: "eu-1,eu-2"}); err != nil {
		t.Fatal(err)
	}
	if got := s.names(); !slices.Equal(got, []string{"web-eu-1", "web-eu-2", "work-cluster-md-0"}) {
		t.Errorf("the groups are %v", got)
	}
	if spec, err := hollow.Read(t.Context(), s.cluster.Management, s.group(t, "web-eu-2")); err != nil || spec.Node.Zone != "eu-2" {
		t.Errorf("the nodes are in the zone %s, %v", spec.Node.Zone, err)
	}
	// No group has the name without a zone.
	for do, err := range map[string]error{
		"nodegroup:delete %s":       s.Delete(testContext(t), "web"),
		"nodegroup:set %s MIN MAX":  s.Set(testContext(t), "web", 1, 2, Changes{}),
		"nodegroup:set %s MIN MAX ": s.Set(testContext(t), "web", 1, 2, Changes{Change: hollow.Change{Capacity: "cpu=1,memory=1Gi"}}),
	} {
		first, second := fmt.Sprintf(strings.TrimSpace(do), "web-eu-1"), fmt.Sprintf(strings.TrimSpace(do), "web-eu-2")
		text := "there is no node group web, but one for each of its zones: web-eu-1, web-eu-2; type:\n  go tool mage " + first + "\n  go tool mage " + second
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %s", do, err, text)
		}
	}
	if err := s.Delete(testContext(t), "we"); !errors.As(err, new(*capi.MissingGroupError)) {
		t.Errorf("Delete() of what has no zones = %v", err)
	}
	// If one of the names is taken, nothing is made.
	if err := s.Add(testContext(t), "web", 0, 3, Options{Machines: Hollow, Zones: "eu-3,eu-2"}); err == nil || len(s.names()) != 3 {
		t.Errorf("Add() = %v; the groups are %v", err, s.names())
	}
}

// TestZoneThatFails: the error names the groups of other zones, which stay.
func TestZoneThatFails(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	refused := errors.New("refused")
	s.server.Intercept(func(r kubetest.Request) error {
		if r.Verb == "create" && r.Resource == "machinedeployments" && strings.Contains(string(r.Body), `"web-c"`) {
			return refused
		}
		return nil
	})
	err := s.Add(testContext(t), "web", 0, 3, Options{Machines: Hollow, Zones: "a,b,c"})
	const text = "These groups were made before, and stay: web-a, web-b. Before you type the same command again, type:\n  go tool mage nodegroup:delete web-a\n  go tool mage nodegroup:delete web-b"
	if err == nil || !strings.Contains(err.Error(), "refused") || !strings.HasSuffix(err.Error(), text) {
		t.Errorf("Add() = %v", err)
	}
}

// TestNothingWaitsForNodesThatNeverCome: the fixture has no controller that counts nodes of a
// group with failures.
func TestNothingWaitsForNodesThatNeverCome(t *testing.T) {
	t.Parallel()
	for _, change := range []hollow.Behaviour{{Fail: "10%"}, {Never: "1"}} {
		s := newFixture(t, nil)
		if err := s.Add(testContext(t), "web", 2, 3, Options{Machines: Hollow, Behaviour: change}); err != nil || !strings.Contains(s.lab.Logged.String(), "never become nodes") {
			t.Errorf("%+v: Add() = %v; said\n%s", change, err, s.lab.Logged)
		}
	}
}

func TestAClusterThatCannotHaveHollowMachinesKeepsItsGroups(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	s.refusal = errors.New("no right to create kinds")
	if err := s.Add(testContext(t), "web", 0, 3, Options{Machines: Hollow}); !errors.Is(err, s.refusal) || len(s.names()) != 1 {
		t.Errorf("Add() = %v; the groups are %v", err, s.names())
	}
}

func TestWrongHollowOptionsAreRefusedFirst(t *testing.T) {
	t.Parallel()
	g := &Groups{Lab: labtest.New(t, nil).Lab, Open: targettest.Closed(t)}
	for want, o := range map[string]Options{
		"-machines=vm: want docker or hollow":                                   {Machines: "vm"},
		"-zones=a,b: only hollow machines have that; want -machines=hollow":     {Machines: Docker, Zones: "a,b"},
		"-start=30s: only hollow machines have that":                            {Behaviour: hollow.Behaviour{Start: "30s"}},
		"-podfail=x: only hollow machines have that":                            {Behaviour: hollow.Behaviour{PodFail: "x"}},
		"-from=a: hollow machines have a template of their own":                 {Machines: Hollow, From: "a"},
		"-own: hollow machines have a template of their own":                    {Machines: Hollow, Own: true},
		"-zone=a and -zones=b: want one of them":                                {Machines: Hollow, Zone: "a", Zones: "b"},
		"-zones=a,: part 2 of the list":                                         {Machines: Hollow, Zones: "a,"},
		`labels: part 2 of the list "a=b,"`:                                     {Machines: Hollow, Labels: "a=b,"},
		`taints: part 1 of the list ",a:NoSchedule"`:                            {Machines: Hollow, Taints: ",a:NoSchedule"},
		`-capacity=cpu=1,,memory=1Gi: part 2 of the list`:                       {Machines: Hollow, Capacity: "cpu=1,,memory=1Gi"},
		"-late=60s,: want device names without empty parts after the time":      {Machines: Hollow, Capacity: "cpu=1,memory=1Gi,nvidia.com/gpu=1", Behaviour: hollow.Behaviour{Late: "60s,"}},
		"-untaint=0s,: want the taints after the time":                          {Machines: Hollow, Behaviour: hollow.Behaviour{Untaint: "0s,"}},
		`capacity: part 3 of the list`:                                          {Capacity: "cpu=1,memory=1Gi,"},
		"-zones=a,a: want different zones":                                      {Machines: Hollow, Zones: "a,a"},
		"-zones=a,A: want different zones":                                      {Machines: Hollow, Zones: "a,A"},
		"pods that select the control plane would be scheduled on hollow nodes": {Machines: Hollow, Labels: "node-role.kubernetes.io/control-plane="},
		`label "node-role.kubernetes.io/master"`:                                {Machines: Hollow, Labels: "node-role.kubernetes.io/master="},
		`node group "web-a_b": want a DNS label`:                                {Machines: Hollow, Zones: "A_b"},
		"-fail=101%: want a share of 0% to 100%":                                {Machines: Hollow, Behaviour: hollow.Behaviour{Fail: "101%"}},
		"-capacity=cpu=1: \"cpu=1\": want at least cpu and memory":              {Machines: Hollow, Capacity: "cpu=1"},
		"capacity \"nvidia.com/gpu=1\": want one of":                            {Capacity: "cpu=1,memory=1Gi,nvidia.com/gpu=1"},
	} {
		if err := g.Add(t.Context(), "web", 0, 3, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Add(%+v) = %v, want %q", o, err, want)
		}
	}
	if err := g.Set(t.Context(), "web", 3, 1, Changes{Change: hollow.Change{Behaviour: hollow.Behaviour{Fail: "x"}}}); err == nil || !strings.Contains(err.Error(), "-fail=x") || !strings.Contains(err.Error(), "minimum 3") {
		t.Errorf("Set() = %v", err)
	}
}

// TestLimitOfAllNodes: the autoscaler's limit counts every node of the cluster.
func TestLimitOfAllNodes(t *testing.T) {
	t.Parallel()
	machine := func(name, cluster, group string) string {
		return "---\n{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, metadata: {name: " + name + ", namespace: default, labels: {cluster.x-k8s.io/deployment-name: " + group + "}}, spec: {clusterName: " + cluster + "}}\n"
	}
	for highest, want := range map[int]string{22: "", 23: "! the groups allow 23 nodes, and the cluster has 2 others, but --max-nodes-total=24 limits the cluster"} {
		s := newFixture(t, nil)
		s.server.PutYAML(machine("control-plane", "work-cluster", `""`) + machine("static", "work-cluster", "md-1") +
			machine("counted", "work-cluster", "work-cluster-md-0") + machine("elsewhere", "another", `""`))
		if err := s.Set(testContext(t), "work-cluster-md-0", 1, highest, Changes{}); err != nil {
			t.Fatal(err)
		}
		if logged := s.lab.Logged.String(); !strings.Contains(logged, want) || want == "" && strings.Contains(logged, "max-nodes-total") {
			t.Errorf("want %q; said\n%s", want, logged)
		}
	}
}

func TestSetHollow(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	if err := s.Add(testContext(t), "gpu", 0, 3, Options{Machines: Hollow, Behaviour: hollow.Behaviour{Start: "30s"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(testContext(t), "gpu", 0, 9, Changes{Change: hollow.Change{Capacity: "cpu=2,memory=4Gi", Behaviour: hollow.Behaviour{Fail: "10%"}}}); err != nil {
		t.Fatal(err)
	}
	if logged := s.lab.Logged.String(); !strings.Contains(logged, "machines that gpu gets from now on have cpu=2,memory=4Gi, and: start=30s fail=10%") {
		t.Errorf("said\n%s", logged)
	}
	if _, highest := capi.Sizes(s.group(t, "gpu")); highest != "9" || s.group(t, "gpu").GetAnnotations()[release.CapacityPrefix+"cpu"] != "2" {
		t.Errorf("the group has %v", s.group(t, "gpu").GetAnnotations())
	}
	if err := s.Set(testContext(t), "work-cluster-md-0", 0, 9, Changes{Change: hollow.Change{Behaviour: hollow.Behaviour{Fail: "10%"}}}); err == nil || !strings.Contains(err.Error(), "work-cluster-md-0 has no hollow machines, so only MIN and MAX can change") {
		t.Errorf("Set() of a group of containers = %v", err)
	}
	if _, highest := capi.Sizes(s.group(t, "work-cluster-md-0")); highest != "" {
		t.Errorf("a refused change sets the maximum %s", highest)
	}
}

// TestReshape: the shape of the nodes can change too, but only that of hollow machines.
func TestReshape(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	if err := s.Add(testContext(t), "gpu", 0, 3, Options{Machines: Hollow, Labels: "tier=gpu"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(testContext(t), "gpu", 0, 3, Changes{Shape: hollow.Shape{Labels: "tier=web", Taints: "a=b:NoSchedule", Zone: "b"}}); err != nil {
		t.Fatal(err)
	}
	if got, want := s.group(t, "gpu").GetAnnotations()[release.CapacityPrefix+"labels"], "caslab.local/machines=hollow,tier=web,topology.kubernetes.io/zone=b"; got != want {
		t.Errorf("the autoscaler expects the labels %s, want %s", got, want)
	}
	if logged := s.lab.Logged.String(); !strings.Contains(logged, "Cluster API replaces the machines that gpu has") {
		t.Errorf("said\n%s", logged)
	}
	if err := s.Set(testContext(t), "gpu", 0, 3, Changes{Shape: hollow.Shape{Labels: "node-role.kubernetes.io/master=", Arch: "mips"}}); err == nil || !strings.Contains(err.Error(), "control plane") || !strings.Contains(err.Error(), "-arch=mips") {
		t.Errorf("wrong labels: %v", err)
	}
	if err := s.Set(testContext(t), "work-cluster-md-0", 0, 3, Changes{Shape: hollow.Shape{Labels: "tier=web"}}); err == nil || !strings.Contains(err.Error(), "work-cluster-md-0 has no hollow machines, so only MIN and MAX can change; for other nodes, add another group") {
		t.Errorf("a group of containers: %v", err)
	}
	// The API server of the fixture has no classes of devices.
	for _, err := range []error{
		s.Add(testContext(t), "dra", 0, 3, Options{Machines: Hollow, DRA: "gpu.example.com=4"}),
		s.Set(testContext(t), "gpu", 0, 3, Changes{Change: hollow.Change{DRA: "gpu.example.com=4"}}),
	} {
		if err == nil || !strings.Contains(err.Error(), "does not serve resource.k8s.io/v1") {
			t.Errorf("devices to claim: %v", err)
		}
	}
	if len(s.names()) != 2 {
		t.Errorf("the groups are %v", s.names())
	}
}

// TestOlderKinds: a cluster whose kinds an earlier lab defined drops fields. A group then stays as
// it is, and none is added.
func TestOlderKinds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		do func(s *fixture) error
	}{
		"set": {func(s *fixture) error {
			return s.Set(testContext(t), "gpu", 0, 3, Changes{Change: hollow.Change{Capacity: "cpu=2,memory=4Gi", CSI: "csi.example.com=4"}})
		}},
		"reshape": {func(s *fixture) error {
			return s.Set(testContext(t), "gpu", 0, 3, Changes{Shape: hollow.Shape{Zone: "b"}, Change: hollow.Change{CSI: "csi.example.com=4"}})
		}},
		"add": {func(s *fixture) error {
			return s.Add(testContext(t), "other", 0, 3, Options{Machines: Hollow, CSI: "csi.example.com=4"})
		}},
	} {
		s := newFixture(t, nil)
		if err := s.Add(testContext(t), "gpu", 0, 3, Options{Machines: Hollow}); err != nil {
			t.Fatal(err)
		}
		before, shape := s.group(t, "gpu").GetAnnotations(), s.server.Get(hollow.Templates, "default", "gpu").Object["spec"]
		s.server.Intercept(func(r kubetest.Request) error {
			if r.Verb == "get" && r.Resource == "hollowmachinetemplates" {
				s.server.Merge("server", hollow.Templates, r.Namespace, r.Name, map[string]any{
					"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"node": map[string]any{"volumeDrivers": nil}}}},
				})
			}
			return nil
		})
		pruned := new(capi.PrunedError)
		if err := tt.do(s); !errors.As(err, &pruned) || pruned.Field != "spec.template.spec.node.volumeDrivers" {
			t.Errorf("%s: %v", name, err)
		}
		if after := s.group(t, "gpu").GetAnnotations(); !maps.Equal(before, after) || len(s.names()) != 2 {
			t.Errorf("%s: the groups are %v, with %v", name, s.names(), after)
		}
		if left := s.server.List(hollow.Templates); len(left) != 1 || !reflect.DeepEqual(left[0].Object["spec"], shape) {
			t.Errorf("%s: the templates are %v", name, left)
		}
	}
}

// TestKindsAreUpdatedBeforeAChange: the cluster may have the kinds of an earlier lab.
func TestKindsAreUpdatedBeforeAChange(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	if err := s.Add(testContext(t), "gpu", 0, 3, Options{Machines: Hollow}); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(testContext(t), "gpu", 0, 3, Changes{Change: hollow.Change{CSI: "csi.example.com=4"}}); err != nil || s.prepared != 2 {
		t.Errorf("Set() = %v; the cluster was prepared %d times", err, s.prepared)
	}
}

// TestDevicesNobodyServes: a cluster that has no API of devices is refused before anything is
// installed in it.
func TestDevicesNobodyServes(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	err := s.Add(testContext(t), "gpu", 0, 3, Options{Machines: Hollow, DRA: "gpu.example.com=4"})
	if err == nil || !strings.Contains(err.Error(), "Kubernetes has it since v1.34") || s.prepared != 0 {
		t.Errorf("Add() = %v; the cluster was prepared %d times", err, s.prepared)
	}
}

// TestRefusedChangeDefinesNothing: a change is checked as a whole before a class of devices is
// created.
func TestRefusedChangeDefinesNothing(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	s.server.Define(kube.DeviceClasses.WithVersion(kube.DevicesVersion))
	if err := s.Add(testContext(t), "gpu", 0, 3, Options{Machines: Hollow}); err != nil {
		t.Fatal(err)
	}
	err := s.Set(testContext(t), "gpu", 0, 3, Changes{Change: hollow.Change{DRA: "gpu.example.com=4", Behaviour: hollow.Behaviour{Late: "60s,nic.example.com"}}})
	if classes := s.server.List(kube.DeviceClasses); err == nil || !strings.Contains(err.Error(), "nic.example.com is no device") || len(classes) > 0 {
		t.Errorf("Set() = %v; the classes %v were created", err, classes)
	}
	closed := &Groups{Lab: s.lab.Lab, Open: targettest.Closed(t)}
	if err := closed.Set(t.Context(), "gpu", 0, 3, Changes{Change: hollow.Change{Behaviour: hollow.Behaviour{Late: "soon"}}}); err == nil || !strings.Contains(err.Error(), "-late=soon: ") {
		t.Errorf("a wrong time: %v", err)
	}
}
