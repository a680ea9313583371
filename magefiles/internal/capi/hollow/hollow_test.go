package hollow

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

// everything has every option once.
var everything = struct {
	shape  Shape
	change Change
}{
	Shape{Labels: "tier=gpu,node-role.kubernetes.io/gpu=", Taints: "dedicated=gpu:NoSchedule", Zone: "a", Arch: "arm64", InstanceType: "g5.xlarge"},
	Change{
		Capacity: "cpu=7500m,memory=32Gi,ephemeral-disk=100Gi,maxPods=64,hugepages-2Mi=64Mi,gpu-type=nvidia.com/gpu,gpu-count=4,example.com/nic=2", DRA: "gpu.example.com=4", CSI: "ebs.csi.aws.com=25", Behaviour: Behaviour{Start: "30s+-10s", Ready: "5s", Stop: "1m", Fail: "10%", Never: "3", Late: "60s,nvidia.com/gpu,gpu.example.com", Untaint: "20s,example.com/agent:NoSchedule",
			PodStart: "2s±1s", PodFail: "5%", Seed: "-7",
		},
	},
}

func TestNew(t *testing.T) {
	t.Parallel()
	s, err := New(everything.shape, everything.change)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := s.fields()
	if err != nil {
		t.Fatal(err)
	}
	got, err := yaml.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	const want = `lifecycle:
  fail: 10%
  lateAfter: 1m0s
  never: 3
  ready: 5s
  seed: -7
  start: 30s
  startJitter: 10s
  stop: 1m0s
  untaint: 20s
node:
  architecture: arm64
  capacity:
    cpu: 7500m
    ephemeral-storage: 100Gi
    example.com/nic: "2"
    hugepages-2Mi: 64Mi
    memory: 32Gi
    pods: "64"
  deviceDrivers:
  - devices: 4
    late: true
    name: gpu.example.com
  instanceType: g5.xlarge
  labels:
    node-role.kubernetes.io/gpu: ""
    tier: gpu
  late:
    nvidia.com/gpu: "4"
  startupTaints:
  - effect: NoSchedule
    key: example.com/agent
  taints:
  - effect: NoSchedule
    key: dedicated
    value: gpu
  volumeDrivers:
  - name: ebs.csi.aws.com
    volumes: 25
  zone: a
pods:
  fail: 5%
  start: 2s
  startJitter: 1s
`
	if string(got) != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got, want := s.Behaviour(), "start=30s±10s ready=5s stop=1m fail=10% never=3 late=1m,nvidia.com/gpu,gpu.example.com untaint=20s,example.com/agent:NoSchedule podstart=2s±1s podfail=5% seed=-7"; got != want {
		t.Errorf("it does %s\nwant %s", got, want)
	}
	if got, want := s.Capacity(), "cpu=7500m,ephemeral-storage=100Gi,example.com/nic=2,hugepages-2Mi=64Mi,memory=32Gi,nvidia.com/gpu=4,pods=64"; got != want {
		t.Errorf("it has %s\nwant %s", got, want)
	}
}

