// A stand-in for the cluster autoscaler, for machines that reach no git server.
// The end-to-end test makes a git repository of it. It has the module path, the
// flags and the log lines of the real one. It scales machine deployments by their
// scale subresource, within the limits in their annotations: up by one node for
// each pending pod, and down to the minimum when no pods are left.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

var (
	kubeconfig = pflag.String("kubeconfig", "", "Path to kubeconfig file.")
	cloud      = pflag.String("cloud-config", "", "Path to the kubeconfig file of the management cluster, if that is another one.")
	namespace  = pflag.String("namespace", "kube-system", "Namespace in which cluster-autoscaler run.")
	unneeded   = pflag.Duration("scale-down-unneeded-time", 10*time.Minute, "How long a node should be unneeded.")
	discovery  = pflag.StringSlice("node-group-auto-discovery", nil, "One or more definition(s) of node group auto-discovery.")
	total      = pflag.Int("max-nodes-total", 0, "Maximum number of nodes in all node groups.")
	misbehave  = pflag.String("misbehave", "", "For tests of what looks at autoscalers: never scales up, or exceed the maximum.")
)

var (
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	events      = schema.GroupVersionResource{Version: "v1", Resource: "events"}
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	deployments = schema.GroupVersionResource{Group: "cluster.x-k8s.io", Version: "v1beta2", Resource: "machinedeployments"}
)

func init() {
	for _, name := range []string{
		"cloud-provider", "expendable-pods-priority-cutoff", "scale-down-delay-after-add", "scale-down-delay-after-delete",
		"scale-down-delay-after-failure", "unremovable-node-recheck-timeout", "max-node-provision-time", "v", "address",
		"kube-client-qps", "kube-client-burst",
	} {
		pflag.String(name, "", "Accepted, as the real one does.")
	}
	for _, name := range []string{"scale-down-enabled", "balance-similar-node-groups", "leader-elect", "debugging-snapshot-enabled", "scale-down-delay-type-local"} {
		pflag.Bool(name, true, "Accepted, as the real one does.")
	}
}

func logf(format string, args ...any) {
	_, file, line, _ := runtime.Caller(1)
	fmt.Fprintf(os.Stderr, "I%s %7d %s:%d] %s\n", time.Now().Format("0102 15:04:05.000000"), os.Getpid(), filepath.Base(file), line, fmt.Sprintf(format, args...))
}

func main() {
	pflag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	client := open(*kubeconfig)
	management := client
	if *cloud != "" {
		management = open(*cloud)
	}
	logf("Cluster Autoscaler, a stand-in; CAPI_VERSION is %q, groups by %v", os.Getenv("CAPI_VERSION"), *discovery)
	a := autoscaler{client: client, management: management, idle: map[string]time.Time{}, told: map[string]bool{}}
	for {
		logf("Starting main loop")
		if err := a.once(ctx); err != nil && ctx.Err() == nil {
			logf("Failed to scale: %v", err)
		}
		select {
		case <-ctx.Done():
			_ = client.Resource(configMaps).Namespace(*namespace).Delete(context.Background(), status, metav1.DeleteOptions{})
			logf("Cleaned up, exiting...")
			return
		case <-time.After(time.Second):
		}
	}
}

func open(kubeconfig string) dynamic.Interface {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		fatal(err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		fatal(err)
	}
	return client
}

// groupNamespace returns the namespace of the node groups, by default that of the
// autoscaler's status.
func groupNamespace() string {
	for _, part := range *discovery {
		if _, value, found := strings.Cut(part, "namespace="); found {
			return value
		}
	}
	return *namespace
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "F0101 00:00:00.000000       1 main.go:1]", err)
	os.Exit(255)
}

type autoscaler struct {
	client     dynamic.Interface    // of nodes and pods
	management dynamic.Interface    // of machine deployments
	idle       map[string]time.Time // by group, since when nothing needs more than its minimum
	told       map[string]bool      // pods whose owner knows why there is no node
}

