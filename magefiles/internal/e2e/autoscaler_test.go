//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// upstream makes a git repository of the stand-in for the autoscaler in
// testdata/autoscaler, and returns its checkout. CI reaches no git server: the
// real autoscaler is run by hand.
func upstream(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "autoscaler")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "autoscaler"))); err != nil {
		t.Fatal(err)
	}
	repo, err := git.PlainInit(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := repo.Worktree()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Add("."); err != nil {
		t.Fatal(err)
	}
	author := &object.Signature{Name: "test", Email: "test@example.com", When: time.Unix(0, 0)}
	commit, err := tree.Commit("A stand-in", &git.CommitOptions{Author: author})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.CreateTag("cluster-autoscaler-1.36.1", commit, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// background is a target that runs until it is interrupted.
type background struct {
	cmd *exec.Cmd

	mu    sync.Mutex
	out   bytes.Buffer
	ended chan error
}

// Write implements io.Writer.
func (b *background) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(p)
}

func (b *background) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.String()
}

func (l lab) start(t *testing.T, args ...string) *background {
	t.Helper()
	b := &background{cmd: l.command(context.WithoutCancel(t.Context()), args...), ended: make(chan error, 1)}
	b.cmd.Stdout, b.cmd.Stderr = b, b
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { b.ended <- b.cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGINT)
		t.Logf("mage %s:\n%s", strings.Join(args, " "), b)
	})
	return b
}

// await waits until the target has printed text.
func (b *background) await(t *testing.T, text string, within time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(within); !strings.Contains(b.String(), text); time.Sleep(100 * time.Millisecond) {
		select {
		case err := <-b.ended:
			t.Fatalf("it ended before it said %q: %v\n%s", text, err, b)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("it did not say %q within %s\n%s", text, within, b)
		}
	}
}

// interrupt does what Ctrl-C does. The target must then end soon and without an error.
func (b *background) interrupt(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(-b.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-b.ended:
		if err != nil {
			t.Errorf("interrupted, it ended with %v\n%s", err, b)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("interrupted, it did not end\n%s", b)
	}
}

// eventually calls ask until it returns an empty string. Otherwise ask returns what is
// missing.
func eventually(t *testing.T, within time.Duration, ask func() string) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(time.Second) {
		missing := ask()
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, missing)
		}
	}
}

type machineDeployment struct {
	Metadata struct{ Name string }
	Spec     struct{ Replicas int }
	Status   struct{ ReadyReplicas int }
}

// groupName is the name of the node group in the post of 2020 that TestSeed of package
// capi describes.
const groupName = "work-md-1"

// group returns the node group, or nil if it does not exist.
func group(t *testing.T, l lab) *machineDeployment {
	t.Helper()
	var list struct{ Items []machineDeployment }
	kubectl(t, l, &list, "get", "machinedeployments.cluster.x-k8s.io")
	for _, g := range list.Items {
		if g.Metadata.Name == groupName {
			return &g
		}
	}
	return nil
}

// workloadPods counts the pods of the workload by phase.
func workloadPods(t *testing.T, l lab) map[string]int {
	t.Helper()
	var list struct {
		Items []struct{ Status struct{ Phase string } }
	}
	kubectl(t, l, &list, "get", "pods", "--selector=caslab.local/workload")
	count := map[string]int{}
	for _, p := range list.Items {
		count[p.Status.Phase]++
	}
	return count
}

