package importer

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/capi/capitest"
	"caslab/magefiles/internal/timeline"
)

// autoscalerLog is a part of the log of 1.36.1 on the recorded cluster, as its file has it.
const autoscalerLog = `I1126 21:45:40.100000   26098 main.go:250] Cluster Autoscaler 1.36.1
I1126 21:45:50.100000   26098 static_autoscaler.go:274] Starting main loop
I1126 21:45:50.200000   26098 cluster.go:100] Simulating node row-md-0-lskx7-jq59n removal
I1126 21:45:50.300000   26098 klogx.go:87] Pod default/lost can be moved to row-md-0-lskx7-jq59n
I1126 21:46:00.300000   26098 nodes.go:150] row-sc-web-z4swk-kncct was unneeded for 10s
`

// statementsOfTheLog are the lines of autoscalerLog that state something or begin a round.
const statementsOfTheLog = 4

// recorded returns the objects of a recording, each with its kind.
func recorded(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	for _, r := range capitest.At(t, capitest.Scaling) {
		if r.ClusterAPI == "v1.8.12" {
			return r.Objects
		}
	}
	t.Fatal("there is no recording of v1.8.12")
	return nil
}

// write writes files into a new folder, and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustRead(t *testing.T, path string) *Result {
	t.Helper()
	result, err := Read(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// lines returns facts as JSON, one a line, sorted.
func lines(t *testing.T, facts []timeline.Fact) string {
	t.Helper()
	var all []string
	for _, f := range facts {
		data, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(data))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func toYAML(t *testing.T, value any) string {
	t.Helper()
	data, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func toJSON(t *testing.T, value any) string {
	t.Helper()
	data, err := json.MarshalIndent(value, "", "    ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// archive returns a tar archive with the files, and a folder.
func archive(t *testing.T, files map[string]string) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: "a/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// saved returns the same objects and the same log as different tools save them.
func saved(t *testing.T) map[string]map[string]string {
	t.Helper()
	objects := recorded(t)
	var stream []string
	var items []any
	single := map[string]string{}
	typed := map[string][]any{}
	for i, o := range objects {
		stream = append(stream, toYAML(t, o.Object))
		items = append(items, o.Object)
		single[fmt.Sprintf("namespaces/%s/%s/%d.yaml", o.GetNamespace(), o.GetKind(), i)] = "---\n" + toYAML(t, o.Object)
		bare := o.DeepCopy()
		delete(bare.Object, "kind")
		delete(bare.Object, "apiVersion")
		kind := o.GetAPIVersion() + " " + o.GetKind()
		typed[kind] = append(typed[kind], bare.Object)
	}
	lists := map[string]string{}
	for name, list := range typed {
		version, kind, _ := strings.Cut(name, " ")
		lists[strings.ToLower(kind)+"s.json"] = toJSON(t, map[string]any{"apiVersion": version, "kind": kind + "List", "metadata": map[string]any{}, "items": list})
	}
	all := map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
	shapes := map[string]map[string]string{
		"a stream":               {"all.txt": strings.Join(stream, "---\n"), "ca.log": autoscalerLog},
		"a list in YAML":         {"all.yaml": toYAML(t, all), "ca.log": autoscalerLog},
		"a list in JSON":         {"all": toJSON(t, all), "ca.log": autoscalerLog},
		"an array":               {"all.json": toJSON(t, items), "ca.log": autoscalerLog},
		"objects one by one":     maps.Clone(single),
		"lists of items alone":   maps.Clone(lists),
		"the same objects twice": {"1.yaml": toYAML(t, all), "2.yaml": toYAML(t, all), "ca.log": autoscalerLog, "ca2.log": autoscalerLog},
	}
	shapes["objects one by one"]["namespaces/kube-system/pods/ca/logs/current.log"] = autoscalerLog
	shapes["lists of items alone"]["kube-system/ca/logs.txt"] = autoscalerLog
	shapes["an archive"] = map[string]string{"dump.tar": archive(t, shapes["objects one by one"])}
	shapes["a compressed archive"] = map[string]string{"dump.tgz": gzipped(t, archive(t, shapes["lists of items alone"]))}
	shapes["compressed files"] = map[string]string{"all.json.gz": gzipped(t, toJSON(t, all)), "ca.log.gz": gzipped(t, autoscalerLog)}
	return shapes
}

// TestShapesHaveTheSameFacts: however the objects and the log were saved, they become the
// same facts.
func TestShapesHaveTheSameFacts(t *testing.T) {
	t.Parallel()
	shapes := saved(t)
	want := mustRead(t, write(t, shapes["a stream"]))
	if want.Taken.Format(time.DateTime) != "2026-11-26 21:46:00" || len(want.Facts) < 20 || len(want.Ignored) > 0 {
		t.Errorf("%d facts, taken at %s, ignored %v", len(want.Facts), want.Taken, want.Ignored)
	}
	if !maps.Equal(want.Objects, map[string]int{"Cluster": 1, "DockerMachineTemplate": 2, "MachineDeployment": 2, "Machine": 4, "Node": 4}) {
		t.Errorf("the objects are %v", want.Objects)
	}
	for name, files := range shapes {
		got := mustRead(t, write(t, files))
		if lines(t, got.Facts) != lines(t, want.Facts) {
			t.Errorf("%s has the facts\n%s\nwant\n%s", name, lines(t, got.Facts), lines(t, want.Facts))
		}
		if len(got.Logs) == 0 || got.Logs[0].Statements != statementsOfTheLog || got.Logs[0].Lines != strings.Count(autoscalerLog, "\n") {
			t.Errorf("%s has the logs %+v", name, got.Logs)
		}
	}
}

// TestAFileIsImportedAlone: the path may be that of a file, or of a link to a folder.
func TestAFileIsImportedAlone(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"ca.log": autoscalerLog})
	result := mustRead(t, filepath.Join(dir, "ca.log"))
	if len(result.Logs) != 1 || result.Logs[0].Name != "ca.log" || result.Files != 1 {
		t.Errorf("the result is %+v", result)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if result := mustRead(t, link); len(result.Logs) != 1 {
		t.Errorf("the result is %+v", result)
	}
}

// TestIgnoredFilesHaveAReason: what is not used does not stop the import.
func TestIgnoredFilesHaveAReason(t *testing.T) {
	t.Parallel()
	zipped := gzipped(t, autoscalerLog)
	dir := write(t, map[string]string{
		"ca.log": autoscalerLog, "empty": "", "binary": "a\x00b", "dump.zip": "PK\x03\x04rest",
		"kubelet.log": "I1126 21:45:50.300000   1 kubelet.go:1] Started kubelet\n", "cut.gz": zipped[:len(zipped)-9], "no.gz": "\x1f\x8bx",
		"broken.yaml": "apiVersion: v1\nkind: [\n", "values.yaml": "metadata: none\n", "secret.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n",
		"odd.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: odd, namespace: default}\nspec: {nodeName: []}\n",
		"deep.gz":  gzipped(t, gzipped(t, gzipped(t, gzipped(t, autoscalerLog)))),
	})
	if err := os.Symlink("ca.log", filepath.Join(dir, "link.log")); err != nil {
		t.Fatal(err)
	}
	result := mustRead(t, dir)
	got := map[string]string{}
	for _, ignored := range result.Ignored {
		got[ignored.Name] = ignored.Why
	}
	for name, want := range map[string]string{
		"empty": "it is empty", "binary": "it is no text", "dump.zip": "it is compressed with zip: unpack it first",
		"kubelet.log": "it has neither objects nor a line of the autoscaler's log", "cut.gz": "the archive is damaged: unexpected EOF", "no.gz": "the archive is damaged: ",
		"broken.yaml": "its document 1 is neither YAML nor JSON: ", "values.yaml": "it has no object of Kubernetes", "link.log": "it is no regular file",
		"an object": "read the Pod default/odd: ", "deep": "it is in more than 3 archives",
	} {
		if why, there := got[name]; !there || !strings.HasPrefix(why, want) {
			t.Errorf("%s is ignored because %q, want %q", name, why, want)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("also ignored: %v", got)
	}
	if !maps.Equal(result.Unused, map[string]int{"Secret": 1}) {
		t.Errorf("unused objects are %v", result.Unused)
	}
}

func TestNothingToImport(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"an empty folder": {nil, "it has no file; looked for objects in YAML or JSON"},
		"other files":     {map[string]string{"a": "a", "b": "", "c": "c", "d": "d"}, "read 4 files; a: it has neither objects nor a line of the autoscaler's log; b: it is empty; c: "},
		"other objects":   {map[string]string{"a.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n"}, "read 1 file; looked for"},
	} {
		dir := write(t, tc.files)
		_, err := Read(t.Context(), dir, Options{})
		if !errors.As(err, new(*NothingError)) || !strings.HasPrefix(err.Error(), "import "+dir+": nothing of a cluster: ") || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	want := "looked for objects in YAML or JSON (Clusters, MachineDeployments, MachinePools, MachineSets, Machines, Nodes, PodDisruptionBudgets, Pods, the ConfigMap cluster-autoscaler-status, events, " +
		"DaemonSets, Namespaces, PersistentVolumeClaims, PersistentVolumes, StorageClasses, CSINodes, CSIDrivers, CSIStorageCapacities, VolumeAttachments, ResourceClaims, ResourceClaimTemplates, ResourceSlices, DeviceClasses, templates of infrastructure machines, and those infrastructure machines and bootstrap configs that report a problem), for logs"
	if text := (&NothingError{}).Error(); !strings.Contains(text, want) {
		t.Errorf("%s\nwant %s", text, want)
	}
	if _, err := Read(t.Context(), filepath.Join(t.TempDir(), "missing"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing path: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, write(t, map[string]string{"ca.log": autoscalerLog}), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after Ctrl-C: %v", err)
	}
}

// TestLimits: what is read is bounded, uncompressed, and the error says what to do.
func TestLimits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		limits limits
		want   string
	}{
		"files": {limits{files: 1, bytes: 1 << 30, objects: 1 << 30}, "there are more than 1 files: import only"},
		"bytes": {limits{files: 10, bytes: 1 << 20, objects: 1 << 30}, "the files have more than 1 MiB: import only"},
	} {
		w := walker{ctx: t.Context(), limits: tc.limits, ignore: func(name, why string) { t.Errorf("%s is ignored: %s", name, why) }}
		w.visit = func(_ string, _ time.Time, content peeker) error {
			_, err := io.Copy(io.Discard, content)
			return err
		}
		dir := write(t, map[string]string{"a.gz": gzipped(t, strings.Repeat("a", 2<<20)), "b": "b"})
		if err := w.walk(dir); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}

// TestLatestVersionOfAnObjectCounts: of an object that was saved twice, the later version
// becomes facts, whatever the order of the files.
func TestLatestVersionOfAnObjectCounts(t *testing.T) {
	t.Parallel()
	group := func(version, replicas string) string {
		return "apiVersion: cluster.x-k8s.io/v1beta2\nkind: MachineDeployment\nmetadata: {name: web, namespace: default, uid: u, resourceVersion: \"" + version + "\"}\nspec: {replicas: " + replicas + "}\n"
	}
	for _, files := range []map[string]string{
		{"1.yaml": group("9", "1"), "2.yaml": group("10", "3")},
		{"1.yaml": group("10", "3"), "2.yaml": group("9", "1")},
	} {
		for _, f := range mustRead(t, write(t, files)).Facts {
			if f.What == timeline.Sized && *f.N != 3 {
				t.Errorf("%v: the size is %d, want 3", files, *f.N)
			}
		}
	}
}

// TestEventsOfBothGroups: an event has the same fact in both of its APIs.
func TestEventsOfBothGroups(t *testing.T) {
	t.Parallel()
	const message = "pod triggered scale-up: [{MachineDeployment/default/web 1->2 (max: 4)}]"
	for name, text := range map[string]string{
		"core":          "apiVersion: v1\nkind: Event\nmetadata: {name: e, namespace: default, uid: u}\nreason: TriggeredScaleUp\nsource: {component: cluster-autoscaler}\ninvolvedObject: {kind: Pod, name: a, namespace: default}\nlastTimestamp: \"2026-11-26T21:45:00Z\"\nmessage: \"" + message + "\"\n",
		"events.k8s.io": "apiVersion: events.k8s.io/v1\nkind: Event\nmetadata: {name: e, namespace: default, uid: u}\nreason: TriggeredScaleUp\nreportingController: cluster-autoscaler\nregarding: {kind: Pod, name: a, namespace: default}\neventTime: \"2026-11-26T21:45:00.000000Z\"\nnote: \"" + message + "\"\n",
	} {
		facts := mustRead(t, write(t, map[string]string{"events.yaml": text})).Facts
		i := slices.IndexFunc(facts, func(f timeline.Fact) bool { return f.What == timeline.ScaleUp })
		if i < 0 {
			t.Errorf("%s: there is no decision in %v", name, facts)
		} else if f := facts[i]; f.Name != "default/a" || f.Group != "web" || *f.N != 2 || f.Time.Format(time.TimeOnly) != "21:45:00" {
			t.Errorf("%s: the fact is %+v", name, f)
		}
	}
}

func TestPrefixesOfLogs(t *testing.T) {
	t.Parallel()
	const line = "I1126 21:45:50.100000   26098 static_autoscaler.go:274] Starting main loop"
	for prefix, stamp := range map[string]string{
		"":                                               "",
		"2026-11-26T21:45:50.123456789Z ":                "2026-11-26T21:45:50.123456789Z",
		"2026-11-26T23:45:50.123+02:00 ":                 "2026-11-26T21:45:50.123Z",
		"[pod/ca-7d9f8-x2x8z/ca] ":                       "",
		"2026-11-26T21:45:50.1Z stderr F ":               "2026-11-26T21:45:50.1Z",
		"Nov 26 21:45:50 host ca[123]: ":                 "",
		"2026-11-26T21:45:50+0000 host ca[123]: ":        "2026-11-26T21:45:50Z",
		"[pod/ca/ca] 2026-11-26T21:45:50.123456789Z ":    "2026-11-26T21:45:50.123456789Z",
		`level=info ts=2026-11-26T21:45:50Z component="`: "2026-11-26T21:45:50Z",
	} {
		got := parseLine(prefix + line)
		if got.Message != "Starting main loop" || !got.Known() {
			t.Errorf("%q: the message is %q", prefix, got.Message)
		}
		want, _ := time.Parse(time.RFC3339Nano, stamp)
		if !got.stamp.Equal(want) {
			t.Errorf("%q: the stamp is %s, want %q", prefix, got.stamp, stamp)
		}
	}
	if got := parseLine("2026-11-26T21:45:50Z panic: no"); got.Message != "panic: no" {
		t.Errorf("the message of a panic is %q", got.Message)
	}
	for _, other := range []string{"XI1126 21:45:50.100000   26098 a.go:1] no", strings.Repeat("x", maxPrefix) + " " + line} {
		if got := parseLine(other); got.Message != other {
			t.Errorf("%q has the message %q", other, got.Message)
		}
	}
}

// TestTimesOfLogs: the year comes from near, and the zone of the clock from the stamps.
func TestTimesOfLogs(t *testing.T) {
	t.Parallel()
	near := time.Date(2027, 1, 2, 0, 0, 0, 0, time.FixedZone("", 3600))
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"over New Year": {"I1231 23:59:59.5  1 a.go:1] Starting main loop\nI0101 00:00:01.5  1 a.go:1] Starting main loop\npanic: no",
			[]string{"2026-12-31T23:59:59.5Z", "2027-01-01T00:00:01.5Z", "2027-01-01T00:00:01.5Z"}},
		"a clock in India": {"2025-11-26T21:45:50.6Z I1127 03:15:50.5  1 a.go:1] Starting main loop\n2025-11-26T21:45:51Z panic: no",
			[]string{"2025-11-26T21:45:50.5Z", "2025-11-26T21:45:51Z"}},
	} {
		log, err := readLog(t.Context(), strings.NewReader(tc.text))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, line := range log.at(near) {
			got = append(got, line.At.UTC().Format(time.RFC3339Nano))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: the times are %q, want %q", name, got, tc.want)
		}
	}
}

// TestLongLinesAreCut: a line without an end does not fill the memory.
func TestLongLinesAreCut(t *testing.T) {
	t.Parallel()
	reader := bufio.NewReaderSize(strings.NewReader(strings.Repeat("a", 3*maxLine)+"\nb"), 4096)
	line, err := readLine(reader)
	if err != nil || len(line) > maxLine+4096 {
		t.Errorf("a line of %d bytes, %v", len(line), err)
	}
	if line, _ := readLine(reader); line != "b" {
		t.Errorf("then %q", line)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: PodList\nitems: [{metadata: {name: a}}]\n---\nkind: Node\nmetadata: {name: b}\n"))
	f.Add([]byte(`[{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}]`))
	f.Add([]byte(`{"kind":"List","items":[{"items":[]},null,1]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, _, _ := decode(data)
		for _, o := range objects {
			if o.GetKind() == "" || o.GetName() == "" {
				t.Errorf("%q has the object %v", data, o.Object)
			}
			toCore(o)
			latestTime(o.Object)
		}
	})
}

func FuzzLog(f *testing.F) {
	f.Add(autoscalerLog)
	f.Add("2026-11-26T21:45:50.1Z stderr F I1126 21:45:50.100000   1 a.go:1] x\r\n\n2026-11-26T21:45:50Z panic: no")
	f.Fuzz(func(t *testing.T, text string) {
		log, err := readLog(t.Context(), strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range log.at(time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)) {
			if line.At.IsZero() {
				t.Errorf("%q has a line without a time: %+v", text, line)
			}
		}
	})
}

// TestCompleteKinds: with Complete, a record has all objects of each kind that is in the folder, also if
// a list of it is empty. A kind of which an object cannot be used does not count.
func TestCompleteKinds(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"objects.yaml": `
{apiVersion: v1, kind: List, items: [
  {apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: default, uid: c}},
  {apiVersion: storage.k8s.io/v1, kind: CSINode, metadata: {name: node-1, uid: i}, spec: {drivers: []}},
  {apiVersion: resource.k8s.io/v1alpha2, kind: ResourceClaim, metadata: {name: old, namespace: default, uid: o}},
  {apiVersion: resource.k8s.io/v1, kind: DeviceClass, metadata: {name: gpu, uid: d}},
  {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: default, uid: p}}]}`,
		"pv.yaml":  "{apiVersion: v1, kind: PersistentVolumeList, items: []}",
		"pdb.json": `{"apiVersion": "policy/v1", "kind": "PodDisruptionBudgetList", "items": []}`,
	})
	for _, complete := range []bool{false, true} {
		result, err := Read(t.Context(), dir, Options{Complete: complete})
		if err != nil {
			t.Fatal(err)
		}
		var want []timeline.Kind
		var kinds, partial []string
		if complete {
			want = []timeline.Kind{timeline.Budget, timeline.Claim, timeline.CSINode, timeline.DeviceClass, timeline.Volume}
			kinds, partial = []string{"PodDisruptionBudget", "PersistentVolumeClaim", "PersistentVolume", "CSINode", "DeviceClass"}, []string{"ResourceClaim"}
		}
		if got := completeKinds(result.Facts); !slices.Equal(got, want) || !slices.Equal(result.Complete, kinds) || !slices.Equal(result.Partial, partial) || len(result.Ignored) > 0 {
			t.Errorf("complete %t: all of %q are on record, want %q; the result has %q, want %q, and in part %q, want %q; ignored %v", complete, got, want, result.Complete, kinds, result.Partial, partial, result.Ignored)
		}
	}
}

// completeKinds returns the kinds of which the facts say that the record has all objects, sorted.
func completeKinds(facts []timeline.Fact) []timeline.Kind {
	var kinds []timeline.Kind
	for _, f := range facts {
		if f.What == timeline.Shaped && f.Name == "" {
			kinds = append(kinds, f.Kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// TestNothingIsCompleteBesideAnUnreadFile: a file that cannot be read, or only in part, may have objects of any
// kind. A file that cannot have objects does not matter.
func TestNothingIsCompleteBesideAnUnreadFile(t *testing.T) {
	t.Parallel()
	const budgets = `{"apiVersion": "policy/v1", "kind": "PodDisruptionBudgetList", "items": []}`
	for name, tc := range map[string]struct {
		text     string
		complete bool
	}{
		"second-document.yaml": {text: "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web, namespace: default, uid: b}\n---\napiVersion: policy/v1\nkind: [\n"},
		"large.json":           {text: `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "` + strings.Repeat("a", 2<<10) + `"}}`},
		"cut.tgz":              {text: gzipped(t, archive(t, map[string]string{"pdb.json": budgets}))[:60]},
		"dump.zip":             {text: "PK\x03\x04rest"},
		"etcd.log":             {text: `{"level": "info", "msg": "ready"}` + "\nnot JSON: [\n", complete: true},
		"notes.txt":            {text: "no", complete: true},
	} {
		dir := write(t, map[string]string{"pdb.json": budgets, "pod.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: default, uid: p}\n", name: tc.text})
		r := newReader(t.Context(), Options{Complete: true})
		r.limits.objects = 1 << 10
		if err := r.walk(dir); err != nil {
			t.Fatal(err)
		}
		result, err := r.finish(dir)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		unread := []string{name}
		if tc.complete {
			want, unread = []string{"PodDisruptionBudget"}, nil
		}
		if got := completeKinds(result.Facts); len(got) != len(want) || !slices.Equal(result.Complete, want) || len(result.Ignored) != 1 || !slices.Equal(result.Unread, unread) {
			t.Errorf("beside %s, all of %q are on record, and the result has %q, want %q; ignored %v; unread %q, want %q", name, got, result.Complete, want, result.Ignored, result.Unread, unread)
		}
	}
}

// TestMisfitsAreNotComplete: a kind is not complete if an object of it does not fit its type.
func TestMisfitsAreNotComplete(t *testing.T) {
	t.Parallel()
	result, err := Read(t.Context(), write(t, map[string]string{"objects.yaml": `
{apiVersion: v1, kind: List, items: [
  {apiVersion: v1, kind: PersistentVolume, metadata: {name: disk, uid: v}},
  {apiVersion: apps/v1, kind: DaemonSet, metadata: {name: agent, namespace: default, uid: a}},
  {apiVersion: apps/v1, kind: DaemonSet, metadata: {name: odd, namespace: default, uid: o}, spec: {template: 1}}]}`}), Options{Complete: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := completeKinds(result.Facts); !slices.Equal(got, []timeline.Kind{timeline.Volume}) || !slices.Equal(result.Complete, []string{"PersistentVolume"}) || !slices.Equal(result.Partial, []string{"DaemonSet"}) {
		t.Errorf("all of %q are on record, and the result has %q, and %q in part", got, result.Complete, result.Partial)
	}
}
