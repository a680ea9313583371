package env

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/ui"
)

// NotUpError is an environment that is not there.
type NotUpError struct{ Name string }

func (e *NotUpError) Error() string {
	return fmt.Sprintf("there is no environment %q; type: go tool mage env:up", e.Name)
}

// Kubeconfig prints the path of the environment's kubeconfig and nothing else.
func (l *Lab) Kubeconfig() error {
	if _, err := os.Stat(l.kubeconfig()); errors.Is(err, os.ErrNotExist) {
		return &NotUpError{l.cfg.ClusterName}
	} else if err != nil {
		return err
	}
	_, err := fmt.Fprintln(l.out, l.kubeconfig())
	return err
}

// Status prints the environment's nodes, machines, node groups, providers and
// images.
func (l *Lab) Status(ctx context.Context) error {
	workload, management, err := l.containers(ctx)
	if err != nil {
		return err
	}
	if len(workload)+len(management) == 0 {
		return &NotUpError{l.cfg.ClusterName}
	}
	path, what := l.kubeconfig(), "self-managed"
	if len(management) > 0 {
		path, what = l.managementKubeconfig(), "managed by "+l.cfg.ManagementName()+": not ready yet; type: go tool mage env:up"
	}
	client, err := kube.Open(path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, restartWithin, errors.New("the API server does not answer; type: go tool mage env:up"))
	defer cancel()
	fmt.Fprintf(l.out, "Environment %s: Cluster API %s, Kubernetes %s, %s\n\n", l.cfg.ClusterName, l.cfg.ClusterAPI.Tag(), config.Tag(l.cfg.Kubernetes), what)
	if err := l.printNodesAndMachines(ctx, client); err != nil {
		return err
	}
	if err := l.printProviders(ctx, client); err != nil {
		return err
	}
	w := l.table("CONTAINER", "IMAGE", "ID")
	for _, c := range append(management, workload...) {
		id, _, err := l.engine.ImageID(ctx, c.Image)
		if err != nil {
			return err
		}
		row(w, c.Name, c.Image, short(id))
	}
	return w.Flush()
}

func short(id string) string {
	return strings.TrimPrefix(id, "sha256:")[:min(12, len(strings.TrimPrefix(id, "sha256:")))]
}

func (l *Lab) table(header ...string) *tabwriter.Writer {
	w := tabwriter.NewWriter(l.out, 0, 0, 3, ' ', 0)
	row(w, header...)
	return w
}

// row ignores the error, which the table's Flush returns.
func row(w *tabwriter.Writer, cells ...string) { fmt.Fprintln(w, strings.Join(cells, "\t")) }

// printNodesAndMachines prints what the author of the lab's first version saw:
// `kubectl get nodes` and `kubectl get machines`; and the node groups.
func (l *Lab) printNodesAndMachines(ctx context.Context, client *kube.Client) error {
	nodes, err := client.List(ctx, capi.Nodes, "")
	if err != nil {
		return err
	}
	w := l.table("NODE", "STATUS", "ROLES", "AGE", "VERSION")
	for i := range nodes {
		n := &nodes[i]
		status := "NotReady"
		if kube.True(n, "Ready") {
			status = "Ready"
		}
		row(w, n.GetName(), status, roles(n), l.age(n), kube.Field(n, "status", "nodeInfo", "kubeletVersion"))
	}
	fmt.Fprintln(w)
	if err := w.Flush(); err != nil {
		return err
	}
	machines, err := client.List(ctx, capi.Machines, namespace)
	if err != nil {
		return err
	}
	w = l.table("MACHINE", "PROVIDERID", "PHASE", "VERSION")
	for i := range machines {
		m := &machines[i]
		row(w, m.GetName(), kube.Field(m, "spec", "providerID"), kube.Field(m, "status", "phase"), kube.Field(m, "spec", "version"))
	}
	fmt.Fprintln(w)
	if err := w.Flush(); err != nil {
		return err
	}
	groups, err := client.List(ctx, capi.MachineDeployments, namespace)
	if err != nil {
		return err
	}
	w = l.table("NODE GROUP", "MIN", "MAX", "REPLICAS", "READY")
	for i := range groups {
		g := &groups[i]
		row(w, g.GetName(), sizeLimit(g, "min"), sizeLimit(g, "max"),
			kube.Field(g, "spec", "replicas"), or(kube.Field(g, "status", "readyReplicas"), "0"))
	}
	fmt.Fprintln(w)
	return w.Flush()
}

