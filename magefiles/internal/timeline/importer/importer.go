// Package importer makes facts from what somebody saved of a cluster: objects as kubectl and
// must-gather write them, and logs and debugging snapshots of the autoscaler.
package importer

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/recorder"
	"caslab/magefiles/internal/timeline/snapshot"
)

// Result is what was read.
type Result struct {
	// Facts in the order in which they were found.
	Facts []timeline.Fact
	// Files is the number of files that were read, those in archives included.
	Files int
	// Taken is when the objects were saved: the latest time in them. Without objects, it
	// is the time of the last line of a log.
	Taken time.Time
	// Objects has the number of objects that became facts, by kind. Unused has the number
	// of those that did not, by kind and group.
	Objects, Unused map[string]int
	// Complete has the kinds of which the record has all objects of the cluster, Partial those of which an
	// object could not be used, though all were saved. They are kinds of Kubernetes, and only such that
	// answers depend on that. Both are empty without Options.Complete, and if something was unread.
	Complete, Partial []string
	Logs              []Log
	Snapshots         []Snapshot
	// Ignored has the files without anything that becomes a fact, and objects and files that cannot
	// be read, by their names.
	Ignored []Ignored
	// Unread has the names of the files that cannot be read, or only in part. They may have objects of any
	// kind.
	Unread []string
}

// Log is a log of the autoscaler.
type Log struct {
	Name string
	// Lines is the number of all lines. Statements is the number of the lines that state
	// something, begin a round or report a problem.
	Lines, Statements int
	// From and To are the times of its first and its last statement.
	From, To time.Time
}

// Snapshot is a debugging snapshot of the autoscaler. The nodes and the pods of the last one
// become facts if none were saved as objects.
type Snapshot struct {
	Name string
	// Data is what the file has.
	Data []byte
	*snapshot.Snapshot
}

// Ignored is a file or an object that became no fact.
type Ignored struct{ Name, Why string }

// NothingError is returned for a path that has nothing that becomes a fact.
type NothingError struct {
	Path    string
	Files   int
	Ignored []Ignored
}

func (e *NothingError) Error() string {
	found := "it has no file"
	if e.Files > 0 {
		found = "read " + timeline.Plural(e.Files, "file")
	}
	for i, ignored := range e.Ignored {
		if i == 3 {
			found += fmt.Sprintf("; and %d more", len(e.Ignored)-i)
			break
		}
		found += fmt.Sprintf("; %s: %s", ignored.Name, ignored.Why)
	}
	return fmt.Sprintf("import %s: nothing of a cluster: %s; looked for objects in YAML or JSON (%s), for logs of the cluster autoscaler as text, and for debugging snapshots (/snapshotz)", e.Path, found, wanted())
}

// wanted names the objects that become facts.
func wanted() string {
	var names []string
	for _, kind := range recorder.Kinds() {
		switch {
		case kind == kube.ConfigMaps:
			names = append(names, "the ConfigMap "+autoscaler.StatusConfigMap)
		case kind == kube.Events:
			names = append(names, "events")
		case strings.HasSuffix(kind.Kind, "s"):
			names = append(names, kind.Kind+"es")
		case strings.HasSuffix(kind.Kind, "y"):
			names = append(names, strings.TrimSuffix(kind.Kind, "y")+"ies")
		default:
			names = append(names, kind.Kind+"s")
		}
	}
	return strings.Join(append(names, "templates of infrastructure machines, and those infrastructure machines and bootstrap configs that report a problem"), ", ")
}

// Options of Read.
type Options struct {
	// Complete is set if of each kind that was saved all objects of the cluster were saved. Without it, and
	// if a file cannot be read, nothing is judged that depends on objects that may exist.
	Complete bool
}

// Read reads a folder with all folders in it, a file, or a tar archive, compressed with
// gzip or not. It tells files apart by their content. klog's times are read as UTC, unless
// a time before them shows another time zone.
func Read(ctx context.Context, path string, o Options) (*Result, error) {
	r := newReader(ctx, o)
	if err := r.walk(path); err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	return r.finish(path)
}

