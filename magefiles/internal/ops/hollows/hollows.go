// Package hollows installs the controller of hollow machines, runs it and removes it.
package hollows

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/ops/programs"
	"caslab/magefiles/internal/target"
)

// Hollows are the hollow machines of a cluster.
type Hollows struct {
	*lab.Lab
	// Open opens the cluster.
	Open target.Opener
	// Nodes are the nodes of the environment.
	Nodes programs.Nodes
}

// repository is the repository of the controller's images.
const repository = "caslab.local/hollow"

// workHollow is the lock for compiling the controller.
const workHollow = "build.hollow"

// Prepare makes a cluster ready for its first hollow machines, and updates what an earlier lab
// installed. In a cluster that the lab did not create, it installs nothing: the controller must
// run on a machine.
func (h *Hollows) Prepare(ctx context.Context, c *target.Cluster) error {
	if err := checkAPI(ctx, c); err != nil {
		return err
	}
	if !c.Own {
		return h.prepareForeign(ctx, c)
	}
	image, err := h.assemble(ctx)
	if err != nil {
		return err
	}
	if err := h.define(ctx, c); err != nil {
		return err
	}
	if err := h.keepAway(ctx, c); err != nil {
		return err
	}
	return h.deploy(ctx, c, image)
}

// PrepareOnce returns a function that calls Prepare for a cluster, until Prepare has succeeded for
// that cluster once. After that, in a cluster that the lab did not create, it only checks whether
// the controller runs: it may have ended. It is for a command that makes many groups, perhaps at
// the same time.
func (h *Hollows) PrepareOnce() func(context.Context, *target.Cluster) error {
	var mu sync.Mutex
	prepared := map[string]bool{} // by UID
	return func(ctx context.Context, c *target.Cluster) error {
		mu.Lock()
		defer mu.Unlock()
		if prepared[c.UID] {
			if c.Own {
				return nil
			}
			return h.checkController(ctx, c)
		}
		err := h.Prepare(ctx, c)
		prepared[c.UID] = err == nil
		return err
	}
}

// checkAPI refuses releases of Cluster API whose contract the controller does not fulfil.
func checkAPI(ctx context.Context, c *target.Cluster) error {
	for _, version := range []string{release.V1Beta2, release.V1Beta1} {
		served, err := c.Management.Serves(ctx, kube.MachineDeployments, version)
		if err != nil || served {
			return err
		}
	}
	return fmt.Errorf("the Cluster API of %s/%s serves neither %s nor %s, which hollow machines need; use a release from v1.0 on, or -machines=docker", c.Namespace, c.Name, release.V1Beta1, release.V1Beta2)
}

// prepareForeign checks that the controller runs, and warns of pods that hollow nodes would
// take.
func (h *Hollows) prepareForeign(ctx context.Context, c *target.Cluster) error {
	if err := h.checkController(ctx, c); err != nil {
		return err
	}
	return h.warn(ctx, c)
}

// checkController refuses a cluster that the lab did not create if it has no kinds of hollow
// machines, and warns if no controller runs for it.
func (h *Hollows) checkController(ctx context.Context, c *target.Cluster) error {
	served, err := c.Management.Serves(ctx, hollow.Templates, "v1beta2")
	if err != nil {
		return err
	}
	if !served {
		return fmt.Errorf("the cluster has no kind %s: the lab installs nothing in a cluster that it did not create; run the controller of hollow machines on this machine, in another terminal: %s", hollow.Templates.Kind, h.Config.Command("hollow:run"))
	}
	holder, err := c.Reserved(ctx, reservation)
	if err != nil {
		return err
	}
	if holder == nil {
		h.Log.Printf("! no running hollow:run was found; without it no hollow machine gets a node: %s", h.Config.Command("hollow:run"))
	}
	return nil
}

// program is the build of the controller.
func (h *Hollows) program(host bool) build.Request {
	name := "hollow"
	if host && runtime.GOOS != "linux" {
		name += "-" + runtime.GOOS
	}
	return build.Request{
		Dir: filepath.Join(h.Config.Root, "magefiles", "components", "hollow"), Packages: []string{"."},
		Output: h.State.Path("bin", "hollow", name), Arch: runtime.GOARCH, Host: host && runtime.GOOS != "linux",
	}
}

