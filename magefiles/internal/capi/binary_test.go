package capi

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/run/runtest"
)

// ownClusterctl returns a release's own clusterctl, whose answers come from
// fake.
func ownClusterctl(t *testing.T, tag string, fake *runtest.Fake) (Clusterctl, ClusterctlOptions) {
	t.Helper()
	dir := t.TempDir()
	o := ClusterctlOptions{
		Config: filepath.Join(dir, "clusterctl.yaml"), Release: releaseOf(tag), Runner: fake,
		Binary: filepath.Join(dir, "clusterctl"), Home: filepath.Join(dir, "home"),
	}
	if err := os.WriteFile(o.Binary, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range fake.Answers {
		fake.Answers[i].Prefix = o.Binary + " " + fake.Answers[i].Prefix
	}
	ctl, err := NewClusterctl(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return ctl, o
}

// managed returns the kubeconfig of an API server that has clusterctl's
// inventory.
func managed(t *testing.T, types ...string) string {
	t.Helper()
	server := kubetest.New(t, []schema.GroupVersionKind{kube.Providers.WithVersion("v1alpha3")}, "")
	for _, kind := range types {
		server.Put(&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "clusterctl.cluster.x-k8s.io/v1alpha3", "kind": "Provider", "type": kind,
			"metadata": map[string]any{"name": strings.ToLower(kind), "namespace": "default"},
		}})
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, server.Kubeconfig("127.0.0.1:"+server.Port()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOwnClusterctl: older releases run their own clusterctl, with the lab's
// configuration and a home that is not the user's.
func TestOwnClusterctl(t *testing.T) {
	t.Parallel()
	fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "init"}, {Prefix: "move"}}}
	ctl, o := ownClusterctl(t, "1.10.10", fake)
	empty, core := managed(t), managed(t, "CoreProvider", "BootstrapProvider")
	all := managed(t, "CoreProvider", "BootstrapProvider", "ControlPlaneProvider", "InfrastructureProvider")
	for _, kubeconfig := range []string{empty, core, all} {
		if err := ctl.Init(t.Context(), kubeconfig, "v1.10.10"); err != nil {
			t.Fatal(err)
		}
	}
	if err := ctl.Move(t.Context(), "from", "to", "default"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"init --kubeconfig " + empty + " --core cluster-api:v1.10.10 --bootstrap kubeadm:v1.10.10 --control-plane kubeadm:v1.10.10 --infrastructure docker:v1.10.10",
		"init --kubeconfig " + core + " --control-plane kubeadm:v1.10.10 --infrastructure docker:v1.10.10",
		"move --kubeconfig from --to-kubeconfig to --namespace default",
	}
	for i := range want {
		want[i] = o.Binary + " " + want[i] + " --config " + o.Config
	}
	if got := fake.Calls(); !slices.Equal(got, want) {
		t.Errorf("it ran\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, c := range fake.Cmds() {
		for _, variable := range []string{"HOME=" + o.Home, "XDG_CONFIG_HOME=" + o.Home + "/.config", "CLUSTERCTL_DISABLE_VERSIONCHECK=true"} {
			if !slices.Contains(c.Env, variable) {
				t.Errorf("%s without %s: %q", c.Args[0], variable, c.Env)
			}
		}
	}
	// Before v1.2.0, only this prevents clusterctl from sending requests to
	// GitHub.
	state, err := os.ReadFile(filepath.Join(o.Home, ".cluster-api", "version.yaml"))
	if err != nil || !strings.Contains(string(state), "version: v1.10.10") || !strings.Contains(string(state), "lastcheck: ") {
		t.Errorf("the version check finds %q, %v", state, err)
	}
}

func TestOwnClusterctlFails(t *testing.T) {
	t.Parallel()
	if _, err := NewClusterctl(t.Context(), ClusterctlOptions{Release: releaseOf("1.10.10"), Binary: filepath.Join(t.TempDir(), "none")}); err == nil || !strings.Contains(err.Error(), "v1.10.10") {
		t.Errorf("without the program: %v", err)
	}
	ctl, _ := ownClusterctl(t, "1.10.10", &runtest.Fake{Answers: []runtest.Answer{{Prefix: "move", Err: errors.New("exit status 1")}}})
	if err := ctl.Move(t.Context(), "from", "to", "default"); err == nil || !strings.Contains(err.Error(), "clusterctl move") {
		t.Errorf("Move() = %v", err)
	}
	ctl, _ = ownClusterctl(t, "0.3.5", new(runtest.Fake))
	var none *NoDescribeError
	if _, err := ctl.Describe(t.Context(), "config", "default", "work"); !errors.As(err, &none) || none.First != "0.3.13" {
		t.Errorf("Describe() of a release without it = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ctl.Describe(ctx, "config", "default", "work"); err == nil {
		t.Error("a cancelled Describe succeeded")
	}
}

func TestLinesAreReportedWhole(t *testing.T) {
	t.Parallel()
	var got []string
	l := report(func(line string) { got = append(got, line) })
	for _, part := range []string{"Fetching pro", "viders\n\nInstalling", " Provider=\"x\"\nrest"} {
		if _, err := l.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"Fetching providers", `Installing Provider="x"`}; !slices.Equal(got, want) {
		t.Errorf("reported %q, want %q", got, want)
	}
}

// TestDescribeByTheBinary: the tables are those that releases print. Some print
// to stderr.
func TestDescribeByTheBinary(t *testing.T) {
	t.Parallel()
	const table = `NAME                                                           READY  SEVERITY  REASON                       SINCE  MESSAGE
Cluster/work                                                   False  Warning   ScalingUp                    12s    Scaling up control plane to 1 replicas (actual 0)
├─ClusterInfrastructure - DockerCluster/work                   True                                          14s
├─ControlPlane - KubeadmControlPlane/work-control-plane        False  Warning   ScalingUp                    12s    Scaling up
│ └─Machine/work-control-plane-x                               True                                          8s
└─Workers
  └─MachineDeployment/work-md-0                                False  Info      WaitingForAvailableMachines  1m     Minimum availability requires 1 replicas,
                                                                                                                     current 0 available
    └─2 Machines...                                            False  Info      WaitingForInfrastructure     15s    See a, b

`
	want := []Described{
		{0, "Cluster/work", "", "False", "Scaling up control plane to 1 replicas (actual 0)"},
		{1, "ClusterInfrastructure - DockerCluster/work", "", "True", ""},
		{1, "ControlPlane - KubeadmControlPlane/work-control-plane", "", "False", "Scaling up"},
		{2, "Machine/work-control-plane-x", "", "True", ""},
		{1, "Workers", "", "", ""},
		{2, "MachineDeployment/work-md-0", "", "False", "Minimum availability requires 1 replicas, current 0 available"},
		{3, "2 Machines...", "", "False", "See a, b"},
	}
	for name, answer := range map[string]runtest.Answer{
		"stdout": {Prefix: "describe cluster work --kubeconfig config --namespace default", Stdout: "New clusterctl version available\n\n" + table, Stderr: "a warning"},
		"stderr": {Prefix: "describe cluster work --kubeconfig config --namespace default", Stderr: table},
	} {
		ctl, _ := ownClusterctl(t, "1.0.5", &runtest.Fake{Answers: []runtest.Answer{answer}})
		got, err := ctl.Describe(t.Context(), "config", "default", "work")
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("on %s: %v\n%+v\nwant\n%+v", name, err, got, want)
		}
	}
	ctl, _ := ownClusterctl(t, "1.0.5", &runtest.Fake{Answers: []runtest.Answer{{Prefix: "describe", Stdout: "nothing"}}})
	if _, err := ctl.Describe(t.Context(), "config", "default", "work"); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("without a table: %v", err)
	}
}

// FuzzParseTree: whatever clusterctl prints is read or refused. The rows of a tree are deeper than the
// one before by any number of levels, and have names.
func FuzzParseTree(f *testing.F) {
	f.Add("NAME          READY  SEVERITY  REASON  SINCE  MESSAGE\n/work         True\n├─Control/a   False  Info      Waits   1s     for the\n│                                             network\n└─Workers\n")
	f.Add("NAME READY\nx")
	f.Add("NAME MESSAGE SEVERITY READY\nx y z")
	f.Add("NAME ü READY SEVERITY MESSAGE\nü True Info x")
	f.Fuzz(func(t *testing.T, text string) {
		tree, err := parseTree(text)
		if (err == nil) != (len(tree) > 0) {
			t.Errorf("%q: %v, %v", text, tree, err)
		}
		for i, d := range tree {
			if d.Depth < 0 || i > 0 && d.Name == "" {
				t.Errorf("%q: row %d is %+v", text, i, d)
			}
		}
	})
}