// scales types what a developer types to have an autoscaler scale the
// environment. The stand-in in checkout is the autoscaler.
func scales(t *testing.T, l lab, checkout string) {
	l.env = append(slices.Clone(l.env), "AUTOSCALER_SOURCE=git", "AUTOSCALER_GIT=file://"+checkout)
	binary := strings.Fields(l.must(t, "autoscaler:build"))[0]
	if out := l.must(t, "autoscaler:flags", "-flags=--scale-down-unneeded-time=5s"); !strings.Contains(out, "--scale-down-unneeded-time=5s") || strings.Contains(out, "=23s") || !strings.Contains(out, binary) {
		t.Errorf("autoscaler:flags printed %s", out)
	}
	t.Run("bad input", func(t *testing.T) { refusesBadInput(t, l, checkout) })

	const most = 3
	l.must(t, "nodegroup:add", groupName, "1", strconv.Itoa(most))
	if g := group(t, l); g == nil || g.Status.ReadyReplicas != 1 {
		t.Fatalf("nodegroup:add left %+v", g)
	}
	if out := l.must(t, "nodegroup:list"); !strings.Contains(out, groupName) {
		t.Errorf("nodegroup:list does not name %s", groupName)
	}
	workers := len(machinesOf(t, l)) - 1

	run := l.start(t, "autoscaler:run", "-flags=--scale-down-unneeded-time=5s")
	run.await(t, "running: Ctrl-C stops it", 2*time.Minute)
	if _, err := l.mage(t, "autoscaler:run"); err == nil || !strings.Contains(err.Error(), "is already running: autoscaler:run (process ") {
		t.Errorf("a second autoscaler:run: %v; want who runs", err)
	}
	if _, err := l.mage(t, "autoscaler:deploy"); err == nil || !strings.Contains(err.Error(), "is already running") {
		t.Errorf("autoscaler:deploy beside autoscaler:run: %v", err)
	}

	// This is one pod more than fits into the group, so that the maximum has to hold.
	l.must(t, "workload:add", "-pods="+strconv.Itoa(workers+most))
	run.await(t, "▲ Scale-up: setting group "+groupName, time.Minute)
	eventually(t, 3*time.Minute, func() string {
		if pods := workloadPods(t, l); pods["Running"] != workers+most-1 || pods["Pending"] != 1 {
			return fmt.Sprintf("all pods but one Running: %v", pods)
		}
		return ""
	})
	// The controller of the machines may see that a node is ready only after its pods
	// run.
	eventually(t, time.Minute, func() string {
		if g := group(t, l); g.Spec.Replicas != most || g.Status.ReadyReplicas != most {
			return fmt.Sprintf("a group of %d nodes, all ready: %+v", most, g)
		}
		return ""
	})
	if out := l.must(t, "autoscaler:status"); !strings.Contains(out, "on this machine, autoscaler:run (process ") || !strings.Contains(out, groupName) {
		t.Errorf("autoscaler:status printed %s", out)
	}

	l.must(t, "workload:delete")
	run.await(t, "▼ Scale-down: removing nodes of "+groupName, time.Minute)
	eventually(t, 2*time.Minute, func() string {
		if machines := len(machinesOf(t, l)) - 1; machines != workers {
			return strconv.Itoa(machines) + " workers, want " + strconv.Itoa(workers)
		}
		return ""
	})
	run.interrupt(t)
	noProcessOf(t, binary)

	// mage is killed with SIGKILL: the kernel ends its children.
	killed := l.start(t, "autoscaler:run")
	killed.await(t, "running: Ctrl-C stops it", 2*time.Minute)
	if err := syscall.Kill(-killed.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-killed.ended
	eventually(t, 20*time.Second, func() string { return processesOf(t, binary) })

	t.Run("under the debugger", func(t *testing.T) { debugs(t, l) })
	t.Run("in the cluster", func(t *testing.T) { deploys(t, l) })
	l.must(t, "nodegroup:delete", groupName)
	if after := group(t, l); after != nil {
		t.Errorf("nodegroup:delete left %+v", after)
	}
	if after := len(machinesOf(t, l)) - 1; after != workers-1 {
		t.Errorf("%d workers after nodegroup:delete, want %d", after, workers-1)
	}
	t.Run("from zero", func(t *testing.T) { fromZero(t, l) })
	t.Run("scenarios", func(t *testing.T) { judges(t, l) })
	t.Run("timeline", func(t *testing.T) { tells(t, l) })
}

// refusesBadInput checks that wrong input is refused and leaves nothing behind.
func refusesBadInput(t *testing.T, l lab, checkout string) {
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.CopyFS(broken, os.DirFS(checkout)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "cluster-autoscaler", "broken.go"), []byte("package main\n\nvar x int = \"text\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(env ...string) lab {
		// The test cases name a checkout instead of a git repository.
		return lab{root: l.root, env: append(slices.DeleteFunc(slices.Clone(l.env), func(e string) bool { return strings.HasPrefix(e, "AUTOSCALER_") }), env...)}
	}
	before := len(machinesOf(t, l))
	for _, tc := range []struct {
		lab  lab
		args []string
		want string
	}{
		{with("AUTOSCALER_DIR=" + t.TempDir()), []string{"autoscaler:build"}, "want the root of a checkout of autoscaler"},
		{with("AUTOSCALER_DIR=" + broken), []string{"autoscaler:build"}, `cannot use "text"`},
		{l, []string{"autoscaler:run", "-flags=--parallel-drain"}, "autoscalers from 1.26.0 to 1.31.5 have it"},
		{l, []string{"autoscaler:flags", "-flags=--parallel-drain"}, "autoscalers from 1.26.0 to 1.31.5 have it"},
		{l, []string{"autoscaler:run", "-flags=--v=4 stray word"}, "is no flag"},
		{l, []string{"nodegroup:add", "x", "5", "4"}, "not above the maximum"},
		{l, []string{"nodegroup:add", "x", "0", "4", "-taints=a=b:Never"}, `taint "a=b:Never"`},
		{l, []string{"nodegroup:add", "x", "0", "4", "-from=nope"}, "there is no machine deployment nope"},
		{l, []string{"nodegroup:add", name + "-md-0", "1", "4"}, "already"},
		{l, []string{"nodegroup:set", "nope", "1", "4"}, "there is no machine deployment nope"},
		{l, []string{"workload:scale", "3"}, "workload:add"},
		{with("WORKLOAD_KUBECONFIG=/nope"), []string{"autoscaler:run"}, "WORKLOAD_KUBECONFIG=/nope"},
		{with("MANAGEMENT_KUBECONFIG=/nope"), []string{"autoscaler:run"}, "set WORKLOAD_KUBECONFIG too"},
	} {
		if _, err := tc.lab.mage(t, tc.args...); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("mage %v: %v\nwant in it: %s", tc.args, err, tc.want)
		}
	}
	if after := len(machinesOf(t, l)); after != before {
		t.Errorf("%d machines after bad input, %d before", after, before)
	}
}

