package interrupt

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"caslab/magefiles/internal/proc"
)

func TestTheGoCommandIsAParent(t *testing.T) {
	t.Parallel()
	for name, counts := range map[string]bool{"go": true, "a (go) sh": false} {
		shell := filepath.Join(t.TempDir(), name)
		if err := os.Symlink("/bin/sh", shell); err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), shell, "-c", `sh -c 'echo $$; read line'; true`)
		stdin, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		child, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		if counts {
			want = c.Process.Pid
		}
		if got := goParent(child); got != want {
			t.Errorf("with the parent %q, which is %d, goParent = %d, want %d", name, c.Process.Pid, got, want)
		}
		if p, err := proc.Read(child); err != nil || p.Parent != c.Process.Pid {
			t.Errorf("the parent of %d is %d, %v, want %d", child, p.Parent, err, c.Process.Pid)
		}
		if err := stdin.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
}
