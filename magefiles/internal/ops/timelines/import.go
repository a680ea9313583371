package timelines

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/importer"
	"caslab/magefiles/internal/timeline/recorder"
)

// ImportOptions of Import.
type ImportOptions struct {
	// Out is the file of the record, which must not exist. If empty, it is a file under
	// .caslab that belongs to the path, and is replaced.
	Out string
	// Complete is set if of each kind that was saved all objects of the cluster were saved.
	Complete bool
}

// Import makes a record from saved objects and logs of a cluster, and prints what it read and
// what to type next. path is a folder, a file or an archive.
func (t *Timelines) Import(ctx context.Context, path string, o ImportOptions) error {
	if path == "" {
		return errors.New("import: want the path of a folder, a file or a tar archive")
	}
	file := o.Out
	if file == "" {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return fmt.Errorf("import %s: %w", path, err)
		}
		file = recordFile(t.State.Path("imports", importName(absolute)))
	} else if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("-out=%s: the file exists: remove it or name another", file)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("-out=%s: %w", file, err)
	}
	read, err := importer.Read(ctx, path, importer.Options{Complete: o.Complete})
	if err != nil {
		return err
	}
	var record bytes.Buffer
	encoder := json.NewEncoder(&record)
	for _, f := range read.Facts {
		if err := encoder.Encode(f); err != nil {
			return fmt.Errorf("write the record %s: %w", file, err)
		}
	}
	if err := state.WriteFile(file, record.Bytes(), 0o600); err != nil {
		return err
	}
	if o.Out == "" {
		if err := os.RemoveAll(snapshotsOf(file)); err != nil { // those of the import before
			return fmt.Errorf("import %s: %w", path, err)
		}
	}
	for _, s := range read.Snapshots {
		if err := state.WriteFile(snapshotFile(file, s.Snapshot), s.Data, 0o600); err != nil {
			return err
		}
	}
	_, err = fmt.Fprint(t.Out, importSummary(path, file, o.Complete, read))
	return err
}

// notInNames matches the characters that are replaced in a folder's name.
var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// importName returns the name of the folder for the record of an absolute path.
func importName(path string) string {
	name := notInNames.ReplaceAllString(filepath.Base(path), "-")
	for _, suffix := range []string{".gz", ".tgz", ".tar"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name + "-" + state.ShortSum(path)
}

// importSummary says what was read, what was not used, and what to type next. complete is
// ImportOptions.Complete.
func importSummary(path, file string, complete bool, read *importer.Result) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Read %s of %s.", timeline.Plural(read.Files, "file"), path)
	if len(read.Objects) > 0 {
		line("  objects of %s: %s", timeline.Day(read.Taken), counts(read.Objects))
	}
	if len(read.Complete) > 0 {
		line("  complete kinds: %s", strings.Join(read.Complete, ", "))
	}
	if len(read.Partial) > 0 {
		line("  incomplete kinds, because an object could not be used: %s. What depends on them is not judged.", strings.Join(read.Partial, ", "))
	}
	if complete && len(read.Unread) > 0 {
		line("  No kind is complete, in spite of -complete, because these files could not be read, or only in part: %s.", strings.Join(timeline.SomeOf(read.Unread, maxUnread), ", "))
	}
	if text := unjudged(read); text != "" {
		advice := ""
		if !complete {
			advice = " If all were saved, import them with -complete."
		}
		line("  Other objects of these kinds may exist in the cluster: %s. What depends on them is not judged.%s", text, advice)
	}
	for _, log := range read.Logs {
		line("  %s: %s, %s, %s – %s", log.Name, timeline.Plural(log.Lines, "line"), timeline.Plural(log.Statements, "statement"), timeline.Day(log.From), timeline.Day(log.To))
	}
	for _, s := range read.Snapshots {
		line("  %s: the autoscaler's snapshot of %s, %s", s.Name, timeline.Day(s.Start), timeline.Plural(len(s.Nodes), "node"))
	}
	if len(read.Unused)+len(read.Ignored) > 0 {
		line("Not used:")
	}
	if len(read.Unused) > 0 {
		line("  objects: %s", counts(read.Unused))
	}
	if slices.ContainsFunc(slices.Collect(maps.Keys(read.Unused)), func(kind string) bool { return strings.HasSuffix(kind, openShiftGroup) }) {
		line("  The objects of OpenShift's Machine API (%s) are not read: the record lacks the node groups and machines that they describe.", openShiftGroup)
	}
	for _, same := range byReason(read.Ignored) {
		line("  %s: %s", strings.Join(timeline.SomeOf(same.names, 3), ", "), timeline.Shorten(same.why, timeline.LongestText))
	}
	m := history.New(read.Facts)
	line("The record has %s, %s – %s: %s", timeline.Plural(len(read.Facts), "fact"), timeline.Day(m.From), timeline.Day(m.To), file)
	quoted := shellescape.Quote(file)
	line("Next:")
	if what := worthExplaining(m); what != "" {
		line("  go tool mage timeline:explain %s -record=%s", shellescape.Quote(what), quoted)
	}
	line("  go tool mage timeline:report -record=%s", quoted)
	return b.String()
}

