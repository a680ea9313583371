// Package hollow has node groups of hollow machines: Machines of Cluster API without
// containers, each with a Node object that the lab's controller makes, plays and removes. The
// controller is the program in magefiles/components/hollow.
package hollow

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/list"
)

// Spec is what the controller makes of a machine: the fields of a HollowMachine that somebody
// chooses, as its definition in manifests/hollow/crds.yaml has them.
type Spec struct {
	Node      Node      `json:"node"`
	Lifecycle Lifecycle `json:"lifecycle,omitzero"`
	Pods      Pods      `json:"pods,omitzero"`
}

// Node is what a node is.
type Node struct {
	// Capacity is what it has from the start, and Late what it has some time after it is
	// Ready. No resource is in both.
	Capacity corev1.ResourceList `json:"capacity"`
	Late     corev1.ResourceList `json:"late,omitempty"`
	// DeviceDrivers have devices for ResourceClaims, and VolumeDrivers limit volumes.
	DeviceDrivers []DeviceDriver `json:"deviceDrivers,omitempty"`
	VolumeDrivers []VolumeDriver `json:"volumeDrivers,omitempty"`
	// Labels are those that no other field has.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []corev1.Taint    `json:"taints,omitempty"`
	// StartupTaints go some time after it is Ready.
	StartupTaints []corev1.Taint `json:"startupTaints,omitempty"`
	Architecture  string         `json:"architecture,omitempty"`
	InstanceType  string         `json:"instanceType,omitempty"`
	Zone          string         `json:"zone,omitempty"`
}

// Lifecycle is what happens to a machine, and when.
type Lifecycle struct {
	// Start is the time from the machine's creation until its Node is there, and Ready from
	// then until the Node is Ready.
	Start       metav1.Duration `json:"start,omitzero"`
	StartJitter metav1.Duration `json:"startJitter,omitzero"`
	Ready       metav1.Duration `json:"ready,omitzero"`
	ReadyJitter metav1.Duration `json:"readyJitter,omitzero"`
	// Untaint and LateAfter count from Ready.
	Untaint   metav1.Duration `json:"untaint,omitzero"`
	LateAfter metav1.Duration `json:"lateAfter,omitzero"`
	// Stop is how long a deletion takes.
	Stop metav1.Duration `json:"stop,omitzero"`
	// Fail and Never are shares of the machines, or numbers of the next ones, that report a
	// failure, and that never get a Node and report nothing.
	Fail  *intstr.IntOrString `json:"fail,omitempty"`
	Never *intstr.IntOrString `json:"never,omitempty"`
	Seed  int64               `json:"seed,omitempty"`
}

// Pods is what happens to the pods of a node.
type Pods struct {
	// Start is the time from a pod's binding until it runs.
	Start       metav1.Duration `json:"start,omitzero"`
	StartJitter metav1.Duration `json:"startJitter,omitzero"`
	// Fail is the share of the pods that end with the phase Failed.
	Fail *intstr.IntOrString `json:"fail,omitempty"`
}

// Shape are the options that say what the nodes of a group are, as text from a command line. An
// empty option changes nothing. If the shape of an existing group changes, its machines are
// replaced, because the autoscaler assumes that the nodes of a group are alike.
type Shape struct {
	// Labels and Taints are those of the nodes, as capi.ParseTaints reads them. Any label is
	// allowed that a Node may have. Either may be "none".
	Labels, Taints string
	// Zone, Arch and InstanceType are the values of the labels that Kubernetes knows.
	Zone, Arch, InstanceType string
}

// Change are the options that a living group can change, as text from a command line. An
// empty one changes nothing.
type Change struct {
	// Capacity is cpu=8,memory=32Gi,nvidia.com/gpu=4 and the like.
	Capacity string
	// DRA lists drivers with their numbers of devices, such as gpu.example.com=4. CSI lists drivers
	// with their numbers of volumes, such as ebs.csi.aws.com=25. Either may be "none".
	DRA, CSI string
	Behaviour
}

