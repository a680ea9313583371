package env

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/steps"
	"caslab/magefiles/internal/ui"
)

// lookWithin bounds what only looks.
const lookWithin = 15 * time.Second

// NotUpError is an environment that is not there.
type NotUpError struct{ Name string }

func (e *NotUpError) Error() string {
	return fmt.Sprintf("there is no environment %q; type: go tool mage env:up", e.Name)
}

// Kubeconfig prints the path of the environment's kubeconfig and nothing
// else. If the engine answers at once, the kubeconfig has the port that the
// cluster is published at now.
func (l *Lab) Kubeconfig(ctx context.Context) error {
	if there, err := state.Exists(l.kubeconfig()); err != nil {
		return err
	} else if !there {
		return &NotUpError{l.cfg.ClusterName}
	}
	looking, cancel := within(ctx, 5*time.Second)
	defer cancel()
	// An engine that is stopped changes no port, and what is not the lab's is
	// for those commands to refuse that change something.
	if workload, _, err := l.containers(looking); err == nil {
		if err := l.refreshKubeconfig(workload); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(l.out, l.kubeconfig())
	return err
}

// refreshKubeconfig writes the kubeconfig anew if its cluster is published at
// another port now, as it is after a restart.
func (l *Lab) refreshKubeconfig(workload []engine.Container) error {
	server := l.server(workload)
	data, err := os.ReadFile(l.kubeconfig())
	if server == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the environment's kubeconfig: %w", err)
	}
	fresh, err := kube.WithServer(data, server)
	if err != nil || bytes.Equal(fresh, data) {
		return err
	}
	return kube.WriteKubeconfig(l.kubeconfig(), fresh)
}

// standing returns the containers of an environment that is there, in whatever
// state, and its kubeconfig leads to where it is published now.
func (l *Lab) standing(ctx context.Context) (workload, management []engine.Container, err error) {
	if workload, management, err = l.containers(ctx); err != nil {
		return nil, nil, err
	}
	if len(workload)+len(management) == 0 {
		return nil, nil, &NotUpError{l.cfg.ClusterName}
	}
	return workload, management, l.refreshKubeconfig(workload)
}

// Status prints the environment's nodes, machines, node groups, providers and
// images.
func (l *Lab) Status(ctx context.Context) error {
	workload, management, err := l.standing(ctx)
	if err != nil {
		return err
	}
	// An API server that is down is a reason to show the containers.
	cluster := l.printCluster(ctx, management)
	w := l.table("CONTAINER", "STATE", "IMAGE", "ID")
	for _, c := range append(management, workload...) {
		id, _, err := l.engine.ImageID(ctx, c.Image)
		if err != nil {
			return err
		}
		state := "stopped"
		if c.Running {
			state = "running"
		}
		row(w, c.Name, state, c.Image, short(id))
	}
	return errors.Join(w.Flush(), cluster)
}

// printCluster prints what the API server knows.
func (l *Lab) printCluster(ctx context.Context, management []engine.Container) error {
	path, what := l.manager(management)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("environment %q has no API server yet; type: go tool mage env:up", l.cfg.ClusterName)
	}
	client, err := kube.Open(path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lookWithin, errors.New("the API server does not answer; type: go tool mage env:up"))
	defer cancel()
	if err := client.WaitAnswers(ctx); err != nil {
		return err
	}
	have, err := capi.Installed(ctx, client, namespace)
	if err != nil {
		return err
	}
	fmt.Fprintf(l.out, "Environment %s: Cluster API %s, Kubernetes %s, %s\n\n",
		l.cfg.ClusterName, or(have.ClusterAPI, "not there yet"), or(have.Kubernetes, "not there yet"), what)
	if err := l.printNodesAndMachines(ctx, client); err != nil {
		return err
	}
	return l.printProviders(ctx, client)
}

// list returns the objects of a kind; none where the kind is not there yet.
func list(ctx context.Context, client *kube.Client, kind schema.GroupKind, namespace string) ([]unstructured.Unstructured, error) {
	objects, err := client.List(ctx, kind, namespace)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	return objects, err
}

// manager returns the kubeconfig of the cluster that holds the Cluster API
// objects, and how to call the environment then.
func (l *Lab) manager(management []engine.Container) (kubeconfig, what string) {
	if len(management) > 0 {
		return l.managementKubeconfig(), "managed by " + l.cfg.ManagementName() + ": not ready yet; type: go tool mage env:up"
	}
	return l.kubeconfig(), "self-managed"
}

