package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/workload"
)

// Kinds that may own the pods of a workload. A BarePod has no owner.
const (
	Deployment  = "Deployment"
	StatefulSet = "StatefulSet"
	DaemonSet   = "DaemonSet"
	Job         = "Job"
	BarePod     = "Pod"
)

// Owners are the values of Workload.Owner.
var Owners = []string{DaemonSet, Deployment, Job, BarePod, StatefulSet}

// Values of Workload.Spread and Workload.Apart, and the node labels that they stand for.
var topologies = map[string]string{"hostname": corev1.LabelHostname, "zone": corev1.LabelTopologyZone}

// Workload is a set of equal pods that select one pool.
type Workload struct {
	Name string `json:"name"`
	Pods int    `json:"pods,omitempty"`
	// Owner is the kind that makes the pods, one of Owners; empty means Deployment.
	Owner string `json:"owner,omitempty"`
	// Namespace of the pods, which may contain Variables. An empty Namespace means that of
	// all workloads.
	Namespace string `json:"namespace,omitempty"`
	// Memory and CPU are the requests of each pod, as percentages of what the smallest
	// worker offers, such as 40%. With neither of them one pod fits on a node and a second
	// one does not, and the autoscaler sees no room on the node.
	Memory string `json:"memory,omitempty"`
	CPU    string `json:"cpu,omitempty"`
	// Pool is the pool that the pods select. It may be empty if there is only one.
	Pool string `json:"pool,omitempty"`
	// Select has more node labels that the pods select, Tolerate the keys of taints
	// that they tolerate.
	Select   map[string]string `json:"select,omitempty"`
	Tolerate []string          `json:"tolerate,omitempty"`
	// Annotations are those of the pods from the start.
	Annotations map[string]string `json:"annotations,omitempty"`
	Priority    *Priority         `json:"priority,omitempty"`
	// Spread spreads the pods evenly, and Apart allows one of them, over each hostname or zone.
	Spread string `json:"spread,omitempty"`
	Apart  string `json:"apart,omitempty"`
	// HostPort is a port of the node that each pod takes.
	HostPort int `json:"hostPort,omitempty"`
	// EmptyDir gives each pod a volume on its node.
	EmptyDir bool `json:"emptyDir,omitempty"`
	// Scheduler is the name of another scheduler than the cluster's.
	Scheduler string `json:"scheduler,omitempty"`
	// Devices are extended resources that each pod requests, by name.
	Devices map[string]int `json:"devices,omitempty"`
	// Claims has the ResourceClaimTemplates of the pods' claims, by the names that the claims
	// have in a pod. The templates' names may contain Variables.
	Claims map[string]string `json:"claims,omitempty"`
	// Template is a pod template that is merged into the lab's, as kubectl patch does it. Its
	// strings may contain Variables.
	Template map[string]any `json:"template,omitempty"`
}

// OwnerKind returns the kind that makes the pods.
func (w *Workload) OwnerKind() string {
	if w.Owner == "" {
		return Deployment
	}
	return w.Owner
}

// Topology returns the node label that a value of Spread or Apart stands for; empty for an
// empty value.
func Topology(value string) string { return topologies[value] }

// Priority is a priority of pods: the name of a class, or a value.
type Priority struct {
	Class string
	// Value is that of a class which is made for the scenario, if Class is empty.
	Value int32
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Priority) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &p.Value); err == nil {
		// Higher ones are the cluster's own.
		if p.Value > maxPriority {
			return fmt.Errorf("%d: want a class, such as system-cluster-critical, or at most %d", p.Value, maxPriority)
		}
		return nil
	}
	if err := json.Unmarshal(data, &p.Class); err != nil || len(validation.IsDNS1123Subdomain(p.Class)) > 0 {
		return fmt.Errorf("%s: want a number, such as -20, or the name of a class, such as system-cluster-critical", data)
	}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (p Priority) MarshalJSON() ([]byte, error) {
	if p.Class != "" {
		return json.Marshal(p.Class)
	}
	return json.Marshal(p.Value)
}

// maxPriority is the highest priority of a class that is not the cluster's own.
const maxPriority = 1_000_000_000

// maxPercentage is the largest percentage of a worker.
const maxPercentage = 1000

// Percentage reads a percentage of a worker, such as 40% or 110%.
func Percentage(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
	if err != nil || !strings.HasSuffix(text, "%") || n < 1 || n > maxPercentage {
		return 0, fmt.Errorf("%q: want a percentage of what a worker offers, 1%% to %d%%", text, maxPercentage)
	}
	return n, nil
}

