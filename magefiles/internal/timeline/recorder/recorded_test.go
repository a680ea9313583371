package recorder

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi/capitest"
	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/explain"
)

// TestRecordedObjects compares the facts about the objects of each release of Cluster API,
// and the answers to why a group and its node are as they are, with testdata, where a
// person can read them.
func TestRecordedObjects(t *testing.T) {
	for _, r := range capitest.At(t, capitest.Scaling) {
		t.Run(r.ClusterAPI, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(recordedAt))
				server := r.Server(t, kube.Pods.WithVersion("v1"), kube.Events.WithVersion("v1"), kube.ConfigMaps.WithVersion("v1"), kube.Budgets.WithVersion("v1"),
					kube.DaemonSets.WithVersion("v1"), kube.Namespaces.WithVersion("v1"), kube.Claims.WithVersion("v1"), kube.Volumes.WithVersion("v1"),
					kube.StorageClasses.WithVersion("v1"), kube.CSINodes.WithVersion("v1"))
				b := &fixture{t: t, server: server, Options: Options{
					Workload: server.Client(), Namespace: "default", Cluster: capitest.Cluster, ConfigNamespace: "default",
					File: filepath.Join(t.TempDir(), "record"), OnError: func(err error) { t.Errorf("reported: %v", err) },
				}}
				answers := []string{strings.Join(sorted(b.record(nil)), "\n") + "\n"}
				facts, err := timeline.Read(b.File)
				if err != nil {
					t.Fatal(err)
				}
				node := facts[slices.IndexFunc(facts, func(f timeline.Fact) bool {
					return f.Kind == timeline.Node && f.Group == "sc-web"
				})].Name
				for _, what := range []string{"group/sc-web", "node/" + node} {
					answer, err := explain.Text(facts, what, explain.Options{})
					if err != nil {
						t.Error(err)
					}
					answers = append(answers, answer)
				}
				golden.Check(t, r.Name()+".txt", strings.Join(answers, "\n"))
			})
		})
	}
}

// TestMarkIsRecordedOnce: some autoscalers mark a machine with two annotations.
func TestMarkIsRecordedOnce(t *testing.T) {
	t.Parallel()
	const at = "2026-11-26 22:00:00.5 +0000 UTC m=+7.1"
	for _, marks := range [][]string{{"cluster.x-k8s.io"}, {"cluster.k8s.io"}, {"cluster.x-k8s.io", "cluster.k8s.io"}} {
		annotations := map[string]string{}
		for _, prefix := range marks {
			annotations[prefix+"/delete-machine"] = at
		}
		machine := &unstructured.Unstructured{Object: map[string]any{}}
		machine.SetAnnotations(annotations)
		var marked []string
		for _, f := range machineFacts(machine, "web", recordedAt) {
			if f.What == timeline.Marked {
				marked = append(marked, f.Time.Format(time.TimeOnly))
			}
		}
		if want := []string{"22:00:00"}; !slices.Equal(marked, want) {
			t.Errorf("%q: marked at %q, want %q", marks, marked, want)
		}
	}
}

// recordedAt is a time after all recordings.
var recordedAt = time.Date(2026, 11, 26, 23, 0, 0, 0, time.UTC)
