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

	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/news"
	"caslab/magefiles/internal/timeline/objectfacts"
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
	// Metrics, if set, reads the metrics of the autoscaler. An error means that there are none now.
	Metrics func(context.Context) (metrics.Sample, error)
	// OnError, if set, is called with errors after which the recorder goes on.
	OnError func(error)
	// OnSynced, if set, is called once, when all objects were seen and the logs of
	// the autoscaler's pods were read. The lines that LogFile has by then are read
	// before Record returns.
	OnSynced func()
}

// Record appends what happens to the record until ctx is done. It first reads the
// record, so that it may end and start at any time: from objects, events and logs it
// adds what happened in between, with their own times. It returns a *BusyError if
// another recorder is at work, and an *RestartedError if the record is started again
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
	if err := r.readRecord(); err != nil {
		return err
	}
	r.run(ctx)
	if lock.Lost() {
		return &RestartedError{File: o.File}
	}
	r.bookmark.Statements = r.statements.LastTimes()
	return r.bookmark.save(r.File, time.Now())
}

// recorder is one call of Record.
type recorder struct {
	Options
	// now is the clock, and write appends facts to the record. The facts of a snapshot
	// have its time, and are only collected.
	now   func() time.Time
	write func(...timeline.Fact) error
	lock  *state.Lock
	// all waits for the goroutines that follow objects and logs.
	all sync.WaitGroup

	// mu guards the fields below: followers run concurrently.
	mu         sync.Mutex
	objects    news.Objects
	statements news.Statements
	// recorded has the identities of the recorded facts from events and logs.
	recorded map[string]bool
	// complete has the kinds for which a fact says that all objects are on record.
	complete map[timeline.Kind]bool
	// present has the keys of the objects that this recorder saw.
	present  map[string]bool
	bookmark bookmark
	// recordStart is when the record begins. Events and log lines of earlier times are
	// not recorded, because nothing else is known about those times.
	recordStart time.Time
	// previousEnd is the last time at which the previous recorder was at work, zero if
	// there was none.
	previousEnd time.Time
	groups      objectfacts.Groups
	reported    map[string]time.Time
	// unwritten has facts of objects, and of several lines of a log, that could not be
	// appended yet.
	unwritten []timeline.Fact
	// instances has what runs in each container of an autoscaler, by logKey.
	instances map[string]instance
	// logReads has a channel for each log of a pod, which is closed when the log is
	// read up to its present end.
	logReads []<-chan struct{}
	// referred has a channel for each kind of object of a provider to which a group or a machine
	// refers. A channel is closed when all objects of the kind were seen, or cannot be.
	referred map[schema.GroupKind]<-chan struct{}
}

func newRecorder(o Options, lock *state.Lock) *recorder {
	return &recorder{
		Options: o, lock: lock, now: time.Now, write: func(facts ...timeline.Fact) error { return timeline.Append(o.File, facts...) },
		objects: news.Objects{}, groups: objectfacts.NewGroups(o.Cluster),
		recorded: map[string]bool{}, complete: map[timeline.Kind]bool{}, present: map[string]bool{}, reported: map[string]time.Time{}, instances: map[string]instance{},
		referred: map[schema.GroupKind]<-chan struct{}{},
	}
}

