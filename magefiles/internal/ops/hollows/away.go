package hollows

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/target"
)

// clusterctl puts certManagerLabel on cert-manager. The managers of Cluster API's providers need
// the webhooks of cert-manager.
const (
	certManagerLabel = "clusterctl.cluster.x-k8s.io/core"
	certManager      = "cert-manager"
)

// exposed returns the Deployments of the system whose pods may come to a hollow node.
func exposed(ctx context.Context, c *target.Cluster) ([]*appsv1.Deployment, error) {
	all, err := c.Workload.List(ctx, kube.Deployments, "")
	if err != nil {
		return nil, fmt.Errorf("look for the pods of the system: %w", err)
	}
	var found []*appsv1.Deployment
	for i := range all {
		d, err := kube.Deployment(&all[i])
		if err != nil {
			return nil, fmt.Errorf("look for the pods of the system: %w", err)
		}
		if system(d) && !hollow.StaysAway(&d.Spec.Template.Spec) {
			found = append(found, d)
		}
	}
	return found, nil
}

// system reports whether the cluster stops working if pods of the Deployment do nothing.
func system(d *appsv1.Deployment) bool {
	_, provider := d.Labels[clusterv1.ProviderNameLabel]
	return provider || d.Labels[certManagerLabel] == certManager || d.Namespace == certManager || d.Namespace == "kube-system" || d.Name == autoscaler.Name
}

// keepAway keeps the pods of the system off hollow nodes, and waits until they run again: the
// change replaces them.
func (h *Hollows) keepAway(ctx context.Context, c *target.Cluster) (err error) {
	found, err := exposed(ctx, c)
	if err != nil || len(found) == 0 {
		return err
	}
	var names []string
	changed := map[string]bool{}
	step := h.Log.Start("keep the pods of the system off hollow nodes", 30*time.Second)
	defer func() { step.Done(strings.Join(names, ", "), err) }()
	ctx, cancel := interrupt.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for _, d := range found {
		patch, err := hollow.Away(&d.Spec.Template.Spec)
		if err != nil {
			return err
		}
		if err := c.Workload.Patch(ctx, kube.Deployments, d.Namespace, d.Name, patch); err != nil {
			return err
		}
		names = append(names, d.Namespace+"/"+d.Name)
		changed[d.Namespace+"/"+d.Name] = true
	}
	return c.Workload.Wait(ctx, kube.Deployments, "", func(all []*unstructured.Unstructured) (bool, string) {
		var missing []string
		for _, o := range all {
			d, err := kube.Deployment(o)
			if err != nil {
				return false, err.Error()
			}
			if changed[d.Namespace+"/"+d.Name] && !replaced(d) {
				missing = append(missing, d.Name)
			}
		}
		return len(missing) == 0, "new pods of " + strings.Join(missing, ", ")
	}, step.Progress)
}

// replaced reports whether all pods of a Deployment are new and available.
func replaced(d *appsv1.Deployment) bool {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	s := d.Status
	return s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want
}

// warn names the Deployments of the system whose pods may come to a hollow node of a cluster
// that the lab did not create, and what changes that.
func (h *Hollows) warn(ctx context.Context, c *target.Cluster) error {
	found, err := exposed(ctx, c)
	if err != nil || len(found) == 0 {
		return err
	}
	text := []string{"! pods of the system may come to hollow nodes, where they would only seem to run. The lab changes no pods of a cluster that it did not create. To keep them away, type, with the kubeconfig of the nodes:"}
	for _, d := range found {
		patch, err := hollow.Away(&d.Spec.Template.Spec)
		if err != nil {
			return err
		}
		data, err := json.Marshal(patch)
		if err != nil {
			return fmt.Errorf("write the patch of %s: %w", d.Name, err)
		}
		text = append(text, fmt.Sprintf("kubectl -n %s patch deployment %s --type=merge -p %s", d.Namespace, d.Name, shellescape.Quote(string(data))))
	}
	h.Log.Printf("%s", strings.Join(text, "\n  "))
	return nil
}