// sizeLimit is the autoscaler's limit in the annotation of either of the two
// prefixes that its versions knew.
func sizeLimit(group *unstructured.Unstructured, which string) string {
	for _, prefix := range []string{"cluster.x-k8s.io", "cluster.k8s.io"} {
		if v := group.GetAnnotations()[prefix+"/cluster-api-autoscaler-node-group-"+which+"-size"]; v != "" {
			return v
		}
	}
	return "-"
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

func roles(n *unstructured.Unstructured) string {
	var all []string
	for label := range n.GetLabels() {
		if role, ok := strings.CutPrefix(label, "node-role.kubernetes.io/"); ok {
			all = append(all, role)
		}
	}
	slices.Sort(all)
	return or(strings.Join(all, ","), "<none>")
}

func (l *Lab) age(o *unstructured.Unstructured) string {
	return ui.Round(l.now().Sub(o.GetCreationTimestamp().Time).Truncate(time.Second))
}

func (l *Lab) printProviders(ctx context.Context, client *kube.Client) error {
	providers, err := client.List(ctx, capi.Providers, "")
	if err != nil {
		return err
	}
	deployments, err := client.List(ctx, capi.Deployments, "")
	if err != nil {
		return err
	}
	w := l.table("PROVIDER", "VERSION", "IMAGE", "AVAILABLE")
	for i := range providers {
		p := &providers[i]
		for j := range deployments {
			d := &deployments[j]
			if d.GetNamespace() != p.GetNamespace() {
				continue
			}
			row(w, p.GetName(), kube.Field(p, "version"), managerImage(d), fmt.Sprint(kube.True(d, "Available")))
		}
	}
	fmt.Fprintln(w)
	return w.Flush()
}

func managerImage(d *unstructured.Unstructured) string {
	containers, _, _ := unstructured.NestedSlice(d.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		if m, ok := c.(map[string]any); ok {
			return fmt.Sprint(m["image"])
		}
	}
	return ""
}

// summary ends an env:up: what runs, where the time went, what to type next.
func (l *Lab) summary(ctx context.Context, c *creation, timings []timing) error {
	fmt.Fprintln(l.out)
	if err := l.Status(ctx); err != nil {
		return err
	}
	fmt.Fprintln(l.out)
	critical := criticalPath(timings)
	on := map[string]bool{}
	first, last := timings[0].start, timings[0].end
	w := l.table("STEP", "SECONDS", "")
	for _, t := range critical {
		on[t.name] = true
	}
	record := map[string]float64{}
	for _, t := range timings {
		mark := ""
		if on[t.name] {
			mark = "critical path"
		}
		row(w, t.name, fmt.Sprintf("%.1f", t.took().Seconds()), mark)
		record[t.name] = t.took().Seconds()
		if t.start.Before(first) {
			first = t.start
		}
		if t.end.After(last) {
			last = t.end
		}
	}
	record["total"] = last.Sub(first).Seconds()
	row(w, "total", fmt.Sprintf("%.1f", record["total"]), "")
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(l.out, `
Cluster API from %s (%s); nodes from %s.
Next:
  export KUBECONFIG=$(go tool mage env:kubeconfig)
  go tool mage env:status
  go tool mage env:down
`, c.tree.Origin, or(c.tree.Why, "as set"), c.base.Origin)
	return l.writeRecord(record)
}

// writeRecord keeps the seconds of each step for whoever compares runs.
func (l *Lab) writeRecord(seconds map[string]float64) error {
	data, err := json.MarshalIndent(seconds, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.path("logs"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(l.recordFile(), data, 0o644)
}

func (l *Lab) recordFile() string { return l.path("logs", l.cfg.ClusterName+"-seconds.json") }
