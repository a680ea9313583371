// Package engine controls the Docker engine through the docker command, which kind needs
// too.
package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/run"
)

// cleanupTime bounds a clean-up that goes on after the first interruption.
const cleanupTime = 5 * time.Minute

// infoTimeout is how long an engine may take to describe itself.
const infoTimeout = 20 * time.Second

// Engine is the Docker engine that the docker command reaches.
type Engine struct{ runner run.Runner }

// New returns the Engine whose docker commands runner starts.
func New(runner run.Runner) *Engine { return &Engine{runner: runner} }

// Info describes an engine, with the names of docker info.
type Info struct {
	// ID differs between engines.
	ID              string
	ServerVersion   string
	OperatingSystem string
	OSType          string
	// Architecture has the kernel's name, such as x86_64; Arch returns Go's.
	Architecture  string
	CgroupVersion string
	DockerRootDir string
	NCPU          int
	MemTotal      int64 // bytes
	// DriverStatus has pairs of a name and a value.
	DriverStatus [][2]string
	// HTTPProxy and HTTPSProxy are the proxies through which the engine itself pulls
	// images.
	HTTPProxy, HTTPSProxy string
	SecurityOptions,
	ServerErrors []string
	// Host is set only by Podman's docker command, whose other fields have other names.
	Host *struct{ OS string }
}

// Arch returns the engine's architecture as Go and images name it, such as amd64.
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

// PodmanCommand reports whether the docker command is Podman's.
func (i Info) PodmanCommand() bool { return i.Host != nil && i.OSType == "" }

// Desktop reports whether the engine is Docker Desktop, whose containers run in a virtual
// machine and see another source address than the client's.
func (i Info) Desktop() bool { return strings.Contains(i.OperatingSystem, "Docker Desktop") }

// ShowsSources reports whether the engine's containers see the source addresses of
// connections to their published ports. An engine in a virtual machine forwards all
// connections from one address.
func (i Info) ShowsSources() bool { return runtime.GOOS == "linux" && !i.Desktop() }

// ContainerdStore reports whether containerd stores the images instead of the engine's own
// store.
func (i Info) ContainerdStore() bool {
	return slices.Contains(i.DriverStatus, [2]string{"driver-type", "io.containerd.snapshotter.v1"})
}

// unreachableError says that no engine answers, and what to type.
type unreachableError struct{ Err error }

func (e *unreachableError) Error() string {
	return "no Docker engine answers: " + e.cause() + "\nstart Docker, or on Debian and Ubuntu run scripts/docker-engine.sh as root"
}

// Unwrap returns the cause.
func (e *unreachableError) Unwrap() error { return e.Err }

