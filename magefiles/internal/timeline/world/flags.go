package world

import (
	"slices"
	"strconv"
	"strings"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/timeline/setting"
)

// Setting is the value of a flag, or of an annotation in its place.
type Setting = setting.Setting

// Setting returns the value of a flag and where it is from. The value is empty if it is
// neither on record nor known.
func (a Autoscaler) Setting(flag string) Setting {
	byDefault, _ := a.byDefault(flag)
	if value, set := a.Flags[flag]; set && !setting.Same(value, byDefault) {
		return Setting{Value: value, By: "--" + flag}
	}
	return Setting{Value: byDefault, By: "the default of --" + flag}
}

// byDefault returns the default of a flag. It returns false if that is not known.
func (a Autoscaler) byDefault(flag string) (value string, known bool) {
	if flag == "expander" {
		return a.Release().Expander, true
	}
	value, known = setting.Defaults[flag]
	return value, known
}

// Changed returns the flags on record whose default is known and differs.
func (a Autoscaler) Changed() map[string]string {
	changed := map[string]string{}
	for flag, value := range a.Flags {
		if byDefault, known := a.byDefault(flag); known && !setting.Same(value, byDefault) {
			changed[flag] = value
		}
	}
	return changed
}

// On reports whether a flag that is true or false is true.
func (a Autoscaler) On(flag string) bool {
	on, err := strconv.ParseBool(a.Setting(flag).Value)
	return err == nil && on
}

// Option returns a setting that an annotation of the group may override, in releases that
// read it.
func (w *World) Option(g *Group, flag, annotation string) Setting {
	value := g.Annotations[release.SizePrefix+"/autoscaling-options-"+annotation]
	if value == "" || !w.Autoscaler.Release().GroupOptions {
		return w.Autoscaler.Setting(flag)
	}
	return Setting{Value: value, By: "the group's annotation " + annotation}
}

// List returns the items of a flag that may be given several times.
func (a Autoscaler) List(flag string) []string {
	return slices.DeleteFunc(strings.Split(strings.Trim(a.Flags[flag], "[]"), ","), func(s string) bool { return s == "" })
}

// SizeAnnotation returns the annotation that bounds a group's size. which is min or max.
func (w *World) SizeAnnotation(which string) string {
	return release.SizeAnnotation(w.Autoscaler.Release().SizePrefix, which)
}

// Limits returns the minimum and the maximum of a group's annotations, 0 for one that is
// missing.
func (w *World) Limits(g *Group) (least, most int) {
	least, _ = strconv.Atoi(g.Annotations[w.SizeAnnotation("min")])
	most, _ = strconv.Atoi(g.Annotations[w.SizeAnnotation("max")])
	return least, most
}

// ExpendableCutoff is the flag with the priority below which a pod is expendable.
const ExpendableCutoff = "expendable-pods-priority-cutoff"

// Expendable reports whether the autoscaler leaves a pod out of its simulations because of its
// priority: it adds no node for the pod, keeps no node because of it, and expects the scheduler to
// evict it. Source: FilterOutExpendablePods in core/utils/expendable.go.
func (w *World) Expendable(p *Pod) bool {
	return float64(p.Priority) < w.Autoscaler.Setting(ExpendableCutoff).Number()
}

// Balances returns the setting of --balance-similar-node-groups, and whether it is on.
func (a Autoscaler) Balances() (Setting, bool) {
	const flag = "balance-similar-node-groups"
	return a.Setting(flag), a.On(flag)
}

// JudgesDevices reports whether the autoscaler looks at the devices that pods claim. One that does not
// adds and removes nodes as if the pods claimed none.
func (a Autoscaler) JudgesDevices() bool {
	r := a.Release()
	return r.AlwaysDevices || r.Devices && a.On("enable-dynamic-resource-allocation")
}
