// Package workload creates pods that need nodes: a Deployment in which each pod fills a
// node.
package workload

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/google/go-containerregistry/pkg/name"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"caslab/magefiles/internal/kube"
	"caslab/manifests"
)

// DefaultName is the name of a workload if the user gives none.
const DefaultName = "scale-up"

// Label is on the Deployment and its pods. Its value is the workload's name.
const Label = "caslab.local/workload"

// Workload is the Deployment to make.
type Workload struct {
	Name, Namespace string
	Replicas        int
	// Most is the largest number of Replicas that is accepted; 1,000 if it is zero.
	Most int
	// Memory is what each pod requests. If it is empty, only one pod fits on a node.
	Memory string
	// Image that the pods run; one that every node has if empty.
	Image string
	// NodeSelector keeps the pods on nodes with these labels, and Tolerations
	// lets them on nodes with taints of these keys.
	NodeSelector map[string]string
	Tolerations  []string
	// Devices are the extended resources that each pod requests, such as nvidia.com/gpu, with their
	// amounts.
	Devices map[string]string
	// Claims has the number of devices that each pod claims of each DeviceClass.
	Claims map[string]int
	// Extra are more labels of the Deployment. An existing Deployment without them
	// belongs to somebody else.
	Extra map[string]string
}

// maxClaimed is how many devices can be allocated for a ResourceClaim, over all its requests
// (k8s.io/api/resource/v1, AllocationResultsMaxSize). It may have as many requests.
const maxClaimed = 32

// maxReplicas is the largest number of pods, so that a mistyped number does no harm.
const maxReplicas = 1000

// Validate refuses values that no cluster accepts.
func (w Workload) Validate() error {
	var errs []error
	if problems := validation.IsDNS1123Label(w.Name); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("workload %q: %s", w.Name, strings.Join(problems, "; ")))
	}
	errs = append(errs, checkReplicas(w.Replicas, cmp.Or(w.Most, maxReplicas)))
	if w.Memory != "" {
		if q, err := resource.ParseQuantity(w.Memory); err != nil || q.Sign() <= 0 {
			errs = append(errs, fmt.Errorf("memory %q: want a quantity, such as 2Gi", w.Memory))
		}
	}
	if w.Image != "" {
		if _, err := name.ParseReference(w.Image); err != nil {
			errs = append(errs, fmt.Errorf("image %q: want a reference, such as docker.io/library/busybox: %w", w.Image, err))
		}
	}
	for name, amount := range w.Devices {
		if !strings.Contains(name, "/") || len(validation.IsQualifiedName(name)) > 0 {
			errs = append(errs, fmt.Errorf("device %q: want a name with its domain, such as nvidia.com/gpu", name))
		}
		if n, err := strconv.ParseInt(amount, 10, 32); err != nil || n < 1 {
			errs = append(errs, fmt.Errorf("device %s=%s: want a whole number of at least 1", name, amount))
		}
	}
	all := 0
	for class, n := range w.Claims {
		all += max(n, 0)
		if problems := validation.IsDNS1123Subdomain(class); len(problems) > 0 {
			errs = append(errs, fmt.Errorf("device class %q: %s", class, strings.Join(problems, "; ")))
		}
		if n < 1 || n > maxClaimed {
			errs = append(errs, fmt.Errorf("device class %s=%d: want a number from 1 to %d", class, n, maxClaimed))
		}
	}
	if all > maxClaimed && len(w.Claims) > 1 {
		errs = append(errs, fmt.Errorf("%d devices of %d classes: want at most %d together, because a pod gets them with one claim", all, len(w.Claims), maxClaimed))
	}
	for key, value := range w.NodeSelector {
		if problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(problems) > 0 {
			errs = append(errs, fmt.Errorf("node selector %s=%s: %s", key, value, strings.Join(problems, "; ")))
		}
	}
	for key, value := range w.Extra {
		if problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(problems) > 0 {
			errs = append(errs, fmt.Errorf("label %s=%s: %s", key, value, strings.Join(problems, "; ")))
		}
	}
	for _, key := range w.Tolerations {
		if problems := validation.IsQualifiedName(key); len(problems) > 0 {
			errs = append(errs, fmt.Errorf("toleration %q: %s", key, strings.Join(problems, "; ")))
		}
	}
	return errors.Join(errs...)
}

// CheckReplicas refuses a number of pods that is negative or above maxReplicas.
func CheckReplicas(n int) error { return checkReplicas(n, maxReplicas) }

func checkReplicas(n, most int) error {
	if n < 0 || n > most {
		return fmt.Errorf("%d pods: want 0 to %d", n, most)
	}
	return nil
}

