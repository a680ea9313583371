// Package pods writes the manifests of a scenario's workloads: the pod template of the lab,
// with what the workload asks for, and the owner that makes the pods.
package pods

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/workload"
)

// Options has what a workload does not say itself.
type Options struct {
	// Base is the lab's manifest of the workload: a Deployment with one container.
	Base appsv1.Deployment
	// Memory and CPU are the requests of each pod; empty for none.
	Memory, CPU string
	// Labels are for every object, and for the pods.
	Labels map[string]string
	// Expand replaces the variables in the workload's template.
	Expand func(string) (string, error)
}

// Manifests returns the objects of a workload, in the order in which they are created:
// the class of its priority, if it has a value, and its owner, or its pods.
func Manifests(w *scenario.Workload, o Options) ([]*unstructured.Unstructured, error) {
	template, err := podTemplate(w, o)
	if err != nil {
		return nil, fmt.Errorf("the template of %s: %w", w.Name, err)
	}
	var objects []runtime.Object
	if p := w.Priority; p != nil && p.Class == "" {
		objects = append(objects, &schedulingv1.PriorityClass{
			TypeMeta:   metav1.TypeMeta{APIVersion: "scheduling.k8s.io/v1", Kind: "PriorityClass"},
			ObjectMeta: metav1.ObjectMeta{Name: o.Base.Name, Labels: o.Labels}, Value: p.Value,
		})
	}
	objects = append(objects, owners(w, o.Base, template, o.Labels)...)
	manifests := make([]*unstructured.Unstructured, len(objects))
	for i, object := range objects {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return nil, fmt.Errorf("write the manifest of %s: %w", w.Name, err)
		}
		delete(fields, "status")
		manifests[i] = &unstructured.Unstructured{Object: fields}
	}
	return manifests, nil
}

// owners returns the owner of the pods, or the pods if they have none.
func owners(w *scenario.Workload, base appsv1.Deployment, template corev1.PodTemplateSpec, labels map[string]string) []runtime.Object {
	meta := metav1.ObjectMeta{Name: base.Name, Namespace: base.Namespace, Labels: with(base.Labels, labels)}
	n := int32(w.Pods)
	switch w.OwnerKind() {
	case scenario.StatefulSet:
		return []runtime.Object{&appsv1.StatefulSet{
			TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: scenario.StatefulSet}, ObjectMeta: meta,
			Spec: appsv1.StatefulSetSpec{Replicas: &n, Selector: base.Spec.Selector, Template: template, PodManagementPolicy: appsv1.ParallelPodManagement},
		}}
	case scenario.DaemonSet:
		return []runtime.Object{&appsv1.DaemonSet{
			TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: scenario.DaemonSet}, ObjectMeta: meta,
			Spec: appsv1.DaemonSetSpec{Selector: base.Spec.Selector, Template: template},
		}}
	case scenario.Job:
		if template.Spec.RestartPolicy == "" {
			template.Spec.RestartPolicy = corev1.RestartPolicyNever
		}
		// Without a number of completions, the number of pods can be changed.
		return []runtime.Object{&batchv1.Job{
			TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: scenario.Job}, ObjectMeta: meta,
			Spec: batchv1.JobSpec{Parallelism: &n, Template: template},
		}}
	case scenario.BarePod:
		var all []runtime.Object
		for i := range w.Pods {
			pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: scenario.BarePod}, ObjectMeta: template.ObjectMeta, Spec: template.Spec}
			pod.Name, pod.Namespace = fmt.Sprintf("%s-%d", base.Name, i+1), base.Namespace
			all = append(all, pod)
		}
		return all
	default:
		return []runtime.Object{&appsv1.Deployment{
			TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: scenario.Deployment}, ObjectMeta: meta,
			Spec: appsv1.DeploymentSpec{Replicas: &n, Selector: base.Spec.Selector, Template: template},
		}}
	}
}

