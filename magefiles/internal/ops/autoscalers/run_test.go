package autoscalers

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/target/targettest"
)

// fakeRunner starts fake processes: a compiler that writes a file, and an
// autoscaler that runs until it is stopped.
type fakeRunner struct {
	mu      sync.Mutex
	started []run.Cmd
	running chan struct{}
	once    sync.Once
}

const help = "  --cloud-provider string\n  --namespace string\n  --node-group-auto-discovery value\n  --expendable-pods-priority-cutoff int\n  --max-nodes-total int\n" +
	"  --balance-similar-node-groups\n  --scale-down-enabled\n  --scale-down-delay-after-add duration\n  --scale-down-delay-after-delete duration\n  --scale-down-delay-after-failure duration\n" +
	"  --scale-down-unneeded-time duration\n  --unremovable-node-recheck-timeout duration\n  --max-node-provision-time duration\n  -v, --v Level\n  --debugging-snapshot-enabled\n  --kube-client-qps float\n  --kube-client-burst int\n  --leader-elect\n  --address string\n  --kubeconfig string\n  --cloud-config string\n"

func (m *fakeRunner) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	m.mu.Lock()
	m.started = append(m.started, c)
	m.mu.Unlock()
	switch {
	case c.Name == "go" && slices.Contains(c.Args, "build"):
		return run.Result{}, state.WriteFile(c.Args[slices.Index(c.Args, "-o")+1], []byte("program"), 0o755)
	case c.Name == "go" && c.Args[0] == "env":
		return run.Result{Stdout: []byte("{}")}, nil
	case c.Name == "go":
		return run.Result{Stdout: []byte("go version go1.26.0\n")}, nil
	case filepath.Base(c.Name) != "cluster-autoscaler":
		return run.Result{}, &run.Error{Cmd: c, Err: errors.New("not in this test")}
	case slices.Equal(c.Args, []string{"--help"}):
		return run.Result{Stdout: []byte(help)}, nil
	}
	if _, err := io.WriteString(c.Stdout, "I1124 22:20:03.123456   26098 static_autoscaler.go:308] Starting main loop\n"); err != nil {
		return run.Result{}, err
	}
	m.once.Do(func() { close(m.running) })
	<-ctx.Done()
	return run.Result{}, &run.Error{Cmd: c, Err: context.Cause(ctx)}
}

// commands returns the command lines of the processes that ran the program.
func (m *fakeRunner) commands(program string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for _, c := range m.started {
		if filepath.Base(c.Name) == program {
			all = append(all, c.String())
		}
	}
	return all
}

