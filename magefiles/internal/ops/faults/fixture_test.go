package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/timeline"
)

var steps = []string{"node image", "workload control plane", "move"}

// fixture is a machine on which the faults are made: it has the processes and the
// environment, without an engine and a cluster.
type fixture struct {
	*labtest.Lab
	faults *Faults
	site   *site
	server *kubetest.Server

	mu sync.Mutex
	// up has the environments that are up.
	up map[string]bool
	// calls are the command lines so far.
	calls []string
	// removed is closed when the management cluster is removed.
	removed chan struct{}

	// fail, if set, returns the error of a command line before it does anything.
	fail func(line string) error
	// after is called when a command has ended.
	after func(line string)
	// mark is the mount of the nodes' marks; that of faults:run if empty.
	mark string
	// stays is set if env:down removes nothing.
	stays bool
}

var kinds = []schema.GroupVersionKind{
	kube.Definitions.WithVersion("v1"), kube.Nodes.WithVersion("v1"), kube.Deployments.WithVersion("v1"),
	kube.Clusters.WithVersion("v1beta2"), kube.MachineDeployments.WithVersion("v1beta2"),
}

const objects = `
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: clusters.cluster.x-k8s.io}, spec: {group: cluster.x-k8s.io, names: {kind: Cluster}}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: machinedeployments.cluster.x-k8s.io}, spec: {group: cluster.x-k8s.io, names: {kind: MachineDeployment}}}
---
{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: others.example.com}, spec: {group: example.com, names: {kind: Other}}}
---
{apiVersion: v1, kind: Node, metadata: {name: worker}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: faults, namespace: default}, spec: {replicas: 1}}
---
{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, metadata: {name: caslab-faults, namespace: default}, spec: {paused: false}}
---
{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineDeployment, metadata: {name: faults-md-1, namespace: default}, spec: {replicas: 0}}
`

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Lab: labtest.New(t, nil), server: kubetest.New(t, kinds, objects), up: map[string]bool{}, removed: make(chan struct{})}
	f.Runner = f
	f.Now = func() time.Time { return time.Unix(1, 0) }
	f.faults = &Faults{
		Lab: f.Lab.Lab, Command: "caslab", Steps: steps, Root: true,
		Open: func(string) (*kube.Client, error) { return f.server.Client(), nil },
	}
	f.site = f.faults.site(io.Discard)
	if err := os.WriteFile(filepath.Join(f.Config.Root, "go.mod"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// Run implements run.Runner.
func (f *fixture) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	line := c.String()
	f.mu.Lock()
	f.calls = append(f.calls, line)
	fail, after := f.fail, f.after
	f.mu.Unlock()
	if after != nil {
		defer after(line)
	}
	if ctx.Err() != nil {
		return run.Result{}, &run.Error{Cmd: c, Err: context.Cause(ctx)}
	}
	if fail != nil {
		if err := fail(line); err != nil {
			return run.Result{}, &run.Error{Cmd: c, Output: []byte("Error: " + err.Error() + "\n"), Err: errors.New("exit status 1")}
		}
	}
	printed, err := f.answer(ctx, c)
	if err != nil {
		return run.Result{}, &run.Error{Cmd: c, Err: err}
	}
	return run.Result{Stdout: []byte(printed)}, nil
}

func (f *fixture) answer(ctx context.Context, c run.Cmd) (string, error) {
	line := c.String()
	name := environmentName
	if slices.Contains(c.Env, "CLUSTER_NAME="+environmentName+"-2") {
		name += "-2"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case line == "caslab env:up":
		return "", f.bringUp(ctx, c, name)
	case line == "caslab env:down":
		f.up[name] = f.stays && f.up[name]
		return "", state.Remove(f.site.State.Path("owner", name+".ready"))
	case strings.HasPrefix(line, "docker ps"):
		_, cluster, _ := strings.Cut(line, clusterLabel+"=")
		if f.up[cluster] {
			return "worker\n" + "balancer\n", nil
		}
	case strings.HasPrefix(line, "docker container inspect"):
		mark := f.mark
		if mark == "" {
			mark = f.site.State.Path("owner", "caslab-faults-0123456789abcdef")
		}
		label := func(role string) map[string]any { return map[string]any{"Labels": map[string]string{roleLabel: role}} }
		var all []map[string]any
		for _, role := range []string{worker, controlPlane} {
			all = append(all, map[string]any{"Id": "id-" + role, "Name": role, "Config": label(role), "Mounts": []map[string]string{{"Source": mark, "Destination": capi.OwnerMount}}})
		}
		all = append(all, map[string]any{"Id": "id-lb", "Name": "lb", "Config": label(loadBalancer)})
		data, err := json.Marshal(all)
		return string(data), err
	case strings.HasPrefix(line, "docker rm --force --volumes caslab-faults-management-"):
		close(f.removed)
	case strings.HasPrefix(line, "docker rm"):
		f.up[name] = false
	case line == "cat "+pidFile:
		return "42\n", nil
	case strings.HasPrefix(line, "kill -0"):
		return "", errors.New("no such process")
	}
	return "", nil
}

// bringUp does what env:up does. It waits for SIGKILL, or for the end of the management
// cluster, if its caller may kill it.
func (f *fixture) bringUp(ctx context.Context, c run.Cmd, name string) error {
	for _, e := range c.Env {
		if key, value, _ := strings.Cut(e, "="); key == "CAPI_GIT" || key == "GOPROXY" {
			return get(ctx, value)
		}
	}
	if _, err := os.Stat(f.site.Config.StateDir()); err != nil && f.up[name] {
		return errors.New("not mine; type: docker rm -f -v $(docker ps -aq --filter label=x)")
	}
	record := filepath.Join(f.site.TimelineDir(""), "record.jsonl")
	for _, step := range f.faults.Steps {
		if err := timeline.Append(record, timeline.Fact{Time: time.Unix(1, 0), Kind: timeline.Lab, What: timeline.Step, Text: step}); err != nil {
			return err
		}
	}
	if c.Kill != nil {
		f.mu.Unlock()
		defer f.mu.Lock()
		select {
		case <-c.Kill:
			return errors.New("signal: killed")
		case <-f.removed:
			return errors.New("connection refused")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	f.up[name] = true
	owner := f.site.State.Path("owner", name+".ready")
	return errors.Join(os.MkdirAll(filepath.Dir(owner), 0o755), os.WriteFile(owner, []byte("{}"), 0o600))
}

// get returns why a file cannot be read from a server.
func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_, err = io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	return nil
}

// count returns how often a command line was run.
func (f *fixture) count(line string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c == line {
			n++
		}
	}
	return n
}
