package timelines

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/target/targettest"
	"caslab/magefiles/internal/timeline/importer"
)

const savedPod = `apiVersion: v1
kind: Pod
metadata: {name: lost, namespace: default, uid: p, creationTimestamp: "2026-11-26T21:45:00Z"}
status:
  phase: Pending
  conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/1 nodes are available", lastTransitionTime: "2026-11-26T21:45:01Z"}]
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: default}
`

const savedLog = `I1126 21:45:50.100000   26098 static_autoscaler.go:274] Starting main loop
I1126 21:45:50.300000   26098 klogx.go:87] Pod default/lost can be moved to worker
`

// saved writes files that somebody saved of a cluster, and returns their folder.
func saved(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "must gather")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"pods.yaml": savedPod, "ca.log": savedLog, "notes.txt": "no", "more.txt": "no"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// imported returns the file of the record that the output names.
func imported(t *testing.T, printed string) string {
	t.Helper()
	_, file, found := strings.Cut(printed, "timeline:report -record=")
	if !found {
		t.Fatalf("no command for a report in\n%s", printed)
	}
	return strings.TrimSpace(file)
}

// TestImport: the summary has what was used and what was not; the record is read without a
// cluster, and made again by another import of the same folder.
func TestImport(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	tl := &Timelines{Lab: l.Lab, Open: targettest.Closed(t)}
	dir := saved(t)
	for range 2 {
		if err := tl.Import(t.Context(), dir, ImportOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	printed := l.Printed.String()
	file := imported(t, printed[strings.LastIndex(printed, "Read "):])
	for _, want := range []string{
		"Read 4 files of " + dir + ".\n", ": 1 Pod\n", "  ca.log: 2 lines, 2 statements, ", "  objects: 1 Secret\n",
		"  more.txt, notes.txt: it has neither objects nor a line of the autoscaler's log\n",
		"The record has 6 facts, ", "  go tool mage timeline:explain pod/default/lost -record=" + file + "\n",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("printed\n%s\nwant %q", printed, want)
		}
	}
	if !strings.HasPrefix(file, l.State.Path("imports", "must-gather-")) {
		t.Errorf("the record is in %s", file)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the record's mode is %v, %v; want that only the user reads it", info.Mode(), err)
	}

	before := len(l.Printed.String())
	if err := tl.Explain(t.Context(), "pod/lost", ExplainOptions{Record: file}); err != nil {
		t.Fatal(err)
	}
	if answer := l.Printed.String()[before:]; !strings.Contains(answer, "can be moved to worker") || !strings.Contains(answer, "still waits") {
		t.Errorf("the answer is\n%s", answer)
	}
	if err := tl.Report(t.Context(), ReportOptions{Record: file, Since: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(filepath.Dir(file), "report.html"))
	if err != nil || !strings.Contains(string(page), "default/lost") || strings.Contains(string(page), l.Config.ClusterName) {
		t.Errorf("the page lacks the pod or names the environment: %v", err)
	}
}

// savedSnapshot has the pod lost, which the autoscaler does not add a node for.
const savedSnapshot = `{"NodeList":[{"Node":{"metadata":{"name":"worker","uid":"n","creationTimestamp":"2026-11-26T21:00:00Z"},"status":{"allocatable":{"cpu":"2"},"conditions":[{"type":"Ready","status":"True"}]}},
  "Pods":[{"metadata":{"name":"web","namespace":"default","uid":"w"},"spec":{"nodeName":"worker"}}]}],
 "UnscheduledPodsCanBeScheduled":[{"metadata":{"name":"lost","namespace":"default","uid":"p"}}],
 "StartTimestamp":"2026-11-26T21:46:00Z","EndTimestamp":"2026-11-26T21:46:05Z","TemplateNodes":null}`

// TestImportASnapshot: it is kept beside the record, and the answer about a pod has it. Its
// nodes are on record if no others were saved, as are its pods.
func TestImportASnapshot(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	tl := &Timelines{Lab: l.Lab, Open: targettest.Closed(t)}
	dir := saved(t)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("snapshotz", savedSnapshot)
	printed := func(do func() error) string {
		before := len(l.Printed.String())
		if err := do(); err != nil {
			t.Fatal(err)
		}
		return l.Printed.String()[before:]
	}
	again := func() string { return printed(func() error { return tl.Import(t.Context(), dir, ImportOptions{}) }) }
	got := again()
	if !strings.Contains(got, "  snapshotz: the autoscaler's snapshot of ") || !strings.Contains(got, ": 1 Node, 1 Pod\n") {
		t.Errorf("printed\n%s", got)
	}
	file := imported(t, got)
	explained := func(what string) string {
		return printed(func() error { return tl.Explain(t.Context(), what, ExplainOptions{Record: file}) })
	}
	if got := explained("pod/lost"); !strings.Contains(got, "  the pod needs no new node: it fits on worker\n") {
		t.Errorf("the answer is\n%s", got)
	}
	if err := tl.Explain(t.Context(), "pod/web", ExplainOptions{Record: file}); err == nil {
		t.Error("a pod of the snapshot is on record beside saved pods")
	}
	write("pods.yaml", "")
	if again(); !strings.Contains(explained("pod/web"), "worker") {
		t.Error("without saved pods, those of the snapshot are not on record")
	}
	// Another import does not have the snapshots of the one before, and one that cannot be
	// read is no error.
	write("pods.yaml", savedPod)
	if err := os.Remove(filepath.Join(dir, "snapshotz")); err != nil {
		t.Fatal(err)
	}
	if again(); strings.Contains(explained("pod/lost"), "snapshot") {
		t.Error("the answer has the snapshot of another import")
	}
	if err := os.MkdirAll(snapshotsOf(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(snapshotsOf(file), "1.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := explained("pod/lost"); !strings.Contains(got, "still waits") || !strings.Contains(l.Logged.String(), "the autoscaler's snapshot could not be read, and is not used: ") {
		t.Errorf("with a damaged snapshot the answer is\n%s\n%s", got, l.Logged)
	}
}

// TestImportSaysWhatIsComplete: without -complete, the summary says what is not judged; with it, of
// which kinds the record has all objects. Of OpenShift's Machine API, it says that it is not read.
func TestImportSaysWhatIsComplete(t *testing.T) {
	t.Parallel()
	dir := saved(t)
	if err := os.WriteFile(filepath.Join(dir, "more.yaml"), []byte(`{apiVersion: v1, kind: List, items: [
  {apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: default, uid: c}},
  {apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web, namespace: default, uid: b}},
  {apiVersion: machine.openshift.io/v1beta1, kind: MachineSet, metadata: {name: web, namespace: openshift-machine-api, uid: m}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const openShift = "  The objects of OpenShift's Machine API (machine.openshift.io) are not read: "
	for complete, want := range map[bool]string{
		false: "  Other objects of these kinds may exist in the cluster: PodDisruptionBudget, PersistentVolumeClaim. What depends on them is not judged. If all were saved, import them with -complete.\n",
		true:  "  complete kinds: PodDisruptionBudget, PersistentVolumeClaim\n",
	} {
		l := labtest.New(t, nil)
		tl := &Timelines{Lab: l.Lab, Open: targettest.Closed(t)}
		if err := tl.Import(t.Context(), dir, ImportOptions{Complete: complete}); err != nil {
			t.Fatal(err)
		}
		if got := l.Printed.String(); !strings.Contains(got, want) || !strings.Contains(got, openShift) || strings.Contains(got, "-complete") == complete {
			t.Errorf("complete %t: printed\n%s\nwant %q", complete, got, want)
		}
	}
}

// TestImportSaysWhyAKindIsNotComplete: with -complete, the summary names the files that could not be read, and
// the kinds that therefore do not count as complete. It does not advise -complete again.
func TestImportSaysWhyAKindIsNotComplete(t *testing.T) {
	t.Parallel()
	const claims = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: default, uid: c}\n"
	for name, tc := range map[string]struct{ text, want string }{
		"a broken document": {claims + "---\napiVersion: v1\nkind: [\n", "  No kind is complete, in spite of -complete, because these files could not be read, or only in part: claims.yaml.\n" +
			"  Other objects of these kinds may exist in the cluster: PersistentVolumeClaim. What depends on them is not judged.\n"},
		"an odd object":  {claims + "---\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: odd, namespace: default}\nspec: {template: 1}\n", "  complete kinds: PersistentVolumeClaim\n  incomplete kinds, because an object could not be used: DaemonSet. What depends on them is not judged.\n"},
		"an old version": {claims + "---\napiVersion: resource.k8s.io/v1alpha2\nkind: ResourceClaim\nmetadata: {name: old, namespace: default}\n", "  complete kinds: PersistentVolumeClaim\n  incomplete kinds, because an object could not be used: ResourceClaim. What depends on them is not judged.\n"},
	} {
		dir := saved(t)
		if err := os.WriteFile(filepath.Join(dir, "claims.yaml"), []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		l := labtest.New(t, nil)
		tl := &Timelines{Lab: l.Lab, Open: targettest.Closed(t)}
		if err := tl.Import(t.Context(), dir, ImportOptions{Complete: true}); err != nil {
			t.Fatal(err)
		}
		if got := l.Printed.String(); !strings.Contains(got, tc.want) || strings.Contains(got, "import them with -complete") {
			t.Errorf("%s: printed\n%s\nwant %q", name, got, tc.want)
		}
	}
}

// TestImportToAFile: -out names a new file.
func TestImportToAFile(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	tl := &Timelines{Lab: l.Lab, Open: targettest.Closed(t)}
	dir, file := saved(t), filepath.Join(t.TempDir(), "new", "r")
	if err := tl.Import(t.Context(), dir, ImportOptions{Out: file}); err != nil || imported(t, l.Printed.String()) != file {
		t.Errorf("%v; printed\n%s", err, l.Printed)
	}
	if err := tl.Import(t.Context(), dir, ImportOptions{Out: file}); err == nil || err.Error() != "-out="+file+": the file exists: remove it or name another" {
		t.Errorf("again: %v", err)
	}
	empty := t.TempDir()
	if err := tl.Import(t.Context(), empty, ImportOptions{Out: file + "2"}); !errors.As(err, new(*importer.NothingError)) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := os.Stat(file + "2"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it wrote a record: %v", err)
	}
	if err := tl.Import(t.Context(), "", ImportOptions{}); err == nil {
		t.Error("an empty path is imported")
	}
}

// TestRecordsThatAreNone: an error names the option, the file and what is wrong.
func TestRecordsThatAreNone(t *testing.T) {
	t.Parallel()
	tl := &Timelines{Lab: labtest.New(t, nil).Lab, Open: targettest.Closed(t)}
	dir := saved(t)
	for file, want := range map[string]string{
		filepath.Join(dir, "missing"):   "timeline:import prints the file of a record",
		filepath.Join(dir, "notes.txt"): "the file has no fact of a timeline",
		dir:                             "is a directory",
	} {
		for name, err := range map[string]error{
			"report":  tl.Report(t.Context(), ReportOptions{Record: file}),
			"explain": tl.Explain(t.Context(), "pod/a", ExplainOptions{Record: file}),
		} {
			if err == nil || !strings.HasPrefix(err.Error(), "-record="+file+": ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", name, err, want)
			}
		}
	}
}