// podTemplate returns the lab's pod template with what the workload asks for, and last with
// the workload's own template merged into it.
func podTemplate(w *scenario.Workload, o Options) (corev1.PodTemplateSpec, error) {
	template := *o.Base.Spec.Template.DeepCopy()
	if len(template.Spec.Containers) != 1 {
		return template, fmt.Errorf("the lab's template has %d containers, want one", len(template.Spec.Containers))
	}
	template.Labels = with(template.Labels, o.Labels)
	template.Annotations = with(template.Annotations, w.Annotations)
	if err := setRequests(&template.Spec.Containers[0], w, o); err != nil {
		return template, err
	}
	spec := &template.Spec
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{workload.Label: o.Base.Name}}
	if w.Spread != "" {
		spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: scenario.Topology(w.Spread), WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: selector,
		}}
	}
	if w.Apart != "" {
		spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: scenario.Topology(w.Apart), LabelSelector: selector,
		}}}}
	}
	if w.HostPort != 0 {
		port := int32(w.HostPort)
		spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: port, HostPort: port}}
	}
	if w.EmptyDir {
		const name = "scratch"
		spec.Volumes = []corev1.Volume{{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: name, MountPath: "/scratch"}}
	}
	if err := setClaims(spec, w.Claims, o.Expand); err != nil {
		return template, err
	}
	spec.SchedulerName = w.Scheduler
	if p := w.Priority; p != nil {
		spec.PriorityClassName = p.Class
		if p.Class == "" {
			spec.PriorityClassName = o.Base.Name
		}
	}
	return merged(template, w.Template, o.Expand)
}

// setClaims lets the container use a claim of each template, by the claim's name in the pod.
func setClaims(spec *corev1.PodSpec, claims map[string]string, expand func(string) (string, error)) error {
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		template, err := expand(claims[name])
		if err != nil {
			return err
		}
		spec.ResourceClaims = append(spec.ResourceClaims, corev1.PodResourceClaim{Name: name, ResourceClaimTemplateName: &template})
		resources := &spec.Containers[0].Resources
		resources.Claims = append(resources.Claims, corev1.ResourceClaim{Name: name})
	}
	return nil
}

// setRequests replaces the requests of the container.
func setRequests(container *corev1.Container, w *scenario.Workload, o Options) error {
	requests, limits := corev1.ResourceList{}, corev1.ResourceList{}
	for name, value := range map[corev1.ResourceName]string{corev1.ResourceMemory: o.Memory, corev1.ResourceCPU: o.CPU} {
		if value == "" {
			continue
		}
		quantity, err := resource.ParseQuantity(value)
		if err != nil {
			return fmt.Errorf("the request %s of %s: %w", value, name, err)
		}
		requests[name] = quantity
	}
	for name, n := range w.Devices {
		// The limit of an extended resource has to be equal to the request.
		requests[corev1.ResourceName(name)], limits[corev1.ResourceName(name)] = *resource.NewQuantity(int64(n), resource.DecimalSI), *resource.NewQuantity(int64(n), resource.DecimalSI)
	}
	container.Resources = corev1.ResourceRequirements{Requests: requests, Limits: limits}
	return nil
}

// merged merges a pod template, whose variables are replaced, into the lab's.
func merged(template corev1.PodTemplateSpec, patch map[string]any, expand func(string) (string, error)) (corev1.PodTemplateSpec, error) {
	if patch == nil {
		return template, nil
	}
	filled, err := scenario.Substitute(patch, expand)
	if err != nil {
		return template, err
	}
	original, err := json.Marshal(template)
	if err != nil {
		return template, err
	}
	changes, err := json.Marshal(filled)
	if err != nil {
		return template, err
	}
	data, err := strategicpatch.StrategicMergePatch(original, changes, corev1.PodTemplateSpec{})
	if err != nil {
		return template, fmt.Errorf("merge it into the lab's: %w", err)
	}
	var out corev1.PodTemplateSpec
	if err := json.Unmarshal(data, &out); err != nil {
		return template, fmt.Errorf("read the merged one: %w", err)
	}
	// Without them nobody would know whose pods they are.
	out.Labels = with(out.Labels, template.Labels)
	return out, nil
}

// with returns the keys of both; those of more win.
func with(some, more map[string]string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, some)
	maps.Copy(all, more)
	if len(all) == 0 {
		return nil
	}
	return all
}
