package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/timeline"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Labels of the containers of a cluster, kind's and Cluster API's.
const (
	clusterLabel = "io.x-k8s.kind.cluster"
	roleLabel    = "io.x-k8s.kind.role"
)

// Roles of containers.
const (
	controlPlane = "control-plane"
	worker       = "worker"
	loadBalancer = "external-load-balancer"
)

const (
	// commandTimeout bounds one command of the lab.
	commandTimeout = 30 * time.Minute
	// lookEvery is the time between two looks at what a command does.
	lookEvery = 20 * time.Millisecond
)

// site is the environment that the faults break, and the checkout whose commands repair it.
// The checkout has links to the files of the user's checkout, and its own folder .caslab.
type site struct {
	*lab.Lab
	engine  *engine.Engine
	command string
	// open returns a client of the API server of a kubeconfig.
	open func(kubeconfig string) (*kube.Client, error)
	// output gets what the commands print.
	output io.Writer
	// usually is how long env:up takes from nothing.
	usually time.Duration
}

// link makes the site's checkout from the user's, which is at root.
func (s *site) link(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("link the checkout: %w", err)
	}
	if err := os.MkdirAll(s.Config.Root, 0o755); err != nil {
		return err
	}
	for _, entry := range entries {
		if slices.Contains([]string{".caslab", ".git"}, entry.Name()) {
			continue
		}
		err := os.Symlink(filepath.Join(root, entry.Name()), filepath.Join(s.Config.Root, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("link the checkout: %w", err)
		}
	}
	return nil
}

// cmd returns a command of the lab that works on the environment of that name.
func (s *site) cmd(name string, args ...string) run.Cmd {
	return run.Cmd{
		Name: s.command, Args: args, Dir: s.Config.Root, Env: []string{"CLUSTER_NAME=" + name},
		Stdout: s.output, Stderr: s.output, Stream: true,
	}
}

// lab runs a command of the lab on the environment.
func (s *site) lab(ctx context.Context, args ...string) error {
	return s.do(ctx, s.cmd(s.Config.ClusterName, args...))
}

func (s *site) do(ctx context.Context, c run.Cmd) error {
	ctx, cancel := interrupt.WithTimeout(ctx, commandTimeout)
	defer cancel()
	fmt.Fprintf(s.output, "\n$ %s\n", c)
	_, err := s.Runner.Run(ctx, c)
	return err
}

// program runs a program other than the lab's command.
func (s *site) program(ctx context.Context, name string, args ...string) (string, error) {
	res, err := s.Runner.Run(ctx, run.Cmd{Name: name, Args: args, Dir: s.Config.Root})
	return strings.TrimSpace(string(res.Stdout)), err
}

// during runs c, waits until reached returns, and calls strike, whose argument kills the
// command. It returns how the command ended. reached has a context that ends with the
// command.
func (s *site) during(ctx context.Context, c run.Cmd, reached func(context.Context) error, strike func(kill func()) error) (came string, err error) {
	kill, ended := make(chan struct{}), make(chan error, 1)
	c.Kill = kill
	waiting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		err := s.do(ctx, c)
		stop(fmt.Errorf("%s had ended before: %s", strings.Join(c.Args, " "), outcome(err)))
		ended <- err
	}()
	if err = reached(waiting); err == nil {
		err = strike(func() { close(kill) })
	}
	came = strings.Join(c.Args, " ") + " ended: " + outcome(<-ended)
	return came, errors.Join(err, context.Cause(ctx))
}

