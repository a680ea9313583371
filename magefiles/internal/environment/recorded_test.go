package environment

import (
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/capi/capitest"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/run/runtest"
)

// TestStatusAndSurveyOfRecordedObjects: an environment of an old release is found ready, and
// its nodes and machines are printed with their roles, phases and versions.
func TestStatusAndSurveyOfRecordedObjects(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"v0.3.5": {
			"row-row-control-plane-bt42p Ready master 62m32s v1.17.2",
			"row-row-md-0-79d8558475-xgfx9 Ready <none> 61m58s v1.17.2",
			"row-control-plane-bt42p docker:////row-row-control-plane-bt42p Running v1.17.2",
			"row-md-0-79d8558475-xgfx9 docker:////row-row-md-0-79d8558475-xgfx9 Running v1.17.2",
			"work-md-1 docker 1 4 1 1 - - - -",
		},
		"v0.4.8": {
			"row-control-plane-2pdsw Ready control-plane,master 274m34s v1.21.14",
			"row-md-0-86b6949664-mwt7d Ready <none> 273m58s v1.21.14",
			"row-control-plane-2pdsw docker:////row-control-plane-2pdsw Running v1.21.14",
			"row-md-0-86b6949664-mwt7d docker:////row-md-0-86b6949664-mwt7d Running v1.21.14",
			"row-md-0 docker - - 1 1 - - - -",
		},
		"v1.0.5": {
			"row-control-plane-glcrv Ready control-plane,master 268m38s v1.21.14",
			"row-md-0-d487b5584-ncjpw Ready <none> 268m23s v1.21.14",
			"row-control-plane-glcrv docker:////row-control-plane-glcrv Running v1.21.14",
			"row-md-0-d487b5584-ncjpw docker:////row-md-0-d487b5584-ncjpw Running v1.21.14",
			"row-md-0 docker - - 1 1 - - - -",
		},
		"v1.8.12": {
			"row-control-plane-4hr4k Ready control-plane 262m51s v1.31.4",
			"row-md-0-lskx7-jq59n Ready <none> 262m07s v1.31.4",
			"row-control-plane-4hr4k docker:////row-control-plane-4hr4k Running v1.31.4",
			"row-md-0-lskx7-jq59n docker:////row-md-0-lskx7-jq59n Running v1.31.4",
			"row-md-0 docker - - 1 1 - - - -",
		},
	}
	for _, r := range capitest.At(t, capitest.Up) {
		s := newFixture(t, map[string]string{"CLUSTER_NAME": capitest.Cluster, "CAPI_VERSION": r.ClusterAPI, "KUBERNETES_VERSION": r.Kubernetes})
		s.Now = func() time.Time { return time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC) }
		s.workload = &apiServer{port: "32001", Server: r.Server(t, kube.Pods.WithVersion("v1"), kube.Deployments.WithVersion("v1"), kube.Providers.WithVersion("v1alpha3"))}
		s.workload.PutYAML(`
{apiVersion: clusterctl.cluster.x-k8s.io/v1alpha3, kind: Provider, metadata: {name: cluster-api, namespace: capi-system}, type: CoreProvider, version: ` + r.ClusterAPI + `}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: capi, namespace: capi-system}, status: {conditions: [{type: Available, status: "True"}]}}
`)
		owner, err := s.State.Mark(s.Config.ClusterName)
		if err != nil {
			t.Fatal(err)
		}
		s.docker.containers = []fakeContainer{
			{id: "lb", name: "row-lb", cluster: capitest.Cluster, role: "external-load-balancer", port: s.workload.Port(), created: "1"},
			{id: "cp", name: "row-control-plane", cluster: capitest.Cluster, role: "control-plane", owner: owner, created: "2"},
		}
		s.docker.Answers = []runtest.Answer{{Prefix: "docker image ls"}}
		s.write(t, s.EnvironmentKubeconfig(), string(s.workload.Kubeconfig("172.18.0.3:6443")))
		found, err := s.takeSurvey(t.Context())
		if err != nil || !found.ready || found.replace != nil {
			t.Errorf("%s: the survey found %+v, %v", r.Name(), found, err)
		}
		if err := s.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		printed := map[string]bool{}
		for line := range strings.Lines(s.printed.String()) {
			printed[strings.Join(strings.Fields(line), " ")] = true
		}
		for _, line := range append(want[r.ClusterAPI], "Environment row: Cluster API "+r.ClusterAPI+", Kubernetes "+r.Kubernetes+", self-managed") {
			if !printed[line] {
				t.Errorf("%s: no line %q in\n%s", r.Name(), line, s.printed)
			}
		}
	}
}