// openShiftGroup is the API group of OpenShift's Machine API, which OpenShift has in place of Cluster API.
const openShiftGroup = "machine.openshift.io"

// maxUnread is the largest number of unread files that a summary names.
const maxUnread = 10

// unjudged names the saved kinds of objects of which the scheduler or the autoscaler must know all, and of
// which others may exist that were not read.
func unjudged(read *importer.Result) string {
	var names []string
	for _, kind := range recorder.Kinds() {
		_, matters := recorder.CompleteKind(kind)
		if matters && read.Objects[kind.Kind] > 0 && !slices.Contains(slices.Concat(read.Complete, read.Partial), kind.Kind) {
			names = append(names, kind.Kind)
		}
	}
	return strings.Join(names, ", ")
}

// counts returns numbers with their names, sorted by name.
func counts(numbers map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		parts = append(parts, fmt.Sprintf("%d %s", numbers[name], name))
	}
	return strings.Join(parts, ", ")
}

// reason is a reason with the files for which it is true.
type reason struct {
	why   string
	names []string
}

// byReason returns the reasons in the order in which they were found first.
func byReason(list []importer.Ignored) []reason {
	var reasons []reason
	for _, ignored := range list {
		i := slices.IndexFunc(reasons, func(r reason) bool { return r.why == ignored.Why })
		if i < 0 {
			i = len(reasons)
			reasons = append(reasons, reason{why: ignored.Why})
		}
		reasons[i].names = append(reasons[i].names, ignored.Name)
	}
	return reasons
}

// worthExplaining returns what a person would ask about first: a pod that waits, a group,
// or a node; empty if the record has none.
func worthExplaining(m *history.Model) string {
	pod, group, node := "", "", ""
	for _, p := range m.Pods {
		if p.Pending() && pod == "" {
			pod = "pod/" + p.Name
		}
	}
	for _, g := range m.Groups {
		if g.Name != timeline.ControlPlane && g.Name != "" && group == "" {
			group = "group/" + g.Name
		}
	}
	for _, n := range m.Nodes {
		if node == "" {
			node = "node/" + n.Name()
		}
	}
	return cmp.Or(pod, group, node)
}

// importedRecord returns the record in a file that Import wrote, or that a recorder did.
func (t *Timelines) importedRecord(file string) (foundRecord, error) {
	if _, err := os.Stat(file); err != nil {
		return foundRecord{}, fmt.Errorf("-record=%s: %w; timeline:import prints the file of a record", file, err)
	}
	facts, err := t.read(file)
	if err == nil && len(facts) == 0 {
		err = errors.New("the file has no fact of a timeline")
	}
	if err != nil {
		return foundRecord{}, fmt.Errorf("-record=%s: %w", file, err)
	}
	return foundRecord{file: file, facts: facts}, nil
}
