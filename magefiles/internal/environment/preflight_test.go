package environment

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/machine"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/ui"
)

// TestSourceNodeImageIsRefusedEarly: a node image that cannot be built is refused before
// anything is created.
func TestSourceNodeImageIsRefusedEarly(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	s := newFixture(t, map[string]string{"NODE_IMAGE": "source", "CAPI_DIR": tree})
	s.write(t, filepath.Join(tree, "go.mod"), "module sigs.k8s.io/cluster-api\n")
	s.touch(t, s.State.Path("bin", "cluster-api", "x"))
	err := s.preflight(t.Context(), engine.Info{OSType: "linux"})
	if err == nil || !strings.Contains(err.Error(), "NODE_IMAGE=source") || !errors.As(err, new(*node.CannotBuildError)) {
		t.Errorf("preflight() without root or debootstrap = %v", err)
	}
}

func TestInterruptedUpSaysWhatToType(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	var said strings.Builder
	s.Log = ui.New(&said, ui.Options{})
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux"}`}}
	s.up(t, selfManaged())
	s.workload.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := s.Up(ctx, Ready)
	s.Log.Close()
	if err == nil || !strings.Contains(said.String(), "Type the command again") || !strings.Contains(said.String(), s.home().LogFile()) {
		t.Errorf("Up() = %v, and it said\n%s", err, &said)
	}
}

// TestDoctor: env:doctor shows all findings, even if the engine does not answer, and
// fails if one of them is a failure.
func TestDoctor(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"REGISTRY_MIRROR": "127.0.0.1:1"})
	s.docker.down = errors.New("no daemon")
	s.checkSource = func(_ context.Context, spec source.Spec) error {
		if spec.Name == source.AutoscalerName {
			return errors.New("no such host")
		}
		return nil
	}
	err := s.Doctor(t.Context())
	if err == nil || !strings.Contains(err.Error(), "checks failed") {
		t.Errorf("Doctor() = %v", err)
	}
	for _, want := range []string{"no daemon", "scripts/docker-engine.sh", "Cluster API v1.14.2", "no such host", "AUTOSCALER_GIT"} {
		if !strings.Contains(s.printed.String(), want) {
			t.Errorf("printed\n%s\nwant %q", s.printed, want)
		}
	}
	if strings.Contains(s.printed.String(), "CAPI_GIT") {
		t.Errorf("something to do about what is well:\n%s", s.printed)
	}
}

// TestDoctorDoubts: env:doctor warns of versions newer than the table, and does not
// propose env:up for an environment that is there.
func TestDoctorDoubts(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"KUBERNETES_VERSION": "v1.38.0", "NODE_IMAGE": "source"})
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux"}`}}
	s.checkSource = func(context.Context, source.Spec) error { return nil }
	_ = s.Doctor(t.Context()) // the fake engine fails some checks
	if !regexp.MustCompile(`versions +warning +Kubernetes v1.38.0 is newer than this lab knows`).MatchString(s.printed.String()) {
		t.Errorf("printed\n%s", s.printed)
	}
}

// TestOriginsOfTheNodeImage: the packages config and node cannot import each other, but
// must have the same names of origins.
func TestOriginsOfTheNodeImage(t *testing.T) {
	t.Parallel()
	settings := []string{config.NodeImageAuto, config.NodeImageRegistry, config.NodeImageSource}
	if origins := []string{node.Auto, node.Registry, node.Source}; !slices.Equal(settings, origins) {
		t.Errorf("settings have %q, node %q", settings, origins)
	}
}

// TestStatusDoubts: env:status and env:up name versions that were forced or are newer than
// the table.
func TestStatusDoubts(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"KUBERNETES_VERSION": "v1.38.0"})
	w := selfManaged()
	for _, m := range w[machineObjects] {
		m["spec"] = map[string]any{"version": "v1.38.0"}
	}
	s.up(t, w)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux"}`}, {Prefix: "docker image ls"}}
	if err := s.Status(t.Context()); err != nil || !strings.Contains(s.printed.String(), "\n! Kubernetes v1.38.0 is newer than this lab knows") {
		t.Errorf("Status() = %v, and it printed\n%s", err, s.printed)
	}
}

// TestPresent: nodes that are there, or were there when the environment was ready, need no
// more disk.
func TestPresent(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	if got := s.present(t.Context()); got != 0 {
		t.Errorf("%d nodes are there at first", got)
	}
	s.up(t, selfManaged())
	if got := s.present(t.Context()); got != 2 {
		t.Errorf("%d nodes are there, want a control plane and a worker", got)
	}
	s.touch(t, s.home().ReadyFile())
	if got, want := s.present(t.Context()), 2+s.Config.Workers; got != want {
		t.Errorf("a ready environment has %d of the nodes of env:up, want %d", got, want)
	}
}

