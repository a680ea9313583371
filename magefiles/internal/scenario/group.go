package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/hollow"
)

// Kinds of machines.
const (
	// DockerMachines are machines with kubelets: containers, in an environment of the lab.
	DockerMachines = "docker"
	// HollowMachines are Node objects that the lab's controller makes.
	HollowMachines = "hollow"
)

// Group is a node group, or several similar ones.
type Group struct {
	Name string `json:"name"`
	// Min and Max bound the size.
	Min int `json:"min,omitempty"`
	Max int `json:"max"`
	// Pool is the value of the node label that workloads select. Groups with the
	// same pool serve the same pods. An empty Pool means the name of the group.
	Pool string `json:"pool,omitempty"`
	// Labels and Taints are those of the nodes. A taint is written as
	// key=value:Effect.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []string          `json:"taints,omitempty"`
	// Capacity is what nodes offer: cpu and memory as quantities, or as multiples of a
	// worker's such as 0.5x. The default is what a worker has. More than that, such as
	// 2x, is only what the autoscaler expects of a node. maxPods is a number. Hollow
	// nodes may have any other resource as well.
	Capacity map[string]string `json:"capacity,omitempty"`
	// Told is what the autoscaler is told of the nodes, where that is not what they are.
	Told *Told `json:"told,omitempty"`
	// Similar is how many similar groups are created, as NAME-1, NAME-2, and so
	// on; zero creates one group called NAME.
	Similar int `json:"similar,omitempty"`
	// Options are settings that the autoscaler reads for each group since 1.31. The
	// keys are the ends of the annotations, such as maxnodeprovisiontime.
	Options map[string]string `json:"options,omitempty"`
	// Broken is set for a group whose machines never become nodes.
	Broken bool `json:"broken,omitempty"`
	// Machines is DockerMachines or HollowMachines. Empty means that machines of either kind
	// do, and then Scenario.On chooses.
	Machines string `json:"machines,omitempty"`
	// Hollow says what hollow machines are and do. In a group that names no kind it has only
	// times, and docker machines do without it.
	Hollow *Hollow `json:"hollow,omitempty"`
}