// Chosen has the memory and the image that a workload's pods got. Unmatched is set if no
// worker has the labels that the pods select, so that the memory was chosen for all workers.
type Chosen struct {
	Memory, Image string
	Unmatched     bool
}

// Add creates the Deployment, or changes the one that it created before. A
// Deployment of that name that the lab did not create is an error.
func (w Workload) Add(ctx context.Context, c *kube.Client) (Chosen, error) {
	if err := w.Validate(); err != nil {
		return Chosen{}, err
	}
	existing, err := c.Get(ctx, kube.Deployments, w.Namespace, w.Name)
	switch {
	case err == nil && !w.owns(existing.GetLabels()):
		return Chosen{}, fmt.Errorf("there is a deployment %s that the lab did not create; choose another name", w.Name)
	case err != nil && !apierrors.IsNotFound(err):
		return Chosen{}, fmt.Errorf("look for a deployment %s: %w", w.Name, err)
	}
	w, unmatched, err := w.measured(ctx, c)
	if err != nil {
		return Chosen{}, err
	}
	manifest, err := w.manifest()
	if err != nil {
		return Chosen{}, err
	}
	if err := w.defineClaims(ctx, c); err != nil {
		return Chosen{}, err
	}
	if err := c.Apply(ctx, manifest); err != nil {
		return Chosen{}, err
	}
	if len(w.Claims) == 0 && claims(existing) {
		err = deleteClaims(ctx, c, w.Namespace, w.Name)
	}
	return Chosen{Memory: w.Memory, Image: w.Image, Unmatched: unmatched}, err
}

// Manifest returns the Deployment that Add would create, with the memory and the image
// measured.
func (w Workload) Manifest(ctx context.Context, c *kube.Client) (*appsv1.Deployment, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	w, _, err := w.measured(ctx, c)
	if err != nil {
		return nil, err
	}
	manifest, err := w.manifest()
	if err != nil {
		return nil, err
	}
	objects, err := kube.Decode(manifest)
	if err != nil {
		return nil, err
	}
	return kube.Deployment(objects[0])
}

// owns reports whether Add created the Deployment with these labels.
func (w Workload) owns(labels map[string]string) bool {
	for key := range w.Extra {
		if labels[key] == "" {
			return false
		}
	}
	return labels[Label] != ""
}

// measured returns the workload with the memory and the image filled in, if they are
// empty. The memory is for the workers that it selects; if it selects none, for the hollow
// nodes that it selects; and if there are none either, for all workers: unmatched is set
// then. The image is one of the workers.
func (w Workload) measured(ctx context.Context, c *kube.Client) (_ Workload, unmatched bool, err error) {
	if w.Memory != "" && w.Image != "" {
		return w, false, nil
	}
	all, hollow, err := nodes(ctx, c)
	if err != nil {
		return w, false, err
	}
	if len(all) == 0 {
		return w, false, errors.New("the cluster has no worker node to measure; choose the memory and the image of the pods")
	}
	selected := w.selected(all)
	if len(selected) == 0 {
		selected = w.selected(hollow)
	}
	if unmatched = len(selected) == 0; unmatched {
		selected = all
	}
	if w.Memory == "" {
		if w.Memory, err = oneNode(selected); err != nil {
			return w, false, err
		}
	}
	if w.Image == "" {
		if w.Image, err = commonImage(all); err != nil {
			return w, false, err
		}
	}
	return w, unmatched, nil
}

// selected returns those of the nodes that the workload selects.
func (w Workload) selected(nodes []corev1.Node) []corev1.Node {
	return slices.DeleteFunc(slices.Clone(nodes), func(n corev1.Node) bool {
		return !labels.SelectorFromSet(w.NodeSelector).Matches(labels.Set(n.Labels))
	})
}

func (w Workload) manifest() ([]byte, error) {
	t, err := template.New("scale-up.yaml.tmpl").Option("missingkey=error").Funcs(template.FuncMap{"quote": strconv.Quote}).
		ParseFS(manifests.FS, "workload/scale-up.yaml.tmpl")
	if err != nil {
		return nil, fmt.Errorf("read the workload's template: %w", err)
	}
	var out bytes.Buffer
	err = t.Execute(&out, struct {
		Workload
		Label string
		// Shell gives the container a command: without one, busybox ends at once.
		Shell bool
	}{w, Label, strings.Contains(w.Image, "busybox")})
	if err != nil {
		return nil, fmt.Errorf("fill in the workload's template: %w", err)
	}
	return out.Bytes(), nil
}

// Workers returns the real nodes that belong to no control plane. There may be none.
func Workers(ctx context.Context, c *kube.Client) ([]corev1.Node, error) {
	workers, _, err := nodes(ctx, c)
	return workers, err
}

