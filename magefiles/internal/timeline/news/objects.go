// Package news decides which facts a record does not have yet: changes of objects, and
// statements that the autoscaler does not merely repeat.
package news

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
)

// object is the last recorded state of an object that exists.
type object struct {
	kind                   timeline.Kind
	name, uid, group, node string
	// aspects has the last fact of each aspect.
	aspects map[string]timeline.Fact
}

// exists reports whether the object existed by the last fact about it, and for the pod
// of an autoscaler whether it ran.
func (o *object) exists() bool {
	if o.kind == timeline.Autoscaler {
		return o.aspects["process"].What == timeline.Started
	}
	_, exists := o.aspects["existence"]
	return exists
}

// isShaped reports whether the object exists and only its shape is recorded.
func (o *object) isShaped() bool {
	_, shaped := o.aspects[timeline.Shaped]
	return shaped && !o.exists()
}

// Objects is the last recorded state of all objects that exist, by objectKey. A recorder
// learns it from the record when it starts, and compares the objects with it.
type Objects map[string]*object

// healthKey begins the keys of the autoscaler's health.
const healthKey = string(timeline.Autoscaler) + "/health/"

// objectKey identifies the object of a fact. The autoscaler's health counts as one object
// for each group, and one for all groups together.
func objectKey(f timeline.Fact) string {
	if f.What == timeline.Health {
		return healthKey + f.Group
	}
	return string(f.Kind) + "/" + f.UID
}

// Key identifies an object. UIDs of two kinds may be equal.
func Key(kind timeline.Kind, uid string) string {
	return objectKey(timeline.Fact{Kind: kind, UID: uid})
}

// aspect returns the part of an object's state that a fact is about; a later fact of
// the same aspect replaces it. It is empty for a fact that is not a state, such as a
// decision, a reason or the end of the object.
func aspect(f timeline.Fact) string {
	switch f.What {
	case timeline.Created, timeline.Joined:
		return "existence"
	case timeline.Unschedulable, timeline.Scheduled:
		return "place"
	case timeline.Running, timeline.Ended, timeline.Phase:
		return "phase"
	case timeline.Tainted, timeline.Untainted:
		return "taint " + f.Text
	case timeline.Ready, timeline.NotReady, timeline.ReadyCount:
		return "ready"
	case timeline.Cordoned, timeline.Uncordoned:
		return "cordon"
	case timeline.Paused, timeline.Resumed:
		return "paused"
	case timeline.Marked, timeline.Unmarked:
		return "mark"
	case timeline.Started, timeline.Stopped:
		if f.UID != "" { // the log has none
			return "process"
		}
	case timeline.Evicted, timeline.Sized, timeline.Limits, timeline.Health, timeline.Shaped:
		return f.What
	}
	return ""
}

// isDefault reports whether a fact is the default of a new object, so that it is not
// recorded.
func isDefault(f timeline.Fact) bool {
	switch f.What {
	case timeline.Uncordoned, timeline.Untainted, timeline.Unmarked, timeline.Resumed:
		return true
	case timeline.Limits:
		return f.Text == ""
	}
	return false
}

// numbers matches numbers in messages of the scheduler, of kubelets and of providers.
var numbers = regexp.MustCompile(`\d+(/\d+)?`)

// sameState reports whether b, a later fact of the same aspect, describes the same state
// as a.
func sameState(a, b timeline.Fact) bool {
	if a.What != b.What || b.Node != "" && a.Node != b.Node {
		return false
	}
	if a.N != nil && b.N != nil && *a.N != *b.N {
		return false
	}
	switch b.What {
	case timeline.Unschedulable:
		return numbers.ReplaceAllString(a.Text, "0") == numbers.ReplaceAllString(b.Text, "0")
	case timeline.NotReady:
		before := notReadyReasons(a)
		return !slices.ContainsFunc(notReadyReasons(b), func(c string) bool { return !slices.Contains(before, c) })
	case timeline.Phase, timeline.Limits, timeline.Health:
		return a.Text == b.Text
	case timeline.Shaped:
		switch b.Kind {
		case timeline.Pod:
			return bytes.Equal(a.Shape, b.Shape) || onlyNumbersChanged(a.Shape, b.Shape)
		case timeline.InfrastructureMachine, timeline.BootstrapConfig:
			return bytes.Equal(numbers.ReplaceAll(a.Shape, []byte("0")), numbers.ReplaceAll(b.Shape, []byte("0")))
		}
		return bytes.Equal(a.Shape, b.Shape)
	}
	return true
}

// onlyNumbersChanged reports whether the shapes of a pod that waits differ only in the numbers of what its
// scheduler says, which may change with every attempt.
func onlyNumbersChanged(a, b json.RawMessage) bool {
	var shapes [2]map[string]any
	for i, text := range []json.RawMessage{a, b} {
		if json.Unmarshal(text, &shapes[i]) != nil {
			return false
		}
		waits, ok := shapes[i]["waits"].(map[string]any)
		if !ok {
			return false
		}
		message, _ := waits["message"].(string)
		waits["message"] = numbers.ReplaceAllString(message, "0")
	}
	return reflect.DeepEqual(shapes[0], shapes[1])
}

