package target_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/target/targettest"
)

// system is a cluster without Cluster API objects.
const system = "{apiVersion: v1, kind: Namespace, metadata: {name: kube-system, uid: another-uid}}"

func TestOpen(t *testing.T) {
	t.Parallel()
	managing := kubetest.New(t, targettest.Kinds(), targettest.Objects).KubeconfigFile()
	plain := kubetest.New(t, targettest.Kinds()[:8], system).KubeconfigFile()
	empty := kubetest.New(t, targettest.Kinds(), system).KubeconfigFile()
	for name, tc := range map[string]struct {
		o target.Options
		// environment is the path of the environment's kubeconfig, or notUp is
		// returned instead of it.
		environment string
		notUp       error
		want        target.Cluster
		refused     string
		// opened is true if the management cluster only has no Cluster object yet.
		opened bool
	}{
		"the environment's": {
			environment: managing,
			want:        target.Cluster{WorkloadPath: managing, Own: true, UID: "the-uid"},
		},
		"the environment's, which is not there": {
			notUp: errors.New("type: go tool mage env:up"), refused: "type: go tool mage env:up",
		},
		"another that manages itself": {
			o:    target.Options{Workload: managing},
			want: target.Cluster{WorkloadPath: managing, UID: "the-uid"},
		},
		"another, managed from a third": {
			o:    target.Options{Workload: plain, Management: managing},
			want: target.Cluster{WorkloadPath: plain, ManagementPath: managing, UID: "another-uid"},
		},
		"no kubeconfig": {
			o: target.Options{Workload: "/nope"}, refused: "WORKLOAD_KUBECONFIG=/nope: ",
		},
		"no kubeconfig of the management cluster": {
			o: target.Options{Workload: plain, Management: "/nope"}, refused: "MANAGEMENT_KUBECONFIG=/nope: ",
		},
		"managed from somewhere": {
			o: target.Options{Workload: plain}, refused: "if another one holds them, set MANAGEMENT_KUBECONFIG",
		},
		"swapped": {
			o:       target.Options{Workload: managing, Management: plain},
			refused: "the two kubeconfigs look swapped: the cluster of WORKLOAD_KUBECONFIG=" + managing + " holds the Cluster objects of Cluster API (default/work-cluster)", opened: true,
		},
		"swapped, and Cluster API is installed in both": {
			o: target.Options{Workload: managing, Management: empty}, refused: "the two kubeconfigs look swapped", opened: true,
		},
		"managed from nowhere": {
			o: target.Options{Workload: plain, Management: empty}, refused: "the cluster of MANAGEMENT_KUBECONFIG=" + empty + " holds no Cluster objects", opened: true,
		},
		"no such Cluster": {
			o: target.Options{Workload: managing, Name: "other"}, refused: "there is no Cluster default/other, but default/work-cluster; set CLUSTER_NAME and CLUSTER_NAMESPACE",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := tc.o
			if o.Name == "" {
				o.Name = "work-cluster"
			}
			o.Namespace = "default"
			o.Environment = func(context.Context) (string, error) { return tc.environment, tc.notUp }
			c, err := target.Open(t.Context(), o)
			if errors.As(err, new(*target.MissingClusterError)) != tc.opened || tc.opened && c.Management == nil {
				t.Errorf("Open() = %v, %v; want a cluster that lacks the Cluster object: %t", c, err, tc.opened)
			}
			if tc.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("Open() = %v, want %q in it", err, tc.refused)
				}
				if strings.Contains(tc.refused, "swapped") && strings.Contains(err.Error(), "set MANAGEMENT_KUBECONFIG") {
					t.Errorf("it asks for a setting that is set: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.WorkloadPath != tc.want.WorkloadPath || c.ManagementPath != tc.want.ManagementPath || c.Own != tc.want.Own || c.UID != tc.want.UID || c.Name != "work-cluster" {
				t.Errorf("Open() = %+v, want %+v", c, tc.want)
			}
			if (c.Workload == c.Management) != (c.ManagementPath == "") {
				t.Error("one client is for both clusters, or two are for one")
			}
			if _, err := c.Management.Get(t.Context(), kube.Clusters, "default", "work-cluster"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenOfAClusterThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	// The port of a closed server may be given to another test's server. This
	// port is given to nobody.
	if err := os.WriteFile(path, kubetest.New(t, targettest.Kinds(), "").Kubeconfig("127.0.0.1:1"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := target.Open(ctx, target.Options{Name: "work-cluster", Namespace: "default", Environment: func(context.Context) (string, error) { return path, nil }, Start: "start it"})
	if err == nil || !strings.Contains(err.Error(), "the cluster of "+path+" does not answer") || !strings.HasSuffix(err.Error(), "\ntype: start it") {
		t.Errorf("Open() = %v; want that it does not answer, and what to type", err)
	}
}

// TestVersions: the versions are those that the cluster reports, not those of the settings.
func TestVersions(t *testing.T) {
	t.Parallel()
	c, server := targettest.New(t)
	// The node that comes first by name is a worker.
	server.PutYAML("{apiVersion: v1, kind: Node, metadata: {name: a-worker}, status: {nodeInfo: {kubeletVersion: v1.33.0}}}")
	have, err := c.Versions(t.Context())
	if want := (target.Versions{ClusterAPI: "v1.13.5", Kubernetes: "v1.35.4"}); err != nil || have != want {
		t.Errorf("Versions() = %+v, %v; want %+v, of the control plane", have, err, want)
	}
	if got := strings.Join(have.List(), "; "); got != "Cluster API v1.13.5; Kubernetes v1.35.4" {
		t.Errorf("List() = %s", got)
	}
	// The control plane is hosted elsewhere, and the providers were not
	// installed by clusterctl.
	server.Remove(kube.Nodes, "", "cp")
	server.Remove(kube.Nodes, "", "a-worker")
	server.Remove(kube.Providers, "capi-system", "cluster-api")
	have, err = c.Versions(t.Context())
	if want := (target.Versions{Kubernetes: "v1.34.0"}); err != nil || have != want {
		t.Errorf("Versions() = %+v, %v; want %+v", have, err, want)
	}
	if got, want := have.Map(), map[string]string{"Kubernetes": "v1.34.0"}; !maps.Equal(got, want) {
		t.Errorf("Map() = %v, want %v", got, want)
	}
}

func TestConfigNamespace(t *testing.T) {
	t.Parallel()
	c := target.Cluster{Namespace: "team"}
	if got := c.ConfigNamespace(); got != "team" {
		t.Errorf("of a cluster that manages itself: %s", got)
	}
	c.ManagementPath = "/m"
	if got := c.ConfigNamespace(); got != "kube-system" {
		t.Errorf("of one that is managed from another: %s", got)
	}
	if c.Arch() != "" {
		t.Errorf("the nodes of another's cluster are %s", c.Arch())
	}
	if c.Own = true; c.Arch() == "" {
		t.Error("the architecture of the lab's nodes is not known")
	}
}
