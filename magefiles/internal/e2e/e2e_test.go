//go:build e2e

// Package e2e brings a real environment up and down, through the targets that
// users type.
package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/run"
)

// root is this checkout. The environment's name has a part that no other checkout has, because the
// tests of another checkout may run on the same engine, or may have left an environment there.
var (
	root, name = checkout()
	management = name + "-management"
)

func checkout() (root, name string) {
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256([]byte(root))
	return root, fmt.Sprintf("caslab-e2e-%.3x", sum[:])
}

// lab runs mage targets of this repository for the test's own environment.
type lab struct {
	root string
	env  []string
}

func (l lab) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", append([]string{"tool", "mage"}, args...)...)
	// The autoscaler is the stand-in, and the cluster is the test's own, whatever the
	// user's variables are.
	mine := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "AUTOSCALER_") || strings.HasPrefix(e, "WORKLOAD_KUBECONFIG=") || strings.HasPrefix(e, "MANAGEMENT_KUBECONFIG=") || strings.HasPrefix(e, "CLUSTER_NAMESPACE=")
	})
	cmd.Dir, cmd.Env = l.root, slices.Concat(mine, l.env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// mage runs a target and returns its standard output. Its progress is shown in the
// test's output.
func (l lab) mage(t *testing.T, args ...string) (string, error) {
	t.Helper()
	start := time.Now()
	cmd := l.command(t.Context(), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	t.Logf("mage %s: %v after %.1f s\n%s%s", strings.Join(args, " "), err, time.Since(start).Seconds(), stderr.String(), stdout.String())
	if err != nil {
		err = errors.New(stderr.String())
	}
	return stdout.String(), err
}

func (l lab) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := l.mage(t, args...)
	if err != nil {
		t.Fatalf("mage %s failed", strings.Join(args, " "))
	}
	return out
}

// TestEnvironment is one story in order: a bare engine, an environment killed
// on its way up, ready, verified, used, and gone.
func TestEnvironment(t *testing.T) {
	eng := engine.New(run.Exec{})
	if _, err := eng.Info(t.Context()); err != nil {
		if os.Getenv("CASLAB_E2E") == "required" {
			t.Fatal(err)
		}
		t.Skipf("no environment was made: %v", err)
	}
	// This is the user's own kubeconfig, which must not be changed.
	mine := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(mine, []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := lab{root: root, env: []string{"CLUSTER_NAME=" + name, "KUBECONFIG=" + mine}}
	volumes := strings.Fields(docker(t, "volume", "ls", "--quiet"))
	l.must(t, "env:down")
	t.Cleanup(func() {
		cmd := l.command(context.WithoutCancel(t.Context()), "env:down")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("clean up: %v\n%s", err, out)
		}
	})

	t.Run("nothing is there", func(t *testing.T) {
		if _, err := l.mage(t, "env:status"); err == nil || !strings.Contains(err.Error(), "go tool mage env:up") {
			t.Errorf("env:status of nothing: %v; want the command to type", err)
		}
		if _, err := l.mage(t, "env:up", "-workers=3"); err == nil || !strings.Contains(err.Error(), "env:up has no option -workers=3") {
			t.Errorf("an option that env:up does not have: %v", err)
		}
		if _, err := l.mage(t, "autoscaler:run"); err == nil || !strings.Contains(err.Error(), "go tool mage env:up") {
			t.Errorf("autoscaler:run of nothing: %v; want the command to type", err)
		}
	})
	t.Run("a foreign cluster is refused", func(t *testing.T) { refusesForeign(t, l, eng) })
	t.Run("killed on the way, then two at once", func(t *testing.T) { killedOnTheWay(t, l, eng) })
	checkout := upstream(t)
	moved := ""
	t.Run("two clusters that others made", func(t *testing.T) { moved = servesOthers(t, l, eng, checkout) })
	if !t.Run("up", func(t *testing.T) { comesUp(t, l, eng, moved) }) {
		return
	}
	t.Run("it manages itself", func(t *testing.T) { managesItself(t, l, eng) })
	t.Run("up again verifies", func(t *testing.T) { verifies(t, l, eng) })
	t.Run("another environment's down leaves it alone", func(t *testing.T) {
		before := containers(t, eng, name)
		lab{root: root, env: []string{"CLUSTER_NAME=" + name + "-other", "KUBECONFIG=" + mine}}.must(t, "env:down")
		if after := containers(t, eng, name); !slices.Equal(before, after) {
			t.Errorf("containers before %v, after %v", before, after)
		}
	})
	t.Run("an autoscaler scales it", func(t *testing.T) { scales(t, l, checkout) })
	hollow := t.Run("hollow machines", func(t *testing.T) { addsHollow(t, l, eng) })
	t.Run("hollow machines are replaced", func(t *testing.T) { replacesHollow(t, l) })
	t.Run("the engine's containers were stopped", func(t *testing.T) { survivesStop(t, l, eng) })
	if hollow {
		t.Run("hollow machines go", func(t *testing.T) { removesHollow(t, l) })
	}
	t.Run("images load into running nodes", func(t *testing.T) { l.must(t, "image:load") })
	t.Run("down leaves nothing", func(t *testing.T) {
		l.must(t, "env:down")
		l.must(t, "env:down")
		for _, cluster := range []string{name, management} {
			if left := containers(t, eng, cluster); len(left) > 0 {
				t.Errorf("containers are left: %v", left)
			}
		}
		// Volumes in use are those of other people's containers: this environment has none.
		for _, volume := range strings.Fields(docker(t, "volume", "ls", "--quiet", "--filter", "dangling=true")) {
			if !slices.Contains(volumes, volume) {
				t.Errorf("the volume %s is left", volume)
			}
		}
		if _, err := l.mage(t, "env:kubeconfig"); err == nil {
			t.Error("a kubeconfig is left")
		}
	})
	if data, err := os.ReadFile(mine); err != nil || string(data) != "mine\n" {
		t.Errorf("the user's kubeconfig holds %q, %v", data, err)
	}
}

// refusesForeign creates a container as kind would and checks that the lab leaves it
// alone.
func refusesForeign(t *testing.T, l lab, eng *engine.Engine) {
	l.must(t, "image:node") // leaves the image, and what the probe runs
	id, err := eng.Run(t.Context(), name+"-foreign", "--label", "io.x-k8s.kind.cluster="+name, "--network=none", "caslab.local/probe:1")
	if err != nil {
		t.Fatal(err)
	}
	if named, err := eng.Named(t.Context(), name+"-for"); err != nil || len(named) != 1 || named[0].ID != id {
		t.Errorf("found by the beginning of its name: %+v, %v", named, err)
	}
	if named, err := eng.Named(t.Context(), "foreign"); err != nil || len(named) > 0 {
		t.Errorf("found by the end of its name: %+v, %v", named, err)
	}
	defer func() {
		if err := eng.Remove(context.WithoutCancel(t.Context()), id); err != nil {
			t.Error(err)
		}
	}()
	for _, target := range []string{"env:up", "env:down"} {
		if _, err := l.mage(t, target); err == nil || !strings.Contains(err.Error(), "was not made by this lab") {
			t.Errorf("%s with a foreign cluster: %v", target, err)
		}
	}
	if len(containers(t, eng, name)) != 1 {
		t.Error("the foreign container is gone")
	}
}

// killedOnTheWay checks that a second env:up is refused while the workload cluster comes
// up, and then kills the first one with SIGKILL.
func killedOnTheWay(t *testing.T, l lab, eng *engine.Engine) {
	cmd := l.command(t.Context(), "env:up")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for deadline := time.Now().Add(10 * time.Minute); !slices.Contains(containers(t, eng, name), name+"-lb"); {
		select {
		case err := <-ended:
			t.Fatalf("env:up ended before its workload cluster came up: %v", err)
		case <-time.After(500 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("no workload cluster came up")
		}
	}
	if _, err := l.mage(t, "env:up"); err == nil || !strings.Contains(err.Error(), "in use by env:up (process ") {
		t.Errorf("a second env:up: %v; want who holds the lock", err)
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-ended
}

// servesOthers continues until one cluster manages the other, and works on them only by
// their kubeconfigs, as on clusters that the lab did not create. It leaves a node group with one
// hollow machine, and returns the UID of its node.
func servesOthers(t *testing.T, l lab, eng *engine.Engine, checkout string) (hollow string) {
	l.must(t, "cluster:workload")
	folder := filepath.Join(l.root, ".caslab", "kubeconfig")
	workload, manages := filepath.Join(folder, name), filepath.Join(folder, management)
	with := func(env ...string) lab {
		return lab{root: l.root, env: slices.Concat(l.env, env)}
	}
	for want, other := range map[string]lab{
		"the two kubeconfigs look swapped": with("WORKLOAD_KUBECONFIG="+manages, "MANAGEMENT_KUBECONFIG="+workload),
		"set MANAGEMENT_KUBECONFIG":        with("WORKLOAD_KUBECONFIG=" + workload),
		"there is no Cluster elsewhere/" + name + ", but default/" + name: with(
			"WORKLOAD_KUBECONFIG="+workload, "MANAGEMENT_KUBECONFIG="+manages, "CLUSTER_NAMESPACE=elsewhere"),
	} {
		if out, err := other.mage(t, "nodegroup:list"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: nodegroup:list printed %q, %v; want %q", other.env, out, err, want)
		}
	}

	pair := with("WORKLOAD_KUBECONFIG="+workload, "MANAGEMENT_KUBECONFIG="+manages, "CLUSTER_NAMESPACE=default",
		"AUTOSCALER_SOURCE=git", "AUTOSCALER_GIT=file://"+checkout)
	before := containers(t, eng, name)
	out := t.TempDir()
	pair.must(t, "scenario:run", "scale-up", "-out="+out, "-flags=--scale-down-unneeded-time=5s")
	var results struct {
		Scenarios []struct{ Name, Verdict string }
	}
	data, err := os.ReadFile(filepath.Join(out, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &results); err != nil {
		t.Fatal(err)
	}
	if len(results.Scenarios) != 1 || results.Scenarios[0].Verdict != "passed" {
		t.Errorf("results.json has %+v; want scale-up, passed", results)
	}
	if list := pair.must(t, "nodegroup:list"); strings.Contains(list, "sc-") {
		t.Errorf("the scenario left a node group:\n%s", list)
	}
	eventually(t, time.Minute, func() string {
		if after := containers(t, eng, name); !slices.Equal(before, after) {
			return fmt.Sprintf("the containers of before, %v: there are %v", before, after)
		}
		return ""
	})
	return addsHollowToMove(t, pair, workload)
}

// comesUp makes the environment ready. moved is the UID of the hollow node that is there.
func comesUp(t *testing.T, l lab, eng *engine.Engine, moved string) {
	out := l.must(t, "env:up")
	if moved != "" {
		removesMovedHollow(t, l, moved)
	}
	for _, want := range []string{"critical path", "export KUBECONFIG=", "v1.14.2"} {
		if !strings.Contains(out, want) {
			t.Errorf("the summary does not say %q", want)
		}
	}
	if left := containers(t, eng, management); len(left) > 0 {
		t.Errorf("the management cluster is still there: %v", left)
	}
	var nodes struct {
		Items []struct {
			Status struct {
				Conditions []struct{ Type, Status string }
			}
		}
	}
	kubectl(t, l, &nodes, "get", "nodes")
	ready := 0
	for _, n := range nodes.Items {
		for _, c := range n.Status.Conditions {
			if c.Type == "Ready" && c.Status == "True" {
				ready++
			}
		}
	}
	if len(nodes.Items) != 2 || ready != 2 {
		t.Errorf("%d of %d nodes are Ready, want 2 of 2", ready, len(nodes.Items))
	}
	machines := machinesOf(t, l)
	if len(machines) != 2 {
		t.Errorf("%d machines in the cluster that should manage itself, want 2", len(machines))
	}
	for _, m := range machines {
		if want := "docker:////" + m.Metadata.Name; m.Spec.ProviderID != want || m.Status.Phase != "Running" {
			t.Errorf("machine %s: provider ID %q, phase %q; want %q, Running", m.Metadata.Name, m.Spec.ProviderID, m.Status.Phase, want)
		}
	}
	for _, c := range containers(t, eng, name) {
		if c == name+"-lb" {
			continue
		}
		// kubeadm before 1.31 checks with this command whether the runtime runs.
		if out := docker(t, "exec", c, "crictl", "info"); !strings.Contains(out, "RuntimeReady") {
			t.Errorf("crictl info in %s: %s", c, out)
		}
	}
	if tree := l.must(t, "cluster:describe"); !strings.Contains(tree, "Cluster/"+name) || !strings.Contains(tree, "MachineDeployment/"+name+"-md-0") {
		t.Error("cluster:describe does not name the cluster and its machine deployment")
	}
}

type machine struct {
	Metadata struct{ Name, DeletionTimestamp string }
	Spec     struct{ ProviderID string }
	Status   struct {
		Phase, FailureDomain string
		Conditions           []struct{ Type, Reason string }
	}
}

// machinesOf returns the Machines that the options of kubectl select.
func machinesOf(t *testing.T, l lab, options ...string) []machine {
	t.Helper()
	var list struct{ Items []machine }
	kubectl(t, l, &list, append([]string{"get", "machines.cluster.x-k8s.io"}, options...)...)
	return list.Items
}

// managesItself makes the cluster create one more machine with its own managers.
// Meanwhile env:up does not change the cluster, and neither does it while the cluster is
// paused.
func managesItself(t *testing.T, l lab, eng *engine.Engine) {
	before := containers(t, eng, name)
	for _, args := range [][]string{
		{"patch", "cluster.cluster.x-k8s.io/" + name, "--type=merge", `--patch={"spec":{"paused":true}}`},
		{"scale", "machinedeployment.cluster.x-k8s.io/" + name + "-md-0", "--replicas=2"},
	} {
		kubectl(t, l, nil, args...)
	}
	if out := l.must(t, "env:up"); !strings.Contains(out, "self-managed") {
		t.Error("env:up did not print the status of a paused cluster")
	}
	if after := containers(t, eng, name); !slices.Equal(before, after) {
		t.Errorf("env:up changed a paused cluster's containers from %v to %v", before, after)
	}
	kubectl(t, l, nil, "patch", "cluster.cluster.x-k8s.io/"+name, "--type=merge", `--patch={"spec":{"paused":false}}`)
	for deadline := time.Now().Add(time.Minute); len(containers(t, eng, name)) == len(before); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no container was made for the second replica")
		}
	}
	l.must(t, "env:up")
	after := containers(t, eng, name)
	for _, c := range before {
		if !slices.Contains(after, c) {
			t.Errorf("env:up removed %s while a machine was on its way", c)
		}
	}
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(time.Second) {
		running := 0
		for _, m := range machinesOf(t, l) {
			if m.Status.Phase == "Running" {
				running++
			}
		}
		if running == 3 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of 3 machines Running after scaling up", running)
		}
	}
}

func verifies(t *testing.T, l lab, eng *engine.Engine) {
	before := containers(t, eng, name)
	l.must(t, "env:up")
	if after := containers(t, eng, name); !slices.Equal(before, after) {
		t.Errorf("env:up on a ready environment changed its containers from %v to %v", before, after)
	}
	other := lab{root: l.root, env: append(slices.Clone(l.env), "KUBERNETES_VERSION=v1.35.4")}
	if _, err := other.mage(t, "env:up"); err == nil || !strings.Contains(err.Error(), "has Kubernetes v1.36.1 and the settings want v1.35.4") {
		t.Errorf("env:up with another Kubernetes than there is: %v", err)
	}
	if after := containers(t, eng, name); !slices.Equal(before, after) {
		t.Errorf("refusing another version changed the containers from %v to %v", before, after)
	}
	status := l.must(t, "env:status")
	for _, c := range before {
		if !strings.Contains(status, c) {
			t.Errorf("env:status does not name the container %s", c)
		}
	}
}

// survivesStop stops every container, as a hard stop of the engine does. The same
// containers must run again at the same addresses.
func survivesStop(t *testing.T, l lab, eng *engine.Engine) {
	before := containers(t, eng, name)
	docker(t, append([]string{"kill"}, before...)...)
	l.must(t, "env:up")
	if after := containers(t, eng, name); !slices.Equal(before, after) {
		t.Errorf("env:up made %v of the stopped %v", after, before)
	}
	if left := containers(t, eng, management); len(left) > 0 {
		t.Errorf("a management cluster is there: %v", left)
	}
}

// kubectl runs kubectl and decodes its JSON into what; nil if nothing is read.
func kubectl(t *testing.T, l lab, what any, args ...string) {
	t.Helper()
	if what != nil {
		args = append(args, "--output=json")
	}
	out := kubectlText(t, l, args...)
	if what != nil {
		if err := json.Unmarshal([]byte(out), what); err != nil {
			t.Fatalf("kubectl %v: %v", args, err)
		}
	}
}

// kubectlText runs kubectlWith with the kubeconfig that users get.
func kubectlText(t *testing.T, l lab, args ...string) string {
	t.Helper()
	path := strings.TrimSpace(l.must(t, "env:kubeconfig"))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the kubeconfig has mode %o", info.Mode().Perm())
	}
	return kubectlWith(t, path, args...)
}

// kubectlWith runs the kubectl of the node image in a container against a kubeconfig, and returns
// what it printed.
func kubectlWith(t *testing.T, path string, args ...string) string {
	t.Helper()
	image := strings.Fields(docker(t, "ps", "--filter", "label=io.x-k8s.kind.role=control-plane",
		"--filter", "label=io.x-k8s.kind.cluster="+name, "--format", "{{.Image}}"))
	if len(image) == 0 {
		t.Fatal("no control plane runs")
	}
	// The container is on the host's network, and must reach the API server at its
	// published port.
	return docker(t, append([]string{"run", "--rm", "--network=host", "--volume", path + ":/kubeconfig:ro",
		"--entrypoint=kubectl", image[0], "--kubeconfig=/kubeconfig"}, args...)...)
}

func containers(t *testing.T, eng *engine.Engine, cluster string) []string {
	t.Helper()
	list, err := eng.List(t.Context(), "io.x-k8s.kind.cluster="+cluster)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = c.Name
	}
	slices.Sort(names)
	return names
}

// docker runs docker and returns what it printed.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "docker", args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		t.Fatalf("docker %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}
