package hollow

import (
	"errors"
	"maps"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

// TestDrivers: the text of the drivers of a group can be read again, and drivers can be replaced
// and removed. A driver whose devices come late keeps that.
func TestDrivers(t *testing.T) {
	t.Parallel()
	s, err := New(Shape{}, Change{DRA: "gpu.example.com=4, nic.example.com=1", CSI: "csi.example.com=25,nfs.example.com=0", Behaviour: Behaviour{Late: "60s,nic.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		change             Change
		drivers, behaviour string
	}{
		{Change{}, "dra=gpu.example.com=4,nic.example.com=1 csi=csi.example.com=25,nfs.example.com=0", "late=1m,nic.example.com"},
		{Change{DRA: "nic.example.com=2,fpga.example.com=1"}, "dra=nic.example.com=2,fpga.example.com=1 csi=csi.example.com=25,nfs.example.com=0", "late=1m,nic.example.com"},
		{Change{Behaviour: Behaviour{Late: "5s"}}, "dra=nic.example.com=2,fpga.example.com=1 csi=csi.example.com=25,nfs.example.com=0", "late=5s,nic.example.com,fpga.example.com"},
		{Change{CSI: "none", Behaviour: Behaviour{Late: "0s"}}, "dra=nic.example.com=2,fpga.example.com=1", ""},
		{Change{DRA: "none"}, "", ""},
	} {
		if err := s.Apply(step.change); err != nil || s.Drivers() != step.drivers || s.Behaviour() != step.behaviour {
			t.Errorf("after %+v: %s, and %s, %v; want %s, and %s", step.change, s.Drivers(), s.Behaviour(), err, step.drivers, step.behaviour)
		}
	}
}

func TestBadDrivers(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Change{
		"-dra=gpu=: \"gpu=\": want a name and a number from 1 to 128":                           {DRA: "gpu="},
		"-dra=gpu.example.com=0: \"gpu.example.com=0\": want a name and a number from 1 to 128": {DRA: "gpu.example.com=0"},
		"-dra=gpu.example.com=129: ":                                                  {DRA: "gpu.example.com=129"},
		"-dra=GPU=1: \"GPU\": want the name of a driver":                              {DRA: "GPU=1"},
		"-dra=a=1,a=2: a is there twice":                                              {DRA: "a=1,a=2"},
		"-dra=a=1,: part 2 of the list":                                               {DRA: "a=1,"},
		"-dra=a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1: want at most 8 drivers":            {DRA: "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1"},
		"-csi=ebs=-1: \"ebs=-1\": want a name and a number from 0 to 1048576":         {CSI: "ebs=-1"},
		"-late=60s,b: b is no device of the capacity cpu=4,memory=16Gi,pods=110, and": {DRA: "a=1", Behaviour: Behaviour{Late: "60s,b"}},
		"\"dra-driver=a\": give hollow nodes devices for ResourceClaims with -dra":    {Capacity: "cpu=1,memory=1Gi,dra-driver=a"},
		"\"csi-driver=a=5\": give hollow nodes CSI drivers with -csi":                 {Capacity: "cpu=1,memory=1Gi,csi-driver=a=5"},
	} {
		if s, err := New(Shape{}, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v) = %s, %v; want %q", c, s.Drivers(), err, want)
		}
	}
}

// TestAnnouncedDrivers: the autoscaler reads one driver of devices from annotations, and no
// device of the same name as a resource of the node.
func TestAnnouncedDrivers(t *testing.T) {
	t.Parallel()
	for drivers, want := range map[string]string{
		"gpu.example.com=4": "cpu=1 csi-driver=csi.example.com=25 dra-driver=gpu.example.com gpu-count=4 labels=caslab.local/machines=hollow memory=1Gi",
		"a=1,b=2":           "cpu=1 csi-driver=csi.example.com=25 gpu-count=8 gpu-type=nvidia.com/gpu labels=caslab.local/machines=hollow memory=1Gi",
		none:                "cpu=1 csi-driver=csi.example.com=25 gpu-count=8 gpu-type=nvidia.com/gpu labels=caslab.local/machines=hollow memory=1Gi",
	} {
		server := newServer(t)
		g := made(t, server, Shape{}, Change{Capacity: "cpu=1,memory=1Gi,nvidia.com/gpu=8", CSI: "csi.example.com=25", DRA: drivers})
		if got := announced(g); got != want {
			t.Errorf("%s: announced\n%s\nwant\n%s", drivers, got, want)
		}
		if _, err := Set(t.Context(), server.Client(), g, Shape{}, Change{DRA: "x=9", CSI: none}); err != nil {
			t.Fatal(err)
		}
		const after = "cpu=1 dra-driver=x gpu-count=9 labels=caslab.local/machines=hollow memory=1Gi"
		if got := announced(server.Get(kube.MachineDeployments, "default", "gpu")); got != after {
			t.Errorf("%s: then announced\n%s\nwant\n%s", drivers, got, after)
		}
	}
}

// TestShapeOfAnExistingGroup: another shape needs another template, so that Cluster API replaces
// the machines. All templates go with the group.
func TestShapeOfAnExistingGroup(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	g := made(t, server, everything.shape, everything.change)
	first := capi.MachineTemplateName(g)
	if _, err := Set(t.Context(), server.Client(), g, Shape{Labels: "tier=web", Taints: none, Zone: "b"}, Change{Behaviour: Behaviour{Start: "1s"}}); err != nil {
		t.Fatal(err)
	}
	g = server.Get(kube.MachineDeployments, "default", "gpu")
	second := capi.MachineTemplateName(g)
	if second == first || !strings.HasPrefix(second, "gpu-") || server.Get(Templates, "default", second).GetLabels()[capi.GroupLabel] != "gpu" {
		t.Fatalf("the machines are of the template %s, after %s", second, first)
	}
	s, err := Read(t.Context(), server.Client(), g)
	if err != nil || !maps.Equal(s.Node.Labels, map[string]string{"tier": "web"}) || len(s.Node.Taints) > 0 || s.Node.Zone != "b" || s.Node.InstanceType != "g5.xlarge" || s.Lifecycle.Start.Seconds() != 1 {
		t.Errorf("the nodes are %+v, %v", s.Node, err)
	}
	if got := announced(g); !strings.Contains(got, "labels=caslab.local/machines=hollow,kubernetes.io/arch=arm64,node.kubernetes.io/instance-type=g5.xlarge,tier=web,topology.kubernetes.io/zone=b") || strings.Contains(got, "taints=") {
		t.Errorf("announced %s", got)
	}
	// Machines that exist have the shape of the earlier template.
	if fields := server.Get(Templates, "default", first); kube.Field(fields, "spec", "template", "spec", "node", "zone") != "a" {
		t.Errorf("the earlier template is %v", fields)
	}
	if _, err := Set(t.Context(), server.Client(), g, Shape{}, Change{Behaviour: Behaviour{Start: "2s"}}); err != nil || capi.MachineTemplateName(server.Get(kube.MachineDeployments, "default", "gpu")) != second {
		t.Errorf("a change of the behaviour makes another template: %v", err)
	}
	if err := capi.DeleteGroup(t.Context(), server.Client(), "default", "work", "gpu", release.SizePrefix, nil); err != nil {
		t.Fatal(err)
	}
	if left := server.List(Templates); len(left) > 0 {
		t.Errorf("%d templates are left", len(left))
	}
}

// TestClasses: a class that somebody else created stays.
func TestClasses(t *testing.T) {
	t.Parallel()
	s, err := New(Shape{}, Change{DRA: "gpu.example.com=4,nic.example.com=1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DefineClasses(t.Context(), newServer(t).Client()); err == nil || !strings.Contains(err.Error(), "Kubernetes has it since v1.34") {
		t.Errorf("a cluster without the API: %v", err)
	}
	server := kubetest.New(t, []schema.GroupVersionKind{kube.DeviceClasses.WithVersion(kube.DevicesVersion)}, `{apiVersion: resource.k8s.io/v1, kind: DeviceClass, metadata: {name: nic.example.com}, spec: {}}`)
	for range 2 {
		if err := s.DefineClasses(t.Context(), server.Client()); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(server.List(kube.DeviceClasses)); got != 2 {
		t.Errorf("there are %d classes", got)
	}
	selectors := kube.Field(server.Get(kube.DeviceClasses, "", "gpu.example.com"), "spec", "selectors")
	if !strings.Contains(selectors, `device.driver == "gpu.example.com"`) {
		t.Errorf("the class selects %s", selectors)
	}
	for range 2 {
		if err := RemoveClasses(t.Context(), server.Client()); err != nil {
			t.Fatal(err)
		}
	}
	if left := server.List(kube.DeviceClasses); len(left) != 1 || left[0].GetName() != "nic.example.com" {
		t.Errorf("the classes %v are left", left)
	}
	if err := RemoveClasses(t.Context(), newServer(t).Client()); err != nil {
		t.Errorf("a cluster without the API: %v", err)
	}
}

// TestClassesThatExistNeedNoRights: somebody else may create the classes.
func TestClassesThatExistNeedNoRights(t *testing.T) {
	t.Parallel()
	s, err := New(Shape{}, Change{DRA: "gpu.example.com=4"})
	if err != nil {
		t.Fatal(err)
	}
	server := kubetest.New(t, []schema.GroupVersionKind{kube.DeviceClasses.WithVersion(kube.DevicesVersion)}, `{apiVersion: resource.k8s.io/v1, kind: DeviceClass, metadata: {name: gpu.example.com}, spec: {}}`)
	server.Intercept(func(r kubetest.Request) error {
		if r.Verb == "create" {
			return apierrors.NewForbidden(schema.GroupResource{Resource: r.Resource}, "", errors.New("no right"))
		}
		return nil
	})
	if err := s.DefineClasses(t.Context(), server.Client()); err != nil {
		t.Errorf("a class that exists: %v", err)
	}
	server.Remove(kube.DeviceClasses, "", "gpu.example.com")
	if err := s.DefineClasses(t.Context(), server.Client()); !apierrors.IsForbidden(err) {
		t.Errorf("a class that does not exist: %v", err)
	}
}