// Describe prints the tree of the environment's Cluster API objects, with what
// is not well.
func (l *Lab) Describe(ctx context.Context) error {
	_, management, err := l.standing(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := within(ctx, lookWithin)
	defer cancel()
	ctl, err := capi.NewClusterctl(ctx, filepath.Join(l.repositoryDir(), "clusterctl.yaml"), nil)
	if err != nil {
		return err
	}
	path, _ := l.manager(management)
	objects, err := ctl.Describe(ctx, path, namespace, l.cfg.ClusterName)
	if err != nil {
		return err
	}
	w := l.table("OBJECT", "AVAILABLE", "READY", "MESSAGE")
	for _, o := range objects {
		row(w, strings.Repeat("  ", o.Depth)+o.Name, or(o.Available, "-"), or(o.Ready, "-"), strings.ReplaceAll(o.Message, "\n", " "))
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
	nodes, err := list(ctx, client, kube.Nodes, "")
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
	machines, err := list(ctx, client, kube.Machines, namespace)
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
	if err := l.printNodeGroups(ctx, client); err != nil {
		return err
	}
	fmt.Fprintln(l.out)
	return nil
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
	providers, err := list(ctx, client, kube.Providers, "")
	if err != nil {
		return err
	}
	deployments, err := list(ctx, client, kube.Deployments, "")
	if err != nil {
		return err
	}
	pods, err := list(ctx, client, kube.Pods, "")
	if err != nil {
		return err
	}
	w := l.table("PROVIDER", "VERSION", "IMAGE", "ID", "AVAILABLE")
	for i := range providers {
		p := &providers[i]
		for j := range deployments {
			d := &deployments[j]
			if d.GetNamespace() != p.GetNamespace() {
				continue
			}
			image := managerImage(d)
			row(w, p.GetName(), kube.Field(p, "version"), image, or(imageID(pods, d.GetNamespace(), image), "-"), fmt.Sprint(kube.True(d, "Available")))
		}
	}
	fmt.Fprintln(w)
	return w.Flush()
}

// imageID is of the image that a pod of the namespace runs by that name.
func imageID(pods []unstructured.Unstructured, namespace, image string) string {
	for i := range pods {
		if pods[i].GetNamespace() != namespace {
			continue
		}
		for _, container := range kube.ContainerStatuses(&pods[i]) {
			if container["image"] == image {
				id := fmt.Sprint(container["imageID"])
				return short(id[strings.LastIndex(id, "@")+1:])
			}
		}
	}
	return ""
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
func (l *Lab) summary(ctx context.Context, c *creation, timings []steps.Timing) error {
	fmt.Fprintln(l.out)
	if err := l.Status(ctx); err != nil {
		return err
	}
	fmt.Fprintln(l.out)
	critical := steps.CriticalPath(timings)
	on := map[string]bool{}
	first, last := timings[0].Start, timings[0].End
	w := l.table("STEP", "SECONDS", "")
	for _, t := range critical {
		on[t.Name] = true
	}
	record := map[string]float64{}
	for _, t := range timings {
		mark := ""
		if on[t.Name] {
			mark = "critical path"
		}
		row(w, t.Name, fmt.Sprintf("%.1f", t.Took().Seconds()), mark)
		record[t.Name] = t.Took().Seconds()
		if t.Start.Before(first) {
			first = t.Start
		}
		if t.End.After(last) {
			last = t.End
		}
	}
	record["total"] = last.Sub(first).Seconds()
	row(w, "total", fmt.Sprintf("%.1f", record["total"]), "")
	if err := w.Flush(); err != nil {
		return err
	}
	named := ""
	if l.cfg.NamedByVariable() {
		named = "\n  export CLUSTER_NAME=" + l.cfg.ClusterName
	}
	fmt.Fprintf(l.out, `
Cluster API from %s (%s); nodes from %s.
Next:%s
  export KUBECONFIG=$(go tool mage env:kubeconfig)
  go tool mage nodegroup:add work-md-1 1 4
  go tool mage autoscaler:run
  go tool mage env:down
`, c.tree.Origin, or(c.tree.Why, "as set"), c.base.Origin, named)
	return l.writeRecord(record)
}

// writeRecord keeps the seconds of each step for whoever compares runs.
func (l *Lab) writeRecord(seconds map[string]float64) error {
	return state.WriteJSON(l.recordFile(), seconds)
}

func (l *Lab) recordFile() string { return l.path("logs", l.cfg.ClusterName+"-seconds.json") }
