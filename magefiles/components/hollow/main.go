// Command hollow is the infrastructure provider of hollow machines: Machines of Cluster API
// whose Nodes exist in the API server only. It creates the Nodes, and plays their kubelets.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"caslab/components/hollow/api/v1beta2"
	"caslab/components/hollow/machine"
	"caslab/components/hollow/player"
)

//go:generate sh -c "go tool controller-gen object crd rbac:roleName=caslab-hollow paths=./... output:rbac:dir=../../../manifests/hollow output:crd:stdout > ../../../manifests/hollow/crds.yaml"

// concurrency is how many machines, and how many Nodes, are worked on at once.
const concurrency = 10

type options struct {
	kubeconfig, workloadKubeconfig string
	namespace, clusterName         string
	healthAddr                     string
	qps                            float64
	burst                          int
}

func main() {
	var o options
	flag.StringVar(&o.workloadKubeconfig, "workload-kubeconfig", "", "kubeconfig file of the cluster that the Nodes are in; empty: the management cluster")
	flag.StringVar(&o.namespace, "namespace", "", "namespace of the HollowMachines; empty: all")
	flag.StringVar(&o.clusterName, "cluster", "", "name of the Cluster whose HollowMachines are handled; empty means all")
	flag.StringVar(&o.healthAddr, "health-addr", ":9440", "address of /healthz and /readyz; empty: none")
	flag.Float64Var(&o.qps, "kube-api-qps", 200, "requests a second to each API server")
	flag.IntVar(&o.burst, "kube-api-burst", 400, "requests at once to each API server")
	logs := textlogger.NewConfig()
	flag.Var(logs.Verbosity(), "v", "how much to log; 0: what happens to machines")
	flag.Parse() // -kubeconfig is a flag of controller-runtime
	o.kubeconfig = flag.Lookup("kubeconfig").Value.String()

	log := textlogger.NewLogger(logs)
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	if err := run(o); err != nil {
		log.Error(err, "hollow ends")
		os.Exit(1)
	}
}

func run(o options) error {
	management, err := restConfig(o, o.kubeconfig)
	if err != nil {
		return fmt.Errorf("-kubeconfig: %w", err)
	}
	workload, err := restConfig(o, cmp.Or(o.workloadKubeconfig, o.kubeconfig))
	if err != nil {
		return fmt.Errorf("-workload-kubeconfig: %w", err)
	}
	mgr, err := newManager(o, management)
	if err != nil {
		return fmt.Errorf("prepare the management cluster: %w", err)
	}
	nodes, err := newWorkload(workload, mgr.GetScheme())
	if err != nil {
		return fmt.Errorf("prepare the cluster of the Nodes: %w", err)
	}
	if err := mgr.Add(nodes); err != nil {
		return err
	}
	clusters, err := mgr.GetRESTMapper().RESTMapping(schema.GroupKind{Group: "cluster.x-k8s.io", Kind: "Cluster"})
	if err != nil {
		return fmt.Errorf("find Cluster API in the management cluster: %w", err)
	}

	ctx := ctrl.SetupSignalHandler()
	paused := &unstructured.Unstructured{}
	paused.SetGroupVersionKind(clusters.GroupVersionKind)
	if err := errors.Join(
		watch(ctx, mgr.GetCache(), &v1beta2.HollowMachine{}, &v1beta2.HollowMachineTemplate{}, paused),
		watch(ctx, nodes.GetCache(), &corev1.Node{}, &corev1.Pod{}),
		mgr.AddReadyzCheck("caches", synced(mgr.GetCache(), nodes.GetCache())),
	); err != nil {
		return err
	}

	inParallel := controller.Options{MaxConcurrentReconciles: concurrency}
	machines := &machine.Reconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(),
		Workload: nodes.GetClient(), WorkloadLive: nodes.GetAPIReader(),
		ClusterKind: clusters.GroupVersionKind, Clock: clock.RealClock{},
	}
	if err := machines.SetupWithManager(mgr, nodes, inParallel); err != nil {
		return fmt.Errorf("prepare the controller of machines: %w", err)
	}
	if err := (&machine.TemplateReconciler{Client: mgr.GetClient()}).SetupWithManager(mgr); err != nil {
		return fmt.Errorf("prepare the controller of templates: %w", err)
	}
	kubelets := &player.Reconciler{Machines: mgr.GetClient(), Workload: nodes.GetClient(), Clock: clock.RealClock{}}
	if err := kubelets.SetupWithManager(mgr, nodes, inParallel); err != nil {
		return fmt.Errorf("prepare the player: %w", err)
	}
	leases := &player.Leases{Machines: mgr.GetClient(), Workload: nodes.GetClient(), Clock: clock.RealClock{}}
	if err := leases.SetupWithManager(mgr, nodes, inParallel); err != nil {
		return fmt.Errorf("prepare the lease controller: %w", err)
	}
	return mgr.Start(ctx)
}

