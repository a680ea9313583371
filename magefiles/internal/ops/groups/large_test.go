package groups

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/kube"
)

// TestLargeGroups: a group of hundreds of machines gets the time that they take, and not more.
func TestLargeGroups(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		after time.Duration
		want  string
	}{
		"in time": {14 * time.Minute, ""},
		"never":   {time.Hour, "not within 15m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFixture(t, nil)
				s.idle = true
				time.AfterFunc(tc.after, func() {
					if g := s.server.Get(kube.MachineDeployments, "default", "web"); g != nil {
						s.server.Merge("controller", kube.MachineDeployments, "default", "web", map[string]any{
							"status": map[string]any{"observedGeneration": g.GetGeneration(), "readyReplicas": 300},
						})
					}
				})
				check(t, s.Add(t.Context(), "web", 300, 300, Options{Machines: Hollow}), tc.want)
			})
		})
	}
}

// TestDeletionOfALargeGroup: its machines take time one by one, and what each of them needs to stop.
func TestDeletionOfALargeGroup(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		after time.Duration
		want  string
	}{
		"in time": {24 * time.Minute, ""},
		"never":   {time.Hour, "not within 25m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFixture(t, nil)
				if err := s.Add(t.Context(), "web", 0, 300, Options{Machines: Hollow, Behaviour: hollow.Behaviour{Stop: "10m"}}); err != nil {
					t.Fatal(err)
				}
				const machines = 300
				for i := range machines {
					s.server.PutYAML(fmt.Sprintf("{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, metadata: {name: web-%d, namespace: default, labels: {cluster.x-k8s.io/deployment-name: web}}, spec: {clusterName: work-cluster}}", i))
				}
				time.AfterFunc(tc.after, func() {
					for i := range machines {
						s.server.Remove(kube.Machines, "default", fmt.Sprintf("web-%d", i))
					}
				})
				check(t, s.Delete(t.Context(), "web"), tc.want)
			})
		})
	}
}

// check reports an error other than the wanted one, which has the text; empty for none.
func check(t *testing.T, err error, want string) {
	t.Helper()
	if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}
