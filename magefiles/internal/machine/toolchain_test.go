package machine

import (
	"errors"
	"strings"
	"testing"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/run/runtest"
)

// TestMissingToolchain: the Go of an old release is fetched before anything starts, and
// the message says what to do if there is none. For today's releases, no process is
// started.
func TestMissingToolchain(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		clusterAPI string
		want       []string
	}{
		{"1.14.2", nil},
		{"0.3.25", []string{"go1.13.15, which compiles this tree", "not served", "check GOPROXY", "a program go1.13.15", "set CAPI_VERSION=v1."}},
		{"1.0.5", []string{"go1.16.15", "set CAPI_VERSION=v1."}},
	} {
		m := fake(t)
		if tc.want != nil {
			m = fake(t, runtest.Answer{Prefix: "go env ", Stdout: "{}"}, runtest.Answer{Prefix: "go version", Stderr: "not served\n", Err: errors.New("exit status 1")})
		}
		m.ClusterAPI = release.Of(version.Must(version.NewVersion(tc.clusterAPI)))
		err := m.CheckToolchain(t.Context(), nil)
		if (err == nil) != (tc.want == nil) || err != nil && !errors.As(err, new(*build.ToolchainError)) {
			t.Errorf("Cluster API %s: %v", tc.clusterAPI, err)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("Cluster API %s: %v, want %q", tc.clusterAPI, err, want)
			}
		}
	}
}

// TestCheckNodeImage: if the image may come from a registry, the machine need not be
// able to build it. For today's Kubernetes, no registry is asked.
func TestCheckNodeImage(t *testing.T) {
	t.Parallel()
	const dead = "127.0.0.1:1"
	for _, tc := range []struct {
		origin, kubernetes string
		pulled, refused    bool
	}{
		{node.Registry, "v1.18.19", false, false},
		{node.Registry, "v1.36.1", false, false},
		{node.Auto, "v1.36.1", false, false},
		{node.Auto, "v1.18.19", false, true},
		{node.Auto, "v1.18.19", true, false},
		{node.Source, "v1.18.19", false, true},
	} {
		m := fake(t) // no process can be started, so that nothing can be built
		if tc.pulled {
			m = fake(t, runtest.Answer{Prefix: "docker image ls --quiet --no-trunc --filter reference=caslab.local/node-pulled:v1.18.19-*", Stdout: "sha256:1\n"})
		}
		m.Kubernetes = release.OfKubernetes(version.Must(version.NewVersion(tc.kubernetes)))
		err := m.CheckNodeImage(t.Context(), node.Options{
			Origin: tc.origin, Kubernetes: tc.kubernetes, Mirror: dead, Root: m.Root, StateDir: m.Root, Runner: m.Runner, Engine: m.Engine,
		})
		if (err != nil) != tc.refused {
			t.Errorf("the image of %s from %s: %v", tc.kubernetes, tc.origin, err)
		}
	}
}

// TestToolchainAdvice: the advice names a release to use instead, if there is one.
func TestToolchainAdvice(t *testing.T) {
	t.Parallel()
	missing := &build.ToolchainError{Toolchain: "go1.15.15", Err: errors.New("404")}
	for setting, want := range map[string]string{
		"":                          "check GOPROXY and GOSUMDB, or put a program go1.15.15 into PATH",
		"KUBERNETES_VERSION=v1.2.3": "check GOPROXY and GOSUMDB, put a program go1.15.15 into PATH, or set KUBERNETES_VERSION=v1.2.3, which the installed Go compiles",
	} {
		if _, advice, _ := strings.Cut(withToolchainAdvice(missing, setting).Error(), "\n"); advice != want {
			t.Errorf("the advice is %q, want %q", advice, want)
		}
	}
	other := errors.New("other")
	if err := withToolchainAdvice(other, ""); err != other { //nolint:errorlint // unchanged
		t.Errorf("another error became %v", err)
	}
}
