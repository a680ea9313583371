package home

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/restart"
	"caslab/magefiles/internal/state"
)

// MarkReady records that the environment manages itself, and the addresses that its
// containers must keep: those of the load balancer and the control plane if the Cluster's
// endpoint is an address, and those of several control planes in any case.
func (h Home) MarkReady(ctx context.Context, client *kube.Client) error {
	cluster, err := client.Get(ctx, kube.Clusters, Namespace, h.Environment)
	if err != nil {
		return fmt.Errorf("look for the cluster's endpoint: %w", err)
	}
	workload, _, err := h.Containers(ctx)
	if err != nil {
		return err
	}
	addresses := restart.Members(workload, owner.IsControlPlane)
	if _, err := netip.ParseAddr(kube.Field(cluster, "spec", "controlPlaneEndpoint", "host")); err == nil {
		addresses = restart.Fixed(workload, func(c engine.Container) bool { return owner.IsLoadBalancer(c) || owner.IsControlPlane(c) })
	}
	if err := state.WriteJSON(h.ReadyFile(), addresses); err != nil {
		return fmt.Errorf("record that the environment manages itself: %w", err)
	}
	return nil
}

// KeepMembers adds the addresses of several control planes to the record, because the user
// may have added control planes since the environment became ready.
func (h Home) KeepMembers(workload []engine.Container) error {
	recorded, now := map[string]netip.Addr{}, restart.Members(workload, owner.IsControlPlane)
	if there, err := state.ReadJSON(h.ReadyFile(), &recorded); err != nil || !there || len(now) == 0 {
		return err
	}
	maps.Copy(recorded, now)
	return state.WriteJSON(h.ReadyFile(), recorded)
}

// Restarting returns the containers as a cluster that can be stopped and started. It ignores
// addresses of workers, which earlier versions of the lab recorded too: a worker may have any
// address.
func (h Home) Restarting(containers []engine.Container) (restart.Cluster, error) {
	recorded := map[string]netip.Addr{}
	if _, err := state.ReadJSON(h.ReadyFile(), &recorded); err != nil {
		return restart.Cluster{}, fmt.Errorf("read the environment's addresses: %w", err)
	}
	c := restart.Cluster{Engine: h.Engine, Name: h.Environment, Addresses: map[string]netip.Addr{}}
	for _, k := range containers {
		if at := recorded[k.Name]; at.IsValid() && (owner.IsLoadBalancer(k) || owner.IsControlPlane(k)) {
			c.Addresses[k.Name] = at
		}
		if !owner.IsLoadBalancer(k) {
			c.Image = k.Image // the load balancer's has no program sleep
		}
	}
	return c, nil
}

// RemoveClusters removes both clusters' containers and kubeconfigs.
func (h Home) RemoveClusters(ctx context.Context) error {
	if err := errors.Join(state.Remove(h.ReadyFile()), state.Remove(h.SettingsFile())); err != nil {
		return err
	}
	if err := restart.RemovePlaceholders(ctx, h.Engine, h.Environment); err != nil {
		return err
	}
	// A manager that still runs creates nodes again, so repeat until none is left.
	for range 5 {
		workload, management, err := h.Containers(ctx)
		if err != nil {
			return err
		}
		all := slices.Concat(management, workload)
		if len(all) == 0 {
			return errors.Join(h.ForgetManagement(), state.Remove(h.Kubeconfig(), h.State.AutoscalerKubeconfig(h.Environment)))
		}
		if err := h.Engine.Remove(ctx, IDs(all)...); err != nil {
			return err
		}
	}
	return errors.New("containers of the environment keep coming back; look at `docker ps` for what makes them")
}

// IDs returns the IDs of containers.
func IDs(containers []engine.Container) []string {
	all := make([]string, len(containers))
	for i, c := range containers {
		all[i] = c.ID
	}
	return all
}
