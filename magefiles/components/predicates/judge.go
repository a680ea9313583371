package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/informers/core"
	"k8s.io/client-go/informers/internalinterfaces"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

// notJudged are the plugins that are left out, because they read objects that a Request does not
// have.
var notJudged = []string{names.GangScheduling}

// judge answers a request.
func judge(ctx context.Context, r Request) (Answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	world, devices := newWorld(r), newDevices(r)
	csi := &csiNodes{}
	filters, err := newFilters(ctx, r, world, devices, csi)
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Version: version(), Pods: []Verdicts{}}
	for i := range r.Ask {
		pod := &r.Ask[i]
		verdicts := Verdicts{}
		answer.Pods = append(answer.Pods, verdicts)
		var first fwk.NodeInfo
		refusals := filters.refusals(ctx, pod, world.nodes, world.nodes)
		for n, node := range world.nodes {
			switch name := node.Node().Name; {
			case slices.Contains(r.Closed, name):
			case len(refusals[n]) > 0:
				verdicts[name] = refusals[n]
			case first == nil:
				first = node
			}
		}
		for _, t := range r.Templates {
			node := newNode(&t.Node, t.Pods)
			world.more, devices.more, csi.more = []fwk.NodeInfo{node}, pointers(t.ResourceSlices), t.CSINode
			if found := filters.refusals(ctx, pod, world.all(), world.more)[0]; len(found) > 0 {
				verdicts[t.Node.Name] = found
			}
			world.more, devices.more, csi.more = nil, nil, nil
		}
		if r.Move && first != nil {
			if err := filters.allocate(ctx, pod, world.nodes, first); err != nil {
				return Answer{}, err
			}
			moved := pod.DeepCopy()
			moved.Spec.NodeName = first.Node().Name
			info, err := framework.NewPodInfo(moved)
			if err != nil {
				return Answer{}, fmt.Errorf("read the pod %s/%s: %w", pod.Namespace, pod.Name, err)
			}
			first.AddPodInfo(info)
		}
	}
	return answer, nil
}

// version returns the version of Kubernetes that the plugins come from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	i := slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return m.Path == "k8s.io/kubernetes" })
	if i < 0 {
		return ""
	}
	return info.Deps[i].Version
}

// filters are the plugins of the default scheduler that can refuse nodes, in the scheduler's order.
type filters []fwk.Plugin

// initMetrics creates the metrics that the plugins write. The metrics are global variables of the
// scheduler's package, so they are created once.
var initMetrics = sync.OnceFunc(metrics.InitMetrics)

// newFilters creates the plugins. They read pods and nodes from world, the objects of dynamic resource
// allocation from devices, and all other objects from informers. csi gets the CSINodes of an informer.
func newFilters(ctx context.Context, r Request, world *world, devices *devices, csi *csiNodes) (filters, error) {
	config, err := latest.Default()
	if err != nil {
		return nil, fmt.Errorf("read the scheduler's default configuration: %w", err)
	}
	client := fake.NewSimpleClientset(objects(r)...)
	factory := &handled{SharedInformerFactory: informers.NewSharedInformerFactory(client, 0)}
	csi.CSINodeLister = nodevolumelimits.NewCSINodeLister(factory.Storage().V1().CSINodes().Lister())
	initMetrics()
	handle, err := frameworkruntime.NewFramework(ctx, nil, nil,
		frameworkruntime.WithClientSet(client), frameworkruntime.WithInformerFactory(factory), frameworkruntime.WithSnapshotSharedLister(world),
		frameworkruntime.WithSharedDRAManager(devices),
		frameworkruntime.WithSharedCSIManager(csi))
	if err != nil {
		return nil, fmt.Errorf("prepare the scheduler's plugins: %w", err)
	}
	profile, registry := config.Profiles[0], plugins.NewInTreeRegistry()
	args := map[string]runtime.Object{}
	for _, c := range profile.PluginConfig {
		args[c.Name] = c.Args
	}
	var all filters
	for _, enabled := range profile.Plugins.MultiPoint.Enabled {
		if slices.Contains(notJudged, enabled.Name) {
			continue
		}
		p, err := registry[enabled.Name](ctx, args[enabled.Name], handle)
		if err != nil {
			return nil, fmt.Errorf("prepare the scheduler's plugin %s: %w", enabled.Name, err)
		}
		if _, filters := p.(fwk.FilterPlugin); filters {
			all = append(all, p)
		}
	}
	return all, factory.run(ctx)
}

