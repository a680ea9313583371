// Package simtest simulates a cluster for tests of scenarios: Cluster API, the
// scheduler and the controllers of workloads work on objects in memory, and an
// autoscaler behaves well or misbehaves on purpose. The autoscaler writes a log and
// events as the real one does, and the timeline's recorder turns them into facts.
// The simulation uses time.Sleep and time.Now, so tests run it in a bubble of
// testing/synctest.
package simtest

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/recorder"
)

// Names in the simulated cluster.
const (
	Namespace       = "default"
	ClusterName     = "work"
	ConfigNamespace = "kube-system"
)

// managersNamespace is the namespace of Cluster API's manager.
const managersNamespace = "capi-system"

var kinds = []schema.GroupVersionKind{
	{Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "Node"}, {Version: "v1", Kind: "ConfigMap"}, {Version: "v1", Kind: "Event"},
	{Version: "v1", Kind: "Namespace"}, {Version: "v1", Kind: "PersistentVolumeClaim"}, {Version: "v1", Kind: "PersistentVolume"},
	{Group: "storage.k8s.io", Version: "v1", Kind: "StorageClass"}, {Group: "storage.k8s.io", Version: "v1", Kind: "CSINode"},
	{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "apps", Version: "v1", Kind: "StatefulSet"}, {Group: "apps", Version: "v1", Kind: "DaemonSet"},
	{Group: "batch", Version: "v1", Kind: "Job"}, {Group: "scheduling.k8s.io", Version: "v1", Kind: "PriorityClass"}, {Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
	{Group: "cluster.x-k8s.io", Version: "v1beta2", Kind: "Cluster"},
	{Group: "cluster.x-k8s.io", Version: "v1beta2", Kind: "MachineDeployment"},
	{Group: "cluster.x-k8s.io", Version: "v1beta2", Kind: "Machine"},
	{Group: "bootstrap.cluster.x-k8s.io", Version: "v1beta2", Kind: "KubeadmConfigTemplate"},
	{Group: "infrastructure.cluster.x-k8s.io", Version: "v1beta2", Kind: "DevMachineTemplate"},
	{Group: "cluster.x-k8s.io", Version: "v1beta2", Kind: "MachineHealthCheck"},
	hollow.Templates.WithVersion("v1beta2"), {Group: hollow.Templates.Group, Version: "v1beta2", Kind: hollowMachine},
	kube.DeviceClasses.WithVersion(kube.DevicesVersion), {Group: kube.DeviceClasses.Group, Version: kube.DevicesVersion, Kind: "ResourceClaimTemplate"},
}

// hollowMachine is the kind of the machines that the lab's controller plays.
const hollowMachine = "HollowMachine"

// objects is a cluster with a control plane and one worker. The autoscaler does not
// scale the worker's group.
const objects = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: work, namespace: default}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: work-md-0, namespace: default}
spec:
  clusterName: work
  replicas: 1
  template:
    spec:
      bootstrap:
        configRef: {apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfigTemplate, name: work-md-0}
      infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: DevMachineTemplate, name: work-md-0}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: work-md-0-a, namespace: default, uid: work-md-0-a, labels: {cluster.x-k8s.io/deployment-name: work-md-0}}