// restConfig reads a kubeconfig file. Without one, it takes the configuration that a pod
// has.
func restConfig(o options, kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = float32(o.qps), o.burst
	config.UserAgent = "caslab-hollow"
	return config, nil
}

func newManager(o options, config *rest.Config) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if err := v1beta2.AddToScheme(scheme); err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 scheme,
		Cache:                  o.caches(),
		Client:                 client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Metrics:                server.Options{BindAddress: "0"},
		HealthProbeBindAddress: cmp.Or(o.healthAddr, "0"),
	})
	if err != nil {
		return nil, err
	}
	return mgr, mgr.AddHealthzCheck("ping", healthz.Ping)
}

// watch adds the kinds that the controllers watch to a cache. The controllers do so too, but only
// when they start, and until then the cache counts as synced.
func watch(ctx context.Context, c cache.Cache, kinds ...client.Object) error {
	for _, kind := range kinds {
		if _, err := c.GetInformer(ctx, kind, cache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("watch %T: %w", kind, err)
		}
	}
	return nil
}

// syncTime is how long a check waits for the caches: less than the kubelet waits for the check.
const syncTime = 500 * time.Millisecond

// synced returns a check that fails until the caches have synced.
func synced(caches ...cache.Cache) healthz.Checker {
	return func(req *http.Request) error {
		ctx, cancel := context.WithTimeout(req.Context(), syncTime)
		defer cancel()
		for _, c := range caches {
			if !c.WaitForCacheSync(ctx) {
				return errors.New("the caches have not synced yet")
			}
		}
		return nil
	}
}

// caches returns the options of the cache of the management cluster. It leaves out machines of
// other Clusters, because their Nodes belong to other workload clusters.
func (o options) caches() cache.Options {
	caches := cache.Options{DefaultTransform: cache.TransformStripManagedFields()}
	if o.namespace != "" {
		caches.DefaultNamespaces = map[string]cache.Config{o.namespace: {}}
	}
	if o.clusterName != "" {
		caches.ByObject = map[client.Object]cache.ByObject{
			&v1beta2.HollowMachine{}: {Label: labels.SelectorFromSet(labels.Set{machine.ClusterNameLabel: o.clusterName})},
		}
	}
	return caches
}

// newWorkload returns the cluster that the Nodes are in. Its cache has the hollow Nodes, and
// of the pods only what the player reads: those that are bound and have not ended.
func newWorkload(config *rest.Config, scheme *runtime.Scheme) (cluster.Cluster, error) {
	return cluster.New(config, func(o *cluster.Options) {
		o.Scheme = scheme
		o.Cache.DefaultTransform = cache.TransformStripManagedFields()
		o.Cache.ByObject = map[client.Object]cache.ByObject{
			&corev1.Node{}: {Label: labels.SelectorFromSet(labels.Set{v1beta2.MachinesLabel: v1beta2.MachinesHollow})},
			&corev1.Pod{}: {
				Field: fields.ParseSelectorOrDie("spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"),
				Transform: func(o any) (any, error) {
					if pod, ok := o.(*corev1.Pod); ok {
						player.Strip(pod)
					}
					return o, nil
				},
			},
		}
	})
}
