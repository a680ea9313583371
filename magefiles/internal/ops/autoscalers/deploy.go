package autoscalers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/ops/programs"
	"caslab/magefiles/internal/target"
)

// DeployOptions of Deploy.
type DeployOptions struct {
	Flags string
	// Image, if set, is deployed instead of one built from the source. It contains the
	// settings' release.
	Image string
}

const deployCommand = "autoscaler:deploy"

// Deploy runs the autoscaler in the self-managed cluster.
func (a *Autoscalers) Deploy(ctx context.Context, o DeployOptions) (err error) {
	overrides, err := a.Overrides(o.Flags)
	if err != nil {
		return err
	}
	c, err := a.Open(ctx)
	if err != nil {
		return err
	}
	if c.ManagementPath != "" {
		return errors.New("autoscaler:deploy is for a cluster that manages itself; with MANAGEMENT_KUBECONFIG, use autoscaler:run")
	}
	if !c.Own && o.Image == "" {
		return errors.New("the lab can load no image into the nodes of a cluster that it did not create; push an image to where they can pull it, and name it with -image=REFERENCE")
	}
	unlock, err := a.Lock(ctx, c, deployCommand)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	settings := a.InClusterSettings(c)
	var flags []autoscaler.Flag
	ref := o.Image
	if ref == "" {
		built, err := a.Compile(ctx, false)
		if err != nil {
			return err
		}
		if flags, err = a.CheckedFlags(ctx, built.Binary, settings, overrides); err != nil {
			return err
		}
		if ref, err = a.Load(ctx, built); err != nil {
			return err
		}
	} else {
		a.Log.Printf("the flags are those of release %s and are not checked against the image; set AUTOSCALER_VERSION to the image's release", settings.Release)
		if flags, err = autoscaler.Flags(settings, overrides...); err != nil {
			return err
		}
	}
	return a.Apply(ctx, c, ApplyOptions{Image: ref, Flags: flags})
}

// imageRepository is the repository of the autoscaler images that the lab assembles.
const imageRepository = "caslab.local/cluster-autoscaler"

// Load assembles the autoscaler's image and loads it into the nodes of the control plane,
// where it will run.
func (a *Autoscalers) Load(ctx context.Context, built Compiled) (ref string, err error) {
	binary := built.Binary
	if program := a.autoscalerProgram(built.Tree, false); program.Host {
		program.Host, program.OutDir = false, program.OutDir+"-linux"
		if _, err := a.compileProgram(ctx, "compile the autoscaler for Linux", program); err != nil {
			return "", err
		}
		binary = program.Output()
	}
	assembled, err := programs.Assemble(imageRepository, "/cluster-autoscaler", binary)
	if err != nil {
		return "", err
	}
	return assembled.Ref, assembled.Load(ctx, a.Nodes)
}

// ApplyOptions of Apply.
type ApplyOptions struct {
	// Image is a reference that the node has, or can pull.
	Image string
	Flags []autoscaler.Flag
	// Env are environment variables, each as KEY=value, which replace the usual ones.
	Env []string
	// Rules are what the autoscaler may do; nil means the lab's own rules.
	Rules *autoscaler.Rules
}

// Apply deploys an autoscaler, and waits until its pod is available.
func (a *Autoscalers) Apply(ctx context.Context, c *target.Cluster, o ApplyOptions) (err error) {
	d := autoscaler.Deployment{Namespace: c.Namespace, Image: o.Image, Flags: o.Flags, Rules: o.Rules}
	if c.Own {
		if d.Role, d.Tolerated, err = programs.ControlPlane(ctx, c); err != nil {
			return err
		}
	}
	environment, err := a.autoscalerEnvironment(ctx, c)
	if err != nil {
		return err
	}
	for _, e := range append(environment, o.Env...) {
		name, value, _ := strings.Cut(e, "=")
		d.Env = slices.DeleteFunc(d.Env, func(v autoscaler.EnvVar) bool { return v.Name == name })
		d.Env = append(d.Env, autoscaler.EnvVar{Name: name, Value: value})
	}
	manifest, err := d.Manifest()
	if err != nil {
		return err
	}
	step := a.Log.Start("deploy the autoscaler", 15*time.Second)
	defer func() { step.Done(c.Namespace+"/"+autoscaler.Name, err) }()
	ctx, cancel := interrupt.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := c.Workload.Apply(ctx, manifest); err != nil {
		return err
	}
	if err := a.annotateRelease(ctx, c); err != nil {
		return err
	}
	return programs.WaitAvailable(ctx, c.Workload, c.Namespace, autoscaler.Name, step.Progress)
}

