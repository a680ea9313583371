// Package engine drives the Docker engine through its command line, which kind
// needs on the machine anyway.
package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/run"
)

// cleanupTime bounds a clean-up that goes on after the first interruption.
const cleanupTime = 5 * time.Minute

// infoWithin is how long an engine may take to say what it is: one that hangs
// must not hang whoever asks.
const infoWithin = 20 * time.Second

// Engine is the Docker engine that the docker command line reaches.
type Engine struct{ runner run.Runner }

// New returns the engine that docker, started by runner, talks to.
func New(runner run.Runner) *Engine { return &Engine{runner: runner} }

// Info is what the lab wants to know of an engine.
type Info struct {
	// ID tells one engine from another.
	ID              string
	ServerVersion   string
	OperatingSystem string
	OSType          string
	// Architecture is the kernel's name of it; Arch gives Go's.
	Architecture  string
	CgroupVersion string
	DockerRootDir string
	NCPU          int
	MemTotal      int64 // bytes
	SecurityOptions,
	ServerErrors []string
}

// Arch is the engine's architecture as Go and the images name it.
func (i Info) Arch() string {
	switch i.Architecture {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return i.Architecture
}

// Rootless reports whether the engine runs without root.
func (i Info) Rootless() bool {
	for _, o := range i.SecurityOptions {
		if strings.Contains(o, "rootless") {
			return true
		}
	}
	return false
}

// UnreachableError is an engine that does not answer.
type UnreachableError struct{ Err error }

func (e *UnreachableError) Error() string {
	return "no Docker engine answers: " + e.cause() + "\nstart Docker, or on Debian and Ubuntu run scripts/docker-engine.sh as root"
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// cause is what the docker command said, if it said something.
func (e *UnreachableError) cause() string {
	if failed := new(run.Error); errors.As(e.Err, &failed) && len(bytes.TrimSpace(failed.Output)) > 0 {
		return firstLine(string(failed.Output))
	}
	return firstLine(e.Err.Error())
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// Info asks the engine what it is; an *UnreachableError if it does not answer
// within 20 seconds.
func (e *Engine) Info(ctx context.Context) (Info, error) {
	var info Info
	bounded, cancel := context.WithTimeoutCause(ctx, infoWithin, fmt.Errorf("no answer within %s", infoWithin))
	defer cancel()
	res, err := e.docker(bounded, "info", "--format", "{{json .}}")
	if err != nil && ctx.Err() != nil {
		return info, err
	}
	if err != nil {
		return info, &UnreachableError{Err: err}
	}
	if err := json.Unmarshal(res.Stdout, &info); err != nil {
		return info, fmt.Errorf("read docker info: %w", err)
	}
	if len(info.ServerErrors) > 0 {
		return info, &UnreachableError{Err: errors.New(strings.Join(info.ServerErrors, "; "))}
	}
	return info, nil
}

// ImageID returns the ID of the image ref; ok is false if there is none.
func (e *Engine) ImageID(ctx context.Context, ref string) (id string, ok bool, err error) {
	res, err := e.docker(ctx, "image", "ls", "--quiet", "--no-trunc", "--filter", "reference="+ref)
	if err != nil {
		return "", false, fmt.Errorf("look for the image %s: %w", ref, err)
	}
	id = firstLine(string(res.Stdout))
	return id, id != "", nil
}

// LoadImages gives the engine images, by their references.
func (e *Engine) LoadImages(ctx context.Context, images map[string]v1.Image) error {
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(image.Archive(writer, images)) }()
	_, err := e.runner.Run(ctx, run.Cmd{Name: "docker", Args: []string{"load", "--quiet"}, Stdin: reader})
	// The writer must not wait for a reader that is gone.
	if err := errors.Join(err, reader.Close()); err != nil {
		return fmt.Errorf("load images into the engine: %w", err)
	}
	return nil
}

// Tag gives an image that the engine has another name.
func (e *Engine) Tag(ctx context.Context, ref, as string) error {
	if _, err := e.docker(ctx, "image", "tag", ref, as); err != nil {
		return fmt.Errorf("call the image %s %s: %w", ref, as, err)
	}
	return nil
}

// Commit makes the image ref of a container, with Dockerfile instructions
// applied to its configuration.
func (e *Engine) Commit(ctx context.Context, container, ref string, changes ...string) error {
	args := []string{"commit"}
	for _, c := range changes {
		args = append(args, "--change", c)
	}
	if _, err := e.docker(ctx, append(args, container, ref)...); err != nil {
		return fmt.Errorf("commit %s as %s: %w", container, ref, err)
	}
	return nil
}

// Run starts a container in the background, in the place of one of that name
// that a killed run left, and returns its ID. args are those of docker run, the
// image and its command included. One that is made and does not start is
// removed.
func (e *Engine) Run(ctx context.Context, name string, args ...string) (id string, err error) {
	if err := e.Remove(ctx, name); err != nil {
		return "", err
	}
	res, err := e.docker(ctx, append([]string{"run", "--detach", "--name", name}, args...)...)
	if err != nil {
		err = fmt.Errorf("start the container %s: %w", name, err)
		ctx, cancel := interrupt.Cleanup(ctx, cleanupTime)
		defer cancel()
		return "", errors.Join(err, e.Remove(ctx, name))
	}
	return firstLine(string(res.Stdout)), nil
}

// Exec runs argv in a container, with stdin if it is not nil.
func (e *Engine) Exec(ctx context.Context, container string, stdin io.Reader, argv ...string) (run.Result, error) {
	args := []string{"exec"}
	if stdin != nil {
		args = append(args, "--interactive")
	}
	res, err := e.runner.Run(ctx, run.Cmd{Name: "docker", Args: append(append(args, container), argv...), Stdin: stdin})
	if err != nil {
		return res, fmt.Errorf("in container %s: %w", container, err)
	}
	return res, nil
}

// Container is one container of the engine.
type Container struct {
	ID, Name, Image string
	Running         bool
	Created         string
	Labels          map[string]string
	// Mounts leads from targets in the container to their sources.
	Mounts map[string]string
	// Ports leads from container ports, such as 6443/tcp, to host ports.
	Ports map[string]string
	// IPs leads from networks to the container's IPv4 address there, which is
	// empty while it is stopped.
	IPs map[string]string
}

// List returns the containers, stopped ones too, that have the label, given as
// key or key=value. A container has the labels of its image too, and an image
// those of the container that it was committed from.
func (e *Engine) List(ctx context.Context, label string) ([]Container, error) {
	return e.list(ctx, "label="+label)
}

// Named returns the containers, stopped ones too, whose names begin with the
// prefix, of letters, digits and hyphens.
func (e *Engine) Named(ctx context.Context, prefix string) ([]Container, error) {
	return e.list(ctx, "name=^/?"+prefix) // a pattern; some engines have a slash before names
}

func (e *Engine) list(ctx context.Context, filter string) ([]Container, error) {
	res, err := e.docker(ctx, "ps", "--all", "--quiet", "--no-trunc", "--filter", filter)
	if err != nil {
		return nil, fmt.Errorf("list containers with the %s: %w", filter, err)
	}
	ids := strings.Fields(string(res.Stdout))
	if len(ids) == 0 {
		return nil, nil
	}
	res, err = e.docker(ctx, append([]string{"container", "inspect"}, ids...)...)
	if err != nil && len(res.Stdout) == 0 {
		return nil, fmt.Errorf("inspect containers: %w", err)
	}
	return parseContainers(res.Stdout)
}

func parseContainers(data []byte) ([]Container, error) {
	var raw []struct {
		ID      string `json:"Id"`
		Name    string
		Created string
		Config  struct {
			Image  string
			Labels map[string]string
		}
		State  struct{ Running bool }
		Mounts []struct{ Source, Destination string }

		NetworkSettings struct {
			Ports    map[string][]struct{ HostPort string }
			Networks map[string]struct{ IPAddress string }
		}
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("read docker inspect: %w", err)
	}
	containers := make([]Container, len(raw))
	for i, r := range raw {
		c := Container{
			ID: r.ID, Name: strings.TrimPrefix(r.Name, "/"), Image: r.Config.Image, Running: r.State.Running,
			Created: r.Created, Labels: r.Config.Labels,
			Mounts: map[string]string{}, Ports: map[string]string{}, IPs: map[string]string{},
		}
		for _, m := range r.Mounts {
			c.Mounts[m.Destination] = m.Source
		}
		for port, bindings := range r.NetworkSettings.Ports {
			if len(bindings) > 0 {
				c.Ports[port] = bindings[0].HostPort
			}
		}
		for network, settings := range r.NetworkSettings.Networks {
			c.IPs[network] = settings.IPAddress
		}
		containers[i] = c
	}
	return containers, nil
}

// Start starts stopped containers.
func (e *Engine) Start(ctx context.Context, ids ...string) error {
	if _, err := e.docker(ctx, append([]string{"start"}, ids...)...); err != nil {
		return fmt.Errorf("start containers: %w", err)
	}
	return nil
}

// Remove stops and removes containers with their anonymous volumes. Those that
// are gone already are no error.
func (e *Engine) Remove(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := e.docker(ctx, append([]string{"rm", "--force", "--volumes"}, ids...)...)
	if err != nil && !isMissing(err) {
		return fmt.Errorf("remove containers: %w", err)
	}
	return nil
}

// isMissing reports whether every complaint of docker is of something that is
// not there, or that another process is removing.
func isMissing(err error) bool {
	var failed *run.Error
	if !errors.As(err, &failed) {
		return false
	}
	missing := false
	for line := range bytes.Lines(failed.Output) {
		switch text := string(line); {
		case strings.Contains(text, "No such") || strings.Contains(text, "no such") || strings.Contains(text, "already in progress"):
			missing = true
		case strings.HasPrefix(text, "Error"):
			return false
		}
	}
	return missing
}

func (e *Engine) docker(ctx context.Context, args ...string) (run.Result, error) {
	return e.runner.Run(ctx, run.Cmd{Name: "docker", Args: args})
}
