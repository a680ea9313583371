package groups

import (
	"errors"
	"strings"
	"testing"

	"caslab/magefiles/internal/kube/kubetest"
)

// TestAddANodeThatDaemonSetsFill: it is a warning, and only about DaemonSets that run on nodes of
// the group.
func TestAddANodeThatDaemonSetsFill(t *testing.T) {
	t.Parallel()
	const daemon = `
{apiVersion: v1, kind: Pod, metadata: {name: agent-1, namespace: default, ownerReferences: [{kind: DaemonSet, name: agent, controller: true}]},
  spec: {nodeSelector: {disk: ssd}, containers: [{name: c, resources: {requests: {memory: 1500Mi}}}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: agent-2, namespace: default, ownerReferences: [{kind: DaemonSet, name: agent, controller: true}]},
  spec: {nodeSelector: {disk: ssd}, containers: [{name: c, resources: {requests: {memory: 1500Mi}}}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: default}, spec: {containers: [{name: c, resources: {requests: {memory: 9Gi}}}]}}
`
	const full = "! memory: DaemonSets and static pods alone request 1500Mi, and a node of the group has 1024Mi: no pod that requests any will run there\n"
	for name, tc := range map[string]struct {
		options Options
		denied  bool
		want    string
	}{
		"too small":         {options: Options{Capacity: "cpu=1,memory=1Gi", Labels: "disk=ssd"}, want: full},
		"large enough":      {options: Options{Capacity: "cpu=1,memory=2Gi", Labels: "disk=ssd"}},
		"of another label":  {options: Options{Capacity: "cpu=1,memory=1Gi"}},
		"tainted":           {options: Options{Capacity: "cpu=1,memory=1Gi", Labels: "disk=ssd", Taints: "a=b:NoSchedule"}},
		"hollow":            {options: Options{Machines: Hollow, Capacity: "cpu=1,memory=1Gi", Labels: "disk=ssd"}, want: full},
		"pods are not told": {options: Options{Capacity: "cpu=1,memory=1Gi", Labels: "disk=ssd"}, denied: true, want: "! whether DaemonSets leave room on nodes of small is not known: "},
	} {
		s := newFixture(t, nil)
		s.server.PutYAML(daemon)
		if tc.denied {
			s.server.Intercept(func(r kubetest.Request) error {
				if r.Resource == "pods" {
					return errors.New("no")
				}
				return nil
			})
		}
		if err := s.Add(testContext(t), "small", 0, 2, tc.options); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if logged := s.lab.Logged.String(); !strings.Contains(logged, tc.want) || tc.want == "" && strings.Contains(logged, "DaemonSets") {
			t.Errorf("%s: want %q:\n%s", name, tc.want, logged)
		}
	}
}