// Undeploy removes what Deploy created. It may be called twice.
func (a *Autoscalers) Undeploy(ctx context.Context) (err error) {
	c, err := a.Open(ctx)
	if err != nil {
		return err
	}
	step := a.Log.Start("remove the autoscaler from the cluster", 5*time.Second)
	defer func() { step.Done("", err) }()
	ctx, cancel := interrupt.WithTimeout(ctx, time.Minute)
	defer cancel()
	return undeploy(ctx, c, step.Progress)
}

// undeploy removes the lab's deployment of an autoscaler, and then its rights, which it
// needs to remove its status at its end.
func undeploy(ctx context.Context, c *target.Cluster, progress func(string)) error {
	manifest, err := autoscaler.Deployment{Namespace: c.Namespace}.Manifest()
	if err != nil {
		return err
	}
	objects, err := kube.Decode(manifest)
	if err != nil {
		return err
	}
	for _, o := range slices.Backward(objects) {
		kind := o.GroupVersionKind().GroupKind()
		if err := c.Workload.Delete(ctx, kind, o.GetNamespace(), o.GetName()); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete the %s %s: %w", o.GetKind(), o.GetName(), err)
		}
		if kind != kube.Deployments {
			continue
		}
		err := c.Workload.Wait(ctx, kube.Pods, c.Namespace, func(all []*unstructured.Unstructured) (bool, string) {
			return !slices.ContainsFunc(all, IsPod), "its pod to end"
		}, progress)
		if err != nil {
			return err
		}
	}
	return deleteLease(ctx, c)
}

// deleteLease deletes the lease of the lab's deployment. An autoscaler that ends does
// not release it, and the next one would wait for it.
func deleteLease(ctx context.Context, c *target.Cluster) error {
	lease, err := c.Workload.Get(ctx, kube.Leases, c.ConfigNamespace(), autoscaler.Lease)
	if err == nil && strings.HasPrefix(kube.Field(lease, "spec", "holderIdentity"), autoscaler.Name) {
		err = c.Workload.Delete(ctx, kube.Leases, c.ConfigNamespace(), autoscaler.Lease)
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the lease %s: %w", autoscaler.Lease, err)
	}
	return nil
}

// deployed returns a deployment of an autoscaler with pods, the lab's or
// another's; nil if there is none.
func deployed(ctx context.Context, c *target.Cluster) (*unstructured.Unstructured, error) {
	d, _, err := deployedIn(ctx, c)
	return d, err
}

// deployedIn returns what deployed does, and a client of the cluster that runs the deployment.
func deployedIn(ctx context.Context, c *target.Cluster) (*unstructured.Unstructured, *kube.Client, error) {
	clients := []*kube.Client{c.Workload}
	if c.ManagementPath != "" {
		clients = append(clients, c.Management)
	}
	for _, client := range clients {
		all, err := client.List(ctx, kube.Deployments, "")
		if err != nil {
			return nil, nil, fmt.Errorf("look for an autoscaler in the cluster: %w", err)
		}
		for i := range all {
			d, err := kube.Deployment(&all[i])
			if err != nil {
				return nil, nil, fmt.Errorf("look for an autoscaler in the cluster: %w", err)
			}
			hasPods := d.Spec.Replicas == nil || *d.Spec.Replicas != 0
			if hasPods && runsAutoscaler(d) && !scalesOtherCluster(d, c.Name) {
				return &all[i], client, nil
			}
		}
	}
	return nil, nil, nil
}

// isOurs reports whether the lab created the deployment.
func isOurs(deployment *unstructured.Unstructured, c *target.Cluster) bool {
	return fullName(deployment) == c.Namespace+"/"+autoscaler.Name
}

func fullName(o *unstructured.Unstructured) string { return o.GetNamespace() + "/" + o.GetName() }

// runsAutoscaler reports whether a container of the deployment is an autoscaler.
func runsAutoscaler(d *appsv1.Deployment) bool {
	return slices.ContainsFunc(d.Spec.Template.Spec.Containers, func(c corev1.Container) bool {
		return autoscaler.Runs(d.Name, autoscaler.Container{Image: c.Image, Command: c.Command})
	})
}

// scalesOtherCluster reports whether the flags of an autoscaler's deployment name other
// clusters than this one. A management cluster may hold an autoscaler for each of its
// clusters.
func scalesOtherCluster(d *appsv1.Deployment, cluster string) bool {
	const discovery = "clusterName="
	another := false
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, word := range slices.Concat(c.Command, c.Args) {
			_, named, found := strings.Cut(word, discovery)
			if !found {
				continue
			}
			if named, _, _ = strings.Cut(named, ","); named == cluster {
				return false
			}
			another = true
		}
	}
	return another
}

// IsPod reports whether a pod belongs to the Deployment that the lab creates.
func IsPod(pod *unstructured.Unstructured) bool {
	return pod.GetLabels()["app"] == autoscaler.Name
}
