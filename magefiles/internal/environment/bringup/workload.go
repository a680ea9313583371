package bringup

import (
	"context"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/environment/home"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/node"
)

// cluster returns the workload cluster without what other steps find out: its images, its
// owner's file and the subnets of its network.
func (b *BringUp) cluster() capi.Cluster {
	return capi.Cluster{
		Release: release.Of(b.Config.ClusterAPI.Version),
		Name:    b.Config.ClusterName, Namespace: home.Namespace, Kubernetes: config.Tag(b.Config.Kubernetes), Workers: b.Config.Workers,
		PodCIDR: home.PodCIDR, ServiceCIDR: home.ServiceCIDR, CgroupV1: b.allowCgroupV1(),
		Cgroupfs: release.OfKubernetes(b.Config.Kubernetes).CgroupDriver == release.CgroupFS,
		Open:     !b.Info.ShowsSources(),
	}
}

// newCluster returns the workload cluster to create.
func (b *BringUp) newCluster(ctx context.Context) (capi.Cluster, error) {
	cluster := b.cluster()
	cluster.NodeImage, cluster.LoadBalancer, cluster.OwnerFile = b.image, b.base.LoadBalancer, b.mark
	network, _, err := b.Home.Engine.Network(ctx, cluster.Release.Network)
	cluster.Subnets = network.Subnets
	return cluster, err
}

func (b *BringUp) createControlPlane(ctx context.Context, progress func(string)) (string, error) {
	ctx, cancel := interrupt.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cluster, err := b.newCluster(ctx)
	if err != nil {
		return "", err
	}
	manifest, err := cluster.Manifest()
	if err != nil {
		return "", err
	}
	var kubeconfig []byte
	err = b.withBalancer(ctx, progress, func() (err error) {
		progress("applying its objects")
		if err := b.mgmt.Apply(ctx, manifest); err != nil {
			return err
		}
		// Cluster API writes it once the load balancer runs.
		kubeconfig, err = capi.Kubeconfig(ctx, b.mgmt, home.Namespace, b.Config.ClusterName, progress)
		return err
	})
	if err != nil {
		return "", err
	}
	progress("its load balancer")
	if err := b.Home.WriteKubeconfig(ctx, kubeconfig); err != nil {
		return "", err
	}
	if b.workload, err = b.Tools.Open(b.Home.Kubeconfig()); err != nil {
		return "", err
	}
	progress("its API server")
	return "", b.workload.WaitAnswers(ctx)
}

// withBalancer calls do, which creates the load balancer. If the objects of the release
// cannot name its image, the lab's image has upstream's name while do runs.
func (b *BringUp) withBalancer(ctx context.Context, progress func(string), do func() error) error {
	facts := release.Of(b.Config.ClusterAPI.Version)
	if facts.LoadBalancerFields || b.base.LoadBalancer == facts.LoadBalancer {
		return do()
	}
	return b.Home.State.Exclusively(ctx, WorkNode, progress, func() error {
		return node.Lend(ctx, b.Home.Engine, b.base.LoadBalancer, facts.LoadBalancer, do)
	})
}

func (b *BringUp) joinNodes(ctx context.Context, progress func(string)) (string, error) {
	ctx, cancel := interrupt.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	network, err := b.base.Network(b.Config.Kubernetes, home.PodCIDR, func(path string) ([]byte, error) {
		res, err := b.Home.Engine.Exec(ctx, b.Config.ManagementName()+"-control-plane", nil, "cat", path)
		return res.Stdout, err
	})
	if err != nil {
		return "", err
	}
	if err := b.workload.Apply(ctx, network); err != nil {
		return "", err
	}
	defer b.replaceFailed(ctx)()
	// One machine is for the control plane.
	if err := capi.WaitNodes(ctx, b.workload, 1+b.Config.Workers, progress); err != nil {
		return "", err
	}
	return "", capi.WaitMovable(ctx, b.mgmt, release.Of(b.Config.ClusterAPI.Version).API, home.Namespace, b.Config.ClusterName, 1+b.Config.Workers, progress)
}

// replaceFailed replaces the workers on which kubeadm failed, until stop is called. Kubeadm can
// fail on a machine that is too slow, and the provider leaves such workers as they are.
func (b *BringUp) replaceFailed(ctx context.Context) (stop func()) {
	return capi.ReplaceFailed(ctx, b.mgmt, home.Namespace, b.Config.ClusterName,
		func(name string) { b.Warn("! kubeadm failed on the machine %s, which is replaced", name) },
		func(err error) { b.Detail("replace machines: %v\n", err) })
}
