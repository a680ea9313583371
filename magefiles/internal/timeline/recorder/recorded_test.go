package recorder

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
					kube.StorageClasses.WithVersion("v1"), kube.CSINodes.WithVersion("v1"),
					dockerMachines.WithVersion("v1beta2"), configs.WithVersion("v1beta2"))
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
					answer, err := explain.Text(t.Context(), facts, what, explain.Options{})
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

// recordedAt is a time after all recordings.
var recordedAt = time.Date(2026, 11, 26, 23, 0, 0, 0, time.UTC)