// compile compiles the controller and returns the program's path.
func (h *Hollows) compile(ctx context.Context, host bool) (string, error) {
	request := h.program(host)
	step := h.Log.Start("compile the controller of hollow machines", time.Minute)
	err := h.State.Exclusively(ctx, workHollow, step.Progress, func() error {
		_, err := build.Build(ctx, request, build.Options{Runner: h.Runner, Progress: step.Progress, Warn: h.Log.Printf})
		return err
	})
	step.Done("", err)
	return request.Output, err
}

func (h *Hollows) assemble(ctx context.Context) (programs.Image, error) {
	binary, err := h.compile(ctx, false)
	if err != nil {
		return programs.Image{}, err
	}
	return programs.Assemble(repository, "/hollow", binary)
}

// define creates the kinds, or updates them. It is the first change of a cluster, so that a
// user without the right to create kinds changes nothing.
func (h *Hollows) define(ctx context.Context, c *target.Cluster) (err error) {
	step := h.Log.Start("define the kinds of hollow machines", 2*time.Second)
	defer func() { step.Done("", err) }()
	ctx, cancel := interrupt.WithTimeout(ctx, time.Minute)
	defer cancel()
	manifest, err := hollow.Definitions()
	if err != nil {
		return err
	}
	definitions, err := kube.Decode(manifest)
	if err != nil {
		return err
	}
	for _, d := range definitions {
		err := create(ctx, c.Management, d, step.Progress)
		if apierrors.IsForbidden(err) {
			return fmt.Errorf("hollow machines need the right to create CustomResourceDefinitions in the cluster with the Cluster API objects: %w", err)
		}
		if err != nil {
			return fmt.Errorf("create the definition %s: %w", d.GetName(), err)
		}
	}
	if err := c.Management.Apply(ctx, manifest); err != nil {
		return err
	}
	return c.Management.Wait(ctx, kube.Definitions, "", func(all []*unstructured.Unstructured) (bool, string) {
		established := 0
		for _, d := range all {
			if ours(definitions, d) && kube.True(d, "Established") {
				established++
			}
		}
		return established == len(definitions), "the kinds of hollow machines"
	}, step.Progress)
}

