// Package recorder turns the objects and events of a cluster, and the log and
// status of its autoscaler, into facts of the timeline.
package recorder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/timeline"
)

// Options of Record.
type Options struct {
	// Workload is the cluster that is scaled, Management the one with the Cluster
	// API objects; if nil, it is Workload.
	Workload, Management *kube.Client
	// Namespace of the Cluster API objects, and the name of the Cluster. Without a
	// name all clusters of the namespace are recorded.
	Namespace, Cluster string
	// ConfigNamespace is the namespace of the autoscaler's status ConfigMap.
	ConfigNamespace string
	// File is the path of the record.
	File string
	// LogFile is the path of the log of an autoscaler on this machine, empty if
	// there is none. A new process begins a new file, and the one before is then
	// LogFile.previous.
	LogFile string
	// Trouble, if set, is called with errors after which the recorder goes on.
	Trouble func(error)
	// Synced, if set, is called once, when all objects were seen and the logs of
	// the autoscaler's pods were read. The lines that LogFile has by then are read
	// before Record returns.
	Synced func()
}

// Record appends what happens to the record until ctx is done. It first reads the
// record, so that it may end and start at any time: from objects, events and logs it
// adds what happened in between, with their own times. It returns a *BusyError if
// another recorder is at work, and an *AnewError if the record is started again
// meanwhile.
func Record(ctx context.Context, o Options) (err error) {
	lock, err := lock(o.File)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if o.Management == nil {
		o.Management = o.Workload
	}
	r := newRecorder(o, lock)
	if err := r.remember(); err != nil {
		return err
	}
	r.run(ctx)
	if lock.Lost() {
		return &AnewError{File: o.File}
	}
	r.bookmark.Said = r.repeats.times()
	return r.bookmark.save(r.File, time.Now())
}

// recorder is a Record at work.
type recorder struct {
	Options
	lock *state.Lock
	// all are the followers.
	all sync.WaitGroup

	// mu guards the fields below: followers run concurrently.
	mu      sync.Mutex
	memory  memory
	repeats repeats
	// told has the identities of the recorded facts from events and logs.
	told map[string]bool
	// present has the keys of the objects that this recorder saw.
	present  map[string]bool
	bookmark bookmark
	// begun is when the record begins. What events and logs say about earlier times
	// is left out, because nothing else is known about them.
	begun time.Time
	// lastly is the last time at which the previous recorder was at work, zero if
	// there was none.
	lastly   time.Time
	groups   groups
	troubles map[string]time.Time
	// unwritten has facts of objects that could not be appended yet.
	unwritten []timeline.Fact
	// instances says what runs in each container of an autoscaler, by logOf.
	instances map[string]instance
	// reading has a channel for each log of a pod, which is closed when the log is
	// read up to its present end.
	reading []<-chan struct{}
}

func newRecorder(o Options, lock *state.Lock) *recorder {
	return &recorder{
		Options: o, lock: lock, memory: memory{}, groups: newGroups(o.Cluster),
		told: map[string]bool{}, present: map[string]bool{}, troubles: map[string]time.Time{}, instances: map[string]instance{},
	}
}

// remember reads the record, and appends to it that recording begins.
func (r *recorder) remember() error {
	facts, err := timeline.ReadUnsorted(r.File)
	text := ""
	if torn := new(timeline.TornError); errors.As(err, &torn) {
		text = fmt.Sprintf("%d lines of the record cannot be read", torn.Lines)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.begun = time.Now()
	for _, f := range facts {
		r.learn(f)
		if f.Kind == timeline.Lab && f.Time.Before(r.begun) {
			r.begun = f.Time
		}
		if f.Source == timeline.Own && f.What != timeline.Recording {
			continue // a command of the lab wrote it, not a recorder
		}
		for _, t := range []time.Time{f.Time, f.Seen} {
			if t.After(r.lastly) {
				r.lastly = t
			}
		}
	}
	if r.bookmark, err = loadBookmark(r.File); err != nil {
		return err
	}
	if r.bookmark.Until.After(r.lastly) {
		r.lastly = r.bookmark.Until
	}
	r.repeats.resume(r.bookmark.Said)
	return timeline.Append(r.File, timeline.Fact{Time: time.Now(), Kind: timeline.Lab, What: timeline.Recording, Since: r.lastly, Text: text, Source: timeline.Own})
}

// learn updates what the recorder knows with a recorded fact. r.mu is held.
func (r *recorder) learn(f timeline.Fact) {
	r.memory.add(f)
	r.groups.add(f)
	if f.Source == timeline.Event || f.Source == timeline.Log {
		r.told[identity(f)] = true
	}
	if f.Kind == timeline.Autoscaler || f.Kind == timeline.Lab {
		r.repeats.hear(f)
	}
}

// identity returns a key that is unique to a fact from an event or a log.
func identity(f timeline.Fact) string {
	return strings.Join([]string{f.Time.UTC().Format(time.RFC3339Nano), string(f.Source), f.What, f.Name, f.Node, f.Group, f.Text}, "\x00")
}

// observe records what is new in an object's current state. facts is called with r.mu
// held.
func (r *recorder) observe(kind timeline.Kind, uid string, facts func() []timeline.Fact) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, k, all := time.Now(), key(timeline.Fact{Kind: kind, UID: uid}), facts()
	r.present[k] = true
	r.tell(r.memory.news(now, all))
}