// checkout returns a folder with a checkout of a release.
func checkout(t *testing.T, release string) string {
	t.Helper()
	dir := t.TempDir()
	for path, text := range map[string]string{
		"go.mod":             "module " + build.AutoscalerModule + "\n\ngo 1.26.0\n",
		"version/version.go": "package version\n\nvar ClusterAutoscalerVersion = \"" + release + "\"\n",
		"main.go":            "package main\n\nfunc main() {}\n",
	} {
		if err := state.WriteFile(filepath.Join(dir, "cluster-autoscaler", path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// fixture has what is needed to run an autoscaler on a cluster.
type fixture struct {
	*Autoscalers
	lab     *labtest.Lab
	runner  *fakeRunner
	cluster *target.Cluster
	server  *kubetest.Server
	// recorded is the number of recorders, and loaded has the images that were
	// loaded into the nodes.
	recorded int
	loaded   []string
	// flags are those that were recorded last.
	flags []autoscaler.Flag
	// ends are those that were recorded.
	ends []error
}

func (s *fixture) AddStart(_ *target.Cluster, flags []autoscaler.Flag, _ string) { s.flags = flags }

func (s *fixture) AddEnd(_ *target.Cluster, err error) { s.ends = append(s.ends, err) }

func (s *fixture) Record(context.Context, *target.Cluster) (stop func()) {
	s.recorded++
	return func() { s.recorded-- }
}

func (s *fixture) LoadIntoControlPlane(_ context.Context, ref string, _ v1.Image) error {
	s.loaded = append(s.loaded, ref)
	return nil
}

func newFixture(t *testing.T, release string) *fixture {
	t.Helper()
	l := labtest.New(t, map[string]string{"AUTOSCALER_DIR": checkout(t, release)})
	c, server := targettest.New(t)
	s := &fixture{lab: l, runner: &fakeRunner{running: make(chan struct{})}, cluster: c, server: server}
	l.Runner = s.runner
	s.Autoscalers = &Autoscalers{Lab: l.Lab, Open: targettest.Open(c), Recorder: s, Nodes: s}
	return s
}

// with returns the same machine and cluster with other settings.
func (s *fixture) with(t *testing.T, release string) *Autoscalers {
	t.Helper()
	other := labtest.New(t, map[string]string{"AUTOSCALER_DIR": checkout(t, release)})
	other.State, other.Out = s.State, other.Printed
	return s.With(other.Lab)
}

// TestRun: one autoscaler runs with the flags of its release and is recorded.
// Its release is known while it runs and after it ended.
func TestRun(t *testing.T) {
	t.Parallel()
	s := newFixture(t, "1.35.2")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, RunOptions{Flags: "--v=5"}) }()
	select {
	case <-s.runner.running:
	case err := <-ended:
		t.Fatalf("Run() = %v", err)
	}
	lines := s.runner.commands("cluster-autoscaler")
	if last := lines[len(lines)-1]; !strings.Contains(last, "--v=5") || strings.Contains(last, "--v=4") || !strings.Contains(last, "clusterName=work-cluster") || !strings.Contains(last, "--kubeconfig="+s.AutoscalerKubeconfig()) {
		t.Errorf("ran %s", last)
	}
	if relayed, err := os.ReadFile(s.AutoscalerKubeconfig()); err != nil || !strings.Contains(string(relayed), "https://127.0.0.1:") {
		t.Errorf("its kubeconfig is %s, %v; want one of a relay", relayed, err)
	}
	if s.recorded != 1 {
		t.Errorf("%d record it", s.recorded)
	}
	// This is another command, whose settings name another release.
	other := s.with(t, "1.36.1")
	runs, err := other.Running(t.Context(), s.cluster)
	if err != nil || !strings.HasPrefix(runs.Text, "on this machine, autoscaler:run (process ") || runs.Release == nil || runs.Release.String() != "1.35.2" {
		t.Errorf("Running() = %+v, %v; want the release that runs", runs, err)
	}
	if name, err := other.Release(t.Context(), s.cluster); err != nil || name != "1.35.2" {
		t.Errorf("Release() = %s, %v", name, err)
	}
	if err := other.Run(t.Context(), RunOptions{}); err == nil || !strings.Contains(err.Error(), `an autoscaler of the cluster "work-cluster" is already running: autoscaler:run (process `) {
		t.Errorf("a second Run() = %v", err)
	}
	if err := other.Deploy(t.Context(), DeployOptions{}); err == nil || !strings.Contains(err.Error(), "is already running") {
		t.Errorf("Deploy() beside it = %v", err)
	}
	// Another checkout, on any machine, has locks of its own.
	elsewhere := s.With(labtest.New(t, map[string]string{"AUTOSCALER_DIR": checkout(t, "1.36.1")}).Lab)
	if err := elsewhere.Run(t.Context(), RunOptions{}); err == nil || !strings.Contains(err.Error(), `an autoscaler of the cluster "work-cluster" already runs elsewhere: `) || !strings.Contains(err.Error(), " in "+s.Config.Root+": autoscaler:run (process ") {
		t.Errorf("Run() in another checkout = %v", err)
	}
	if runs, err := elsewhere.Running(t.Context(), s.cluster); err != nil || !strings.HasPrefix(runs.Text, "elsewhere, ") || runs.Release != nil {
		t.Errorf("in another checkout Running() = %+v, %v", runs, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run() = %v, when interrupted", err)
	}
	if runs, err := elsewhere.Running(t.Context(), s.cluster); err != nil || runs.Text != "" {
		t.Errorf("in another checkout after its end Running() = %+v, %v", runs, err)
	}
	if s.recorded != 0 {
		t.Error("it is still recorded")
	}
	if !slices.Equal(s.ends, []error{nil}) {
		t.Errorf("the recorded ends are %v, want that the lab stopped it", s.ends)
	}
	if left, err := state.Exists(s.AutoscalerKubeconfig()); err != nil || left {
		t.Errorf("its kubeconfig is left: %v", err)
	}
	if runs, err := other.Running(t.Context(), s.cluster); err != nil || runs.Text != "" || runs.Release != nil {
		t.Errorf("after its end Running() = %+v, %v", runs, err)
	}
	if name, err := other.Release(t.Context(), s.cluster); err != nil || name != "1.35.2" {
		t.Errorf("the release that ran last is %q, %v", name, err)
	}
	// While the next autoscaler is compiled, its release is not known.
	unlock, err := other.Lock(t.Context(), s.cluster, "autoscaler:run")
	if err != nil {
		t.Fatal(err)
	}
	if name, err := other.Release(t.Context(), s.cluster); err != nil || name != "" {
		t.Errorf("before it started the release is %q, %v", name, err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

// TestWrongFlagsAreRefusedFirst: wrong flags are refused before the first
// request to the cluster.
func TestWrongFlagsAreRefusedFirst(t *testing.T) {
	t.Parallel()
	s := newFixture(t, "1.35.2")
	s.Open = targettest.Closed(t)
	for name, do := range map[string]func() error{
		"run":    func() error { return s.Run(t.Context(), RunOptions{Flags: "--v=4 stray word"}) },
		"deploy": func() error { return s.Deploy(t.Context(), DeployOptions{Flags: "--v=4 stray word"}) },
		"debug": func() error {
			return s.Debug(t.Context(), DebugOptions{RunOptions: RunOptions{Flags: "--v=4 stray word"}, Listen: "127.0.0.1:47321"})
		},
		"flags": func() error { return s.Flags(t.Context(), "--v=4 stray word") },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), "is no flag") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(s.runner.started) > 0 {
		t.Errorf("processes ran: %q", s.runner.started)
	}
}

// TestUnknownFlagIsRefused: a flag that the program does not have is refused
// before the program runs.
func TestUnknownFlagIsRefused(t *testing.T) {
	t.Parallel()
	s := newFixture(t, "1.35.2")
	if err := s.Run(t.Context(), RunOptions{Flags: "--parallel-drain"}); !errors.As(err, new(*autoscaler.UnknownFlagError)) {
		t.Errorf("Run() = %v", err)
	}
	if err := s.Deploy(t.Context(), DeployOptions{Flags: "--parallel-drain"}); !errors.As(err, new(*autoscaler.UnknownFlagError)) {
		t.Errorf("Deploy() = %v", err)
	}
	if lines := s.runner.commands("cluster-autoscaler"); len(lines) != 2 || s.server.Get(kube.Deployments, "default", autoscaler.Name) != nil {
		t.Errorf("it ran: %q", lines)
	}
	if who, err := s.State.Holder(autoscalerLock(s.cluster)); err != nil || who != "" {
		t.Errorf("after the refusal %q holds the cluster, %v", who, err)
	}
}

// TestEntryProgramOfTheCore: what is compiled instead of the tree's entry program is said,
// and is part of what the program is called.
func TestEntryProgramOfTheCore(t *testing.T) {
	t.Parallel()
	core := t.TempDir()
	for path, text := range map[string]string{
		"go.mod":       "module " + build.CoreModule + "\n\ngo 1.26.0\n",
		"kwok/main.go": "package main\n\nimport (\n\t_ \"" + build.CoreModule + "/pkg/builder\"\n\t_ \"" + build.CoreModule + "/pkg/cloudprovider/kwok\"\n)\n",
	} {
		if err := state.WriteFile(filepath.Join(core, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree := checkout(t, "1.37.0")
	mod := "module " + build.AutoscalerModule + "\n\ngo 1.26.0\n\nrequire " + build.CoreModule + " v0.0.0\n"
	if err := state.WriteFile(filepath.Join(tree, "cluster-autoscaler", "go.mod"), []byte(mod), 0o600); err != nil {
		t.Fatal(err)
	}
	main := "package main\n\nimport \"" + build.CoreModule + "/pkg/config/flags\"\n\nfunc main() { flags.Dropped() }\n"
	if err := state.WriteFile(filepath.Join(tree, "cluster-autoscaler", "main.go"), []byte(main), 0o600); err != nil {
		t.Fatal(err)
	}
	l := labtest.New(t, map[string]string{"AUTOSCALER_DIR": tree, "AUTOSCALER_CORE_DIR": core})
	refuses := &refusing{fakeRunner: &fakeRunner{running: make(chan struct{})}}
	l.Runner = refuses
	built, err := (&Autoscalers{Lab: l.Lab}).Compile(t.Context(), false)
	if err != nil || !strings.HasSuffix(built.State, ", with the core's own entry program") || refuses.refused != 1 {
		t.Errorf("Compile() = %+v, %v", built, err)
	}
	if said := l.Logged.String(); !strings.Contains(said, "undefined: flags.Dropped") || !strings.Contains(said, "core's own kwok/main.go") {
		t.Errorf("it said %s", said)
	}
}

// refusing is a fakeRunner whose compiler refuses the tree's entry program.
type refusing struct {
	*fakeRunner
	refused int
}

func (r *refusing) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	overlaid := slices.ContainsFunc(c.Args, func(a string) bool { return strings.HasPrefix(a, "-overlay=") })
	if c.Name == "go" && slices.Contains(c.Args, "build") && !overlaid {
		r.refused++
		stderr := "# " + build.AutoscalerModule + "\n./main.go:9:2: undefined: flags.Dropped\n"
		return run.Result{Stderr: []byte(stderr)}, &run.Error{Cmd: c, Err: errors.New("exit status 1")}
	}
	return r.fakeRunner.Run(ctx, c)
}

// TestClusterWithoutItsAPI: if the cluster does not serve the only version of
// the API that a release reads, the autoscaler would end at once. It is not
// started.
func TestClusterWithoutItsAPI(t *testing.T) {
	t.Parallel()
	s := newFixture(t, "1.18.1")
	if err := s.Run(t.Context(), RunOptions{}); err == nil || !strings.Contains(err.Error(), "as v1alpha2 alone") || !strings.Contains(err.Error(), "AUTOSCALER_VERSION=1.19.1 or later") {
		t.Errorf("Run() = %v", err)
	}
	if lines := s.runner.commands("cluster-autoscaler"); len(lines) > 0 {
		t.Errorf("it ran: %q", lines)
	}
	s.server.Define(kube.MachineDeployments.WithVersion("v1alpha2"))
	if _, err := s.autoscalerEnvironment(t.Context(), s.cluster); err != nil {
		t.Errorf("a cluster that serves v1alpha2 is refused: %v", err)
	}
}

// available makes every Deployment available as soon as it is created.
func (s *fixture) available() {
	s.server.Intercept(func(r kubetest.Request) error {
		if r.Verb == "watch" && r.Resource == "deployments" {
			go func() {
				d := s.server.Get(kube.Deployments, "default", autoscaler.Name)
				if d == nil {
					return // it is gone by now
				}
				s.server.Merge("controller", kube.Deployments, "default", autoscaler.Name, map[string]any{"status": map[string]any{
					"observedGeneration": d.GetGeneration(), "updatedReplicas": 1, "replicas": 1, "availableReplicas": 1,
					"conditions": []any{map[string]any{"type": "Available", "status": "True"}},
				}})
			}()
		}
		return nil
	})
}

// TestDeploy: a later command, even with other settings, can read the release of
// what is deployed.
func TestDeploy(t *testing.T) {
	t.Parallel()
	s := newFixture(t, "1.35.2")
	s.available()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 2 { // again is fine
		if err := s.Deploy(ctx, DeployOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	d := s.server.Get(kube.Deployments, "default", autoscaler.Name)
	if image := kube.FirstImage(d); len(s.loaded) == 0 || image != s.loaded[0] || !strings.HasPrefix(image, imageRepository+":") {
		t.Errorf("it runs %s, and the nodes have %q", image, s.loaded)
	}
	other := s.with(t, "1.36.1")
	runs, err := other.Running(ctx, s.cluster)
	if err != nil || !strings.HasPrefix(runs.Text, "in the cluster, deployment default/caslab-autoscaler, image "+imageRepository) || runs.Release == nil || runs.Release.String() != "1.35.2" {
		t.Errorf("Running() = %+v, %v", runs, err)
	}
	if err := other.Run(ctx, RunOptions{}); err == nil || !strings.Contains(err.Error(), "the deployment default/caslab-autoscaler; type `go tool mage autoscaler:undeploy`") {
		t.Errorf("Run() beside it = %v", err)
	}
	if err := s.Undeploy(ctx); err != nil {
		t.Fatal(err)
	}
	if s.server.Get(kube.Deployments, "default", autoscaler.Name) != nil {
		t.Error("it is there")
	}
	if err := s.Undeploy(ctx); err != nil {
		t.Errorf("Undeploy() of nothing = %v", err)
	}
}

func TestDeployRefusals(t *testing.T) {
	t.Parallel()
	s := newFixture(t, "1.35.2")
	s.cluster.ManagementPath = "/m"
	if err := s.Deploy(t.Context(), DeployOptions{}); err == nil || !strings.Contains(err.Error(), "for a cluster that manages itself") {
		t.Errorf("Deploy() where another cluster manages it = %v", err)
	}
	s.cluster.ManagementPath, s.cluster.Own = "", false
	if err := s.Deploy(t.Context(), DeployOptions{}); err == nil || !strings.Contains(err.Error(), "-image=REFERENCE") {
		t.Errorf("Deploy() of no image into another's cluster = %v", err)
	}
}

// foreignAutoscaler is a Deployment of somebody else's autoscaler.
const foreignAutoscaler = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: cluster-autoscaler, namespace: kube-system}
spec: {replicas: 1, template: {spec: {containers: [{name: c, image: "IMAGE"}]}}}
`

// TestReleaseOfAForeignAutoscaler: the release is read from the tag of the
// image. Otherwise it is not known.
func TestReleaseOfAForeignAutoscaler(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]string{
		"registry.k8s.io/autoscaling/cluster-autoscaler:v1.34.1":                                   "1.34.1",
		"registry.example.com:5000/cluster-autoscaler:1.33.0-rc.1":                                 "1.33.0-rc.1",
		"registry.k8s.io/autoscaling/cluster-autoscaler:mine":                                      "",
		"registry.k8s.io/autoscaling/cluster-autoscaler":                                           "",
		"registry.k8s.io/autoscaling/cluster-autoscaler:v1.35.0@sha256:" + strings.Repeat("0", 64): "1.35.0",
		"registry.k8s.io/autoscaling/cluster-autoscaler@sha256:" + strings.Repeat("0", 64):         "",
	} {
		s := newFixture(t, "1.36.1")
		s.server.PutYAML(strings.Replace(foreignAutoscaler, "IMAGE", image, 1))
		runs, err := s.Running(t.Context(), s.cluster)
		got := ""
		if runs.Release != nil {
			got = runs.Release.String()
		}
		if err != nil || got != want || !strings.Contains(runs.Text, "deployment kube-system/cluster-autoscaler, which the lab did not create") {
			t.Errorf("%s: Running() = %+v, %v; want the release %q", image, runs, err, want)
		}
		if name, err := s.Release(t.Context(), s.cluster); err != nil || name != want {
			t.Errorf("%s: Release() = %q, %v", image, name, err)
		}
		if _, err := s.Lock(t.Context(), s.cluster, "autoscaler:run"); err == nil || !strings.Contains(err.Error(), "scale it to 0") {
			t.Errorf("%s: beside it: %v", image, err)
		}
		if _, err := s.Lock(t.Context(), s.cluster, deployCommand); err == nil {
			t.Errorf("%s: one is deployed beside it", image)
		}
	}
}

const writtenStatus = `
apiVersion: v1
kind: ConfigMap
metadata: {name: cluster-autoscaler-status, namespace: default}
data:
  status: |
    time: 2026-11-25 10:00:00.5 +0000 UTC
    autoscalerStatus: Running
    clusterWide: {health: {status: Healthy, nodeCounts: {registered: {ready: 3}}}, scaleUp: {status: NoActivity}, scaleDown: {status: CandidatesPresent, candidates: 1}}
    nodeGroups:
    - {name: MachineDeployment/default/gone, health: {status: Healthy}}
    - {name: MachineDeployment/default/web, health: {status: Healthy, cloudProviderTarget: 2, minSize: 1, maxSize: 3, nodeCounts: {registered: {ready: 1}, unregistered: 1}}, scaleUp: {status: Backoff, backoffInfo: {errorCode: QuotaExceeded, errorMessage: no room}}}
`

const hollowWeb = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: web, namespace: default}
spec:
  clusterName: work-cluster
  template: {spec: {infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: HollowMachineTemplate, name: web}}}
`

func TestStatus(t *testing.T) {
	t.Parallel()
	s := newFixture(t, "1.36.1")
	s.Now = func() time.Time { return time.Date(2026, 11, 25, 10, 1, 0, 500e6, time.UTC) }
	if err := s.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.lab.Printed.String(); !strings.Contains(got, "go tool mage autoscaler:run") || !strings.Contains(got, "no status in the ConfigMap default/cluster-autoscaler-status") {
		t.Errorf("without an autoscaler printed\n%s", got)
	}
	s.server.PutYAML(hollowWeb + "---" + writtenStatus)
	if err := s.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := s.lab.Printed.String()
	var rows []string
	for line := range strings.Lines(got) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	for _, want := range []string{
		"Status: Running, written 1m00s ago",
		"gone - Healthy 0 0 0 0 0 - -",
		"web hollow Healthy 1 3 2 1 1 Backoff - QuotaExceeded no room",
		"all Healthy 3 0 NoActivity CandidatesPresent (1)",
	} {
		if !slices.Contains(rows, want) {
			t.Errorf("printed\n%s\nwant %s", got, want)
		}
	}
	s.server.Intercept(func(q kubetest.Request) error {
		if q.Resource == "machinedeployments" {
			return apierrors.NewForbidden(schema.GroupResource{Resource: q.Resource}, "", errors.New("no role"))
		}
		return nil
	})
	before := len(s.lab.Printed.String())
	if err := s.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.lab.Printed.String()[before:]; !strings.Contains(got, "QuotaExceeded no room") || !strings.Contains(got, "kinds of some machines are not known: list the objects of the kind MachineDeployment") {
		t.Errorf("without the right to list node groups printed\n%s", got)
	}
	s.server.Edit(kube.ConfigMaps, "default", autoscaler.StatusConfigMap, func(m *unstructured.Unstructured) {
		m.Object["data"] = map[string]any{"status": "Cluster-autoscaler status at noon\n"}
	})
	if err := s.Status(t.Context()); err != nil || !strings.HasSuffix(s.lab.Printed.String(), "Cluster-autoscaler status at noon\n\n") {
		t.Errorf("prose: %v, printed\n%s", err, s.lab.Printed)
	}
}

// TestFlags: the command line can be shown even before the program is built.
func TestFlags(t *testing.T) {
	t.Parallel()
	s := newFixture(t, "1.36.1")
	s.Open = targettest.Closed(t)
	if err := s.Flags(t.Context(), "--v=7"); err != nil {
		t.Fatal(err)
	}
	if got := s.lab.Printed.String(); !strings.Contains(got, "--v=7") || !strings.Contains(got, "--kubeconfig="+s.EnvironmentKubeconfig()) {
		t.Errorf("printed\n%s", got)
	}
	if logged := s.lab.Logged.String(); !strings.Contains(logged, "not checked against the program") {
		t.Errorf("said\n%s", logged)
	}
	s.Config.WorkloadKubeconfig = "/nope"
	if err := s.Flags(t.Context(), ""); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "WORKLOAD_KUBECONFIG=/nope") {
		t.Errorf("Flags() for no cluster = %v", err)
	}
}
