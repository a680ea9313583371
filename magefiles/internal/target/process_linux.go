package target

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"caslab/magefiles/internal/proc"
)

// processScope identifies the scope in which process IDs are unique: a boot of the machine,
// and a PID namespace. It is empty if that is not known.
func processScope() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + "/" + namespace
}

// startOf returns when a process started, as the kernel counts, and whether it runs. A
// process that was killed runs no more, although it may be listed until its parent, which
// may be the first process of a container, has asked for its end.
func startOf(pid int) (start string, runs bool) {
	p, err := proc.Read(pid)
	if err != nil {
		return "", !errors.Is(err, fs.ErrNotExist)
	}
	return p.Start, p.State != "Z" && p.State != "X"
}