spec: {clusterName: work}
status: {phase: Running, nodeRef: {name: worker}}
---
apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
kind: KubeadmConfigTemplate
metadata: {name: work-md-0, namespace: default}
spec: {template: {spec: {joinConfiguration: {nodeRegistration: {kubeletExtraArgs: []}}}}}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: DevMachineTemplate
metadata: {name: work-md-0, namespace: default}
spec: {template: {spec: {}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: capi-controller-manager, namespace: capi-system, labels: {cluster.x-k8s.io/provider: cluster-api}}
spec: {replicas: 1}
status: {replicas: 1, availableReplicas: 1}
---
apiVersion: v1
kind: Node
metadata: {name: control, uid: control, labels: {node-role.kubernetes.io/control-plane: ""}}
spec: {taints: [{key: node-role.kubernetes.io/control-plane, effect: NoSchedule}]}
status:
  allocatable: {memory: 16Gi, cpu: "4"}
  capacity: {memory: 16Gi, cpu: "4"}
  conditions: [{type: Ready, status: "True"}]
---
apiVersion: v1
kind: Node
metadata: {name: worker, uid: worker}
status:
  allocatable: {memory: 16Gi, cpu: "4"}
  capacity: {memory: 16Gi, cpu: "4"}
  conditions: [{type: Ready, status: "True"}]
  images: [{names: ["example.com/pause:3.10"]}]
`

// Cluster is the simulated cluster.
type Cluster struct {
	// Client reaches the cluster, which is workload and management cluster in one.
	Client *kube.Client

	t      testing.TB
	server *kubetest.Server
	number int // the last number in the name of a created object
	// since is when the node of a machine joined.
	since map[types.UID]time.Time

	// record is the path of the timeline, logFile that of the autoscaler's log.
	record, logFile string

	mu            sync.Mutex
	subscribers   map[int]func(timeline.Fact)
	subscriptions int
	refused       map[string]error
	undefined     bool // Undefine was called
}

// New returns a cluster. Nothing happens in it until Run is called.
func New(t testing.TB) *Cluster {
	server := kubetest.New(t, kinds, objects)
	dir := t.TempDir()
	c := &Cluster{
		Client: server.Client(), t: t, server: server, record: filepath.Join(dir, "record.jsonl"), logFile: filepath.Join(dir, "autoscaler.log"), since: map[types.UID]time.Time{}, subscribers: map[int]func(timeline.Fact){}, refused: map[string]error{},
	}
	server.Intercept(c.refuse)
	return c
}

// Refuse makes all requests with that verb for a resource fail from now on.
func (c *Cluster) Refuse(verb, resource string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[verb+" "+resource] = err
}

func (c *Cluster) refuse(q kubetest.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused[q.Verb+" "+q.Resource]
}

// DelayWatches ends all watches, and lets each begin again only after a time.
func (c *Cluster) DelayWatches(by time.Duration) {
	c.server.Intercept(func(q kubetest.Request) error {
		if q.Verb == "watch" {
			select {
			case <-time.After(by):
			case <-q.Context.Done():
			}
		}
		return nil
	})
	c.server.CutWatches()
}

// Undefine removes a kind from the cluster, and returns a client that has not seen
// it.
func (c *Cluster) Undefine(kind schema.GroupKind) *kube.Client {
	c.mu.Lock()
	c.undefined = true
	c.mu.Unlock()
	c.server.Undefine(kind)
	return c.server.Client()
}

// disturbed reports whether the test lets requests fail.
func (c *Cluster) disturbed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.undefined || len(c.refused) > 0
}

// Run runs the controllers and the recorder until ctx is done.
func (c *Cluster) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		err := recorder.Record(ctx, recorder.Options{
			Workload: c.Client, Namespace: Namespace, Cluster: ClusterName, ConfigNamespace: ConfigNamespace, File: c.record, LogFile: c.logFile,
			OnError: func(err error) {
				if !c.disturbed() {
					c.t.Errorf("record the simulated cluster: %v", err)
				}
			},
		})
		if err != nil {
			c.t.Errorf("record the simulated cluster: %v", err)
		}
	})
	all.Go(func() {
		if err := timeline.Tail(ctx, c.record, c.publish); err != nil {
			c.t.Errorf("follow the record: %v", err)
		}
	})
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.runWorkloads()
			c.runMachines(ctx)
			c.schedule()
		}
	}
}

// AddFact adds a fact of the lab to the timeline.
func (c *Cluster) AddFact(f timeline.Fact) {
	if err := timeline.Append(c.record, f); err != nil {
		c.t.Errorf("mark the timeline: %v", err)
	}
}

// Subscribe calls tell with every new fact of the timeline until the returned
// function is called.
func (c *Cluster) Subscribe(publish func(timeline.Fact)) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscriptions++
	id := c.subscriptions
	c.subscribers[id] = publish
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.subscribers, id)
	}
}

// publish passes a fact of the timeline to the subscribers.
func (c *Cluster) publish(f timeline.Fact) {
	c.mu.Lock()
	subscribers := slices.Collect(maps.Values(c.subscribers))
	c.mu.Unlock()
	for _, publish := range subscribers {
		publish(f)
	}
}

// kindOf returns a kind of the cluster.
func kindOf(kind string) schema.GroupKind {
	return kinds[slices.IndexFunc(kinds, func(k schema.GroupVersionKind) bool { return k.Kind == kind })].GroupKind()
}

// Names returns the names of the objects of a kind, without those of Cluster API itself.
func (c *Cluster) Names(kind string) []string {
	var names []string
	for _, o := range c.list(kind) {
		if o.GetNamespace() != managersNamespace {
			names = append(names, o.GetName())
		}
	}
	return names
}

// list returns the objects of a kind, sorted by name.
func (c *Cluster) list(kind string) []*unstructured.Unstructured {
	return c.server.List(kindOf(kind))
}

func (c *Cluster) create(o *unstructured.Unstructured) {
	c.number++
	o.SetName(fmt.Sprintf("%s-%03d", o.GetName(), c.number))
	o.SetUID(types.UID(o.GetName()))
	o.SetCreationTimestamp(metav1.Now())
	c.server.Put(o)
}

// remove deletes an object, which others may have deleted before.
func (c *Cluster) remove(o *unstructured.Unstructured) {
	c.server.Remove(kindOf(o.GetKind()), o.GetNamespace(), o.GetName())
}

// patch changes some fields of an object, which others may change or delete at the
// same time.
func (c *Cluster) patch(o *unstructured.Unstructured, patch map[string]any) {
	c.server.Merge("simulation", kindOf(o.GetKind()), o.GetNamespace(), o.GetName(), patch)
}

func hash(text string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(text)) // it cannot fail
	return h.Sum32()
}

func number(o *unstructured.Unstructured, path ...string) int {
	n, _ := strconv.Atoi(kube.Field(o, path...))
	return n
}

func memory(o map[string]any, path ...string) int64 {
	text, _, _ := unstructured.NestedString(o, path...)
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return 0
	}
	return q.Value()
}

func millis(o map[string]any, path ...string) int64 {
	text, _, _ := unstructured.NestedString(o, path...)
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return 0
	}
	return q.MilliValue()
}

// requested returns the memory request of a pod or a pod template, in bytes.
func requested(pod map[string]any) int64 { return sumOfRequests(pod, "memory", memory) }

// requestedCPU returns the cpu request of a pod, in thousandths.
func requestedCPU(pod map[string]any) int64 { return sumOfRequests(pod, "cpu", millis) }

func sumOfRequests(pod map[string]any, name string, value func(map[string]any, ...string) int64) int64 {
	containers, _, _ := unstructured.NestedSlice(pod, "spec", "containers")
	var sum int64
	for _, container := range containers {
		sum += value(container.(map[string]any), "resources", "requests", name)
	}
	return sum
}