func newReader(ctx context.Context, o Options) *reader {
	r := &reader{
		options: o,
		listed:  map[schema.GroupKind]bool{},
		partly:  map[schema.GroupKind]bool{},
		walker:  walker{ctx: ctx, limits: defaultLimits},
		result:  Result{Objects: map[string]int{}, Unused: map[string]int{}},
		byUID:   map[types.UID]*unstructured.Unstructured{},
	}
	r.visit, r.ignore = r.file, func(name, why string) {
		r.result.Ignored = append(r.result.Ignored, Ignored{name, why})
	}
	r.unread = func(name, why string) {
		r.ignore(name, why)
		r.result.Unread = append(r.result.Unread, name)
	}
	return r
}

// reader is one call of Read.
type reader struct {
	walker
	options Options
	result  Result
	// listed has the kinds of lists, which may be empty, and partly the kinds of objects that become no
	// facts.
	listed, partly map[schema.GroupKind]bool
	// byUID has the latest version of each object.
	byUID map[types.UID]*unstructured.Unstructured
	logs  []savedLog
	// taken is the latest time in an object.
	taken time.Time
}

// file reads a file that is no archive.
func (r *reader) file(name string, modified time.Time, content peeker) error {
	r.result.Files++
	head := peek(content)
	switch {
	case len(head) == 0:
		r.ignore(name, "it is empty")
		return nil
	case bytes.IndexByte(head, 0) >= 0:
		r.ignore(name, "it is no text")
		return nil
	case !looksLikeObjects(head):
		return r.log(name, modified, content)
	}
	data, err := io.ReadAll(io.LimitReader(content, r.limits.objects+1))
	if err != nil {
		return err
	}
	if int64(len(data)) > r.limits.objects {
		r.undecoded(name, data, fmt.Sprintf("its objects have more than %d MiB", r.limits.objects>>20))
		return nil
	}
	objects, lists, err := decode(data)
	if err != nil {
		r.undecoded(name, data, err.Error())
	}
	for _, kind := range lists {
		r.listed[kind] = true
	}
	if err == nil && len(objects) == 0 && len(lists) == 0 {
		if s, err := snapshot.Decode(data); err == nil {
			r.result.Snapshots = append(r.result.Snapshots, Snapshot{name, data, s})
		} else {
			r.ignore(name, "it has no object of Kubernetes")
		}
	}
	for _, o := range objects {
		r.object(o)
	}
	return nil
}

// undecoded ignores a file with that beginning, or the rest of it. A log in JSON looks like objects, but a
// text without apiVersion has none.
func (r *reader) undecoded(name string, data []byte, why string) {
	if bytes.Contains(data, []byte("apiVersion")) {
		r.unread(name, why)
	} else {
		r.ignore(name, why)
	}
}

// object keeps an object that may become facts.
func (r *reader) object(o *unstructured.Unstructured) {
	if at := latestTime(o.Object); at.After(r.taken) {
		r.taken = at
	}
	toCore(o)
	if !recorder.Records(o) {
		r.result.Unused[o.GroupVersionKind().GroupKind().String()]++
		r.partly[o.GroupVersionKind().GroupKind()] = true
		return
	}
	if o.GetUID() == "" {
		o.SetUID(types.UID(strings.Join([]string{o.GetKind(), o.GetNamespace(), o.GetName()}, "/")))
	}
	if other := r.byUID[o.GetUID()]; other == nil || version(o) >= version(other) {
		r.byUID[o.GetUID()] = o
	}
}

// version returns the resource version of an object as a number, 0 if it has none.
func version(o *unstructured.Unstructured) uint64 {
	n, _ := strconv.ParseUint(o.GetResourceVersion(), 10, 64)
	return n
}

// log reads the log of an autoscaler.
func (r *reader) log(name string, modified time.Time, content io.Reader) error {
	log, err := readLog(r.ctx, content)
	if err != nil {
		return err
	}
	if !log.known {
		r.ignore(name, "it has neither objects nor a line of the autoscaler's log")
		return nil
	}
	log.name, log.modified = name, modified
	r.logs = append(r.logs, log)
	return nil
}