// TestPreflight: a machine without enough disk, a source or privileged containers is
// refused before anything is created.
func TestPreflight(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*fixture){
		"":           func(*fixture) {},
		"GiB needed": func(s *fixture) { s.host.FreeDisk = func(string) (int64, error) { return 1 << 30, nil } },
		"no such tag": func(s *fixture) {
			s.checkSource = func(context.Context, source.Spec) error { return errors.New("no such tag") }
		},
		"CAPI_VERSION=v1.0.5: no Go": func(s *fixture) {
			s.Config.ClusterAPI.Version, s.Config.Kubernetes = version.Must(version.NewSemver("1.0.5")), version.Must(version.NewSemver("1.21.14"))
			s.checkToolchain = func(machine.Machine, context.Context, func(string)) error { return errors.New("no Go") }
		},
		"NODE_IMAGE=auto: not root": func(s *fixture) {
			s.checkNodeImage = func(machine.Machine, context.Context, node.Options) error { return errors.New("not root") }
		},
		"set CAPI_VERSION=": func(s *fixture) {
			s.docker.Answers = append(s.docker.Answers, runtest.Answer{Prefix: "docker version", Stdout: `{"MinAPIVersion": "1.44"}`})
			s.Config.ClusterAPI.Version = version.Must(version.NewSemver("1.6.8"))
		},
		"no privileged container":     func(s *fixture) { s.docker.Answers[1].Err = errors.New("exit status 125") },
		"look for the image caslab.l": func(s *fixture) { s.docker.Answers[0].Err = errors.New("exit status 1") },
	} {
		s := newFixture(t, nil)
		s.docker.Answers = []runtest.Answer{{Prefix: "docker image ls", Stdout: "sha256:0\n"}, {Prefix: "docker run", Stdout: "probe\n"}}
		s.checkSource = func(context.Context, source.Spec) error { return nil }
		change(s)
		if err := s.preflight(t.Context(), engine.Info{OSType: "linux"}); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("preflight() = %v, want %q", err, want)
		}
	}
}

// TestKubernetesThatDoesNotExist: a release that the module proxy lists nowhere is refused
// before anything is created, unless a registry is asked for its image or the engine has
// it. A proxy that does not answer refuses nothing.
func TestKubernetesThatDoesNotExist(t *testing.T) {
	t.Parallel()
	missing := &source.MissingTagError{Component: source.KubernetesName, Tag: "v1.36.99", URL: "the proxy", Nearest: []string{"v1.36.3"}}
	for name, tc := range map[string]struct {
		origin, image string
		err           error
		refused       bool
	}{
		"auto":          {node.Auto, "", missing, true},
		"no answer":     {node.Auto, "", errors.New("no such host"), false},
		"there":         {node.Auto, "", nil, false},
		"in the engine": {node.Auto, "sha256:1\n", missing, false},
		"registry":      {node.Registry, "", missing, false},
	} {
		s := newFixture(t, map[string]string{"KUBERNETES_VERSION": "v1.36.99", "NODE_IMAGE": tc.origin})
		s.checkNodeImage = func(machine.Machine, context.Context, node.Options) error { return nil }
		s.docker.Answers = []runtest.Answer{
			{Prefix: "docker image ls --quiet --no-trunc --filter reference=caslab.local/probe", Stdout: "sha256:0\n"},
			{Prefix: "docker image ls", Stdout: tc.image}, {Prefix: "docker run", Stdout: "probe\n"},
		}
		s.checkSource = func(_ context.Context, spec source.Spec) error {
			if spec.Name == source.KubernetesName && spec.Version == "v1.36.99" {
				return tc.err
			}
			return nil
		}
		err := s.preflight(t.Context(), engine.Info{OSType: "linux"})
		if tc.refused != errors.Is(err, missing) || !tc.refused && err != nil {
			t.Errorf("%s: preflight() = %v", name, err)
		}
	}
}

// TestPreflightWarns: env:up goes on after a warning, and prints it with what to do.
func TestPreflightWarns(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	var said strings.Builder
	s.Log = ui.New(&said, ui.Options{})
	s.host.ReadLimit = func(machine.Limit) (uint64, error) { return 128, nil }
	s.docker.Answers = []runtest.Answer{{Prefix: "docker image ls", Stdout: "sha256:0\n"}, {Prefix: "docker run", Stdout: "probe\n"}}
	s.checkSource = func(context.Context, source.Spec) error { return nil }
	info := engine.Info{OSType: "linux", MemTotal: 1 << 40}
	if err := s.preflight(t.Context(), info); err == nil || !strings.Contains(err.Error(), "inotify max_user_watches is 128") {
		t.Errorf("preflight() with few watches = %v", err)
	}
	s.Log.Close()
	if !strings.Contains(said.String(), "\n! inotify max_user_instances: the limit inotify max_user_instances is 128, about enough for the 3 nodes") || !strings.Contains(said.String(), "sysctl fs.inotify.max_user_instances=") {
		t.Errorf("it said\n%s", &said)
	}
}

