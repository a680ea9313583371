// Package actions changes a cluster for a scenario: it creates the groups and the objects,
// does the actions of the steps, and removes everything again.
package actions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/pods"
	"caslab/magefiles/internal/workload"
)

const (
	// poolLabel is the label of nodes with the pool of their group.
	poolLabel = "caslab.local/pool"
	// objectLabel is the label of everything that a scenario creates. Its value is
	// the name of the scenario.
	objectLabel = "caslab.local/scenario"
	// pausedByScenario is the annotation of a Cluster that a scenario paused. Its value
	// is the name of the scenario.
	pausedByScenario = "caslab.local/paused-by-scenario"
)

// Options say which cluster is changed, and how. All are required unless a field says otherwise.
type Options struct {
	// Workload is the cluster that is scaled. Management has the Cluster API
	// objects; it may be the same cluster.
	Workload, Management *kube.Client
	// Namespace and Cluster are the namespace and the name of the Cluster object.
	Namespace, Cluster string
	// ConfigNamespace is the autoscaler's --namespace. Workloads are created in
	// PodNamespace.
	ConfigNamespace, PodNamespace string
	// SizePrefix is the prefix of the size annotations that the autoscaler reads.
	SizePrefix string
	// Prefix begins the names of groups and workloads. What has this prefix and the
	// label of scenarios is deleted by CleanUp.
	Prefix string
	// Shared is set if other scenarios run at the same time, with other prefixes: CleanUp removes
	// only what the scenario itself created, and what has the prefix.
	Shared bool
	// PrepareHollow makes the cluster ready for hollow machines. Only scenarios with such
	// machines need it.
	PrepareHollow func(context.Context) error
	// Containers changes the machines that are containers; nil in a cluster that the lab
	// did not create.
	Containers Containers
	// Now is the clock for time stamps.
	Now func() time.Time
}

// Cluster is the cluster that one scenario changes.
type Cluster struct {
	Options
	Scenario *scenario.Scenario
	// All are the scenarios of the run. CleanUp looks for their objects.
	All []*scenario.Scenario
	// nodes is the number of nodes before the first step.
	nodes int
	// made has the workloads that the steps made, by name.
	made map[string]*scenario.Workload
	// measured has what their pods request, by name.
	measured map[string]pods.Options
}

// New returns the cluster that a scenario of a run changes. All are the scenarios of the
// run.
func New(o Options, s *scenario.Scenario, all []*scenario.Scenario) *Cluster {
	return &Cluster{Options: o, Scenario: s, All: all, made: map[string]*scenario.Workload{}, measured: map[string]pods.Options{}}
}

// CountNodes counts the nodes for the variable ${nodes}.
func (c *Cluster) CountNodes(ctx context.Context) error {
	nodes, err := c.Workload.List(ctx, kube.Nodes, "")
	c.nodes = len(nodes)
	return err
}

// Variables returns the values for ${…} in the scenario.
func (c *Cluster) Variables() scenario.Variables {
	return scenario.Variables{Prefix: c.Prefix, Namespace: c.PodNamespace, Cluster: c.Cluster, ClusterNamespace: c.Namespace, ConfigNamespace: c.ConfigNamespace, Nodes: c.nodes}
}

// RefusePaused returns an error if the user paused the Cluster. In a paused Cluster
// no machine would be created, and only the user should resume it.
func (c *Cluster) RefusePaused(ctx context.Context) error {
	cluster, err := c.Management.Get(ctx, kube.Clusters, c.Namespace, c.Cluster)
	if err != nil {
		return fmt.Errorf("read the Cluster %s: %w", c.Cluster, err)
	}
	if kube.Field(cluster, "spec", "paused") == "true" && cluster.GetAnnotations()[pausedByScenario] == "" {
		return fmt.Errorf("the Cluster %s is paused, and no scenario paused it; resume it and run the scenario again: %s", c.Cluster, resumeCommand(c.Namespace, c.Cluster))
	}
	return nil
}

// resumeCommand returns the command that resumes a Cluster.
func resumeCommand(namespace, cluster string) string {
	return fmt.Sprintf(`kubectl -n %s patch clusters.cluster.x-k8s.io %s --type=merge -p '{"spec":{"paused":false}}'`, namespace, cluster)
}

// workers returns the worker nodes, at least one.
func (c *Cluster) workers(ctx context.Context) ([]corev1.Node, error) {
	workers, err := workload.Workers(ctx, c.Workload)
	if err == nil && len(workers) == 0 {
		err = errors.New("the cluster has no worker node to measure; scale a machine deployment to 1")
	}
	return workers, err
}

// labels returns the labels of what the scenario creates.
func (c *Cluster) labels() map[string]string { return map[string]string{objectLabel: c.Scenario.Name} }

// created reports whether a clean-up removes an object. While other scenarios run, that is an
// object of this scenario, or one with its prefix, which an earlier scenario with the same prefix
// left.
func (c *Cluster) created(o *unstructured.Unstructured) bool {
	creator := o.GetLabels()[objectLabel]
	return creator != "" && (!c.Shared || creator == c.Scenario.Name || strings.HasPrefix(o.GetName(), c.Prefix))
}

// selector selects the objects that are to be removed, for kubectl.
func (c *Cluster) selector() string {
	if c.Shared {
		return objectLabel + "=" + c.Scenario.Name
	}
	return objectLabel
}

// ours reports whether an object with this prefix is to be removed.
func (c *Cluster) ours(o *unstructured.Unstructured) bool {
	return strings.HasPrefix(o.GetName(), c.Prefix) && c.created(o)
}

// annotated returns a patch that sets annotations; a nil value removes one.
func annotated(annotations map[string]any) map[string]any {
	return map[string]any{"metadata": map[string]any{"annotations": annotations}}
}
