package capi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

var (
	bootstrapKind = schema.GroupKind{Group: "bootstrap.cluster.x-k8s.io", Kind: "KubeadmConfigTemplate"}
	machineKind   = schema.GroupKind{Group: "infrastructure.cluster.x-k8s.io", Kind: "DevMachineTemplate"}
)

// store has the objects that env:up creates, as far as node groups need them.
const store = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata:
  name: work-md-0
  namespace: default
  labels: {cluster.x-k8s.io/cluster-name: work}
spec:
  clusterName: work
  replicas: 1
  selector: {matchLabels: {cluster.x-k8s.io/deployment-name: work-md-0}}
  template:
    metadata: {labels: {cluster.x-k8s.io/deployment-name: work-md-0}}
    spec:
      clusterName: work
      version: v1.36.1
      bootstrap:
        configRef: {apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfigTemplate, name: work-md-0}
      infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: DevMachineTemplate, name: work-md-0}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: another, namespace: default}
spec: {clusterName: other}
---
apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
kind: KubeadmConfigTemplate
metadata: {name: work-md-0, namespace: default}
spec:
  template:
    spec:
      joinConfiguration:
        nodeRegistration:
          kubeletExtraArgs: [{name: eviction-hard, value: nodefs.available<0%}]
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: DevMachineTemplate
metadata: {name: work-md-0, namespace: default}
spec: {template: {spec: {backend: {docker: {customImage: caslab.local/node:x}}}}}
`

func group(name string) NodeGroup {
	return NodeGroup{Name: name, Namespace: "default", ClusterName: "work", Prefix: release.SizePrefix, Min: 1, Max: 4}
}

var kinds = []schema.GroupVersionKind{
	kube.MachineDeployments.WithVersion("v1beta2"), kube.Machines.WithVersion("v1beta2"),
	bootstrapKind.WithVersion("v1beta2"), machineKind.WithVersion("v1beta2"),
	kube.Clusters.WithVersion("v1beta2"), kube.Nodes.WithVersion("v1"),
}

func must(t *testing.T, c *kube.Client, kind schema.GroupKind, name string) *unstructured.Unstructured {
	t.Helper()
	o, err := c.Get(t.Context(), kind, "default", name)
	if err != nil {
		t.Fatalf("%s %s: %v", kind.Kind, name, err)
	}
	return o
}

func names(t *testing.T, c *kube.Client, kind schema.GroupKind) []string {
	t.Helper()
	all, err := c.List(t.Context(), kind, "default")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range all {
		names = append(names, all[i].GetName())
	}
	slices.Sort(names)
	return names
}

func TestAddShared(t *testing.T) {
	t.Parallel()
	c := kubetest.New(t, kinds, store).Client()
	if err := group("work-md-1").Add(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	g := must(t, c, kube.MachineDeployments, "work-md-1")
	if lowest, highest := Sizes(g); lowest != "1" || highest != "4" {
		t.Errorf("limits %s to %s, want 1 to 4", lowest, highest)
	}
	for path, want := range map[string]string{
		"spec.replicas": "1", "spec.clusterName": "work", "spec.template.spec.version": "v1.36.1",
		"spec.template.spec.infrastructureRef.name":   "work-md-0",
		"spec.template.spec.bootstrap.configRef.name": "work-md-0",
	} {
		if got := kube.Field(g, strings.Split(path, ".")...); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	selector, _, _ := unstructured.NestedStringMap(g.Object, "spec", "selector", "matchLabels")
	labels, _, _ := unstructured.NestedStringMap(g.Object, "spec", "template", "metadata", "labels")
	want := map[string]string{"cluster.x-k8s.io/cluster-name": "work", "cluster.x-k8s.io/deployment-name": "work-md-1"}
	if !maps.Equal(selector, want) || !maps.Equal(labels, want) {
		t.Errorf("selects %v and labels %v, want %v", selector, labels, want)
	}
	if left := must(t, c, kube.MachineDeployments, "work-md-0"); kube.Field(left, "spec", "template", "metadata", "labels", "cluster.x-k8s.io/deployment-name") != "work-md-0" {
		t.Errorf("the group that was copied changed: %v", left.Object)
	}
	var taken *TakenError
	if err := group("work-md-1").Add(t.Context(), c); !errors.As(err, &taken) {
		t.Errorf("adding it twice: %v", err)
	}
}

// TestExtraLabelsReachMachines: MachineSets and Machines get their labels from the machine template.
// An autoscaler that discovers groups by a label takes no node whose Machine lacks it.
func TestExtraLabelsReachMachines(t *testing.T) {
	t.Parallel()
	c := kubetest.New(t, kinds, store).Client()
	g := group("measured")
	g.Extra = map[string]string{"caslab.local/measured": "true"}
	if err := g.Add(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	o := must(t, c, kube.MachineDeployments, "measured")
	if value := o.GetLabels()["caslab.local/measured"]; value != "true" {
		t.Errorf("the MachineDeployment has the label %q", value)
	}
	labels, _, _ := unstructured.NestedStringMap(o.Object, "spec", "template", "metadata", "labels")
	if labels["caslab.local/measured"] != "true" || labels["cluster.x-k8s.io/deployment-name"] != "measured" {
		t.Errorf("the machine template has the labels %v", labels)
	}
}

func TestAddOwn(t *testing.T) {
	t.Parallel()
	c := kubetest.New(t, kinds, store).Client()
	g := group("gpu")
	g.Own, g.Min = true, 0
	g.Labels = map[string]string{"tier": "gpu", "a": "b"}
	g.Taints = []Taint{{"dedicated", "gpu", "NoSchedule"}, {Key: "slow", Effect: "PreferNoSchedule"}}
	g.Capacity = map[string]string{"cpu": "4", "memory": "16Gi"}
	if err := g.Add(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	md := must(t, c, kube.MachineDeployments, "gpu")
	for key, want := range map[string]string{
		"cpu": "4", "memory": "16Gi", "labels": "a=b,tier=gpu", "taints": "dedicated=gpu:NoSchedule,slow:PreferNoSchedule",
	} {
		if got := md.GetAnnotations()[release.CapacityPrefix+key]; got != want {
			t.Errorf("capacity annotation %s is %q, want %q", key, got, want)
		}
	}
	if kube.Field(md, "spec", "replicas") != "0" {
		t.Errorf("it begins with %s replicas", kube.Field(md, "spec", "replicas"))
	}
	for _, ref := range [][]string{machineRef, bootstrapRef} {
		if _, name := reference(md, ref); name != "gpu" {
			t.Errorf("%v names %s", ref, name)
		}
	}
	bootstrap := must(t, c, bootstrapKind, "gpu")
	registration, _, _ := unstructured.NestedMap(bootstrap.Object, "spec", "template", "spec", "joinConfiguration", "nodeRegistration")
	args := fmt.Sprint(registration["kubeletExtraArgs"])
	if !strings.Contains(args, "name:node-labels value:a=b,tier=gpu") || !strings.Contains(args, "eviction-hard") {
		t.Errorf("kubelet arguments %s", args)
	}
	if taints := fmt.Sprint(registration["taints"]); !strings.Contains(taints, "effect:NoSchedule key:dedicated value:gpu") {
		t.Errorf("taints %s", taints)
	}
	if kube.Field(must(t, c, machineKind, "gpu"), "spec", "template", "spec", "backend", "docker", "customImage") != "caslab.local/node:x" {
		t.Error("the machine template is no copy")
	}
	// The group's own templates are deleted with it.
	if err := DeleteGroup(t.Context(), c, "default", "work", "gpu", release.SizePrefix, nil); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []schema.GroupKind{bootstrapKind, machineKind} {
		if left := names(t, c, kind); !slices.Equal(left, []string{"work-md-0"}) {
			t.Errorf("%s left: %v", kind.Kind, left)
		}
	}
}

// A machine deployment exists a little longer than its last machine. During that
// time no new one can have its name.
func TestDeleteGroupWaitsForTheName(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t, kinds, store)
	c := server.Client()
	g := group("work-md-1")
	if err := g.Add(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	finalizers := func(all ...string) {
		server.Edit(kube.MachineDeployments, "default", "work-md-1", func(o *unstructured.Unstructured) { o.SetFinalizers(all) })
	}
	finalizers("cluster.x-k8s.io/machinedeployment")
	var gone atomic.Bool
	server.Intercept(func(q kubetest.Request) error {
		if q.Verb == "delete" && q.Resource == "machinedeployments" {
			time.AfterFunc(100*time.Millisecond, func() {
				gone.Store(true)
				finalizers()
			})
		}
		return nil
	})
	if err := DeleteGroup(t.Context(), c, "default", "work", "work-md-1", release.SizePrefix, nil); err != nil {
		t.Fatal(err)
	}
	if !gone.Load() {
		t.Error("DeleteGroup() returned while the machine deployment was there")
	}
}

// TestDeleteGroupLeavesAnothersTemplate: a template that has the group's name,
// but that another group uses, is not deleted.
func TestDeleteGroupLeavesAnothersTemplate(t *testing.T) {
	t.Parallel()
	c := kubetest.New(t, kinds, strings.ReplaceAll(store, "work-md-0, namespace: default}\nspec: {template: {spec: {backend", "small, namespace: default}\nspec: {template: {spec: {backend")).Client()
	if err := c.Patch(t.Context(), kube.MachineDeployments, "default", "work-md-0", map[string]any{
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"infrastructureRef": map[string]any{"name": "small"}}}},
	}); err != nil {
		t.Fatal(err)
	}
	if err := group("small").Add(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := DeleteGroup(t.Context(), c, "default", "work", "small", release.SizePrefix, nil); err != nil {
		t.Fatal(err)
	}
	must(t, c, machineKind, "small")
}

// TestDeleteGroupLeavesATemplateThatIsShared: a template that was made for the group and that
// another group took over goes with the last of them.
func TestDeleteGroupLeavesATemplateThatIsShared(t *testing.T) {
	t.Parallel()
	c := kubetest.New(t, kinds, store).Client()
	first, second := group("first"), group("second")
	first.Labels, first.Capacity = map[string]string{"a": "b"}, map[string]string{"cpu": "4", "memory": "16Gi"}
	second.From = "first"
	for _, g := range []NodeGroup{first, second} {
		if err := g.Add(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		delete string
		left   []string
	}{{"first", []string{"first", "work-md-0"}}, {"second", []string{"work-md-0"}}} {
		if err := DeleteGroup(t.Context(), c, "default", "work", step.delete, release.SizePrefix, nil); err != nil {
			t.Fatal(err)
		}
		if left := names(t, c, bootstrapKind); !slices.Equal(left, step.left) {
			t.Errorf("after %s the templates %v are left, want %v", step.delete, left, step.left)
		}
	}
}

// TestDeleteGroupWithoutTheRightToList: the template that the group refers to goes even so.
func TestDeleteGroupWithoutTheRightToList(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		verbs string
		own   bool
		left  []string
		told  bool
	}{
		"its own":                  {"list", true, []string{"work-md-0"}, false},
		"a shared one":             {"list get", false, []string{"work-md-0"}, false},
		"its own, and may not get": {"list get", true, []string{"gpu", "work-md-0"}, true},
	} {
		server := kubetest.New(t, kinds, store)
		c := server.Client()
		g := group("gpu")
		g.Own = tt.own
		if err := g.Add(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		var denied atomic.Bool
		denied.Store(true)
		server.Intercept(func(q kubetest.Request) error {
			if denied.Load() && strings.HasSuffix(q.Resource, "templates") && slices.Contains(strings.Fields(tt.verbs), q.Verb) {
				return apierrors.NewForbidden(schema.GroupResource{Resource: q.Resource}, q.Name, errors.New("no right"))
			}
			return nil
		})
		err := DeleteGroup(t.Context(), c, "default", "work", "gpu", release.SizePrefix, nil)
		if left := new(interrupt.LeftError); errors.As(err, &left) != tt.told || err != nil && !tt.told {
			t.Errorf("%s: %v", name, err)
		}
		denied.Store(false)
		if left := names(t, c, machineKind); !slices.Equal(left, tt.left) {
			t.Errorf("%s: the templates %v are left, want %v", name, left, tt.left)
		}
	}
}

var ownTemplate = schema.GroupVersionKind{Group: "infrastructure.cluster.x-k8s.io", Version: "v1beta2", Kind: "HollowMachineTemplate"}

// withTemplate returns a group with an infrastructure template of its own.
func withTemplate(name string) NodeGroup {
	g := group(name)
	g.Template = &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"size": "l"}}}}}
	g.Template.SetGroupVersionKind(ownTemplate)
	g.Labels = map[string]string{"a": "b"}
	return g
}

// TestAddWithATemplate: the group has that template and no bootstrap template, nothing of the
// group that it is made from stays in it, and no group without a template takes its.
func TestAddWithATemplate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ from, want string }{
		"v1beta2": {"apiGroup: infrastructure.cluster.x-k8s.io", "map[apiGroup:infrastructure.cluster.x-k8s.io kind:HollowMachineTemplate name:a-group]"},
		"v1beta1": {"apiVersion: infrastructure.cluster.x-k8s.io/v1beta1", "map[apiVersion:infrastructure.cluster.x-k8s.io/v1beta2 kind:HollowMachineTemplate name:a-group namespace:default]"},
	} {
		server := kubetest.New(t, append(slices.Clone(kinds), ownTemplate), strings.ReplaceAll(store, "apiGroup: infrastructure.cluster.x-k8s.io", tc.from))
		server.Merge("user", kube.MachineDeployments, "default", "work-md-0", map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"failureDomain": "z"}}}})
		c := server.Client()
		if err := withTemplate("a-group").Add(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		g := must(t, c, kube.MachineDeployments, "a-group")
		if got := kube.Field(g, "spec", "template", "spec", "infrastructureRef"); got != tc.want {
			t.Errorf("%s: its machines are %s, want %s", name, got, tc.want)
		}
		if got := kube.Field(g, "spec", "template", "spec", "bootstrap"); got != "map[dataSecretName:caslab-hollow]" || kube.Field(g, "spec", "template", "spec", "version") != "v1.36.1" {
			t.Errorf("%s: its machines are bootstrapped by %s: %v", name, got, g.Object["spec"])
		}
		if got := kube.Field(g, "spec", "template", "spec", "failureDomain"); got != "" {
			t.Errorf("%s: its machines are in the failure domain %s", name, got)
		}
		template := must(t, c, ownTemplate.GroupKind(), "a-group")
		if kube.Field(template, "spec", "template", "spec", "size") != "l" || template.GetLabels()[GroupLabel] != "a-group" {
			t.Errorf("%s: its template is %v", name, template.Object)
		}
		if got := g.GetAnnotations()[release.CapacityPrefix+"labels"]; got != "a=b" {
			t.Errorf("%s: the labels %q are announced", name, got)
		}

		if err := group("b-group").Add(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if _, from := reference(must(t, c, kube.MachineDeployments, "b-group"), machineRef); from != "work-md-0" {
			t.Errorf("%s: another group has the template %s", name, from)
		}
		other := group("c-group")
		other.From = "a-group"
		if err := other.Add(t.Context(), c); err == nil || !strings.Contains(err.Error(), "no bootstrap template") {
			t.Errorf("%s: a group takes its templates: %v", name, err)
		}
		server.Remove(kube.MachineDeployments, "default", "work-md-0")
		server.Remove(kube.MachineDeployments, "default", "b-group")
		if err := other.Add(t.Context(), c); err == nil {
			t.Errorf("%s: a group takes the templates of the only other one", name)
		}
		if err := withTemplate("d-group").Add(t.Context(), c); err != nil {
			t.Errorf("%s: a group with a template, beside another: %v", name, err)
		}
		if err := DeleteGroup(t.Context(), c, "default", "work", "a-group", release.SizePrefix, nil); err != nil {
			t.Fatal(err)
		}
		if left := names(t, c, ownTemplate.GroupKind()); !slices.Equal(left, []string{"d-group"}) {
			t.Errorf("%s: the templates %v are left", name, left)
		}
	}
}

func TestNothingIsLeftOfAGroupThatIsRefused(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t, kinds, store)
	server.Intercept(func(q kubetest.Request) error {
		if q.Verb == "create" && q.Resource == "machinedeployments" {
			return errors.New("the webhook says no")
		}
		return nil
	})
	c := server.Client()
	g := group("work-md-1")
	g.Own = true
	if err := g.Add(t.Context(), c); err == nil || !strings.Contains(err.Error(), "the webhook says no") {
		t.Errorf("Add() = %v", err)
	}
	for _, kind := range []schema.GroupKind{bootstrapKind, machineKind} {
		if left := names(t, c, kind); !slices.Equal(left, []string{"work-md-0"}) {
			t.Errorf("%s left: %v", kind.Kind, left)
		}
	}
}

func TestTemplatesMustBeThere(t *testing.T) {
	t.Parallel()
	for _, kind := range []schema.GroupKind{bootstrapKind, machineKind} {
		c := kubetest.New(t, kinds, store).Client()
		if err := c.Delete(t.Context(), kind, "default", "work-md-0"); err != nil {
			t.Fatal(err)
		}
		if err := group("work-md-1").Add(t.Context(), c); err == nil || !strings.Contains(err.Error(), "template "+kind.Kind+" work-md-0") {
			t.Errorf("Add() without the %s: %v", kind.Kind, err)
		}
		if left := names(t, c, kube.MachineDeployments); !slices.Equal(left, []string{"another", "work-md-0"}) {
			t.Errorf("machine deployments %v", left)
		}
	}
}

func TestBadGroups(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t, kinds, store)
	server.Intercept(func(q kubetest.Request) error {
		if q.Verb == "create" {
			t.Errorf("made %s %s", q.Resource, q.Body)
		}
		return nil
	})
	c := server.Client()
	for want, change := range map[string]func(*NodeGroup){
		"not above the maximum":          func(g *NodeGroup) { g.Min, g.Max = 5, 4 },
		"minimum -1":                     func(g *NodeGroup) { g.Min = -1 },
		"maximum 0":                      func(g *NodeGroup) { g.Min, g.Max = 0, 0 },
		"want a DNS label":               func(g *NodeGroup) { g.Name = "Work_MD" },
		"at most":                        func(g *NodeGroup) { g.Name = strings.Repeat("x", 60) },
		"there are work-md-0":            func(g *NodeGroup) { g.From = "nope" },
		"already exists; choose another": func(g *NodeGroup) { g.Name = "work-md-0" },
		"has no machine deployment":      func(g *NodeGroup) { g.ClusterName = "empty" },
	} {
		g := group("work-md-1")
		change(&g)
		if err := g.Add(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Add() = %v, want %q in it", err, want)
		}
	}
	if _, err := SetSizes(t.Context(), c, "default", "work", "nope", release.SizePrefix, 1, 2, nil); err == nil || !strings.Contains(err.Error(), "there are work-md-0") {
		t.Errorf("SetSizes() of no group: %v", err)
	}
	if _, err := SetSizes(t.Context(), c, "default", "work", "work-md-0", release.SizePrefix, 3, 2, nil); err == nil {
		t.Error("SetSizes(3, 2) gave no error")
	}
	if err := DeleteGroup(t.Context(), c, "default", "work", "work-md-0", release.OldSizePrefix, nil); err == nil || !strings.Contains(err.Error(), "was not added as a node group") || !strings.Contains(err.Error(), "cluster.k8s.io/cluster-api") {
		t.Errorf("DeleteGroup() of a group that is not the lab's: %v", err)
	}
}

func TestSetSizesOfTheFirstGroup(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{release.SizePrefix, release.OldSizePrefix} {
		c := kubetest.New(t, kinds, store).Client()
		if _, err := SetSizes(t.Context(), c, "default", "work", "work-md-0", prefix, 0, 3, map[string]string{"cpu": "4", "memory": "8Gi"}); err != nil {
			t.Fatal(err)
		}
		g := must(t, c, kube.MachineDeployments, "work-md-0")
		if lowest, highest := Sizes(g); lowest != "0" || highest != "3" || g.GetAnnotations()[release.SizeAnnotation(prefix, "max")] != "3" {
			t.Errorf("annotations %v", g.GetAnnotations())
		}
		if g.GetAnnotations()[release.CapacityPrefix+"memory"] != "8Gi" {
			t.Errorf("no capacity in %v", g.GetAnnotations())
		}
		// A capacity that exists was set by the user, and is not replaced.
		annotated, err := SetSizes(t.Context(), c, "default", "work", "work-md-0", prefix, 0, 3, map[string]string{"cpu": "64", "memory": "1Ti"})
		if g = must(t, c, kube.MachineDeployments, "work-md-0"); annotated || err != nil || g.GetAnnotations()[release.CapacityPrefix+"memory"] != "8Gi" {
			t.Errorf("SetSizes() replaced the capacity: %t, %v, %v", annotated, err, g.GetAnnotations())
		}
	}
}

func TestWaitGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := kubetest.New(t, kinds, store).Client()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("too long"))
		defer cancel()
		if err := WaitGroup(ctx, c, "default", "work-md-0", 1, nil); err == nil || !strings.Contains(err.Error(), "0 of 1 nodes ready") {
			t.Errorf("WaitGroup() = %v", err)
		}
	})
}

func TestMapOfKubeletArgumentsBeforeV1beta2(t *testing.T) {
	t.Parallel()
	bootstrap := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
	bootstrap.SetGroupVersionKind(bootstrapKind.WithVersion("v1beta1"))
	g := group("x")
	g.Labels = map[string]string{"tier": "gpu"}
	other := bootstrap.DeepCopy()
	other.SetKind("RKE2ConfigTemplate")
	if err := g.register(other); err == nil {
		t.Error("labels are set through a bootstrap template that is not kubeadm's")
	}
	if err := g.register(bootstrap); err != nil {
		t.Fatal(err)
	}
	if got := kube.Field(bootstrap, "spec", "template", "spec", "joinConfiguration", "nodeRegistration", "kubeletExtraArgs", "node-labels"); got != "tier=gpu" {
		t.Errorf("node-labels is %q in %v", got, bootstrap.Object)
	}
}

func TestParseOptionsOfGroups(t *testing.T) {
	t.Parallel()
	labels, err := ParseLabels("tier=gpu, example.com/a=b,node.kubernetes.io/x=y,empty=,topology.kubernetes.io/zone=z1")
	if err != nil || len(labels) != 5 || labels["example.com/a"] != "b" {
		t.Errorf("ParseLabels() = %v, %v", labels, err)
	}
	for _, text := range []string{"tier", "=x", "a=b c", "kubernetes.io/role=x", "node-role.kubernetes.io/x=y", "a.k8s.io/b=c", "-a=b"} {
		if labels, err := ParseLabels(text); err == nil {
			t.Errorf("ParseLabels(%q) = %v, want an error", text, labels)
		}
	}
	taints, err := ParseTaints("a=b:NoSchedule,c:NoExecute")
	if err != nil || joinedTaints(taints) != "a=b:NoSchedule,c:NoExecute" {
		t.Errorf("ParseTaints() = %v, %v", taints, err)
	}
	for _, text := range []string{"a=b", "a:Never", ":NoSchedule", "a b:NoSchedule"} {
		if taints, err := ParseTaints(text); err == nil {
			t.Errorf("ParseTaints(%q) = %v, want an error", text, taints)
		}
	}
	capacity, err := ParseCapacity("cpu=4,memory=16Gi,maxPods=30,gpu-type=nvidia.com/gpu,gpu-count=1")
	if err != nil || len(capacity) != 5 {
		t.Errorf("ParseCapacity() = %v, %v", capacity, err)
	}
	for _, text := range []string{"cpu=4", "cpu=four,memory=1Gi", "cpu=-1,memory=1Gi", "cpu=1,memory=1Gi,disk=2", "cpu=1,memory=1Gi,maxPods=x", "cpu"} {
		if capacity, err := ParseCapacity(text); err == nil {
			t.Errorf("ParseCapacity(%q) = %v, want an error", text, capacity)
		}
	}
}

func FuzzParseGroupOptions(f *testing.F) {
	f.Add("a=b,c=d")
	f.Add("a=b:NoSchedule,c:NoExecute")
	f.Add("cpu=4,memory=16Gi")
	f.Fuzz(func(t *testing.T, text string) {
		if labels, err := ParseLabels(text); err == nil {
			if again, err := ParseLabels(JoinLabels(labels)); err != nil || !maps.Equal(labels, again) {
				t.Errorf("labels %q read back as %v, %v", text, again, err)
			}
		}
		if taints, err := ParseTaints(text); err == nil {
			if again, err := ParseTaints(joinedTaints(taints)); err != nil || !slices.Equal(taints, again) {
				t.Errorf("taints %q read back as %v, %v", text, again, err)
			}
		}
		_, _ = ParseCapacity(text)
	})
}