func (a *autoscaler) once(ctx context.Context) error {
	all, err := a.client.Resource(pods).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var waiting []unstructured.Unstructured
	pending, running := 0, 0
	for _, p := range all.Items {
		if p.GetLabels()["caslab.local/workload"] == "" {
			continue
		}
		running++
		if unschedulable(p) {
			logf("Pod %s/%s is unschedulable", p.GetNamespace(), p.GetName())
			pending++
			waiting = append(waiting, p)
		}
	}
	groups, err := a.management.Resource(deployments).Namespace(groupNamespace()).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var report strings.Builder
	report.WriteString("autoscalerStatus: Running\nnodeGroups:\n")
	for _, g := range groups.Items {
		lowest, highest, ok := limits(g)
		if !ok {
			continue
		}
		now, _, _ := unstructured.NestedInt64(g.Object, "spec", "replicas")
		ready, _, _ := unstructured.NestedInt64(g.Object, "status", "readyReplicas")
		fmt.Fprintf(&report, "- name: MachineDeployment/%s/%s\n  health: {status: Healthy, minSize: %d, maxSize: %d, cloudProviderTarget: %d, nodeCounts: {registered: {ready: %d}}}\n",
			g.GetNamespace(), g.GetName(), lowest, highest, now, ready)
		switch *misbehave {
		case "never":
			pending = 0
		case "exceed":
			highest++
		}
		upcoming := max(now-ready, 0) // machines that are on their way out count no more
		if more := int64(pending) - upcoming; more > 0 && now == highest {
			logf("Skipping node group %s - max size reached", g.GetName())
			if err := a.refuse(ctx, waiting); err != nil {
				return err
			}
		} else if more > 0 {
			want := min(now+more, highest)
			logf("Scale-up: setting group %s size to %d", g.GetName(), want)
			if err := a.resize(ctx, g, want); err != nil {
				return err
			}
		}
		if running > 0 || now <= lowest {
			delete(a.idle, g.GetName())
			continue
		}
		if a.idle[g.GetName()].IsZero() {
			a.idle[g.GetName()] = time.Now()
		}
		if time.Since(a.idle[g.GetName()]) > *unneeded {
			logf("Scale-down: removing nodes of %s, size %d", g.GetName(), lowest)
			if err := a.resize(ctx, g, lowest); err != nil {
				return err
			}
		}
	}
	return a.writeStatus(ctx, report.String())
}

// refuse tells the owners of pods why there is no node, once.
func (a *autoscaler) refuse(ctx context.Context, pods []unstructured.Unstructured) error {
	for _, p := range pods {
		if a.told[string(p.GetUID())] {
			continue
		}
		now := time.Now().UTC().Format(time.RFC3339)
		event := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Event", "type": "Normal", "reason": "NotTriggerScaleUp",
			"metadata":       map[string]any{"generateName": p.GetName() + ".", "namespace": p.GetNamespace()},
			"involvedObject": map[string]any{"apiVersion": "v1", "kind": "Pod", "namespace": p.GetNamespace(), "name": p.GetName(), "uid": string(p.GetUID())},
			"message":        "pod didn't trigger scale-up: 1 max node group size reached",
			"source":         map[string]any{"component": "cluster-autoscaler"},
			"firstTimestamp": now, "lastTimestamp": now, "count": int64(1),
		}}
		if _, err := a.client.Resource(events).Namespace(p.GetNamespace()).Create(ctx, event, metav1.CreateOptions{}); err != nil {
			return err
		}
		a.told[string(p.GetUID())] = true
	}
	return nil
}

func unschedulable(p unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(p.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == "PodScheduled" && m["reason"] == "Unschedulable" {
			return true
		}
	}
	return false
}

func limits(g unstructured.Unstructured) (lowest, highest int64, ok bool) {
	const prefix = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-"
	lowest, err := strconv.ParseInt(g.GetAnnotations()[prefix+"min-size"], 10, 64)
	if err != nil {
		return 0, 0, false
	}
	highest, err = strconv.ParseInt(g.GetAnnotations()[prefix+"max-size"], 10, 64)
	return lowest, highest, err == nil
}

func (a *autoscaler) resize(ctx context.Context, g unstructured.Unstructured, size int64) error {
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, size)
	_, err := a.management.Resource(deployments).Namespace(g.GetNamespace()).Patch(ctx, g.GetName(), types.MergePatchType, patch, metav1.PatchOptions{}, "scale")
	return err
}

const status = "cluster-autoscaler-status"

func (a *autoscaler) writeStatus(ctx context.Context, text string) error {
	maps := a.client.Resource(configMaps).Namespace(*namespace)
	m, err := maps.Get(ctx, status, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		m = &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": status}, "data": map[string]any{"status": text},
		}}
		_, err = maps.Create(ctx, m, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	if err := unstructured.SetNestedField(m.Object, text, "data", "status"); err != nil {
		return err
	}
	_, err = maps.Update(ctx, m, metav1.UpdateOptions{})
	return err
}