// Behaviour are the options that say what machines and pods do, as text from a command line.
type Behaviour struct {
	// Start, Ready and PodStart are times such as 30s or 30s±10s. Stop is a time such as 30s.
	Start, Ready, Stop, PodStart string
	// Fail and Never are 10% or 3. PodFail is 10%.
	Fail, Never, PodFail string
	// Late is the time after Ready at which devices come, alone or with their names:
	// 60s,nvidia.com/gpu. Without names all devices of the capacity come late.
	Late string
	// Untaint is the time after Ready at which taints go, with the taints:
	// 30s,example.com/agent:NoSchedule.
	Untaint string
	// Seed is a number that decides, with the number of a machine, its jitter and its fate.
	Seed string
}

// Any reports whether at least one option is set.
func (o Shape) Any() bool { return o != Shape{} }

// Check refuses wrong options before the group that they change is known.
func (o Shape) Check() error { return new(Spec).shape(o) }

// Any reports whether the options change anything.
func (c Change) Any() bool { return c != Change{} }

// DefaultCapacity is what a node has if nobody says it.
const DefaultCapacity = "cpu=4,memory=16Gi,pods=110"

// Check refuses wrong options before the group that they change is known. What depends on the
// group, the devices that come late, is left to Apply.
func (c Change) Check() error {
	if c.Capacity == "" {
		c.Capacity = DefaultCapacity
	}
	var late error
	if c.Late != "" {
		if _, _, _, err := parseLate(c.Late); err != nil {
			late = fmt.Errorf("-late=%s: %w", c.Late, err)
		}
	}
	c.Late = ""
	return errors.Join(new(Spec).Apply(c), late)
}

// New returns what the machines of a new group are. The error names every option that is
// wrong, its value and what is allowed.
func New(shape Shape, change Change) (Spec, error) {
	var s Spec
	if change.Capacity == "" {
		change.Capacity = DefaultCapacity
	}
	err := errors.Join(s.shape(shape), s.Apply(change))
	return s, err
}

// architectures are those that the definition allows: the autoscaler knows no others.
var architectures = []string{"amd64", "arm64", "ppc64le", "s390x"}

// own are the labels that other options set, or the controller.
var own = map[string]string{
	corev1.LabelHostname: "it is the node's name", corev1.LabelOSStable: "it is linux",
	corev1.LabelArchStable: "-arch sets it", corev1.LabelInstanceTypeStable: "-instance sets it", corev1.LabelTopologyZone: "-zone sets it",
	kube.MachinesLabel: "it is " + kube.Hollow,
}

// shape replaces what the options set.
func (s *Spec) shape(o Shape) error {
	var errs []error
	if o.Labels != "" {
		errs = append(errs, s.setLabels(o.Labels))
	}
	if o.Taints != "" {
		taints, err := capi.ParseTaints(unlessNone(o.Taints))
		errs = append(errs, err)
		s.Node.Taints = coreTaints(taints)
	}
	for _, value := range []struct {
		option, text string
		to           *string
	}{{"zone", o.Zone, &s.Node.Zone}, {"instance", o.InstanceType, &s.Node.InstanceType}, {"arch", o.Arch, &s.Node.Architecture}} {
		if value.text == "" {
			continue
		}
		if problems := validation.IsValidLabelValue(value.text); len(problems) > 0 {
			errs = append(errs, fmt.Errorf("-%s=%s: want the value of a label: %s", value.option, value.text, strings.Join(problems, "; ")))
		}
		*value.to = value.text
	}
	if o.Arch != "" && !slices.Contains(architectures, o.Arch) {
		errs = append(errs, fmt.Errorf("-arch=%s: want one of %s", o.Arch, strings.Join(architectures, ", ")))
	}
	return errors.Join(errs...)
}

// setLabels replaces the labels that no other option sets.
func (s *Spec) setLabels(text string) error {
	labels, err := capi.ParseNodeLabels(unlessNone(text))
	errs := []error{err}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		why := own[key]
		if slices.Contains(controlPlane, key) {
			why = "pods that select the control plane would be scheduled on hollow nodes, and do nothing there"
		}
		if why != "" {
			errs = append(errs, fmt.Errorf("label %q: %s", key, why))
		}
	}
	if s.Node.Labels = labels; len(labels) == 0 {
		s.Node.Labels = nil
	}
	return errors.Join(errs...)
}

// unlessNone returns the text, or no text if it is none.
func unlessNone(text string) string {
	if text == none {
		return ""
	}
	return text
}

