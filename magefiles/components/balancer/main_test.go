package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestBound compiles the command and starts it as the Docker provider starts HAProxy:
// HAProxy, here a script, gets the bound before the other arguments.
func TestBound(t *testing.T) {
	dir, real := t.TempDir(), t.TempDir()
	program := filepath.Join(dir, "haproxy")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(real, "haproxy"), []byte("#!/bin/sh\necho \"$0 $*\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	start := func(path string) (string, error) {
		cmd := exec.Command(program, "-W", "-db", "-f", "haproxy.cfg")
		cmd.Env = []string{"PATH=" + path}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	got, err := start(dir + ":/nowhere:" + real)
	if want := filepath.Join(real, "haproxy") + " -n 4000 -W -db -f haproxy.cfg\n"; err != nil || got != want {
		t.Errorf("it started %q, %v; want %q", got, err, want)
	}
	if got, err := start(dir); err == nil {
		t.Errorf("without another haproxy: %q", got)
	}
}
