package build

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/run/runtest"
)

const settingsOfGo = `{"GOFLAGS": "-buildvcs=false", "GOPROXY": "https://proxy.example.com", "GOPATH": "/home/mike/go", "GOPRIVATE": ""}`

// TestOldToolchain: an old Go gets no flag that it does not know, even if the
// user set one for today's Go. It gets the settings that it needs to download
// modules.
func TestOldToolchain(t *testing.T) {
	t.Parallel()
	fake := &runtest.Fake{Answers: []runtest.Answer{
		{Prefix: "go env -json ", Stdout: settingsOfGo},
		{Prefix: "go version", Stdout: "go version go1.13.15 linux/amd64\n", Stderr: "go: downloading go1.13.15 (linux/amd64)\n"},
		{Prefix: "go build ", Err: errors.New("stop here")},
	}}
	r := request(t, t.TempDir())
	r.Toolchain, r.Vendor = "go1.13.15", true
	if _, err := Build(t.Context(), r, Options{Runner: fake}); err == nil || !strings.Contains(err.Error(), "stop here") {
		t.Fatalf("Build() = %v", err)
	}
	var ran []string
	for _, c := range fake.Cmds() {
		ran = append(ran, c.Args[0])
		switch c.Args[0] {
		case "env":
			if !slices.Equal(c.Env, []string{"GOTOOLCHAIN=local"}) {
				t.Errorf("the settings are asked for with %q", c.Env)
			}
			continue
		case "build":
			if text := c.String(); strings.Contains(text, "buildvcs") || !strings.Contains(text, " -mod=vendor ") {
				t.Errorf("compiled with %s", text)
			}
		}
		for _, want := range []string{"GOTOOLCHAIN=go1.13.15", "GOENV=off", "GOFLAGS=", "GO111MODULE=on", "GOPROXY=https://proxy.example.com", "GOPATH=/home/mike/go"} {
			if !slices.Contains(c.Env, want) {
				t.Errorf("go %s runs without %s: %q", c.Args[0], want, c.Env)
			}
		}
		if slices.ContainsFunc(c.Env, func(v string) bool { return strings.Contains(v, "buildvcs") || v == "GOPRIVATE=" }) {
			t.Errorf("go %s runs with %q", c.Args[0], c.Env)
		}
	}
	if !slices.Equal(ran, []string{"env", "version", "build"}) {
		t.Errorf("ran go %q", ran)
	}
}

// TestOldToolchainWritesNoTree: a tree without a folder vendor may be a developer's.
func TestOldToolchainWritesNoTree(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]Request{
		"-mod=readonly": {Toolchain: "go1.13.15"}, "-mod=vendor": {Toolchain: "go1.13.15", Vendor: true}, "": {Toolchain: "go1.18.10"},
	} {
		r.Packages = []string{"."}
		i := slices.IndexFunc(args(r), func(a string) bool { return strings.HasPrefix(a, "-mod=") })
		got := ""
		if i >= 0 {
			got = args(r)[i]
		}
		if got != want {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
	}
}

// TestToolchainOfToday: a Go that knows today's flags gets them. For the
// installed Go, nothing else changes.
func TestToolchainOfToday(t *testing.T) {
	t.Parallel()
	for toolchain, first := range map[string][]string{
		"":          {"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false"},
		"go1.18.10": {"GOTOOLCHAIN=go1.18.10", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false"},
	} {
		fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "go version"}, {Prefix: "go build ", Err: errors.New("stop here")}}}
		r := request(t, t.TempDir())
		r.Toolchain = toolchain
		if _, err := Build(t.Context(), r, Options{Runner: fake}); err == nil {
			t.Fatal("the build of nothing succeeded")
		}
		last := fake.Cmds()[len(fake.Cmds())-1]
		if !slices.Equal(last.Env, first) || !slices.Equal(last.Args[:4], []string{"build", "-v", "-buildvcs=false", "-o"}) {
			t.Errorf("with the toolchain %q: go %q with %q", toolchain, last.Args, last.Env)
		}
	}
}

// TestMissingToolchain: the error has the version of the missing Go and the go
// command's message without credentials. Nothing is compiled.
func TestMissingToolchain(t *testing.T) {
	t.Parallel()
	const stderr = "go: downloading go1.13.15 (linux/amd64)\ngo: download go1.13.15: golang.org/toolchain: reading https://user:secret@host/x.zip: 403 Forbidden\n\tserver response: not available.\n"
	fake := &runtest.Fake{Answers: []runtest.Answer{
		{Prefix: "go env ", Stdout: settingsOfGo},
		{Prefix: "go version", Stderr: stderr, Err: errors.New("exit status 1")},
	}}
	r := request(t, t.TempDir())
	r.Toolchain = "go1.13.15"
	_, built := Build(t.Context(), r, Options{Runner: fake})
	for _, err := range []error{built, CheckToolchain(t.Context(), "go1.13.15", Options{Runner: fake})} {
		var missing *ToolchainError
		if !errors.As(err, &missing) || missing.Toolchain != "go1.13.15" {
			t.Fatalf("the error is %v", err)
		}
		want := "go1.13.15, which compiles this tree, is not on this machine, and the go command cannot fetch it: golang.org/toolchain: reading https://xxxxx@host/x.zip: 403 Forbidden; server response: not available."
		if err.Error() != want {
			t.Errorf("the error is\n%v\nwant\n%s", err, want)
		}
	}
	if slices.ContainsFunc(fake.Calls(), func(c string) bool { return strings.HasPrefix(c, "go build") }) {
		t.Errorf("ran %q", fake.Calls())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := CheckToolchain(ctx, "go1.20.14", Options{Runner: fake}); !errors.Is(err, context.Canceled) || errors.As(err, new(*ToolchainError)) {
		t.Errorf("an interrupted check says %v", err)
	}
	if err := CheckToolchain(t.Context(), "", Options{}); err != nil {
		t.Errorf("the installed Go is missing: %v", err)
	}
}

// TestSettingsOfGo runs the real go command, because a fake one accepts any name
// of a setting.
func TestSettingsOfGo(t *testing.T) {
	t.Parallel()
	settings, err := settingsFor(t.Context(), "go1.13.15", run.Exec{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"GOPROXY", "GOCACHE", "GOPATH"} {
		out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := name + "=" + strings.TrimSpace(string(out)); !slices.Contains(settings, want) {
			t.Errorf("no %s in %q", want, settings)
		}
	}
}