// snapshotObjects keeps the nodes and the pods of the last snapshot. It adds a kind only if no
// object of that kind was saved: the autoscaler may have changed them for its simulation, and
// some may have gone before the objects were saved.
func (r *reader) snapshotObjects() error {
	if len(r.result.Snapshots) == 0 {
		return nil
	}
	last := slices.MaxFunc(r.result.Snapshots, func(a, b Snapshot) int { return a.Start.Compare(b.Start) })
	if last.End.After(r.taken) {
		r.taken = last.End.UTC()
	}
	saved := map[string]bool{}
	for _, o := range r.byUID {
		saved[o.GetKind()] = true
	}
	nodes, pods := last.Objects()
	var all []*unstructured.Unstructured
	add := func(kind string, object any) error {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return fmt.Errorf("read the snapshot %s: %w", last.Name, err)
		}
		o := &unstructured.Unstructured{Object: fields}
		o.SetAPIVersion("v1")
		o.SetKind(kind)
		all = append(all, o)
		return nil
	}
	for _, n := range nodes {
		if err := add("Node", n); err != nil {
			return err
		}
	}
	for _, p := range pods {
		if err := add("Pod", p); err != nil {
			return err
		}
	}
	for _, o := range all {
		if !saved[o.GetKind()] {
			r.object(o)
		}
	}
	return nil
}

// finish makes facts from everything that was read.
func (r *reader) finish(path string) (*Result, error) {
	if err := r.snapshotObjects(); err != nil {
		return nil, fmt.Errorf("import %s: %w", path, err)
	}
	if len(r.byUID)+len(r.logs) == 0 {
		return nil, &NothingError{Path: path, Files: r.result.Files, Ignored: r.result.Ignored}
	}
	s := recorder.Snapshot{Taken: r.taken}
	for _, o := range r.byUID {
		s.Objects = append(s.Objects, o)
		r.result.Objects[o.GetKind()]++
		r.listed[o.GroupVersionKind().GroupKind()] = true
	}
	complete := r.options.Complete && len(r.result.Unread) == 0
	if complete {
		s.Complete = slices.DeleteFunc(recorder.Kinds(), func(kind schema.GroupKind) bool { return !r.listed[kind] || r.partly[kind] })
	}
	slices.SortFunc(s.Objects, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(strings.Compare(a.GetKind(), b.GetKind()), strings.Compare(string(a.GetUID()), string(b.GetUID())))
	})
	for _, log := range r.logs {
		lines := log.at(cmp.Or(r.taken, log.modified))
		s.Lines = append(s.Lines, lines...)
		found := Log{Name: log.name, Lines: log.lines, Statements: len(lines)}
		if len(lines) > 0 {
			found.From, found.To = lines[0].At, lines[len(lines)-1].At
		}
		r.result.Logs = append(r.result.Logs, found)
		if r.taken.IsZero() && found.To.After(s.Taken) {
			s.Taken = found.To
		}
	}
	r.result.Taken = s.Taken
	r.result.Facts = recorder.SnapshotFacts(s, func(err error) { r.ignore("an object", err.Error()) })
	if complete {
		r.tellComplete()
	}
	return &r.result, nil
}

// tellComplete tells of which kinds the facts say that the record has all objects, and of which they do not,
// though all were saved.
func (r *reader) tellComplete() {
	complete := map[timeline.Kind]bool{}
	for _, f := range r.result.Facts {
		if f.What == timeline.Shaped && f.Name == "" {
			complete[f.Kind] = true
		}
	}
	for _, kind := range recorder.Kinds() {
		switch factKind, matters := recorder.CompleteKind(kind); {
		case matters && complete[factKind]:
			r.result.Complete = append(r.result.Complete, kind.Kind)
		case matters && (r.listed[kind] || r.partly[kind]):
			r.result.Partial = append(r.result.Partial, kind.Kind)
		}
	}
}