// handled is a factory of informers that keeps the event handlers of core objects. VolumeBinding has
// caches of its own, which handlers fill. WaitForCacheSync waits for the informers, and not for the
// handlers.
type handled struct {
	informers.SharedInformerFactory
	handlers []cache.ResourceEventHandlerRegistration
}

// run starts the informers, and waits until they and the handlers have all objects.
func (h *handled) run(ctx context.Context) error {
	h.Start(ctx.Done())
	for kind, synced := range h.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("the scheduler's plugins did not get the %s objects: %w", kind, context.Cause(ctx))
		}
	}
	for _, handler := range h.handlers {
		if !cache.WaitFor(ctx, "event handlers", handler.HasSyncedChecker()) {
			return fmt.Errorf("the scheduler's plugins did not get all objects: %w", context.Cause(ctx))
		}
	}
	return nil
}

// Core implements informers.SharedInformerFactory. Its informers are those of InformerFor.
func (h *handled) Core() core.Interface { return core.New(h, metav1.NamespaceAll, nil) }

// InformerFor implements informers.SharedInformerFactory.
func (h *handled) InformerFor(o runtime.Object, make internalinterfaces.NewInformerFunc) cache.SharedIndexInformer {
	return informer{h.SharedInformerFactory.InformerFor(o, make), h}
}

// informer is an informer of a handled.
type informer struct {
	cache.SharedIndexInformer
	of *handled
}

// AddEventHandler implements cache.SharedIndexInformer.
func (i informer) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	r, err := i.SharedIndexInformer.AddEventHandler(handler)
	if err == nil {
		i.of.handlers = append(i.of.handlers, r)
	}
	return r, err
}

// objects returns the objects that the plugins read from informers.
func objects(r Request) []runtime.Object {
	return slices.Concat(
		asObjects(r.Namespaces), asObjects(r.Claims), asObjects(r.Volumes), asObjects(r.StorageClasses), asObjects(r.CSINodes),
		asObjects(r.CSIDrivers), asObjects(r.StorageCapacities), asObjects(r.VolumeAttachments),
	)
}

// asObjects returns pointers to objects of a type.
func asObjects[T any, P interface {
	*T
	runtime.Object
}](all []T) []runtime.Object {
	found := make([]runtime.Object, 0, len(all))
	for i := range all {
		found = append(found, P(&all[i]))
	}
	return found
}

// refusals returns the refusals of each candidate, in the order of the candidates. all are the
// nodes of the cluster, whose pods some plugins count.
func (f filters) refusals(ctx context.Context, pod *corev1.Pod, all, candidates []fwk.NodeInfo) [][]Refusal {
	found := f.ask(ctx, pod, all, candidates)
	f.alone(ctx, pod, all, candidates, found)
	return found
}

// ask returns the refusals without telling terms and constraints apart. The scheduler itself stops at the
// first plugin that refuses a node; here, each plugin is asked.
func (f filters) ask(ctx context.Context, pod *corev1.Pod, all, candidates []fwk.NodeInfo) [][]Refusal {
	found := make([][]Refusal, len(candidates))
	for _, p := range f {
		state := framework.NewCycleState()
		refuse := func(n int, s *fwk.Status) {
			found[n] = append(found[n], Refusal{Plugin: p.Name(), Reasons: reasons(s)})
		}
		var only *fwk.PreFilterResult
		if pre, there := p.(fwk.PreFilterPlugin); there {
			result, status := pre.PreFilter(ctx, state, pod, all)
			if status.IsSkip() {
				continue
			}
			if !status.IsSuccess() {
				for n := range candidates {
					refuse(n, status)
				}
				continue
			}
			only = result
		}
		for n, node := range candidates {
			if !only.AllNodes() && !only.NodeNames.Has(node.Node().Name) {
				refuse(n, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "node(s) didn't satisfy plugin(s) ["+p.Name()+"]"))
				continue
			}
			if status := p.(fwk.FilterPlugin).Filter(ctx, state, pod, node); !status.IsSuccess() {
				refuse(n, status)
			}
		}
	}
	return found
}