// debugs runs the stand-in under Delve, and checks that Delve answers and ends.
func debugs(t *testing.T, l lab) {
	const address = "127.0.0.1:32345"
	run := l.start(t, "autoscaler:debug", "-listen="+address)
	run.await(t, "Delve listens on "+address, 10*time.Minute)
	eventually(t, time.Minute, func() string {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			return err.Error()
		}
		_ = conn.Close()
		return ""
	})
	log := filepath.Join(l.root, ".caslab", "logs", name+"-autoscaler.log")
	eventually(t, time.Minute, func() string {
		if data, err := os.ReadFile(log); err != nil || !bytes.Contains(data, []byte("Starting main loop")) {
			return "a main loop in " + log
		}
		return ""
	})
	run.interrupt(t)
	noProcessOf(t, "-debug/cluster-autoscaler")
}

// deploys runs the stand-in in the cluster, with the rights it gets there.
func deploys(t *testing.T, l lab) {
	l.must(t, "autoscaler:deploy")
	if out := l.must(t, "autoscaler:status"); !strings.Contains(out, "in the cluster, deployment default/caslab-autoscaler, image caslab.local/cluster-autoscaler:") {
		t.Errorf("autoscaler:status printed %s", out)
	}
	if _, err := l.mage(t, "autoscaler:run"); err == nil || !strings.Contains(err.Error(), "autoscaler:undeploy") {
		t.Errorf("autoscaler:run beside a deployed one: %v", err)
	}
	l.must(t, "workload:add", "-pods="+strconv.Itoa(len(machinesOf(t, l))))
	eventually(t, time.Minute, func() string {
		if g := group(t, l); g.Spec.Replicas != 2 {
			return "the deployed autoscaler to scale up: " + strconv.Itoa(g.Spec.Replicas)
		}
		return ""
	})
	l.must(t, "workload:delete")
	l.must(t, "autoscaler:undeploy")
	l.must(t, "autoscaler:undeploy")
	l.must(t, "nodegroup:set", groupName, "1", "2")
	kubectl(t, l, nil, "scale", "machinedeployment.cluster.x-k8s.io/"+groupName, "--replicas=1")
}

// fromZero scales a group that is empty, whose nodes have a label and a taint
// that the autoscaler must know of before there is one.
func fromZero(t *testing.T, l lab) {
	l.must(t, "nodegroup:add", groupName, "0", "1", "-labels=tier=gpu", "-taints=dedicated=gpu:NoSchedule")
	run := l.start(t, "autoscaler:run", "-flags=--scale-down-unneeded-time=5s")
	// If two mage processes start at the same moment in one checkout, one removes the
	// generated file of the other.
	run.await(t, "running: Ctrl-C stops it", 2*time.Minute)
	l.must(t, "workload:add", "-selector=tier=gpu", "-tolerations=dedicated")
	run.await(t, "▲ Scale-up: setting group "+groupName+" size to 1", time.Minute)
	eventually(t, 3*time.Minute, func() string {
		if pods := workloadPods(t, l); pods["Running"] != 1 {
			return fmt.Sprintf("the pod to be Running on a node with the label: %v", pods)
		}
		return ""
	})
	l.must(t, "workload:delete")
	eventually(t, 2*time.Minute, func() string {
		if g := group(t, l); g.Spec.Replicas != 0 {
			return fmt.Sprintf("the group to be empty again: %+v", g)
		}
		return ""
	})
	run.interrupt(t)
	l.must(t, "nodegroup:delete", groupName)
}

// processesOf returns the processes that run the program; empty if there is none.
func processesOf(t *testing.T, binary string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "pgrep", "-f", binary).Output()
	if err != nil {
		return "" // pgrep found none
	}
	return "processes of " + binary + " are left: " + strings.TrimSpace(string(out))
}

// noProcessOf fails if a process runs the program.
func noProcessOf(t *testing.T, binary string) {
	t.Helper()
	if left := processesOf(t, binary); left != "" {
		t.Error(left)
	}
}