// nodes returns the nodes that belong to no control plane, those with kubelets and the hollow ones.
func nodes(ctx context.Context, c *kube.Client) (workers, hollow []corev1.Node, err error) {
	all, err := c.List(ctx, kube.Nodes, "")
	if err != nil {
		return nil, nil, err
	}
	for i := range all {
		if kube.OfControlPlane(&all[i]) {
			continue
		}
		n, err := kube.Node(&all[i])
		if err != nil {
			return nil, nil, err
		}
		if kube.IsHollow(&all[i]) {
			hollow = append(hollow, *n)
		} else {
			workers = append(workers, *n)
		}
	}
	return workers, hollow, nil
}

// oneNode returns the memory request, in MiB, with which only one pod fits on each of the
// nodes: a little over half of the largest node's allocatable memory. The other half is
// left to other pods. The autoscaler does not remove a
// node with such a pod, because more than half of the node is requested.
func oneNode(workers []corev1.Node) (string, error) {
	var most, least int64
	for _, n := range workers {
		memory := n.Status.Allocatable.Memory().Value()
		if memory <= 0 {
			return "", fmt.Errorf("the node %s does not report its allocatable memory", n.Name)
		}
		most = max(most, memory)
		if least == 0 || memory < least {
			least = memory
		}
	}
	const mebi = 1 << 20
	want := most*11/20/mebi + 1
	if want*mebi > least {
		return "", fmt.Errorf("the nodes differ too much in memory (%d to %d MiB) for one request to fill each; choose the memory of the pods, or select nodes of one size", least/mebi, most/mebi)
	}
	return fmt.Sprintf("%dMi", want), nil
}

// commonImage returns an image that all nodes have and that does nothing: the pause image
// of pods' sandboxes.
func commonImage(workers []corev1.Node) (string, error) {
	var common []string
	for i, n := range workers {
		var here []string
		for _, image := range n.Status.Images {
			here = append(here, image.Names...)
		}
		if i == 0 {
			common = here
			continue
		}
		common = slices.DeleteFunc(common, func(name string) bool { return !slices.Contains(here, name) })
	}
	for _, ref := range common {
		// An image that no tag names cannot be found by its name.
		if tag, err := name.NewTag(ref, name.StrictValidation); err == nil && path.Base(tag.RepositoryStr()) == "pause" {
			return ref, nil
		}
	}
	return "", errors.New("the nodes have no image named pause in common; choose an image that they have or can pull")
}

// MissingError is returned for a workload that does not exist, or that the lab did
// not create.
type MissingError struct{ Name string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("there is no workload %s", e.Name)
}

// Scale changes the number of pods of a workload. It returns a *MissingError if the
// workload does not exist.
func Scale(ctx context.Context, c *kube.Client, namespace, name string, replicas int) error {
	if err := CheckReplicas(replicas); err != nil {
		return err
	}
	if _, err := owned(ctx, c, namespace, name); err != nil {
		return err
	}
	return c.Patch(ctx, kube.Deployments, namespace, name, map[string]any{"spec": map[string]any{"replicas": replicas}})
}

// Delete deletes a workload and waits until its pods are gone. It returns a
// *MissingError if the workload does not exist.
func Delete(ctx context.Context, c *kube.Client, namespace, name string, progress func(string)) error {
	d, err := owned(ctx, c, namespace, name)
	if missing := new(MissingError); errors.As(err, &missing) {
		return deleteLeftClaims(ctx, c, namespace, missing)
	}
	if err != nil {
		return err
	}
	// The template goes first: pods that run have their claims, and without the Deployment an
	// interrupted deletion would not be gone on with.
	if err := deleteClaims(ctx, c, namespace, name); err != nil && (claims(d) || !apierrors.IsForbidden(err)) {
		return err
	}
	if err := c.Delete(ctx, kube.Deployments, namespace, name); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the workload %s: %w", name, err)
	}
	return c.Wait(ctx, kube.Pods, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		left := 0
		for _, p := range all {
			if p.GetLabels()[Label] == name {
				left++
			}
		}
		return left == 0, fmt.Sprintf("%d pods to go", left)
	}, progress)
}

// owned returns the Deployment of a workload, or a *MissingError.
func owned(ctx context.Context, c *kube.Client, namespace, name string) (*unstructured.Unstructured, error) {
	d, err := c.Get(ctx, kube.Deployments, namespace, name)
	if apierrors.IsNotFound(err) || err == nil && d.GetLabels()[Label] == "" {
		return nil, &MissingError{Name: name}
	}
	if err != nil {
		return nil, fmt.Errorf("look for the workload %s: %w", name, err)
	}
	return d, nil
}
