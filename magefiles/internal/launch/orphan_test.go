package launch

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// role makes this test's program a target of mage, or mage, which starts the target.
const role = "CASLAB_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "target":
		fmt.Println(Lab(context.Background(), "env:up"))
		os.Exit(1)
	case "mage":
		c := exec.CommandContext(context.Background(), os.Args[0])
		c.Env = append(os.Environ(), role+"=target")
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		_ = c.Run()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestMageIsKilledDuringTheCompilation: the compiler ends, and the command does not start.
func TestMageIsKilledDuringTheCompilation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "compiler")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	compiler := "#!/bin/sh\nexec 9>" + fifo + "; echo compiling >&9; exec sleep 600\n"
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(compiler), 0o700); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Dir = dir
	c.Env = append(os.Environ(), role+"=mage", "PATH="+dir+":"+os.Getenv("PATH"))
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	compiling, err := os.Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = compiling.Close() }()
	lines := bufio.NewReader(compiling)
	if line, err := lines.ReadString('\n'); err != nil {
		t.Fatalf("the compiler says %q, %v", line, err)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The pipes end when the processes do.
	said, err := io.ReadAll(stdout)
	if err != nil || !strings.Contains(string(said), "stopped, because the process that started it ended") {
		t.Errorf("the target says %q, %v", said, err)
	}
	if rest, err := io.ReadAll(lines); err != nil {
		t.Errorf("the compiler: %q, %v", rest, err)
	}
	_ = c.Wait() // it was killed
}
