// Package programs runs programs that the lab compiled in the cluster that it created.
package programs

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	version "github.com/hashicorp/go-version"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/target"
)

// Nodes are the nodes of the environment.
type Nodes interface {
	// LoadIntoControlPlane loads an image into the nodes of the control plane.
	LoadIntoControlPlane(ctx context.Context, ref string, image v1.Image) error
}

// Assemble returns the image of a program for Linux, which runs under that path, and the
// image's reference: the repository, and the beginning of the digest as its tag.
func Assemble(repository, path, binary string) (Image, error) {
	ca, err := image.CACertificates()
	if err != nil {
		return Image{}, err
	}
	assembled, err := image.Assemble(image.Program(runtime.GOARCH, path, binary, "65532", ca))
	if err != nil {
		return Image{}, fmt.Errorf("assemble the image %s: %w", repository, err)
	}
	digest, err := assembled.ConfigName()
	if err != nil {
		return Image{}, fmt.Errorf("assemble the image %s: %w", repository, err)
	}
	return Image{Ref: repository + ":" + digest.Hex[:12], image: assembled}, nil
}

// Image is the image of a program.
type Image struct {
	// Ref changes with the image's content.
	Ref   string
	image v1.Image
}

// Load loads the image into the nodes of the control plane, where it will run.
func (i Image) Load(ctx context.Context, nodes Nodes) error {
	return nodes.LoadIntoControlPlane(ctx, i.Ref, i.image)
}

// WaitAvailable waits until a Deployment of one pod runs what it was changed to, and no other
// pod of it is left.
func WaitAvailable(ctx context.Context, c *kube.Client, namespace, name string, progress func(string)) error {
	err := c.Wait(ctx, kube.Deployments, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		for _, o := range all {
			d, err := kube.Deployment(o)
			if err != nil {
				return false, err.Error()
			}
			if d.Name == name && d.Status.ObservedGeneration == d.Generation &&
				d.Status.UpdatedReplicas == 1 && d.Status.Replicas == 1 && kube.True(o, "Available") {
				return true, ""
			}
		}
		return false, "its pod to be available"
	}, progress)
	if err != nil {
		return fmt.Errorf("%w\nlook with: kubectl -n %s describe pods -l app=%s; kubectl -n %s logs deployment/%s", err, namespace, name, namespace, name)
	}
	return nil
}

// ControlPlane returns the role of the cluster's control-plane nodes, which the autoscaler
// never removes, and the roles that taint them.
func ControlPlane(ctx context.Context, c *target.Cluster) (role string, tainted []string, err error) {
	have, err := c.Versions(ctx)
	if err != nil {
		return "", nil, err
	}
	v, err := version.NewSemver(strings.TrimPrefix(have.Kubernetes, "v"))
	if err != nil {
		return "", nil, fmt.Errorf("find the control plane's nodes: the cluster reports the Kubernetes version %q: %w", have.Kubernetes, err)
	}
	facts := release.OfKubernetes(v)
	return facts.Roles[0], facts.Taints, nil
}
