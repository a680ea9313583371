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
	// Workload reaches the cluster that is scaled, Management the one with the
	// Cluster API objects; it may be the same, and is if it is nil.
	Workload, Management *kube.Client
	// Namespace and Cluster are of the Cluster API objects.
	Namespace, Cluster string
	// ConfigNamespace has the autoscaler's status ConfigMap.
	ConfigNamespace string
	// File is the record.
	File string
	// LogFile is the log of an autoscaler on this machine, if there is one. It
	// begins anew when the autoscaler does; the one before is kept as
	// LogFile.previous.
	LogFile string
	// Trouble, if set, is told of what failed and is tried again.
	Trouble func(error)
	// Synced, if set, is called once, when all objects that there are were
	// looked at and the logs of the autoscaler's pods were read; what the log of
	// this machine's autoscaler has by then is read before Record returns.
	Synced func()
}

// Record appends what happens to the record until ctx is done. It knows from
// the record what was told already, so that it may end and start at any time:
// what happened meanwhile is told by the objects, the events and the log, with
// their own times. If another recorder is at work, it returns a *BusyError, and
// if the record is begun anew meanwhile, an *AnewError.
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

	// mu guards what follows: followers run side by side.
	mu      sync.Mutex
	memory  memory
	repeats repeats
	// told has the facts of events and of the log that the record has.
	told map[string]bool
	// present are the objects that were seen in this run.
	present  map[string]bool
	bookmark bookmark
	// begun is when the record begins: what events and logs tell of before is
	// about objects of which nothing else is known.
	begun time.Time
	// lastly is when the recorder before this one was last at work; zero if
	// there was none.
	lastly   time.Time
	groups   groups
	troubles map[string]time.Time
	// unwritten are facts of objects that could not be added to the record yet.
	unwritten []timeline.Fact
	// instances are what runs in the containers of autoscalers, by logOf.
	instances map[string]instance
	// reading are the logs of pods that were begun to be read; each is closed
	// when what there was of it is read.
	reading []<-chan struct{}
}

func newRecorder(o Options, lock *state.Lock) *recorder {
	return &recorder{
		Options: o, lock: lock, memory: memory{}, groups: newGroups(o.Cluster),
		told: map[string]bool{}, present: map[string]bool{}, troubles: map[string]time.Time{}, instances: map[string]instance{},
	}
}

// remember reads the record back, and says in it that recording begins.
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
			continue // whatever wrote it did not record
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

// learn takes in a fact that the record has.
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

// identity of what an event or a line of the log told.
func identity(f timeline.Fact) string {
	return strings.Join([]string{f.Time.UTC().Format(time.RFC3339Nano), string(f.Source), f.What, f.Name, f.Node, f.Group, f.Text}, "\x00")
}

// observe records what is new in an object as it is now. facts is called with
// r.mu held.
func (r *recorder) observe(kind timeline.Kind, uid string, facts func() []timeline.Fact) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, k, all := time.Now(), key(timeline.Fact{Kind: kind, UID: uid}), facts()
	r.present[k] = true
	r.tell(r.memory.news(now, all))
}

// said records what an event or a line of the log told, unless the record has
// it or it repeats itself. It reports false if it could not.
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
		return true // the pod's own condition told
	}
	if !r.repeats.news(f) {
		r.repeats.hear(f)
		return true
	}
	return r.append([]timeline.Fact{f})
}

// wholeName is that of a pod that an old release named without its
// namespace, if one pod alone has that name.
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

// late is how much later a recorder may learn of something without statement so.
const late = 2 * time.Second

// tell records what objects tell, once: what cannot be added to the record now
// is added before the next fact. r.mu is held.
func (r *recorder) tell(facts []timeline.Fact) {
	if r.append(facts) {
		return
	}
	r.unwritten = append(r.unwritten, facts...)
	for _, f := range facts {
		r.learn(f)
	}
}

// append adds facts to the record, after those that could not be added before,
// and then to what the recorder knows. It reports false if none could be added.
// r.mu is held.
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

// gone records that an object is gone, if the record has it.
func (r *recorder) gone(kind timeline.Kind, uid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := key(timeline.Fact{Kind: kind, UID: uid})
	if o := r.memory[k]; o != nil && o.there() {
		r.tell([]timeline.Fact{o.ends(time.Now(), "")})
	}
}

// ends is the fact that the object is no more. An autoscaler's pod is its
// process, which stops.
func (o *object) ends(at time.Time, text string) timeline.Fact {
	f := timeline.Fact{Time: at, Kind: o.kind, What: timeline.Gone, Name: o.name, UID: o.uid, Group: o.group, Node: o.node, Text: text, Source: timeline.Watch}
	if o.kind == timeline.Autoscaler {
		f.What = timeline.Stopped
	}
	return f
}

// sweep records the objects of a kind that went while nobody recorded: those
// that the record has and that were not seen when all were listed.
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

// troubleAgain is after how long the same trouble is told again.
const troubleAgain = time.Minute

// trouble tells what failed, once a minute at most as long as it stays the
// same. r.mu is held.
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