func (c *checker) workload(place string, w *Workload) {
	c.name(place+".name", w.Name)
	c.refuseIf(place+".pods", workload.CheckReplicas(w.Pods))
	if w.Owner != "" && !slices.Contains(Owners, w.Owner) {
		c.refuse(place+".owner", "%q: want one of %s", w.Owner, strings.Join(Owners, ", "))
	}
	if w.Owner == DaemonSet && w.Pods != 0 {
		c.refuse(place+".pods", "%d: a DaemonSet has a pod on each node that the pods select; leave pods out", w.Pods)
	}
	if before := c.workloads[w.Name]; before != nil && before.OwnerKind() != w.OwnerKind() {
		c.refuse(place+".owner", "%s: an earlier step makes %s as a %s", w.OwnerKind(), w.Name, before.OwnerKind())
	}
	c.variables(place+".namespace", w.Namespace)
	if w.Pool == "" && len(c.pools) == 1 {
		w.Pool = c.pools[0]
	}
	if !slices.Contains(c.pools, w.Pool) {
		c.refuse(place+".pool", "%q: want one of %s", w.Pool, strings.Join(c.pools, ", "))
	}
	for key, share := range map[string]string{"memory": w.Memory, "cpu": w.CPU} {
		if share != "" {
			_, err := Percentage(share)
			c.refuseIf(place+"."+key, err)
		}
	}
	c.refuseIf(place, workload.Workload{Name: w.Name, NodeSelector: w.Select, Tolerations: w.Tolerate}.Validate())
	for key, topology := range map[string]string{"spread": w.Spread, "apart": w.Apart} {
		if topology != "" && Topology(topology) == "" {
			c.refuse(place+"."+key, "%q: want one of %s", topology, strings.Join(slices.Sorted(maps.Keys(topologies)), ", "))
		}
	}
	if w.HostPort < 0 || w.HostPort > 65535 {
		c.refuse(place+".hostPort", "%d: want 1 to 65535", w.HostPort)
	}
	if w.Scheduler != "" {
		if problems := validation.IsDNS1123Subdomain(w.Scheduler); len(problems) > 0 {
			c.refuse(place+".scheduler", "%q: %s", w.Scheduler, strings.Join(problems, "; "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.Devices)) {
		if !strings.Contains(name, "/") || len(validation.IsQualifiedName(name)) > 0 || w.Devices[name] < 1 {
			c.refuse(place+".devices", "%q: %d: want the name of an extended resource and a number, such as nvidia.com/gpu: 1", name, w.Devices[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.Claims)) {
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			c.refuse(place+".claims", "%q: want a valid name for the claim in the pod: %s", name, strings.Join(problems, "; "))
		}
		if template := w.Claims[name]; variable.MatchString(template) {
			c.variables(place+".claims", template)
		} else if problems := validation.IsDNS1123Subdomain(template); len(problems) > 0 {
			c.refuse(place+".claims", "%s: %q: want the name of a ResourceClaimTemplate: %s", name, template, strings.Join(problems, "; "))
		}
	}
	c.annotations(place+".annotations", w.Annotations)
	c.template(place+".template", w.Template)
	c.workloads[w.Name], c.created[w.Name] = w, true
}

func (c *checker) annotations(place string, annotations map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if problems := validation.IsQualifiedName(strings.ToLower(key)); len(problems) > 0 {
			c.refuse(place, "%q: %s", key, strings.Join(problems, "; "))
		}
	}
}

// template refuses a pod template with unknown fields, which an API server would ignore.
func (c *checker) template(place string, template map[string]any) {
	if template == nil {
		return
	}
	if err := c.substitutes(place, template); err != nil {
		return
	}
	data, err := yaml.Marshal(withoutDirectives(template))
	if err == nil {
		err = yaml.UnmarshalStrict(data, new(corev1.PodTemplateSpec))
	}
	if err != nil {
		c.refuse(place, "want a pod template with metadata and spec: %s", jsonPath.ReplaceAllString(err.Error(), ""))
	}
}

// jsonPath is what the decoder of sigs.k8s.io/yaml says of itself in an error.
var jsonPath = regexp.MustCompile(`^error (un)?marshaling JSON: (while decoding JSON: )?(json: )?`)

// withoutDirectives returns a copy of a template without the directives of a strategic
// merge, such as $patch: delete.
func withoutDirectives(value any) any {
	switch value := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, inner := range value {
			if !strings.HasPrefix(key, "$") {
				out[key] = withoutDirectives(inner)
			}
		}
		return out
	case []any:
		out := make([]any, len(value))
		for i, inner := range value {
			out[i] = withoutDirectives(inner)
		}
		return out
	default:
		return value
	}
}

// substitutes refuses unknown variables in the strings of a value, and returns an error if
// there are some.
func (c *checker) substitutes(place string, value any) error {
	_, err := Substitute(value, Variables{}.Expand)
	if err != nil {
		c.refuse(place, "%w", err)
		err = errors.New("refused")
	}
	return err
}

func (c *checker) isWorkload(place, name string) {
	if c.workloads[name] == nil {
		c.refuse(place, "%q: want a workload that an earlier step makes: %s", name, orNone(slices.Sorted(maps.Keys(c.workloads))))
	}
}
