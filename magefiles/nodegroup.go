//go:build mage

package main

import (
	"context"
	"strconv"

	"github.com/magefile/mage/mg"
)

// Nodegroup has the machine deployments that the autoscaler scales.
type Nodegroup mg.Namespace

// Add adds a node group and waits for its first nodes. A node group is a
// machine deployment with limits that the autoscaler keeps. With MIN 0 the
// group starts empty. NAME is the name of the new machine deployment. MIN is the
// lowest number of nodes, with which it starts. MAX is the highest number of
// nodes. Example: go tool mage nodegroup:add gpu 0 2 -labels=tier=gpu
// -taints=dedicated=gpu:NoSchedule
func (Nodegroup) Add(ctx context.Context, name string, min, max int,
	arch *string, // ARCH of hollow nodes: amd64, arm64, ppc64le or s390x
	capacity *string, // CAPACITY of the nodes, at most this machine's, such as cpu=1,memory=4Gi; in a cluster that is not the lab's own, what the autoscaler expects of a node while the group is empty; hollow nodes may have any capacity, and devices, such as cpu=96,memory=1Ti,pods=250,nvidia.com/gpu=8
	csi *string, // CSI DRIVERS of hollow nodes, each with the number of volumes that a node can have, ebs.csi.aws.com=25
	dra *string, // DRIVERS that give hollow nodes devices for ResourceClaims, each with its number of devices, gpu.example.com=4; each driver gets a DeviceClass of the same name
	fail *string, // hollow machines that report a failure: a SHARE, 10%, or the next ones, 3
	from *string, // machine deployment NAME whose machine template the group uses, instead of the first one
	instance *string, // instance TYPE of hollow nodes, a label
	labels *string, // LABELS of the nodes, key=value,key=value
	late *string, // TIME after Ready at which the devices of a hollow node come, 60s, or only some of them, 60s,nvidia.com/gpu
	machines *string, // KIND of machines: docker has containers with kubelets; hollow has Node objects of any size that the lab plays, without a kubelet: pods do not really run, with no images, network, volumes, logs or exec (default docker)
	never *string, // hollow machines that get no Node and report nothing: a SHARE, 10%, or the next ones, 3
	own *bool, // copy the machine template instead of sharing it
	podfail *string, // SHARE of the pods on hollow nodes that fail, 5%
	podstart *string, // TIME from the binding of a pod to a hollow node until it runs, 2s or 2s±1s
	ready *string, // TIME from the Node's creation until it is Ready, 5s or 5s±2s
	seed *string, // NUMBER that decides the jitter and the failures of hollow machines: the same number gives a group of the same name the same machines, and the same pods if their names are the same, as in a StatefulSet
	start *string, // TIME from the creation of a hollow machine until it has a Node, 30s or 30s±10s (or 30s+-10s)
	stop *string, // TIME that the deletion of a hollow machine takes
	taints *string, // TAINTS of the nodes, key=value:Effect,key=value:Effect
	untaint *string, // a time and TAINTS: new nodes lose these taints when they have been Ready for that time, 30s,key=value:Effect; the autoscaler needs --startup-taint=KEY to know that
	zone *string, // ZONE of hollow nodes
	zones *string, // ZONES of hollow nodes, a,b,c: a group NAME-ZONE for each of them, with MIN to MAX nodes
) error {
	return lab(ctx, "nodegroup:add",
		option("arch", arch), option("capacity", capacity), option("csi", csi), option("dra", dra),
		option("fail", fail), option("from", from), option("instance", instance), option("labels", labels),
		option("late", late), option("machines", machines), option("never", never), option("own", own),
		option("podfail", podfail), option("podstart", podstart), option("ready", ready), option("seed", seed),
		option("start", start), option("stop", stop), option("taints", taints), option("untaint", untaint),
		option("zone", zone), option("zones", zones),
		"--", name, strconv.Itoa(min), strconv.Itoa(max))
}

// List prints the node groups: their machines, limits, sizes, capacities, labels
// and taints, and what hollow machines do.
func (Nodegroup) List(ctx context.Context) error { return lab(ctx, "nodegroup:list") }

// Set sets the limits that the autoscaler keeps for a machine deployment. The
// environment's first machine deployment can have limits too. With MIN 0 it
// also tells the autoscaler what a node of the environment has, unless the
// group's annotations do. The options change hollow machines that the group gets
// from then on. If one of -arch, -instance, -labels, -taints and -zone is given,
// Cluster API also replaces the machines that are there. NAME is the name of the
// machine deployment. MIN is the lowest number of nodes. MAX is the highest
// number of nodes. Example: go tool mage nodegroup:set work-cluster-md-0 1 3
func (Nodegroup) Set(ctx context.Context, name string, min, max int,
	arch *string, // ARCH of hollow nodes: amd64, arm64, ppc64le or s390x
	capacity *string, // CAPACITY of hollow nodes, such as cpu=96,memory=1Ti,nvidia.com/gpu=8
	csi *string, // CSI DRIVERS of hollow nodes, each with the number of volumes that a node can have, ebs.csi.aws.com=25
	dra *string, // DRIVERS that give hollow nodes devices for ResourceClaims, each with its number of devices, gpu.example.com=4; each driver gets a DeviceClass of the same name
	fail *string, // hollow machines that report a failure: a SHARE, 10%, or the next ones, 3
	instance *string, // instance TYPE of hollow nodes, a label
	labels *string, // LABELS of hollow nodes instead of those that they have, key=value,key=value, or none
	late *string, // TIME after Ready at which the devices of a hollow node come, 60s, or only some of them, 60s,nvidia.com/gpu
	never *string, // hollow machines that get no Node and report nothing: a SHARE, 10%, or the next ones, 3
	podfail *string, // SHARE of the pods on hollow nodes that fail, 5%
	podstart *string, // TIME from the binding of a pod to a hollow node until it runs, 2s or 2s±1s
	ready *string, // TIME from the Node's creation until it is Ready, 5s or 5s±2s
	seed *string, // NUMBER that decides the jitter and the failures of hollow machines: the same number gives a group of the same name the same machines, and the same pods if their names are the same, as in a StatefulSet
	start *string, // TIME from the creation of a hollow machine until it has a Node, 30s or 30s±10s (or 30s+-10s)
	stop *string, // TIME that the deletion of a hollow machine takes
	taints *string, // TAINTS of hollow nodes instead of those that they have, key=value:Effect,key=value:Effect, or none
	untaint *string, // a time and TAINTS: new nodes lose these taints when they have been Ready for that time, 30s,key=value:Effect; the autoscaler needs --startup-taint=KEY to know that
	zone *string, // ZONE of hollow nodes
) error {
	return lab(ctx, "nodegroup:set",
		option("arch", arch), option("capacity", capacity), option("csi", csi), option("dra", dra),
		option("fail", fail), option("instance", instance), option("labels", labels), option("late", late),
		option("never", never), option("podfail", podfail), option("podstart", podstart), option("ready", ready),
		option("seed", seed), option("start", start), option("stop", stop), option("taints", taints),
		option("untaint", untaint), option("zone", zone),
		"--", name, strconv.Itoa(min), strconv.Itoa(max))
}

// Delete deletes a node group that nodegroup:add created, and waits until its
// machines are gone. NAME is the name of the machine deployment. Example: go
// tool mage nodegroup:delete gpu
func (Nodegroup) Delete(ctx context.Context, name string) error {
	return lab(ctx, "nodegroup:delete", "--", name)
}
