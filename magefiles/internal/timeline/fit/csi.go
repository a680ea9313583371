package fit

import (
	"strconv"
	"strings"

	storagev1 "k8s.io/api/storage/v1"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/timeline/world"
)

// csiAware is the flag with which the autoscaler counts the volumes of CSI drivers on a node to come.
// Without it, no driver limits the volumes there. Source: config/flags/flags.go of 1.35.0 to 1.36.1.
const csiAware = "enable-csi-node-aware-scheduling"

// csiNode returns the CSINode that the autoscaler expects of the next node of a group, which is called
// name; nil if it expects none. Source: SanitizedNodeInfo in simulator/node_info_utils.go, and
// InstanceCSINode in cloudprovider/clusterapi/clusterapi_unstructured.go of 1.36.1.
func (j *Judge) csiNode(g *world.Group, name string) *storagev1.CSINode {
	if !j.Autoscaler.On(csiAware) {
		return nil
	}
	var next *storagev1.CSINode
	model, _ := j.model(g, isEnough(j.capacity(g)))
	switch r := j.remembered(g); {
	case model == nil:
		next = announcedCSI(g)
	case r != nil && r.Node == model:
		next = r.CSI.DeepCopy()
	default:
		for _, n := range j.Storage.Nodes {
			if n.Name == model.Name {
				next = n.DeepCopy()
			}
		}
	}
	if next != nil {
		next.Name = name
	}
	return next
}

// announcedCSI returns what the annotation of a group tells of the CSI drivers on its nodes: a list of
// NAME=LIMIT, in which the limit 0 stands for none. Parts that are no such pair do not count. It is nil
// if the annotation names no driver.
func announcedCSI(g *world.Group) *storagev1.CSINode {
	var drivers []storagev1.CSINodeDriver
	for pair := range strings.SplitSeq(g.Annotations[release.CapacityPrefix+"csi-driver"], ",") {
		name, limit, _ := strings.Cut(pair, "=")
		n, err := strconv.ParseInt(strings.TrimSpace(limit), 10, 32)
		if name = strings.TrimSpace(name); name == "" || err != nil || n < 0 {
			continue
		}
		d := storagev1.CSINodeDriver{Name: name}
		if count := int32(n); count > 0 {
			d.Allocatable = &storagev1.VolumeNodeResources{Count: &count}
		}
		drivers = append(drivers, d)
	}
	if drivers == nil {
		return nil
	}
	return &storagev1.CSINode{Spec: storagev1.CSINodeSpec{Drivers: drivers}}
}
