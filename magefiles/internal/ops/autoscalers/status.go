package autoscalers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	version "github.com/hashicorp/go-version"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/capi/grouptable"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/ui"
)

// Status prints which autoscaler runs, and what it reports about the cluster and its
// node groups.
func (a *Autoscalers) Status(ctx context.Context) error {
	c, err := a.Open(ctx)
	if err != nil {
		return err
	}
	runs, err := a.Running(ctx, c)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "Autoscaler: %s\n", cmp.Or(runs.Text, "none that the lab knows of; type: "+a.Config.Command("autoscaler:run")))
	m, err := c.Workload.Get(ctx, kube.ConfigMaps, c.ConfigNamespace(), autoscaler.StatusConfigMap)
	if apierrors.IsNotFound(err) {
		fmt.Fprintf(a.Out, "There is no status in the ConfigMap %s/%s: an autoscaler writes it in its first round, and deletes it when it is stopped.\n", c.ConfigNamespace(), autoscaler.StatusConfigMap)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the autoscaler's status: %w", err)
	}
	text := kube.Field(m, "data", "status")
	status, err := autoscaler.ParseStatus(text)
	if errors.Is(err, autoscaler.ErrPlainStatus) {
		_, err = fmt.Fprintf(a.Out, "\n%s\n", text)
		return err
	}
	if err != nil {
		return err
	}
	kinds, unknown := machineKinds(ctx, c)
	if err := a.printAutoscaler(status, kinds); err != nil || unknown == nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "The kinds of some machines are not known: %v\n", unknown)
	return err
}

// machineKinds returns the kind of the machines of each node group, as grouptable.MachineKind
// names it. The keys are the autoscaler's names of the groups, such as
// MachineDeployment/default/web (cluster-autoscaler 1.36.1,
// cloudprovider/clusterapi/clusterapi_nodegroup.go: Id). With an error, it returns the kinds that
// could be read.
func machineKinds(ctx context.Context, c *target.Cluster) (map[string]string, error) {
	kinds := map[string]string{}
	var errs []error
	for _, kind := range []schema.GroupKind{kube.MachineDeployments, kube.MachinePools} {
		groups, err := c.Management.List(ctx, kind, c.Namespace)
		if err != nil && !kube.IsAbsent(err) {
			errs = append(errs, err)
		}
		for i := range groups {
			g := &groups[i]
			kinds[g.GetKind()+"/"+g.GetNamespace()+"/"+g.GetName()] = grouptable.MachineKind(g)
		}
	}
	return kinds, errors.Join(errs...)
}

func (a *Autoscalers) printAutoscaler(status autoscaler.Status, kinds map[string]string) error {
	fmt.Fprintf(a.Out, "Status: %s, %s\n", cmp.Or(status.AutoscalerStatus, "unknown"), a.ageOf(status.Time))
	if status.Message != "" {
		fmt.Fprintln(a.Out, status.Message)
	}
	fmt.Fprintln(a.Out)
	w := ui.NewTable(a.Out, "NODE GROUP", "MACHINES", "HEALTH", "MIN", "MAX", "TARGET", "READY", "UNREGISTERED", "SCALE-UP", "SCALE-DOWN", "WHY")
	groups := slices.Clone(status.NodeGroups)
	slices.SortFunc(groups, func(a, b autoscaler.GroupStatus) int { return strings.Compare(a.Name, b.Name) })
	for _, g := range groups {
		counts := g.Health.NodeCounts
		w.Row(g.Name[strings.LastIndex(g.Name, "/")+1:], cmp.Or(kinds[g.Name], "-"), cmp.Or(g.Health.Status, "-"),
			fmt.Sprint(g.Health.MinSize), fmt.Sprint(g.Health.MaxSize), fmt.Sprint(g.Health.CloudProviderTarget),
			fmt.Sprint(counts.Registered.Ready), fmt.Sprint(counts.Unregistered+counts.LongUnregistered),
			cmp.Or(g.ScaleUp.Status, "-"), scaleDown(g), strings.TrimSpace(g.ScaleUp.BackoffInfo.ErrorCode+" "+g.ScaleUp.BackoffInfo.ErrorMessage))
	}
	all := status.ClusterWide
	w.Row("all", "", cmp.Or(all.Health.Status, "-"), "", "", "", fmt.Sprint(all.Health.NodeCounts.Registered.Ready),
		fmt.Sprint(all.Health.NodeCounts.Unregistered+all.Health.NodeCounts.LongUnregistered), cmp.Or(all.ScaleUp.Status, "-"), scaleDown(all), "")
	return w.End()
}

func scaleDown(g autoscaler.GroupStatus) string {
	if g.ScaleDown.Candidates > 0 {
		return fmt.Sprintf("%s (%d)", g.ScaleDown.Status, g.ScaleDown.Candidates)
	}
	return cmp.Or(g.ScaleDown.Status, "-")
}

func (a *Autoscalers) ageOf(written string) string {
	t, err := time.Parse(autoscaler.TimeLayout, written)
	if err != nil {
		return "written " + cmp.Or(written, "at an unknown time")
	}
	return "written " + ui.Round(a.Now().Sub(t)) + " ago"
}

// Running is an autoscaler that runs on a cluster.
type Running struct {
	// Text describes it; empty if the lab knows no running autoscaler.
	Text string
	// Release is nil if it is not known.
	Release *version.Version
}

// Running says which autoscaler runs on the cluster, as far as the lab knows.
func (a *Autoscalers) Running(ctx context.Context, c *target.Cluster) (Running, error) {
	who, err := a.State.Holder(autoscalerLock(c))
	if err != nil {
		return Running{}, err
	}
	d, err := deployed(ctx, c)
	switch {
	case err != nil:
		return Running{}, err
	case d == nil && who == "":
		held, err := c.Reserved(ctx, reservation)
		if err != nil || held == nil {
			return Running{}, err
		}
		return Running{Text: "elsewhere, " + held.Holder}, nil
	case d == nil:
		v, err := a.recordedRelease(c)
		return Running{Text: "on this machine, " + who, Release: v}, err
	case !isOurs(d, c):
		return Running{Text: "in the cluster, deployment " + fullName(d) + ", which the lab did not create", Release: releaseOf(d)}, nil
	}
	text := fmt.Sprintf("in the cluster, deployment %s, image %s, %s of %s available", fullName(d), kube.FirstImage(d),
		cmp.Or(kube.Field(d, "status", "availableReplicas"), "0"), kube.Field(d, "spec", "replicas"))
	return Running{Text: text, Release: releaseOf(d)}, nil
}