// TestNothing: without options a node has a common size, and everything happens at once.
func TestNothing(t *testing.T) {
	t.Parallel()
	s, err := New(Shape{}, Change{})
	if err != nil || s.Behaviour() != "" || s.Capacity() != DefaultCapacity {
		t.Errorf("New() = %s, %q, %v", s.Capacity(), s.Behaviour(), err)
	}
	fields, err := s.fields()
	if keys := slices.Collect(maps.Keys(fields)); err != nil || !slices.Equal(keys, []string{"node"}) {
		t.Errorf("the template has %v, %v", keys, err)
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Change{
		`-capacity=cpu=4: "cpu=4": want at least cpu and memory`:                                      {Capacity: "cpu=4"},
		"-capacity=cpu=4,memory=1X: \"memory=1X\": want a quantity":                                   {Capacity: "cpu=4,memory=1X"},
		"-capacity=cpu=0,memory=1Gi: \"cpu=0\": want a quantity above 0":                              {Capacity: "cpu=0,memory=1Gi"},
		"\"disk=1\": want cpu, memory, pods":                                                          {Capacity: "cpu=1,memory=1Gi,disk=1"},
		"\"gpu=1\": want cpu, memory, pods":                                                           {Capacity: "cpu=1,memory=1Gi,gpu=1"},
		"\"x.kubernetes.io/y=1\": want cpu":                                                           {Capacity: "cpu=1,memory=1Gi,x.kubernetes.io/y=1"},
		"\"hugepages-x=1\": want cpu":                                                                 {Capacity: "cpu=1,memory=1Gi,hugepages-x=1"},
		"\"hugepages-2Mi=3Mi\": want a multiple of the page size 2Mi":                                 {Capacity: "cpu=1,memory=1Gi,hugepages-2Mi=3Mi"},
		"\"a.b/c=500m\": want a whole number":                                                         {Capacity: "cpu=1,memory=1Gi,a.b/c=500m"},
		"\"cpu=2\": cpu is there twice":                                                               {Capacity: "cpu=1,memory=1Gi,cpu=2"},
		"gpu-type=,gpu-count=4: want cpu":                                                             {Capacity: "cpu=1,memory=1Gi,gpu-count=4"},
		"-start=soon: want a time":                                                                    {Behaviour: Behaviour{Start: "soon"}},
		"-start=5s±6s: want at most ±5s":                                                              {Behaviour: Behaviour{Start: "5s±6s"}},
		"-start=-1s: want a time from 0s to 24h":                                                      {Behaviour: Behaviour{Start: "-1s"}},
		"-ready=25h: want a time from 0s to 24h":                                                      {Behaviour: Behaviour{Ready: "25h"}},
		"-stop=1s±1s: want a time, such as 30s":                                                       {Behaviour: Behaviour{Stop: "1s±1s"}},
		"-fail=101%: want a share of 0% to 100%":                                                      {Behaviour: Behaviour{Fail: "101%"}},
		"-fail=-1: want a share of 0% to 100%, such as 10%, or a number of machines from 0 to 100000": {Behaviour: Behaviour{Fail: "-1"}},
		"-never=1.5: want a share":                                                                    {Behaviour: Behaviour{Never: "1.5"}},
		"-fail=60% and -never=41%: want at most 100% together":                                        {Behaviour: Behaviour{Fail: "60%", Never: "41%"}},
		"-podfail=3: want a share of 0% to 100%":                                                      {Behaviour: Behaviour{PodFail: "3"}},
		"-ready=1us: want a time from 0s to 24h, in whole milliseconds":                               {Behaviour: Behaviour{Ready: "1us"}},
		"-never=100001: want a share":                                                                 {Behaviour: Behaviour{Never: "100001"}},
		"-seed=x: want a whole number":                                                                {Behaviour: Behaviour{Seed: "x"}},
		"-late=60s: the capacity cpu=4,memory=16Gi,pods=110 has no device":                            {Behaviour: Behaviour{Late: "60s"}},
		"-late=nvidia.com/gpu: want a time, such as 30s or 1m30s, and after it":                       {Behaviour: Behaviour{Late: "nvidia.com/gpu"}},
		"-late=60s,memory: memory is no device of the capacity":                                       {Behaviour: Behaviour{Late: "60s,memory"}},
		"-untaint=30s: want the taints after the time":                                                {Behaviour: Behaviour{Untaint: "30s"}},
		"-untaint=a:NoSchedule: want a time, such as 30s or 1m30s; want a time and":                   {Behaviour: Behaviour{Untaint: "a:NoSchedule"}},
		"-untaint=30s,a:Never: taint \"a:Never\": want key=value:Effect with the effect":              {Behaviour: Behaviour{Untaint: "30s,a:Never"}},
	} {
		if s, err := New(Shape{}, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v) = %s, %s, %v; want %q", c, s.Capacity(), s.Behaviour(), err, want)
		}
	}
	for want, o := range map[string]Shape{
		"label \"a b=c\"": {Labels: "a b=c"},
		"label \"topology.kubernetes.io/zone\": -zone sets it": {Labels: "topology.kubernetes.io/zone=a"},
		"label \"caslab.local/machines\": it is hollow":        {Labels: "caslab.local/machines=docker"},
		"taint \"a=b\"":                                        {Taints: "a=b"},
		"-zone=a b: want the value of a label":                 {Zone: "a b"},
		"-arch=mips: want one of amd64, arm64, ppc64le, s390x": {Arch: "mips"},
	} {
		if _, err := New(o, Change{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v) = %v, want %q", o, err, want)
		}
	}
	_, err := New(Shape{Taints: "x"}, Change{Behaviour: Behaviour{Fail: "x", Seed: "x"}})
	for _, want := range []string{"taint", "-fail=x", "-seed=x"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v has no %q: all wrong options are named at once", err, want)
		}
	}
}