// reasons returns the reasons of a refusal. A plugin that failed counts as one that refuses, as it
// does for the scheduler.
func reasons(s *fwk.Status) []string {
	if err := s.AsError(); len(s.Reasons()) == 0 && err != nil {
		return []string{err.Error()}
	}
	return s.Reasons()
}

// csiNodes are the CSINodes of the cluster, and that of a template while the template is judged. It
// implements framework.CSIManager.
type csiNodes struct {
	fwk.CSINodeLister
	more *storagev1.CSINode
}

// CSINodes implements framework.CSIManager.
func (c *csiNodes) CSINodes() fwk.CSINodeLister { return c }

// Get implements framework.CSINodeLister.
func (c *csiNodes) Get(name string) (*storagev1.CSINode, error) {
	if c.more != nil && c.more.Name == name {
		return c.more, nil
	}
	return c.CSINodeLister.Get(name)
}

// world has the nodes and the pods that the plugins read. It implements framework.SharedLister.
type world struct {
	nodes []fwk.NodeInfo
	// more has the node of a template while that template is judged.
	more []fwk.NodeInfo
}

func newWorld(r Request) *world {
	on := map[string][]corev1.Pod{}
	for _, p := range r.Pods {
		on[p.Spec.NodeName] = append(on[p.Spec.NodeName], p)
	}
	w := &world{}
	for i := range r.Nodes {
		w.nodes = append(w.nodes, newNode(&r.Nodes[i], on[r.Nodes[i].Name]))
	}
	return w
}

func newNode(node *corev1.Node, pods []corev1.Pod) fwk.NodeInfo {
	var all []*corev1.Pod
	for i := range pods {
		pods[i].Spec.NodeName = node.Name
		all = append(all, &pods[i])
	}
	info := framework.NewNodeInfo(all...)
	info.SetNode(node)
	return info
}

func (w *world) all() []fwk.NodeInfo { return slices.Concat(w.nodes, w.more) }

// NodeInfos, StorageInfos and PodGroupStates implement framework.SharedLister.
func (w *world) NodeInfos() fwk.NodeInfoLister           { return w }
func (w *world) StorageInfos() fwk.StorageInfoLister     { return w }
func (w *world) PodGroupStates() fwk.PodGroupStateLister { return nil } // only plugins of notJudged read them

// List implements framework.NodeInfoLister.
func (w *world) List() ([]fwk.NodeInfo, error) { return w.all(), nil }

// HavePodsWithAffinityList implements framework.NodeInfoLister.
func (w *world) HavePodsWithAffinityList() ([]fwk.NodeInfo, error) {
	return slices.DeleteFunc(w.all(), func(n fwk.NodeInfo) bool { return len(n.GetPodsWithAffinity()) == 0 }), nil
}

// HavePodsWithRequiredAntiAffinityList implements framework.NodeInfoLister.
func (w *world) HavePodsWithRequiredAntiAffinityList() ([]fwk.NodeInfo, error) {
	return slices.DeleteFunc(w.all(), func(n fwk.NodeInfo) bool { return len(n.GetPodsWithRequiredAntiAffinity()) == 0 }), nil
}

// Get implements framework.NodeInfoLister.
func (w *world) Get(name string) (fwk.NodeInfo, error) {
	for _, n := range w.all() {
		if n.Node().Name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("there is no node %q", name)
}

// IsPVCUsedByPods implements framework.StorageInfoLister.
func (w *world) IsPVCUsedByPods(key string) bool {
	return slices.ContainsFunc(w.all(), func(n fwk.NodeInfo) bool { return n.GetPVCRefCounts()[key] > 0 })
}