// TestDoctorPrintsPreflight: env:doctor prints every check of env:up. A check of env:up
// that fails is a failure of env:doctor, with the same words.
func TestDoctorPrintsPreflight(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"NODE_IMAGE": "registry", "REGISTRY_MIRROR": "127.0.0.1:1"})
	s.docker.Answers = []runtest.Answer{
		{Prefix: "docker info", Stdout: `{"OSType": "linux"}`}, {Prefix: "docker image ls", Stdout: "sha256:0\n"}, {Prefix: "docker run", Stdout: "probe\n"},
		{Prefix: "docker context inspect", Stdout: "tcp://10.0.0.7:2376\n"},
	}
	s.checkSource = func(context.Context, source.Spec) error { return nil }
	info, err := s.engine.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refusal := s.preflight(t.Context(), info)
	if err := s.Doctor(t.Context()); err == nil || refusal == nil {
		t.Fatalf("preflight() = %v, Doctor() = %v", refusal, err)
	}
	for _, c := range s.checks(t.Context(), info, machine.ProbeUp, nil) {
		if c.Name != "node image" && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(c.Name)+` +(ok|note|warning|failure) `).MatchString(s.printed.String()) {
			t.Errorf("the doctor does not check %q:\n%s", c.Name, s.printed)
		}
	}
	found, cure, _ := strings.Cut(refusal.Error(), "; ")
	if !strings.Contains(s.printed.String(), found) || !strings.Contains(s.printed.String(), cure[:20]) {
		t.Errorf("env:up says\n%v\nand the doctor\n%s", refusal, s.printed)
	}
}

// TestReleasesAreCheckedFirst: nobody should make room for a release that does not exist.
func TestReleasesAreCheckedFirst(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"NODE_IMAGE": "source"})
	var names []string
	for _, c := range s.checks(t.Context(), engine.Info{OSType: "linux"}, machine.ProbeUp, nil) {
		names = append(names, c.Name)
	}
	want := []string{"versions", "Cluster API v1.14.2", "Kubernetes v1.36.1", "engine"}
	if len(names) < len(want) || !slices.Equal(names[:len(want)], want) {
		t.Errorf("the checks are %q, want first %q", names, want)
	}
}

// archive returns a tar archive with a file.
func archive(t *testing.T, content string) string {
	t.Helper()
	var out strings.Builder
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestPublishedPorts: the doctor names the ports that other machines reach, and warns if
// the load balancer does not refuse their connections.
func TestPublishedPorts(t *testing.T) {
	t.Parallel()
	const refusing = "tcp-request content reject unless { src,ipmask(16,64),strcmp(sess.network) eq 0 }"
	linux, desktop := engine.Info{OSType: "linux"}, engine.Info{OSType: "linux", OperatingSystem: "Docker Desktop"}
	for name, tc := range map[string]struct {
		host    string
		version string
		// config is that of the load balancer, none if it cannot be read.
		config string
		info   engine.Info
		want   machine.Verdict
	}{
		"of this machine":              {"127.0.0.1", "1.14.2", refusing, linux, machine.OK},
		"refused":                      {"0.0.0.0", "1.14.2", refusing, linux, machine.Note},
		"refused, with other settings": {"0.0.0.0", "1.5.8", refusing, linux, machine.Note},
		"before v1.6":                  {"0.0.0.0", "1.5.8", "bind *:6443", linux, machine.Warning},
		"made before v1.6":             {"0.0.0.0", "1.14.2", "bind *:6443", linux, machine.Warning},
		"unknown":                      {"0.0.0.0", "1.14.2", "", linux, machine.Warning},
		"in a virtual machine":         {"0.0.0.0", "1.14.2", refusing, desktop, machine.Warning},
		"all addresses of IPv6":        {"::", "1.5.8", "bind *:6443", linux, machine.Warning},
	} {
		s := newFixture(t, nil)
		s.Config.ClusterAPI.Version = version.Must(version.NewSemver(tc.version))
		s.up(t, selfManaged())
		s.docker.containers[0].host = tc.host
		if tc.config != "" {
			s.docker.Answers = []runtest.Answer{{Prefix: "docker cp lb:/usr/local/etc/haproxy/haproxy.cfg -", Stdout: archive(t, tc.config)}}
		}
		f := s.publishedPorts(t.Context(), tc.info)
		if runtime.GOOS != "linux" && tc.want == machine.Note {
			tc.want = machine.Warning
		}
		if f.Verdict != tc.want || (f.Verdict != machine.OK) != strings.Contains(f.Found, "6443/tcp of work-cluster-lb at ") {
			t.Errorf("%s: %+v, want %s", name, f, tc.want)
		}
	}
}