// cause returns the first line that the docker command printed, if it printed
// any.
func (e *unreachableError) cause() string {
	if failed := new(run.Error); errors.As(e.Err, &failed) && len(bytes.TrimSpace(failed.Output)) > 0 {
		return firstLine(string(failed.Output))
	}
	return firstLine(e.Err.Error())
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// Info asks the engine to describe itself. If there is no answer within 20 seconds,
// the error says what to type.
func (e *Engine) Info(ctx context.Context) (Info, error) {
	var info Info
	bounded, cancel := context.WithTimeoutCause(ctx, infoTimeout, fmt.Errorf("no answer within %s", infoTimeout))
	defer cancel()
	res, err := e.docker(bounded, "info", "--format", "{{json .}}")
	if err != nil && ctx.Err() != nil {
		return info, err
	}
	if err != nil {
		return info, &unreachableError{Err: err}
	}
	if err := json.Unmarshal(res.Stdout, &info); err != nil {
		return info, fmt.Errorf("read docker info: %w", err)
	}
	if len(info.ServerErrors) > 0 {
		return info, &unreachableError{Err: errors.New(strings.Join(info.ServerErrors, "; "))}
	}
	return info, nil
}

// Server has the versions that an engine reports.
type Server struct {
	// MinAPIVersion is the oldest version of its API that the engine accepts from
	// clients, such as 1.44. It is empty if the engine does not report it.
	MinAPIVersion string
	Components    []struct{ Name, Version string }
}

// Podman returns the version of Podman if the engine is Podman's service with the API of
// Docker.
func (s Server) Podman() (version string, ok bool) {
	for _, c := range s.Components {
		if strings.HasPrefix(c.Name, "Podman") {
			return c.Version, true
		}
	}
	return "", false
}

// Server asks the engine for its versions.
func (e *Engine) Server(ctx context.Context) (Server, error) {
	var server Server
	res, err := e.docker(ctx, "version", "--format", "{{json .Server}}")
	if err != nil {
		return server, fmt.Errorf("ask the engine for its versions: %w", err)
	}
	if err := json.Unmarshal(res.Stdout, &server); err != nil {
		return server, fmt.Errorf("read docker version: %w", err)
	}
	return server, nil
}

// Endpoint returns the address at which the docker command reaches the engine, such as
// unix:///var/run/docker.sock. It is empty if the command knows no contexts, as before
// Docker 19.03.
func (e *Engine) Endpoint(ctx context.Context) string {
	res, err := e.docker(ctx, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
	if err != nil {
		return ""
	}
	return firstLine(string(res.Stdout))
}

// Network is one network of the engine.
type Network struct {
	// ID is unique. A network that is created again under the same name has another ID.
	ID string
	// Subnets are its ranges of addresses, IPv4 and IPv6.
	Subnets []netip.Prefix
	// Containers are the names of the containers that run on it.
	Containers []string
	// MTU is the size of its packets, in bytes; empty if the engine's default is used.
	MTU string
}

// MTUOption is the name of the option of a bridge network that has its MTU.
const MTUOption = "com.docker.network.driver.mtu"

// HasIPv4 reports whether the network has a range of IPv4 addresses.
func (n Network) HasIPv4() bool {
	return slices.ContainsFunc(n.Subnets, func(s netip.Prefix) bool { return s.Addr().Is4() })
}

// Contains reports whether the address is in one of the subnets.
func (n Network) Contains(a netip.Addr) bool {
	return slices.ContainsFunc(n.Subnets, func(s netip.Prefix) bool { return s.Contains(a) })
}

// Network returns the network of that name; ok is false if there is none.
func (e *Engine) Network(ctx context.Context, name string) (_ Network, ok bool, err error) {
	res, err := e.docker(ctx, "network", "inspect", name)
	if failed := new(run.Error); isMissing(err) || errors.As(err, &failed) && strings.Contains(string(failed.Output), "not found") {
		return Network{}, false, nil
	}
	if err != nil {
		return Network{}, false, fmt.Errorf("inspect the network %s: %w", name, err)
	}
	n, err := parseNetwork(res.Stdout)
	return n, err == nil, err
}

func parseNetwork(data []byte) (Network, error) {
	var raw []struct {
		ID         string `json:"Id"`
		IPAM       struct{ Config []struct{ Subnet string } }
		Containers map[string]struct{ Name string }
		Options    map[string]string
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return Network{}, fmt.Errorf("read docker network inspect: %w", err)
	}
	if len(raw) == 0 {
		return Network{}, errors.New("read docker network inspect: it names no network")
	}
	n := Network{ID: raw[0].ID, MTU: raw[0].Options[MTUOption]}
	for _, c := range raw[0].IPAM.Config {
		if c.Subnet == "" {
			continue // the driver gives the addresses
		}
		subnet, err := netip.ParsePrefix(c.Subnet)
		if err != nil {
			return Network{}, fmt.Errorf("read docker network inspect: %w", err)
		}
		n.Subnets = append(n.Subnets, subnet)
	}
	for _, c := range raw[0].Containers {
		n.Containers = append(n.Containers, c.Name)
	}
	slices.Sort(n.Containers)
	return n, nil
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

// LoadImages loads images, by their references, into the engine.
func (e *Engine) LoadImages(ctx context.Context, images map[string]v1.Image) error {
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(image.Archive(writer, images)) }()
	_, err := e.runner.Run(ctx, run.Cmd{Name: "docker", Args: []string{"load", "--quiet"}, Stdin: reader})
	// docker may end without reading everything; the writer must not wait for it.
	if err := errors.Join(err, reader.Close()); err != nil {
		return fmt.Errorf("load images into the engine: %w", err)
	}
	return nil
}

// Tag gives the image ref the additional name as.
func (e *Engine) Tag(ctx context.Context, ref, as string) error {
	if _, err := e.docker(ctx, "image", "tag", ref, as); err != nil {
		return fmt.Errorf("tag the image %s as %s: %w", ref, as, err)
	}
	return nil
}

// Unpack writes the files of a tar archive into a container, which needs no program for
// that. Paths in the archive start at the container's root.
func (e *Engine) Unpack(ctx context.Context, container string, archive io.Reader) error {
	if _, err := e.runner.Run(ctx, run.Cmd{Name: "docker", Args: []string{"cp", "-", container + ":/"}, Stdin: archive}); err != nil {
		return fmt.Errorf("copy files into %s: %w", container, err)
	}
	return nil
}

// ReadFile returns the content of a file in a container, which needs no program for that and
// may be stopped.
func (e *Engine) ReadFile(ctx context.Context, container, path string) ([]byte, error) {
	res, err := e.docker(ctx, "cp", container+":"+path, "-")
	if err == nil {
		archive := tar.NewReader(bytes.NewReader(res.Stdout))
		if _, err = archive.Next(); err == nil {
			var data []byte
			data, err = io.ReadAll(archive)
			if err == nil {
				return data, nil
			}
		}
	}
	return nil, fmt.Errorf("read %s in the container %s: %w", path, container, err)
}

// Untag removes the name ref from its image, which must have another name or be unused. The
// engine removes an image that has no name left.
func (e *Engine) Untag(ctx context.Context, ref string) error {
	if _, err := e.docker(ctx, "image", "rm", ref); err != nil {
		return fmt.Errorf("remove the image name %s: %w", ref, err)
	}
	return nil
}

// Commit creates the image ref from a container. The changes are Dockerfile
// instructions for its configuration.
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

// Run starts a container in the background and returns its ID. args are those of
// docker run, with the image and its command. A container of that name, which a
// killed command may have left, is removed first, and a container that does not
// start is removed after.
func (e *Engine) Run(ctx context.Context, name string, args ...string) (id string, err error) {
	if err := e.Remove(ctx, name); err != nil {
		return "", err
	}
	res, err := e.docker(ctx, append([]string{"run", "--detach", "--name", name}, args...)...)
	if err != nil {
		return "", errors.Join(fmt.Errorf("start the container %s: %w", name, err), e.CleanUp(ctx, name))
	}
	return firstLine(string(res.Stdout)), nil
}

// CleanUp removes a container that the command of ctx started, even if ctx is done. It
// returns an *interrupt.LeftError if it cannot remove the container.
func (e *Engine) CleanUp(ctx context.Context, name string) error {
	ctx, cancel := interrupt.Cleanup(ctx, cleanupTime)
	defer cancel()
	if err := e.Remove(ctx, name); err != nil {
		return &interrupt.LeftError{What: "the container " + name, Command: "docker rm -f -v " + name, Err: err}
	}
	return nil
}

// Connect connects a container to one more network. A container that is connected already
// is no error.
func (e *Engine) Connect(ctx context.Context, network, container string) error {
	_, err := e.docker(ctx, "network", "connect", network, container)
	var failed *run.Error
	if errors.As(err, &failed) && strings.Contains(string(failed.Output), "already exists in network") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("connect %s to the network %s: %w", container, network, err)
	}
	return nil
}

// Reconnect connects a stopped container to the existing network of a name, and disconnects
// it from the removed network of the same name. The engine starts no container whose
// network is gone.
func (e *Engine) Reconnect(ctx context.Context, network, container string) error {
	if _, err := e.docker(ctx, "network", "disconnect", "--force", network, container); err != nil {
		return fmt.Errorf("disconnect %s from the network %s: %w", container, network, err)
	}
	return e.Connect(ctx, network, container)
}

// CreateNetwork creates a bridge network whose containers reach other hosts. options are
// options of docker network create.
func (e *Engine) CreateNetwork(ctx context.Context, name string, options ...string) error {
	args := append([]string{"network", "create", "--driver=bridge", "--opt=com.docker.network.bridge.enable_ip_masquerade=true"}, options...)
	if _, err := e.docker(ctx, append(args, name)...); err != nil {
		return fmt.Errorf("create the network %s: %w", name, err)
	}
	return nil
}

// Exec runs argv in a container. stdin may be nil.
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
	// Mounts has the source of each mount by its path in the container.
	Mounts map[string]string
	// Ports has host ports by container ports, such as 6443/tcp.
	Ports map[string]string
	// Open has the host addresses of Ports that other machines can reach, such as
	// 0.0.0.0:49154, by container ports.
	Open map[string]string
	// IPs has the container's IPv4 addresses by network. They are empty while the
	// container is stopped.
	IPs map[string]string
	// NetworkIDs has the IDs of the networks that the container is connected to, by their
	// names. A newer network may have the same name.
	NetworkIDs map[string]string
}