func coreTaints(taints []capi.Taint) []corev1.Taint {
	var all []corev1.Taint
	for _, t := range taints {
		all = append(all, corev1.Taint{Key: t.Key, Value: t.Value, Effect: corev1.TaintEffect(t.Effect)})
	}
	return all
}

// Apply changes what the options name. The error names every option that is wrong, its value
// and what is allowed; s is then of no use.
func (s *Spec) Apply(c Change) error {
	var errs []error
	option := func(name, text string, read func(string) error) {
		if text == "" {
			return
		}
		if err := read(text); err != nil {
			errs = append(errs, fmt.Errorf("-%s=%s: %w", name, text, err))
		}
	}
	varying := func(base, jitter *metav1.Duration) func(string) error {
		return func(text string) error {
			read, err := parseSpan(text)
			base.Duration, jitter.Duration = read.base, read.jitter
			return err
		}
	}
	share := func(to **intstr.IntOrString, parse func(string) (*intstr.IntOrString, error)) func(string) error {
		return func(text string) (err error) {
			*to, err = parse(text)
			return err
		}
	}
	l := &s.Lifecycle
	option("capacity", c.Capacity, s.setCapacity)
	option("dra", c.DRA, s.setDeviceDrivers)
	option("csi", c.CSI, s.setVolumeDrivers)
	option("late", c.Late, s.setLate)
	option("untaint", c.Untaint, s.setUntaint)
	option("start", c.Start, varying(&l.Start, &l.StartJitter))
	option("ready", c.Ready, varying(&l.Ready, &l.ReadyJitter))
	option("stop", c.Stop, func(text string) (err error) {
		l.Stop.Duration, err = parseTime(text)
		return err
	})
	option("fail", c.Fail, share(&l.Fail, parseShare))
	option("never", c.Never, share(&l.Never, parseShare))
	option("podstart", c.PodStart, varying(&s.Pods.Start, &s.Pods.StartJitter))
	option("podfail", c.PodFail, share(&s.Pods.Fail, parsePercent))
	option("seed", c.Seed, func(text string) (err error) {
		if l.Seed, err = strconv.ParseInt(text, 10, 64); err != nil {
			err = errors.New("want a whole number")
		}
		return err
	})
	if fail, never := percentOf(l.Fail), percentOf(l.Never); fail+never > 100 {
		errs = append(errs, fmt.Errorf("-fail=%d%% and -never=%d%%: want at most 100%% together", fail, never))
	}
	return errors.Join(errs...)
}

// setCapacity replaces the capacity. Devices that came late still do.
func (s *Spec) setCapacity(text string) error {
	capacity, err := parseCapacity(text)
	if err != nil {
		return err
	}
	late := s.Node.Late
	s.Node.Capacity, s.Node.Late = capacity, nil
	s.delay(func(name corev1.ResourceName) bool { _, was := late[name]; return was })
	return nil
}

// delay makes resources of the capacity come late.
func (s *Spec) delay(which func(corev1.ResourceName) bool) {
	for name, amount := range s.Node.Capacity {
		if !which(name) {
			continue
		}
		if s.Node.Late == nil {
			s.Node.Late = corev1.ResourceList{}
		}
		s.Node.Late[name] = amount
	}
	for name := range s.Node.Late {
		delete(s.Node.Capacity, name)
	}
}

// parseLate reads a time, alone or with the names of devices after it: named is set then.
func parseLate(text string) (d time.Duration, names []string, named bool, err error) {
	after, rest, named := strings.Cut(text, ",")
	if d, err = parseTime(after); err != nil {
		return 0, nil, named, fmt.Errorf("%w, and after it the devices, if not all of them come late: 60s,nvidia.com/gpu", err)
	}
	if names, err = list.Split(rest); err != nil || named && len(names) == 0 {
		return 0, nil, named, errors.New("want device names without empty parts after the time, such as 60s,nvidia.com/gpu, or the time alone")
	}
	return d, names, named, nil
}

