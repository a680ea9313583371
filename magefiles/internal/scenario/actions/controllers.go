package actions

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/kube"
)

// stoppedByScenario is the annotation of a manager's Deployment that a scenario stopped. Its
// value is the number of replicas before.
const stoppedByScenario = "caslab.local/stopped-by-scenario"

// managers returns the Deployments of the managers of Cluster API and its providers.
func (c *Cluster) managers(ctx context.Context) ([]unstructured.Unstructured, error) {
	all, err := c.Management.List(ctx, kube.Deployments, "")
	var managers []unstructured.Unstructured
	for i := range all {
		if _, ok := all[i].GetLabels()[clusterv1.ProviderNameLabel]; ok {
			managers = append(managers, all[i])
		}
	}
	return managers, err
}

// stopControllers stops the managers and waits until none runs.
func (c *Cluster) stopControllers(ctx context.Context, progress func(string)) error {
	managers, err := c.managers(ctx)
	if err == nil && len(managers) == 0 {
		err = fmt.Errorf("no Deployment has the label %s", clusterv1.ProviderNameLabel)
	}
	if err != nil {
		return fmt.Errorf("look for the managers of Cluster API: %w", err)
	}
	for i := range managers {
		m := &managers[i]
		_, stopped := m.GetAnnotations()[stoppedByScenario]
		replicas := number(m, "spec", "replicas")
		if stopped || replicas == 0 { // zero is the user's
			continue
		}
		patch := annotated(map[string]any{stoppedByScenario: strconv.Itoa(replicas)})
		patch["spec"] = map[string]any{"replicas": 0}
		if err := c.Management.Patch(ctx, kube.Deployments, m.GetNamespace(), m.GetName(), patch); err != nil {
			return err
		}
	}
	return c.waitForManagers(ctx, "pods of managers to go", func(m *unstructured.Unstructured) bool { return number(m, "status", "replicas") == 0 }, progress)
}

// startControllers starts the managers that a scenario stopped, and waits until they answer.
func (c *Cluster) startControllers(ctx context.Context, progress func(string)) error {
	managers, err := c.managers(ctx)
	if err != nil {
		return fmt.Errorf("look for the managers of Cluster API: %w", err)
	}
	var errs []error
	started := 0
	for i := range managers {
		m := &managers[i]
		replicas, err := strconv.Atoi(m.GetAnnotations()[stoppedByScenario])
		if err != nil {
			continue // it was not stopped
		}
		started++
		patch := annotated(map[string]any{stoppedByScenario: nil})
		patch["spec"] = map[string]any{"replicas": replicas}
		errs = append(errs, c.Management.Patch(ctx, kube.Deployments, m.GetNamespace(), m.GetName(), patch))
	}
	if err := errors.Join(errs...); err != nil || started == 0 {
		return err
	}
	return c.waitForManagers(ctx, "managers to be available", func(m *unstructured.Unstructured) bool {
		return number(m, "status", "availableReplicas") >= number(m, "spec", "replicas")
	}, progress)
}

// waitForManagers waits until all managers are as they should be.
func (c *Cluster) waitForManagers(ctx context.Context, what string, done func(*unstructured.Unstructured) bool, progress func(string)) error {
	return c.Management.Wait(ctx, kube.Deployments, "", func(all []*unstructured.Unstructured) (bool, string) {
		left := 0
		for _, m := range all {
			_, manager := m.GetLabels()[clusterv1.ProviderNameLabel]
			seen := number(m, "status", "observedGeneration") >= int(m.GetGeneration())
			if manager && (!seen || !done(m)) {
				left++
			}
		}
		return left == 0, fmt.Sprintf("%d %s", left, what)
	}, progress)
}

// number returns a field that is a number; 0 if there is none.
func number(o *unstructured.Unstructured, path ...string) int {
	n, _ := strconv.Atoi(kube.Field(o, path...)) // empty is none
	return n
}