const cluster = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: work-md-0, namespace: default}
spec:
  clusterName: work
  template:
    spec:
      bootstrap: {configRef: {apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfigTemplate, name: work-md-0}}
      infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: DevMachineTemplate, name: work-md-0}
`

func newServer(t *testing.T) *kubetest.Server {
	t.Helper()
	return kubetest.New(t, []schema.GroupVersionKind{kube.MachineDeployments.WithVersion("v1beta2"), kube.Machines.WithVersion("v1beta2"), Templates.WithVersion(version)}, cluster)
}

func made(t *testing.T, server *kubetest.Server, o Shape, c Change) *unstructured.Unstructured {
	t.Helper()
	s, err := New(o, c)
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.Group(capi.NodeGroup{Name: "gpu", Namespace: "default", ClusterName: "work", Prefix: release.SizePrefix, Min: 0, Max: 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Add(t.Context(), server.Client()); err != nil {
		t.Fatal(err)
	}
	return server.Get(kube.MachineDeployments, "default", "gpu")
}

// announced returns what the annotations of a group tell the autoscaler.
func announced(g *unstructured.Unstructured) string {
	var parts []string
	for key, value := range g.GetAnnotations() {
		if what, ok := strings.CutPrefix(key, release.CapacityPrefix); ok {
			parts = append(parts, what+"="+value)
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

func TestGroup(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change Change
		want   string
	}{
		"one device":  {Change{Capacity: "cpu=8,memory=32Gi,pods=30,nvidia.com/gpu=4,ephemeral-storage=1Gi", Behaviour: Behaviour{Late: "60s"}}, "cpu=8 ephemeral-disk=1Gi gpu-count=4 gpu-type=nvidia.com/gpu labels=caslab.local/machines=hollow,topology.kubernetes.io/zone=a maxPods=30 memory=32Gi taints=a=b:NoSchedule"},
		"two devices": {Change{Capacity: "cpu=8,memory=32Gi,a.b/c=1,a.b/d=1"}, "cpu=8 labels=caslab.local/machines=hollow,topology.kubernetes.io/zone=a memory=32Gi taints=a=b:NoSchedule"},
	} {
		server := newServer(t)
		g := made(t, server, Shape{Zone: "a", Taints: "a=b:NoSchedule"}, tc.change)
		if got := announced(g); got != tc.want {
			t.Errorf("%s: announced\n%s\nwant\n%s", name, got, tc.want)
		}
		if !Is(g) || kube.Field(g, "spec", "template", "spec", "infrastructureRef", "name") != "gpu" || kube.Field(g, "spec", "template", "spec", "bootstrap", "configRef") != "" {
			t.Errorf("%s: the machines are %v", name, g.Object["spec"])
		}
		if s, err := Read(t.Context(), server.Client(), g); err != nil || s.Node.Zone != "a" {
			t.Errorf("%s: Read() = %+v, %v", name, s, err)
		}
	}
}

// TestSet: a change replaces what it names and keeps the rest. The annotations change with the
// capacity.
func TestSet(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	g := made(t, server, everything.shape, everything.change)
	for _, step := range []struct {
		change              Change
		capacity, behaviour string
	}{
		{Change{Behaviour: Behaviour{Fail: "0", Start: "5s", Untaint: "0s"}}, "cpu=7500m,ephemeral-storage=100Gi,example.com/nic=2,hugepages-2Mi=64Mi,memory=32Gi,nvidia.com/gpu=4,pods=64", "start=5s ready=5s stop=1m never=3 late=1m,nvidia.com/gpu,gpu.example.com podstart=2s±1s podfail=5% seed=-7"},
		{Change{Capacity: "cpu=2,memory=4Gi,nvidia.com/gpu=8"}, "cpu=2,memory=4Gi,nvidia.com/gpu=8", "start=5s ready=5s stop=1m never=3 late=1m,nvidia.com/gpu,gpu.example.com podstart=2s±1s podfail=5% seed=-7"},
		{Change{Behaviour: Behaviour{Late: "0s", Ready: "0s", PodStart: "0s", PodFail: "0%", Never: "0%", Stop: "0s", Seed: "0"}}, "cpu=2,memory=4Gi,nvidia.com/gpu=8", "start=5s"},
	} {
		if _, err := Set(t.Context(), server.Client(), g, Shape{}, step.change); err != nil {
			t.Fatal(err)
		}
		s, err := Read(t.Context(), server.Client(), g)
		if err != nil || s.Capacity() != step.capacity || s.Behaviour() != step.behaviour {
			t.Errorf("after %+v it has %s and does %s, %v\nwant %s and %s", step.change, s.Capacity(), s.Behaviour(), err, step.capacity, step.behaviour)
		}
	}
	const want = "cpu=2 csi-driver=ebs.csi.aws.com=25 dra-driver=gpu.example.com gpu-count=4 labels=caslab.local/machines=hollow,kubernetes.io/arch=arm64,node-role.kubernetes.io/gpu=,node.kubernetes.io/instance-type=g5.xlarge,tier=gpu,topology.kubernetes.io/zone=a memory=4Gi taints=dedicated=gpu:NoSchedule"
	if got := announced(server.Get(kube.MachineDeployments, "default", "gpu")); got != want {
		t.Errorf("announced\n%s\nwant\n%s", got, want)
	}
	if _, err := Set(t.Context(), server.Client(), g, Shape{}, Change{Behaviour: Behaviour{Fail: "x"}}); err == nil {
		t.Error("a wrong option is set")
	}
}

// TestRefusedShape: a template that its group does not get is deleted.
func TestRefusedShape(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	g := made(t, server, Shape{Zone: "a"}, Change{})
	refused := errors.New("refused")
	server.Intercept(func(r kubetest.Request) error {
		if r.Verb == "patch" && r.Resource == "machinedeployments" {
			return refused
		}
		return nil
	})
	_, err := Set(t.Context(), server.Client(), g, Shape{Zone: "b"}, Change{})
	templates := server.List(Templates)
	if err == nil || len(templates) != 1 || templates[0].GetName() != "gpu" || server.Count("create", "hollowmachinetemplates") != 2 {
		t.Errorf("Set() = %v; %d templates are there, and %d were created", err, len(templates), server.Count("create", "hollowmachinetemplates"))
	}
}

func TestZones(t *testing.T) {
	t.Parallel()
	if zones, err := ParseZones("a, b,c"); err != nil || !slices.Equal(zones, []string{"a", "b", "c"}) {
		t.Errorf("ParseZones() = %v, %v", zones, err)
	}
	for _, text := range []string{"", ",", "a,b,a"} {
		if zones, err := ParseZones(text); err == nil {
			t.Errorf("ParseZones(%q) = %v", text, zones)
		}
	}
	if got := InZone("gpu", "EU-1"); got != "gpu-eu-1" {
		t.Errorf("InZone() = %s", got)
	}
}

// FuzzOptions: what is accepted is written so that it is read back as the same.
func FuzzOptions(f *testing.F) {
	f.Add("30s±10s")
	f.Add("30s+-10s")
	f.Add("10%")
	f.Add("3")
	f.Add("cpu=8,memory=32Gi,nvidia.com/gpu=4,hugepages-2Mi=4Mi")
	f.Add("60s,nvidia.com/gpu")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parseSpan(text); err == nil {
			if again, err := parseSpan(s.String()); err != nil || again != s {
				t.Errorf("the time %q is written %s and read back as %v, %v", text, s, again, err)
			}
		}
		if share, err := parseShare(text); err == nil && share != nil {
			if again, err := parseShare(share.String()); err != nil || *again != *share {
				t.Errorf("the share %q is written %s and read back as %v, %v", text, share, again, err)
			}
			if p := percentOf(share); p < 0 || p > 100 {
				t.Errorf("the share %q is %d%%", text, p)
			}
		}
		if capacity, err := parseCapacity(text); err == nil {
			again, err := parseCapacity(textOf(capacity))
			if err != nil || textOf(again) != textOf(capacity) {
				t.Errorf("the capacity %q is written %s and read back as %s, %v", text, textOf(capacity), textOf(again), err)
			}
		}
		var s Spec
		if s.Apply(Change{Capacity: "cpu=1,memory=1Gi,a.b/c=1,a.b/d=2", Behaviour: Behaviour{Late: text}}) == nil && s.Capacity() != "a.b/c=1,a.b/d=2,cpu=1,memory=1Gi" {
			t.Errorf("-late=%s changes the capacity to %s", text, s.Capacity())
		}
		_ = s.Apply(Change{Behaviour: Behaviour{Untaint: text}})
	})
}
