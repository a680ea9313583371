// Package status prints what a cluster that manages machines knows about itself.
package status

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	version "github.com/hashicorp/go-version"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/grouptable"
	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/ui"
)

// Cluster is a cluster whose Cluster API objects are in the namespace of the API server
// that the client reaches. Ages are printed at the time Now.
type Cluster struct {
	Client          *kube.Client
	Namespace, Name string
	Now             time.Time
}

// Print prints the versions, nodes, machines, node groups and providers. what describes the
// state of the environment, after its versions.
func (c Cluster) Print(ctx context.Context, out io.Writer, what string) error {
	have, err := capi.Installed(ctx, c.Client, c.Namespace)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Environment %s: Cluster API %s, Kubernetes %s, %s\n",
		c.Name, cmp.Or(have.ClusterAPI, "not there yet"), cmp.Or(have.Kubernetes, "not there yet"), what)
	for _, doubt := range doubts(have) {
		fmt.Fprintln(out, "!", doubt)
	}
	fmt.Fprintln(out)
	if err := c.printNodesAndMachines(ctx, out); err != nil {
		return err
	}
	return c.printProviders(ctx, out)
}

// doubts returns what is uncertain about a cluster's versions, if both are
// known.
func doubts(have capi.Versions) []string {
	clusterAPI, err := version.NewSemver(have.ClusterAPI)
	if err != nil {
		return nil
	}
	kubernetes, err := version.NewSemver(have.Kubernetes)
	if err != nil {
		return nil
	}
	return release.Of(clusterAPI).Doubts(kubernetes)
}

// list returns the objects of a kind, or none if the server does not know the kind
// yet.
func list(ctx context.Context, client *kube.Client, kind schema.GroupKind, namespace string) ([]unstructured.Unstructured, error) {
	objects, err := client.List(ctx, kind, namespace)
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	return objects, err
}

// printNodesAndMachines prints what `kubectl get nodes` and `kubectl get machines`
// print, and the node groups.
func (c Cluster) printNodesAndMachines(ctx context.Context, out io.Writer) error {
	nodes, err := list(ctx, c.Client, kube.Nodes, "")
	if err != nil {
		return err
	}
	w := ui.NewTable(out, "NODE", "STATUS", "ROLES", "AGE", "VERSION")
	played := map[string]int{} // hollow ones by state: there may be hundreds
	for i := range nodes {
		n := &nodes[i]
		status := "NotReady"
		if kube.True(n, "Ready") {
			status = "Ready"
		}
		if kube.IsHollow(n) {
			played[status]++
			continue
		}
		w.Row(n.GetName(), status, cmp.Or(strings.Join(kube.Roles(n), ","), "<none>"), c.age(n), kube.Field(n, "status", "nodeInfo", "kubeletVersion"))
	}
	addHollow(w, played, "hollow nodes")
	w.Row()
	if err := w.End(); err != nil {
		return err
	}
	machines, err := list(ctx, c.Client, kube.Machines, c.Namespace)
	if err != nil {
		return err
	}
	w = ui.NewTable(out, "MACHINE", "PROVIDERID", "PHASE", "VERSION")
	played = map[string]int{}
	for i := range machines {
		m := &machines[i]
		if kube.Field(m, "spec", "infrastructureRef", "kind") == hollow.Machines.Kind {
			played[kube.Field(m, "status", "phase")]++
			continue
		}
		w.Row(m.GetName(), kube.Field(m, "spec", "providerID"), kube.Field(m, "status", "phase"), kube.Field(m, "spec", "version"))
	}
	addHollow(w, played, "hollow machines", "-")
	w.Row()
	if err := w.End(); err != nil {
		return err
	}
	if err := grouptable.Write(ctx, out, c.Client, c.Namespace, c.Name); err != nil {
		return err
	}
	fmt.Fprintln(out)
	return nil
}

// addHollow adds a row for each state of hollow objects, with their number. between are the
// cells between what they are and their state.
func addHollow(t *ui.Table, byState map[string]int, what string, between ...string) {
	for _, state := range slices.Sorted(maps.Keys(byState)) {
		t.Row(slices.Concat([]string{fmt.Sprintf("%d %s", byState[state], what)}, between, []string{cmp.Or(state, "-")})...)
	}
}

func (c Cluster) age(o *unstructured.Unstructured) string {
	return ui.Round(c.Now.Sub(o.GetCreationTimestamp().Time).Truncate(time.Second))
}

func (c Cluster) printProviders(ctx context.Context, out io.Writer) error {
	providers, err := list(ctx, c.Client, kube.Providers, "")
	if err != nil {
		return err
	}
	deployments, err := list(ctx, c.Client, kube.Deployments, "")
	if err != nil {
		return err
	}
	pods, err := list(ctx, c.Client, kube.Pods, "")
	if err != nil {
		return err
	}
	w := ui.NewTable(out, "PROVIDER", "VERSION", "IMAGE", "ID", "AVAILABLE")
	for i := range providers {
		p := &providers[i]
		for j := range deployments {
			d := &deployments[j]
			if d.GetNamespace() != p.GetNamespace() {
				continue
			}
			image := kube.FirstImage(d)
			w.Row(p.GetName(), kube.Field(p, "version"), image, cmp.Or(ShortID(kube.ImageID(pods, d.GetNamespace(), image)), "-"), fmt.Sprint(kube.True(d, "Available")))
		}
	}
	w.Row()
	return w.End()
}

// ShortID returns the first 12 digits of an image's ID, as docker prints it.
func ShortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}