// outcome says in one line how a command ended.
func outcome(err error) string {
	if err == nil {
		return "without an error"
	}
	if failed := new(run.Error); errors.As(err, &failed) {
		output := strings.TrimSpace(string(failed.Output))
		if i := strings.LastIndex(output, "Error: "); i >= 0 {
			return firstLine(output[i:])
		}
		return firstLine(failed.Err.Error())
	}
	return firstLine(err.Error())
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// poll calls look until it returns true, or ctx is done.
func poll(ctx context.Context, look func(context.Context) bool) error {
	err := wait.PollUntilContextCancel(ctx, lookEvery, true, func(ctx context.Context) (bool, error) { return look(ctx), nil })
	if err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// begun waits until env:up has begun a step. Its record has each step.
func (s *site) begun(step string) func(context.Context) error {
	return func(ctx context.Context) error {
		return poll(ctx, func(context.Context) bool {
			facts, _ := timeline.Read(filepath.Join(s.TimelineDir(""), "record.jsonl")) // it may be half written
			return slices.ContainsFunc(facts, func(f timeline.Fact) bool { return f.What == timeline.Step && f.Text == step })
		})
	}
}

// has waits until the workload cluster has its own Cluster object: the move has created it
// there, and has deleted nothing yet in the management cluster.
func (s *site) has(ctx context.Context) error {
	return poll(ctx, func(ctx context.Context) bool {
		client, err := s.open(s.EnvironmentKubeconfig())
		if err != nil {
			return false
		}
		_, err = client.Get(ctx, kube.Clusters, "default", s.Config.ClusterName)
		return err == nil
	})
}

// containers returns the containers of the cluster of that name and those of its management
// cluster. It refuses containers that the site did not make.
func (s *site) containers(ctx context.Context, name string) ([]engine.Container, error) {
	own := *s.Config
	own.ClusterName = name
	var all []engine.Container
	for _, cluster := range []string{name, own.ManagementName()} {
		list, err := s.engine.List(ctx, clusterLabel+"="+cluster)
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			// Cluster API mounts nothing into a load balancer.
			if !strings.Contains(c.Mounts[capi.OwnerMount], s.State.Path("owner")+"/") && (c.Labels[roleLabel] != loadBalancer || len(list) == 1) {
				return nil, fmt.Errorf("the container %s of a cluster named %q was not made by faults:run in this checkout, which leaves it alone; remove that cluster first", c.Name, cluster)
			}
		}
		all = append(all, list...)
	}
	return all, nil
}

// docker runs a docker command on each of the environment's containers that has the role,
// or on all containers if role is empty.
func (s *site) docker(ctx context.Context, role string, args ...string) (string, error) {
	all, err := s.containers(ctx, s.Config.ClusterName)
	if err != nil {
		return "", err
	}
	var names []string
	for _, c := range all {
		if role != "" && c.Labels[roleLabel] != role {
			continue
		}
		if _, err := s.program(ctx, "docker", append(args, c.ID)...); err != nil {
			return "", err
		}
		names = append(names, c.Name)
	}
	if len(names) == 0 {
		return "", fmt.Errorf("there is no container with the role %q", role)
	}
	return fmt.Sprintf("docker %s %s", strings.Join(args, " "), strings.Join(names, " ")), nil
}

// left returns what is left of the environment of that name after env:down.
func (s *site) left(ctx context.Context, name string) ([]string, error) {
	containers, err := s.containers(ctx, name)
	var left []string
	for _, c := range containers {
		left = append(left, "the container "+c.Name)
	}
	for _, pattern := range []string{s.State.Kubeconfig(name) + "*", s.State.Path("owner", name+"-????????????????"), s.State.Path("owner", name+".ready")} {
		files, globErr := filepath.Glob(pattern)
		left, err = append(left, files...), errors.Join(err, globErr)
	}
	return left, err
}

// full mounts a small file system on a folder of the state, as if the disk were full. free
// removes it.
func (s *site) full(ctx context.Context, folder, size string) error {
	path := s.State.Path(folder)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	_, err := s.program(ctx, "mount", "-t", "tmpfs", "-o", "size="+size, "caslab-faults", path)
	return err
}

func (s *site) free(ctx context.Context, folder string) error {
	_, err := s.program(ctx, "umount", s.State.Path(folder))
	return err
}

// cutting starts a server that begins an answer to each request and then cuts the
// connection. It returns its URL.
func cutting(ctx context.Context) (url string, stop func() error, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		_, _ = io.WriteString(w, `{"Version":`) // the reader may be gone
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})}
	go func() { _ = server.Serve(listener) }() // it ends when it is closed
	return "http://" + listener.Addr().String(), server.Close, nil
}