// create creates a definition, unless it exists. If the existing one is being deleted, as by an
// interrupted Remove, create waits until it is gone, because it stays Established until then.
func create(ctx context.Context, c *kube.Client, definition *unstructured.Unstructured, progress func(string)) error {
	err := c.Create(ctx, definition.DeepCopy())
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	if err := c.WaitDeletion(ctx, kube.Definitions, "", definition.GetName(), progress); err != nil {
		return err
	}
	if err := c.Create(ctx, definition.DeepCopy()); !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// ours reports whether one of the definitions has the name of d.
func ours(definitions []*unstructured.Unstructured, d *unstructured.Unstructured) bool {
	return slices.ContainsFunc(definitions, func(o *unstructured.Unstructured) bool { return o.GetName() == d.GetName() })
}

// deploy runs the image in the cluster, unless it does already.
func (h *Hollows) deploy(ctx context.Context, c *target.Cluster, image programs.Image) (err error) {
	now, err := c.Workload.Get(ctx, kube.Deployments, hollow.Name, hollow.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("look for the controller of hollow machines: %w", err)
	}
	// A node of the control plane that came later lacks the image.
	if err != nil || kube.FirstImage(now) != image.Ref || !kube.True(now, "Available") {
		if err := image.Load(ctx, h.Nodes); err != nil {
			return err
		}
	}
	d := hollow.Deployment{Image: image.Ref}
	if d.Role, d.Tolerated, err = programs.ControlPlane(ctx, c); err != nil {
		return err
	}
	manifest, err := d.Manifest()
	if err != nil {
		return err
	}
	step := h.Log.Start("deploy the controller of hollow machines", 10*time.Second)
	defer func() { step.Done(hollow.Name+"/"+hollow.Name, err) }()
	ctx, cancel := interrupt.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	// After an interrupted Remove, the namespace may still be in deletion.
	if err := c.Workload.WaitDeletion(ctx, kube.Namespaces, "", hollow.Name, step.Progress); err != nil {
		return err
	}
	if err := c.Workload.Apply(ctx, manifest); err != nil {
		return err
	}
	return programs.WaitAvailable(ctx, c.Workload, hollow.Name, hollow.Name, step.Progress)
}

// Remove removes the controller and the kinds. It refuses while the cluster has hollow machines, or
// while the controller runs for a cluster that the lab did not create. It may be called twice.
func (h *Hollows) Remove(ctx context.Context) (err error) {
	c, err := h.Open(ctx)
	if err != nil {
		return err
	}
	if err := h.checkUnused(ctx, c); err != nil {
		return err
	}
	if err := h.checkStopped(ctx, c); err != nil {
		return err
	}
	step := h.Log.Start("remove the controller and the kinds of hollow machines", 5*time.Second)
	defer func() { step.Done("", err) }()
	ctx, cancel := interrupt.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	definitions, err := hollow.Definitions()
	if err != nil {
		return err
	}
	if c.Own {
		deployment, err := hollow.Deployment{}.Manifest()
		if err != nil {
			return err
		}
		if err := remove(ctx, c.Workload, deployment); err != nil {
			return err
		}
		// Nothing can be created again in a namespace that is on its way out.
		err = c.Workload.Wait(ctx, kube.Namespaces, "", func(all []*unstructured.Unstructured) (bool, string) {
			there := slices.ContainsFunc(all, func(n *unstructured.Unstructured) bool { return n.GetName() == hollow.Name })
			return !there, "the namespace " + hollow.Name + " to go"
		}, step.Progress)
		if err != nil {
			return err
		}
	}
	err = hollow.RemoveClasses(ctx, c.Workload)
	if apierrors.IsForbidden(err) { // they do nothing without drivers
		h.Log.Printf("! classes of devices that the lab created may be left: %v", err)
	} else if err != nil {
		return err
	}
	if err := remove(ctx, c.Management, definitions); err != nil {
		return err
	}
	objects, err := kube.Decode(definitions)
	if err != nil {
		return err
	}
	return c.Management.Wait(ctx, kube.Definitions, "", func(all []*unstructured.Unstructured) (bool, string) {
		there := slices.ContainsFunc(all, func(d *unstructured.Unstructured) bool { return ours(objects, d) })
		return !there, "the kinds of hollow machines to go"
	}, step.Progress)
}

// checkStopped refuses a cluster that the lab did not create while the controller runs for it, which
// fails without its kinds.
func (h *Hollows) checkStopped(ctx context.Context, c *target.Cluster) error {
	if c.Own {
		return nil
	}
	holder, err := c.Reserved(ctx, reservation)
	if err != nil {
		return fmt.Errorf("look for a running hollow:run: %w", err)
	}
	if holder != nil {
		return fmt.Errorf("a controller of hollow machines of the cluster %q runs: %w; stop it first", c.Name, holder)
	}
	return nil
}

// remove deletes the objects of a manifest, the last one first. It ignores those that are gone.
func remove(ctx context.Context, c *kube.Client, manifest []byte) error {
	objects, err := kube.Decode(manifest)
	if err != nil {
		return err
	}
	for _, o := range slices.Backward(objects) {
		if err := c.Delete(ctx, o.GroupVersionKind().GroupKind(), o.GetNamespace(), o.GetName()); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete the %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// checkUnused refuses a cluster with hollow groups or machines, in any namespace: without the
// controller their machines and nodes would stay for ever.
func (h *Hollows) checkUnused(ctx context.Context, c *target.Cluster) error {
	groups, err := c.Management.List(ctx, kube.MachineDeployments, "")
	if err != nil {
		return err
	}
	var used, commands []string
	for i := range groups {
		g := &groups[i]
		if !hollow.Is(g) {
			continue
		}
		used = append(used, g.GetNamespace()+"/"+g.GetName())
		if g.GetNamespace() == c.Namespace {
			commands = append(commands, h.Config.Command("nodegroup:delete "+g.GetName()))
		}
	}
	if len(used) > 0 {
		return errors.New(strings.Join(append([]string{fmt.Sprintf("the cluster has the hollow node groups %s; delete them first:", strings.Join(used, ", "))}, commands...), "\n  "))
	}
	machines, err := c.Management.List(ctx, hollow.Machines, "")
	if err != nil && !kube.IsAbsent(err) {
		return err
	}
	if len(machines) > 0 {
		return fmt.Errorf("the cluster has %d hollow machines, such as %s/%s, without a node group; delete their Machines first", len(machines), machines[0].GetNamespace(), machines[0].GetName())
	}
	return nil
}
