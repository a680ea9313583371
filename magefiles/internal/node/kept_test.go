package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/run/runtest"
)

// warned returns options that append what they warn of to told.
func warned(t *testing.T, r run.Runner, told *[]string) Options {
	t.Helper()
	return Options{
		Kubernetes: "v1.99.0", Arch: "amd64", StateDir: t.TempDir(), Engine: engine.New(r), Runner: r, EngineID: "here",
		Warn: func(format string, args ...any) { *told = append(*told, fmt.Sprintf(format, args...)) },
	}
}

// TestChangedImage: a name that now has another image gets back the one that the lab built, and without
// that it counts as missing. An image that this checkout sees for the first time is used.
func TestChangedImage(t *testing.T) {
	t.Parallel()
	const ref = "caslab.local/node:x"
	n := &names{ids: map[string]string{"one": "one"}}
	var told []string
	o := warned(t, n, &told)
	for _, step := range []struct {
		name   string
		change func(o *Options)
		has    bool
		is     string
		told   string
	}{
		{"none", func(*Options) {}, false, "", ""},
		{"built by another checkout", func(*Options) { n.ids[ref] = "one" }, true, "one", ""},
		{"unchanged", func(*Options) {}, true, "one", ""},
		{"tagged anew", func(*Options) { n.ids[ref] = "other" }, true, "one", "! the image " + ref + " was not the one that the lab built: the name is given back to that"},
		{"unchanged again", func(*Options) {}, true, "one", ""},
		{"on another engine", func(o *Options) { o.EngineID, n.ids[ref] = "there", "two" }, true, "two", ""},
		{"tagged anew, and the lab's is gone", func(*Options) { delete(n.ids, "one"); n.ids[ref] = "other" }, false, "other", "! the image " + ref + " is not the one that the lab built, which is gone: making it again"},
	} {
		told = nil
		at := o
		step.change(&at)
		has, err := at.has(t.Context(), ref)
		if err != nil || has != step.has || n.ids[ref] != step.is || strings.Join(told, "\n") != step.told {
			t.Errorf("%s: has() = %t, %v, told %q, and the name is of %q; want %+v", step.name, has, err, told, n.ids[ref], step)
		}
	}
	n.ids[ref] = "new"
	if err := o.keep(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	if has, err := o.has(t.Context(), ref); err != nil || !has {
		t.Errorf("the image that was built again: %t, %v", has, err)
	}
}

// TestChangedImagesAreMadeAgain: the node image with managers, and the bounded load balancer, are made
// again if others have their names.
func TestChangedImagesAreMadeAgain(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(context.Context, Options) error{
		"node image":    func(ctx context.Context, o Options) error { _, err := Bake(ctx, "base:x", nil, o); return err },
		"load balancer": func(ctx context.Context, o Options) error { _, err := BoundBalancer(ctx, balancer, o); return err },
	} {
		var told []string
		there := func(id string) runtest.Answer {
			return runtest.Answer{Prefix: "docker image ls --quiet --no-trunc --filter reference=caslab.local", Stdout: id + "\n"}
		}
		answers := []runtest.Answer{
			{Prefix: "docker image ls --quiet --no-trunc --filter reference=base:x", Stdout: "sha256:base\n"},
			{Prefix: "docker image tag sha256:first", Err: errors.New("no such image")}, {Prefix: "docker ps"}, {Prefix: "docker run", Stdout: "ccc\n"},
			{Prefix: "docker exec"}, {Prefix: "docker cp"}, {Prefix: "docker commit"}, {Prefix: "docker rm"},
			{Prefix: "go version", Stdout: "go1.26.6"}, {Prefix: "go build"},
		}
		runner := &compiler{Fake: &runtest.Fake{Answers: append(answers, there("sha256:first"))}}
		o := warned(t, runner, &told)
		o.Root = filepath.Join("..", "..", "..")
		for i, id := range []string{"sha256:first", "sha256:first", "sha256:other"} {
			runner = &compiler{Fake: &runtest.Fake{Answers: append(slices.Clone(answers), there(id))}}
			o.Engine, o.Runner = engine.New(runner), runner
			if err := make(t.Context(), o); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			built := slices.ContainsFunc(runner.Calls(), func(c string) bool { return strings.HasPrefix(c, "docker commit") })
			if want := i == 2; built != want || len(told) > 0 != want {
				t.Errorf("%s: with the image %s, it is built: %t, told %q", name, id, built, told)
			}
		}
	}
}

// script is the script of the root file system, which counts its runs.
type script struct{ runs int }

func (s *script) Run(_ context.Context, c run.Cmd) (run.Result, error) {
	s.runs++
	var errs []error
	for _, name := range rootfsFiles {
		errs = append(errs, os.WriteFile(filepath.Join(c.Args[0], name), []byte(name), 0o600))
	}
	return run.Result{}, errors.Join(errs...)
}

// TestRootfs: the script runs if it changed, or if what it made is missing or has changed, even to
// something of the same size.
func TestRootfs(t *testing.T) {
	t.Parallel()
	s := &script{}
	var told []string
	o := warned(t, s, &told)
	o.Root = t.TempDir()
	file, dir := filepath.Join(o.Root, "scripts", "node-rootfs.sh"), filepath.Join(o.StateDir, "node", "rootfs")
	writeFile(t, file, "one")
	for _, step := range []struct {
		name   string
		change func()
		runs   int
		told   int
	}{
		{"the first time", func() {}, 1, 0},
		{"unchanged", func() {}, 0, 0},
		{"another script", func() { writeFile(t, file, "two") }, 1, 0},
		{"another root file system", func() { writeFile(t, filepath.Join(dir, "rootfs.tar"), "rootfs.rat") }, 1, 1},
		{"no iptables", func() {
			if err := os.Remove(filepath.Join(dir, "iptables.tar")); err != nil {
				t.Fatal(err)
			}
		}, 1, 1},
		{"unchanged since", func() {}, 0, 0},
	} {
		step.change()
		s.runs, told = 0, nil
		if err := ensureRootfs(t.Context(), o, dir); err != nil || s.runs != step.runs || len(told) != step.told {
			t.Errorf("%s: %v, the script ran %d times, told %q; want %+v", step.name, err, s.runs, told, step)
		}
	}
}