// said records a fact from an event or a line of the log, unless the record has it or
// it is a repetition. It returns false if the fact could not be appended.
func (r *recorder) said(f timeline.Fact) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.Time.Before(r.begun.Truncate(time.Second)) {
		return true
	}
	if f.Group == "" && f.Node != "" {
		f.Group = r.groups.nodes[f.Node]
	}
	if f.Name != "" && !strings.Contains(f.Name, "/") {
		f.Name = r.wholeName(f.Name)
	}
	if r.told[identity(f)] {
		return true
	}
	if o := r.memory[key(f)]; o != nil && f.What == timeline.Evicted && o.aspects[aspect(f)].What == timeline.Evicted {
		return true // the pod's own condition said so
	}
	if !r.repeats.news(f) {
		r.repeats.hear(f)
		return true
	}
	return r.append([]timeline.Fact{f})
}

// wholeName returns namespace/name for the bare pod name that old releases log, if
// only one pod has that name.
func (r *recorder) wholeName(name string) string {
	var whole []string
	for _, o := range r.memory {
		if o.kind == timeline.Pod && strings.HasSuffix(o.name, "/"+name) {
			whole = append(whole, o.name)
		}
	}
	if len(whole) == 1 {
		return whole[0]
	}
	return name
}

// late is the delay up to which a fact is recorded without Seen.
const late = 2 * time.Second

// tell records facts of objects. Those that cannot be appended now are appended before
// the next ones, because no later fact repeats them. r.mu is held.
func (r *recorder) tell(facts []timeline.Fact) {
	if r.append(facts) {
		return
	}
	r.unwritten = append(r.unwritten, facts...)
	for _, f := range facts {
		r.learn(f)
	}
}

// append appends the unwritten facts and these to the record, and learns these. It
// returns false if it could not. r.mu is held.
func (r *recorder) append(facts []timeline.Fact) bool {
	if len(facts)+len(r.unwritten) == 0 {
		return true
	}
	if r.lock.Lost() {
		return false
	}
	now := time.Now()
	for i := range facts {
		if now.Sub(facts[i].Time) > late {
			facts[i].Seen = now
		}
	}
	if err := timeline.Append(r.File, slices.Concat(r.unwritten, facts)...); err != nil {
		r.trouble(err)
		return false
	}
	r.unwritten = nil
	for _, f := range facts {
		r.learn(f)
	}
	return true
}

// gone records that an object is gone, if the record knows the object.
func (r *recorder) gone(kind timeline.Kind, uid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := key(timeline.Fact{Kind: kind, UID: uid})
	if o := r.memory[k]; o != nil && o.there() {
		r.tell([]timeline.Fact{o.ends(time.Now(), "")})
	}
}

// ends returns the fact that the object is gone. The pod of an autoscaler is its
// process, which stops.
func (o *object) ends(at time.Time, text string) timeline.Fact {
	f := timeline.Fact{Time: at, Kind: o.kind, What: timeline.Gone, Name: o.name, UID: o.uid, Group: o.group, Node: o.node, Text: text, Source: timeline.Watch}
	if o.kind == timeline.Autoscaler {
		f.What = timeline.Stopped
	}
	return f
}

// sweep records which objects of a kind were deleted while nobody recorded: those that
// the record has and a list of all objects lacks.
func (r *recorder) sweep(kind timeline.Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := fmt.Sprintf("between %s and %s, while nobody recorded", r.lastly.UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339))
	var facts []timeline.Fact
	for key, o := range r.memory {
		if o.kind == kind && o.there() && !r.present[key] {
			facts = append(facts, o.ends(r.lastly, text))
		}
	}
	slices.SortFunc(facts, func(a, b timeline.Fact) int { return strings.Compare(a.Name, b.Name) })
	r.tell(facts)
}

// troubleAgain is the shortest time between two reports of the same trouble.
const troubleAgain = time.Minute

// trouble reports what failed. r.mu is held.
func (r *recorder) trouble(err error) {
	if r.Trouble == nil {
		return
	}
	text := err.Error()
	if last, known := r.troubles[text]; known && time.Since(last) < troubleAgain {
		return
	}
	r.troubles[text] = time.Now()
	r.Trouble(err)
}

func (r *recorder) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble(err)
}