// readRecord reads the record, and appends to it that recording begins.
func (r *recorder) readRecord() error {
	facts, err := timeline.ReadUnsorted(r.File)
	text := ""
	if torn := new(timeline.TornError); errors.As(err, &torn) {
		text = fmt.Sprintf("%d lines of the record cannot be read", torn.Lines)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.recordStart = r.now()
	for _, f := range facts {
		r.learn(f)
		if f.Kind == timeline.Lab && f.Time.Before(r.recordStart) {
			r.recordStart = f.Time
		}
		if f.Source == timeline.Own && f.What != timeline.Recording {
			continue // a command of the lab wrote it, not a recorder
		}
		for _, t := range []time.Time{f.Time, f.Seen} {
			if t.After(r.previousEnd) {
				r.previousEnd = t
			}
		}
	}
	if r.bookmark, err = loadBookmark(r.File); err != nil {
		return err
	}
	if r.bookmark.Until.After(r.previousEnd) {
		r.previousEnd = r.bookmark.Until
	}
	r.statements.RestoreTimes(r.bookmark.Statements)
	return r.write(timeline.Fact{Time: r.now(), Kind: timeline.Lab, What: timeline.Recording, Since: r.previousEnd, Text: text, Source: timeline.Own})
}

// learn updates what the recorder knows with a recorded fact. r.mu is held.
func (r *recorder) learn(f timeline.Fact) {
	r.objects.Learn(f)
	r.groups.Learn(f)
	if f.What == timeline.Shaped && f.Name == "" {
		r.complete[f.Kind] = true
	}
	if f.Source == timeline.Event || f.Source == timeline.Log {
		r.recorded[identity(f)] = true
	}
	if f.Kind == timeline.Autoscaler || f.Kind == timeline.Lab {
		r.statements.Learn(f)
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
	now, all := r.now(), facts()
	r.present[news.Key(kind, uid)] = true
	r.recordFacts(r.objects.Changes(now, all))
}

// recordMessage records a fact from an event or a line of the log, unless the record
// has it or it is a repetition. It returns false if the fact could not be appended.
func (r *recorder) recordMessage(f timeline.Fact) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.Time.Before(r.recordStart.Truncate(time.Second)) {
		return true
	}
	if f.Group == "" && f.Node != "" {
		f.Group = r.groups.OfNodeName(f.Node)
	}
	if f.Name != "" && !strings.Contains(f.Name, "/") {
		f.Name = r.objects.QualifiedName(f.Name)
	}
	if r.recorded[identity(f)] {
		return true
	}
	if f.What == timeline.Evicted && r.objects.Has(f) {
		return true // recorded already, from the pod's condition
	}
	if !r.statements.IsNew(f) {
		r.statements.Learn(f)
		return true
	}
	return r.append([]timeline.Fact{f})
}

// recordOnce records a fact of several lines of the log, unless the record has it. If it cannot
// be appended now, it is appended before the next ones: those lines are not read again.
func (r *recorder) recordOnce(f timeline.Fact) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !f.Time.Before(r.recordStart.Truncate(time.Second)) && !r.recorded[identity(f)] {
		r.recordFacts([]timeline.Fact{f})
	}
}

// seenAfter is the delay from which on a fact is recorded with Seen.
const seenAfter = 2 * time.Second

// recordFacts records facts that nothing repeats. If they cannot be appended now, they are appended
// before the next ones, because no later fact repeats them. r.mu is held.
func (r *recorder) recordFacts(facts []timeline.Fact) {
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
	if r.lock != nil && r.lock.Lost() {
		return false
	}
	now := r.now()
	for i := range facts {
		if now.Sub(facts[i].Time) > seenAfter {
			facts[i].Seen = now
		}
	}
	if err := r.write(slices.Concat(r.unwritten, facts)...); err != nil {
		r.reportLocked(err)
		return false
	}
	r.unwritten = nil
	for _, f := range facts {
		r.learn(f)
	}
	return true
}

// recordGone records that an object is gone, if the record knows the object.
func (r *recorder) recordGone(kind timeline.Kind, uid string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, known := r.objects.Gone(kind, uid, r.now()); known {
		r.recordFacts([]timeline.Fact{f})
	}
}

// recordDeleted records which objects of a kind were deleted while nobody recorded: those
// in the record that a list of all objects does not have.
func (r *recorder) recordDeleted(kind timeline.Kind) { r.recordDeletedOf(kind, "") }

// recordDeletedOf is recordDeleted for the objects of a kind of facts whose names begin with a prefix: facts
// of one kind may be about several kinds of objects, which are listed one after the other.
func (r *recorder) recordDeletedOf(kind timeline.Kind, prefix string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := fmt.Sprintf("between %s and %s, while nobody recorded", r.previousEnd.UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339))
	r.recordFacts(r.objects.Missing(kind, func(key, name string) bool { return r.present[key] || !strings.HasPrefix(name, prefix) }, r.previousEnd, text))
}

// reportAgainAfter is the shortest time between two reports of the same error.
const reportAgainAfter = time.Minute

// reportLocked reports an error after which the recorder goes on. r.mu is held.
func (r *recorder) reportLocked(err error) {
	if r.OnError == nil {
		return
	}
	text := err.Error()
	if last, known := r.reported[text]; known && time.Since(last) < reportAgainAfter {
		return
	}
	r.reported[text] = time.Now()
	r.OnError(err)
}

// report is reportLocked for callers that do not hold r.mu.
func (r *recorder) report(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reportLocked(err)
}
