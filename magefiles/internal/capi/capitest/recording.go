// Package capitest has recorded objects of clusters that old releases of Cluster API
// manage, for tests of code that reads such objects.
//
// The files in testdata were recorded with kubectl in environments of the lab:
// VERSION-up.yaml after env:up, and VERSION-scaling.yaml while a scenario scaled a node
// group. The cluster of v0.3.5 also has the node group work-md-1 of manifests/seed.yaml. In
// v0.4.8-scaling.yaml, the group was recorded some seconds before its machines. Fields that
// nothing reads are removed, such as finalizers, addresses, images, kubeadm's configuration
// and the conditions of nodes other than Ready.
package capitest

import (
	"embed"
	"io/fs"
	"path"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

//go:embed testdata
var files embed.FS

// Moments at which clusters were recorded.
const (
	Up      = "up"
	Scaling = "scaling"
)

// Cluster is the name of the recorded clusters. Their Cluster API objects are in the
// namespace default.
const Cluster = "row"

// Recording has the objects of a cluster at one moment.
type Recording struct {
	// ClusterAPI and Kubernetes are the versions, such as v1.0.5.
	ClusterAPI, Kubernetes string
	// API is the version of Cluster API's API that the objects have, such as v1beta1.
	API string
	// Moment is Up or Scaling.
	Moment string
	// Objects are the Cluster, MachineDeployments, Machines, DockerMachineTemplates and
	// Nodes. The test may change them.
	Objects []*unstructured.Unstructured
}

// Name is the name of the recording, such as v1.0.5-up.
func (r Recording) Name() string { return r.ClusterAPI + "-" + r.Moment }

// At returns the recordings of a moment, one for each release, sorted by name.
func At(t testing.TB, moment string) []Recording {
	t.Helper()
	names, err := fs.Glob(files, "testdata/*-"+moment+".yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d recordings of the moment %s, %v", len(names), moment, err)
	}
	var all []Recording
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := kube.Decode(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		release, _, _ := strings.Cut(path.Base(name), "-")
		r := Recording{ClusterAPI: release, Moment: moment, Objects: objects}
		for _, o := range objects {
			switch o.GroupVersionKind().GroupKind() {
			case kube.Clusters:
				r.API = o.GroupVersionKind().Version
			case kube.Nodes:
				r.Kubernetes = kube.Field(o, "status", "nodeInfo", "kubeletVersion")
			}
		}
		all = append(all, r)
	}
	return all
}

// Server starts an API server that has the recorded objects, and also knows the kinds in
// more.
func (r Recording) Server(t testing.TB, more ...schema.GroupVersionKind) *kubetest.Server {
	t.Helper()
	known := map[schema.GroupVersionKind]bool{}
	for _, o := range r.Objects {
		if kind := o.GroupVersionKind(); !known[kind] {
			known[kind] = true
			more = append(more, kind)
		}
	}
	server := kubetest.New(t, more, "")
	server.Put(r.Objects...)
	return server
}