func (s *Spec) setLate(text string) error {
	d, names, named, err := parseLate(text)
	if err != nil {
		return err
	}
	s.Node.Capacity, s.Node.Late = s.Total(), nil
	s.Lifecycle.LateAfter.Duration = d
	drivers := slices.Clone(s.Node.DeviceDrivers)
	for i := range drivers {
		drivers[i].Late = d > 0 && (!named || slices.Contains(names, drivers[i].Name))
	}
	s.Node.DeviceDrivers = drivers
	if d == 0 {
		return nil
	}
	late := map[corev1.ResourceName]bool{}
	for _, name := range names {
		_, there := s.Node.Capacity[corev1.ResourceName(name)]
		switch {
		case there && isDevice(corev1.ResourceName(name)):
			late[corev1.ResourceName(name)] = true
		case !slices.ContainsFunc(drivers, func(d DeviceDriver) bool { return d.Name == name }):
			return fmt.Errorf("%s is no device of the capacity %s, and no driver of devices", name, textOf(s.Node.Capacity))
		}
	}
	s.delay(func(name corev1.ResourceName) bool { return isDevice(name) && (!named || late[name]) })
	if len(s.Node.Late) == 0 && !slices.ContainsFunc(drivers, func(d DeviceDriver) bool { return d.Late }) {
		return fmt.Errorf("the capacity %s has no device, such as nvidia.com/gpu=4, and there is no driver of devices", textOf(s.Node.Capacity))
	}
	return nil
}

func (s *Spec) setUntaint(text string) error {
	after, rest, named := strings.Cut(text, ",")
	d, err := parseTime(after)
	taints, terr := capi.ParseTaints(rest)
	switch {
	case err != nil || terr != nil:
		return fmt.Errorf("%w; want a time and taints, such as 30s,example.com/agent:NoSchedule", errors.Join(err, terr))
	case (d > 0 || named) && len(taints) == 0:
		return errors.New("want the taints after the time, such as 30s,example.com/agent:NoSchedule")
	}
	s.Lifecycle.Untaint.Duration, s.Node.StartupTaints = d, coreTaints(taints)
	return nil
}

// Slowest returns the longest time from a machine's creation until its node is Ready.
func (s Spec) Slowest() time.Duration {
	l := s.Lifecycle
	return l.Start.Duration + l.StartJitter.Duration + l.Ready.Duration + l.ReadyJitter.Duration
}

// Total returns what a node has in the end.
func (s Spec) Total() corev1.ResourceList {
	total := maps.Clone(s.Node.Capacity)
	maps.Copy(total, s.Node.Late)
	return total
}

// Capacity writes what a node has in the end, as -capacity reads it.
func (s Spec) Capacity() string { return textOf(s.Total()) }

// Behaviour writes what happens to machines and pods, as the options read it. It is empty if
// everything happens at once and nothing fails.
func (s Spec) Behaviour() string {
	var parts []string
	say := func(name, value string) {
		if value != "" && value != "0s" {
			parts = append(parts, name+"="+value)
		}
	}
	share := func(name string, share *intstr.IntOrString) {
		if share != nil {
			say(name, share.String())
		}
	}
	l := s.Lifecycle
	say("start", span{l.Start.Duration, l.StartJitter.Duration}.String())
	say("ready", span{l.Ready.Duration, l.ReadyJitter.Duration}.String())
	say("stop", short(l.Stop.Duration))
	share("fail", l.Fail)
	share("never", l.Never)
	var late []string
	for _, name := range slices.Sorted(maps.Keys(s.Node.Late)) {
		late = append(late, string(name))
	}
	for _, d := range s.Node.DeviceDrivers {
		if d.Late {
			late = append(late, d.Name)
		}
	}
	if len(late) > 0 {
		say("late", strings.Join(append([]string{short(l.LateAfter.Duration)}, late...), ","))
	}
	if len(s.Node.StartupTaints) > 0 {
		words := []string{short(l.Untaint.Duration)}
		for _, t := range s.Node.StartupTaints {
			words = append(words, t.ToString())
		}
		say("untaint", strings.Join(words, ","))
	}
	say("podstart", span{s.Pods.Start.Duration, s.Pods.StartJitter.Duration}.String())
	share("podfail", s.Pods.Fail)
	if l.Seed != 0 {
		say("seed", strconv.FormatInt(l.Seed, 10))
	}
	return strings.Join(parts, " ")
}