// List returns the containers, stopped ones too, with a label, which is given as
// key or key=value. A container also has the labels of its image, and an image
// those of the container from which it was committed.
func (e *Engine) List(ctx context.Context, label string) ([]Container, error) {
	return e.list(ctx, "label="+label)
}

// OnNetwork returns the containers, stopped ones too, that are connected to a network.
func (e *Engine) OnNetwork(ctx context.Context, network string) ([]Container, error) {
	return e.list(ctx, "network="+network)
}

// Named returns the containers, stopped ones too, whose names begin with prefix. The
// prefix consists of letters, digits and hyphens.
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
			Ports    map[string][]struct{ HostIP, HostPort string }
			Networks map[string]struct{ IPAddress, NetworkID string }
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
			Mounts: map[string]string{}, Ports: map[string]string{}, Open: map[string]string{}, IPs: map[string]string{}, NetworkIDs: map[string]string{},
		}
		for _, m := range r.Mounts {
			c.Mounts[m.Destination] = m.Source
		}
		for port, bindings := range r.NetworkSettings.Ports {
			if len(bindings) > 0 {
				c.Ports[port] = bindings[0].HostPort
			}
			for _, b := range bindings {
				if host, err := netip.ParseAddr(b.HostIP); err != nil || !host.IsLoopback() {
					c.Open[port] = net.JoinHostPort(b.HostIP, b.HostPort)
					break
				}
			}
		}
		for network, settings := range r.NetworkSettings.Networks {
			c.IPs[network], c.NetworkIDs[network] = settings.IPAddress, settings.NetworkID
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

// Stop stops containers at the same time. A container that has not ended after the
// engine's grace period of 10 seconds is killed.
func (e *Engine) Stop(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	if _, err := e.docker(ctx, append([]string{"stop"}, ids...)...); err != nil {
		return fmt.Errorf("stop containers: %w", err)
	}
	return nil
}

// Kill kills a container at once. The engine does not start it again by itself, whatever its
// restart policy is.
func (e *Engine) Kill(ctx context.Context, id string) error {
	if _, err := e.docker(ctx, "kill", id); err != nil {
		return fmt.Errorf("kill a container: %w", err)
	}
	return nil
}

// KeepStopped sets the restart policy of containers so that the engine does not start them
// by itself, for example when the engine starts.
func (e *Engine) KeepStopped(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	if _, err := e.docker(ctx, append([]string{"update", "--restart=no"}, ids...)...); err != nil {
		return fmt.Errorf("change the restart policy of containers: %w", err)
	}
	return nil
}

// Remove stops and removes containers with their anonymous volumes. A container that
// does not exist is no error.
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

// isMissing reports whether docker complains only about objects that do not exist or are
// being removed by another process.
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