// notReadyReasons returns what a kubelet reports while a node is not ready: the reason of
// the condition, and the items of the list in its message. While the node starts, the
// list gets shorter.
func notReadyReasons(f timeline.Fact) []string {
	reason, message, _ := strings.Cut(numbers.ReplaceAllString(f.Text, "0"), ": ")
	return append(strings.Split(strings.Trim(message, "[]"), ", "), reason)
}

// Learn learns a fact of the record.
func (m Objects) Learn(f timeline.Fact) {
	if f.What == timeline.Gone || f.What == timeline.Shaped && f.Shape == nil {
		delete(m, objectKey(f))
		return
	}
	if f.Kind == timeline.Autoscaler && f.What == timeline.Started {
		// What the process before reported is over, even if this one reports the same.
		maps.DeleteFunc(m, func(key string, _ *object) bool { return strings.HasPrefix(key, healthKey) })
	}
	if f.What == timeline.Moved {
		old := objectKey(timeline.Fact{Kind: f.Kind, UID: f.Text})
		if o := m[old]; o != nil {
			delete(m, old)
			o.uid, m[objectKey(f)] = f.UID, o
		}
		return
	}
	what := aspect(f)
	if what == "" || f.UID == "" && f.What != timeline.Health {
		return
	}
	o := m[objectKey(f)]
	if o == nil && f.What == timeline.Evicted {
		return // the object is gone already
	}
	if o == nil {
		o = &object{kind: f.Kind, name: f.Name, uid: f.UID, aspects: map[string]timeline.Fact{}}
		m[objectKey(f)] = o
	}
	if f.Group != "" {
		o.group = f.Group
	}
	if f.Node != "" {
		o.node = f.Node
	}
	o.aspects[what] = f
}

// Changes returns the facts about an object's present state that the record does not
// have. A fact is never earlier than the one before it of the same aspect, though
// the times in objects are cut to whole seconds. A fact that only adds detail to the
// current state is stamped with the current time.
func (m Objects) Changes(now time.Time, facts []timeline.Fact) []timeline.Fact {
	var changes []timeline.Fact
	for _, f := range facts {
		var before timeline.Fact
		known := false
		if o := m[objectKey(f)]; o != nil {
			before, known = o.aspects[aspect(f)]
		}
		switch {
		case !known && isDefault(f), known && sameState(before, f):
			continue
		case known && before.What == f.What && !f.Time.After(before.Time):
			f.Time = now
		case known && f.Time.Before(before.Time):
			f.Time = before.Time
		}
		changes = append(changes, f)
	}
	return changes
}

// Has reports whether the record has the aspect of a fact, in the same state, for an object
// that exists.
func (m Objects) Has(f timeline.Fact) bool {
	o := m[objectKey(f)]
	return o != nil && o.aspects[aspect(f)].What == f.What
}

// Gone returns the fact that an object is gone. It returns false for an object that the
// record does not know.
func (m Objects) Gone(kind timeline.Kind, uid string, at time.Time) (timeline.Fact, bool) {
	o := m[Key(kind, uid)]
	if o == nil || !o.exists() && !o.isShaped() {
		return timeline.Fact{}, false
	}
	return o.endFact(at, ""), true
}

// Missing returns the facts that objects of a kind are gone. These are the objects in the record
// that are not present, by their Keys and names. The facts have the time and the text, and are sorted by name.
func (m Objects) Missing(kind timeline.Kind, present func(key, name string) bool, at time.Time, text string) []timeline.Fact {
	var facts []timeline.Fact
	for key, o := range m {
		if o.kind == kind && (o.exists() || o.isShaped()) && !present(key, o.name) {
			facts = append(facts, o.endFact(at, text))
		}
	}
	slices.SortFunc(facts, func(a, b timeline.Fact) int { return strings.Compare(a.Name, b.Name) })
	return facts
}

// QualifiedName returns namespace/name for a pod's name without its namespace, as old
// releases log it, if only one pod has that name.
func (m Objects) QualifiedName(name string) string {
	var whole []string
	for _, o := range m {
		if o.kind == timeline.Pod && strings.HasSuffix(o.name, "/"+name) {
			whole = append(whole, o.name)
		}
	}
	if len(whole) == 1 {
		return whole[0]
	}
	return name
}

// endFact returns the fact that the object is gone. The pod of an autoscaler counts as its process,
// which has stopped. If only the shape of an object is recorded, the fact says that it has no shape
// any more.
func (o *object) endFact(at time.Time, text string) timeline.Fact {
	f := timeline.Fact{Time: at, Kind: o.kind, What: timeline.Gone, Name: o.name, UID: o.uid, Group: o.group, Node: o.node, Text: text, Source: timeline.Watch}
	switch {
	case o.isShaped():
		f.What = timeline.Shaped
	case o.kind == timeline.Autoscaler:
		f.What = timeline.Stopped
	}
	return f
}
