package target

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestKilledProcessHasEnded: a process that was killed has ended, also while its parent has
// not asked for its end.
func TestKilledProcessHasEnded(t *testing.T) {
	t.Parallel()
	c := exec.CommandContext(t.Context(), "sleep", "600")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Wait() }()
	start, runs := startOf(c.Process.Pid)
	id := fmt.Sprintf("%s %d %s", processScope(), c.Process.Pid, start)
	if !runs || start == "" || hasEnded(id) {
		t.Fatalf("%s has ended before it was killed", id)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for !hasEnded(id) {
		time.Sleep(time.Millisecond)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", c.Process.Pid)); err != nil {
		t.Errorf("the killed process is not listed any more: %v", err)
	}
	if hasEnded(processID()) {
		t.Errorf("%s has ended", processID())
	}
}
