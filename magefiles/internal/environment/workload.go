package environment

import (
	"context"
	"fmt"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/environment/home"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/node"
)

// cluster returns the workload cluster without what other steps find out: its images, its
// owner's file and the subnets of its network.
func (c *bringUp) cluster() capi.Cluster {
	return capi.Cluster{
		Release: release.Of(c.Config.ClusterAPI.Version),
		Name:    c.Config.ClusterName, Namespace: home.Namespace, Kubernetes: config.Tag(c.Config.Kubernetes), Workers: c.Config.Workers,
		PodCIDR: podCIDR, ServiceCIDR: serviceCIDR, CgroupV1: c.allowCgroupV1(),
		Cgroupfs: release.OfKubernetes(c.Config.Kubernetes).CgroupDriver == release.CgroupFS,
		Open:     !c.info.ShowsSources(),
	}
}

// newCluster returns the workload cluster to create.
func (c *bringUp) newCluster(ctx context.Context) (capi.Cluster, error) {
	cluster := c.cluster()
	cluster.NodeImage, cluster.LoadBalancer, cluster.OwnerFile = c.image, c.base.LoadBalancer, c.mark
	network, _, err := c.engine.Network(ctx, cluster.Release.Network)
	cluster.Subnets = network.Subnets
	return cluster, err
}

func (c *bringUp) createControlPlane(ctx context.Context, progress func(string)) (string, error) {
	ctx, cancel := lab.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cluster, err := c.newCluster(ctx)
	if err != nil {
		return "", err
	}
	manifest, err := cluster.Manifest()
	if err != nil {
		return "", err
	}
	var kubeconfig []byte
	err = c.withBalancer(ctx, progress, func() (err error) {
		progress("applying its objects")
		if err := c.mgmt.Apply(ctx, manifest); err != nil {
			return err
		}
		// Cluster API writes it once the load balancer runs.
		kubeconfig, err = capi.Kubeconfig(ctx, c.mgmt, home.Namespace, c.Config.ClusterName, progress)
		return err
	})
	if err != nil {
		return "", err
	}
	progress("its load balancer")
	if err := c.home().WriteKubeconfig(ctx, kubeconfig); err != nil {
		return "", err
	}
	if c.workload, err = c.tools.open(c.EnvironmentKubeconfig()); err != nil {
		return "", err
	}
	progress("its API server")
	return "", c.workload.WaitAnswers(ctx)
}

// withBalancer calls do, which creates the load balancer. If the objects of the release
// cannot name its image, the lab's image has upstream's name while do runs.
func (c *bringUp) withBalancer(ctx context.Context, progress func(string), do func() error) error {
	facts := release.Of(c.Config.ClusterAPI.Version)
	if facts.LoadBalancerFields || c.base.LoadBalancer == facts.LoadBalancer {
		return do()
	}
	return c.State.Exclusively(ctx, workNode, progress, func() error {
		return node.Lend(ctx, c.engine, c.base.LoadBalancer, facts.LoadBalancer, do)
	})
}

func (c *bringUp) joinNodes(ctx context.Context, progress func(string)) (string, error) {
	ctx, cancel := lab.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	network, err := c.base.Network(c.Config.Kubernetes, podCIDR, func(path string) ([]byte, error) {
		res, err := c.engine.Exec(ctx, c.Config.ManagementName()+"-control-plane", nil, "cat", path)
		return res.Stdout, err
	})
	if err != nil {
		return "", err
	}
	if err := c.workload.Apply(ctx, network); err != nil {
		return "", err
	}
	defer c.replaceFailed(ctx)()
	// One machine is for the control plane.
	if err := capi.WaitNodes(ctx, c.workload, 1+c.Config.Workers, progress); err != nil {
		return "", err
	}
	return "", capi.WaitMovable(ctx, c.mgmt, release.Of(c.Config.ClusterAPI.Version).API, home.Namespace, c.Config.ClusterName, 1+c.Config.Workers, progress)
}

// replaceFailed replaces, until stop is called, the workers on which kubeadm failed, as on a
// machine that is too slow. The provider leaves them as they are.
func (c *bringUp) replaceFailed(ctx context.Context) (stop func()) {
	return capi.ReplaceFailed(ctx, c.mgmt, home.Namespace, c.Config.ClusterName,
		func(name string) { c.Log.Printf("! kubeadm failed on the machine %s, which is replaced", name) },
		func(err error) { fmt.Fprintf(c.FullLog, "replace machines: %v\n", err) })
}