// Told has what annotations tell the autoscaler of a group's future nodes. What is not nil
// replaces what is true; an empty value tells nothing.
type Told struct {
	// Capacity has the names of the annotations, such as cpu, memory or gpu-count. Without
	// cpu or memory, that of a worker is told.
	Capacity map[string]string `json:"capacity,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Taints   []string          `json:"taints,omitempty"`
}

// Hollow says what hollow machines are and do, as the options of nodegroup:add do.
type Hollow struct {
	Zone     string `json:"zone,omitempty"`
	Arch     string `json:"arch,omitempty"`
	Instance string `json:"instance,omitempty"`
	Start    string `json:"start,omitempty"`
	Ready    string `json:"ready,omitempty"`
	Stop     string `json:"stop,omitempty"`
	Late     string `json:"late,omitempty"`
	Untaint  string `json:"untaint,omitempty"`
	Fail     string `json:"fail,omitempty"`
	Never    string `json:"never,omitempty"`
	PodStart string `json:"podStart,omitempty"`
	PodFail  string `json:"podFail,omitempty"`
	Seed     string `json:"seed,omitempty"`
	// DRA has the drivers that give nodes devices for ResourceClaims, such as
	// gpu.example.com=4. Each gets a DeviceClass of its name. CSI has the drivers of volumes,
	// each with the number of volumes that a node can have.
	DRA string `json:"dra,omitempty"`
	CSI string `json:"csi,omitempty"`
}

// IsHollow reports whether the group has hollow machines.
func (g Group) IsHollow() bool { return g.Machines == HollowMachines }

// HollowSpec returns what the machines of a hollow group are. labels are those of the nodes,
// and capacity has quantities.
func (g Group) HollowSpec(labels, capacity map[string]string) (hollow.Spec, error) {
	var h Hollow
	if g.Hollow != nil {
		h = *g.Hollow
	}
	if g.Broken {
		h.Never = "100%"
	}
	return hollow.New(hollow.Shape{
		Labels: capi.JoinLabels(labels), Taints: strings.Join(g.Taints, ","), Zone: h.Zone, Arch: h.Arch, InstanceType: h.Instance,
	}, hollow.Change{Capacity: capi.JoinLabels(capacity), DRA: h.DRA, CSI: h.CSI, Behaviour: hollow.Behaviour{
		Start: h.Start, Ready: h.Ready, Stop: h.Stop, PodStart: h.PodStart, Fail: h.Fail, Never: h.Never, PodFail: h.PodFail,
		Late: h.Late, Untaint: h.Untaint, Seed: h.Seed,
	}})
}

// Names returns the names of the groups to create: several with Similar.
func (g Group) Names() []string {
	if g.Similar == 0 {
		return []string{g.Name}
	}
	var names []string
	for i := range g.Similar {
		names = append(names, fmt.Sprintf("%s-%d", g.Name, i+1))
	}
	return names
}

// PoolName returns the pool that the group serves.
func (g Group) PoolName() string {
	if g.Pool != "" {
		return g.Pool
	}
	return g.Name
}

const maxSimilar = 9

func (c *checker) group(place string, g *Group) {
	c.name(place+".name", g.Name)
	if g.Pool != "" {
		c.name(place+".pool", g.Pool)
	}
	if !slices.Contains(c.pools, g.PoolName()) {
		c.pools = append(c.pools, g.PoolName())
	}
	c.refuseIf(place, capi.CheckSizes(g.Min, g.Max))
	if g.Machines != "" {
		c.oneWord(place+".machines", g.Machines, []string{DockerMachines, HollowMachines})
	}
	switch g.Machines {
	case HollowMachines:
		c.hollow(place, g)
	case DockerMachines:
		c.docker(place, g)
	default:
		c.either(place, g)
	}
	if g.Told != nil {
		c.told(place+".told", g.Told)
	}
	for _, key := range slices.Sorted(maps.Keys(g.Options)) {
		if strings.Trim(key, "abcdefghijklmnopqrstuvwxyz") != "" || key == "" || g.Options[key] == "" {
			c.refuse(place+".options", "%q: %q: want the end of an annotation cluster.x-k8s.io/autoscaling-options-…, such as maxnodeprovisiontime: 30s", key, g.Options[key])
		}
	}
	if g.Similar < 0 || g.Similar == 1 || g.Similar > maxSimilar {
		c.refuse(place+".similar", "%d: want 2 to %d groups", g.Similar, maxSimilar)
		return
	}
	if g.Broken && g.Min > 0 {
		c.refuse(place+".min", "%d: the machines of a broken group never become nodes, so its minimum is 0", g.Min)
	}
	for _, name := range g.Names() {
		if c.groups[name] != nil || name == TheCluster {
			c.refuse(place+".name", "%q is taken", name)
		}
		c.groups[name] = g
	}
}

// either checks a group whose machines may be of both kinds.
func (c *checker) either(place string, g *Group) {
	before := len(c.errs)
	c.docker(place, g)
	if len(c.errs) > before {
		return
	}
	if g.Hollow != nil {
		if h := *g.Hollow; h != (Hollow{Start: h.Start, Ready: h.Ready, Stop: h.Stop, PodStart: h.PodStart, Seed: h.Seed}) {
			c.refuse(place+".hollow", "a group whose machines may be of both kinds has only start, ready, stop, podStart and seed; for more, say machines: hollow")
			return
		}
	}
	c.hollow(place, g)
	for i := before; i < len(c.errs); i++ {
		c.errs[i] = fmt.Errorf("%w; or say machines: %s", c.errs[i], DockerMachines)
	}
}

// docker checks what nodes in containers are.
func (c *checker) docker(place string, g *Group) {
	_, err := capi.ParseLabels(capi.JoinLabels(g.Labels))
	c.refuseIf(place+".labels", err)
	_, err = capi.ParseTaints(strings.Join(g.Taints, ","))
	c.refuseIf(place+".taints", err)
	if g.Hollow != nil && g.Machines == DockerMachines {
		c.refuse(place+".hollow", "docker machines have no such options; leave it out, or leave out machines: docker")
	}
	for _, key := range slices.Sorted(maps.Keys(g.Capacity)) {
		value := g.Capacity[key]
		switch key {
		case "cpu", "memory":
			_, err := CapacityOf(value, resource.MustParse("1Gi"))
			c.refuseIf(place+".capacity", err)
		case "maxPods":
			c.refuseIf(place+".capacity", capi.CheckCapacity(key, value))
		default:
			c.refuse(place+".capacity", "%q: want cpu, memory or maxPods: nodes in containers have what the machine has; use told to announce other capacity, or machines: hollow", key)
		}
	}
}

// hollow checks what hollow machines are.
func (c *checker) hollow(place string, g *Group) {
	if g.Broken && g.Hollow != nil && g.Hollow.Never != "" {
		c.refuse(place+".broken", "hollow.never says which machines never become nodes; leave out one of the two")
	}
	if g.Told != nil && g.Told.Capacity != nil && len(g.Told.Capacity) == 0 {
		c.refuse(place+".told.capacity", "the template of hollow machines announces their capacity, too, so the autoscaler is always told of one")
	}
	capacity := map[string]string{"cpu": "1", "memory": "1Gi"}
	for key, value := range g.Capacity {
		quantity, err := CapacityOf(value, resource.MustParse("1Gi"))
		if key != "cpu" && key != "memory" {
			quantity, err = value, nil
		}
		c.refuseIf(place+".capacity", err)
		if err == nil {
			capacity[key] = quantity
		}
	}
	_, err := g.HollowSpec(g.Labels, capacity)
	c.refuseIf(place+".hollow", err)
}

// told checks what annotations tell.
func (c *checker) told(place string, t *Told) {
	for _, key := range slices.Sorted(maps.Keys(t.Capacity)) {
		value := t.Capacity[key]
		if key == "cpu" || key == "memory" {
			quantity, err := CapacityOf(value, resource.MustParse("1Gi"))
			c.refuseIf(place+".capacity", err)
			value = quantity
		}
		if value != "" {
			c.refuseIf(place+".capacity", capi.CheckCapacity(key, value))
		}
	}
	_, err := capi.ParseNodeLabels(capi.JoinLabels(t.Labels))
	c.refuseIf(place+".labels", err)
	_, err = capi.ParseTaints(strings.Join(t.Taints, ","))
	c.refuseIf(place+".taints", err)
}

func (c *checker) isGroup(place, name string) {
	if c.groups[name] == nil {
		c.refuse(place, "%q: want a group of the scenario: %s", name, orNone(slices.Sorted(maps.Keys(c.groups))))
	}
}
