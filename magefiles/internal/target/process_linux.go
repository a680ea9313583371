package target

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
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
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", !errors.Is(err, fs.ErrNotExist)
	}
	// The second field, in parentheses, is a name that may have spaces in it. The third is
	// the state, and the 22nd the start.
	_, after, _ := strings.Cut(string(data[max(0, strings.LastIndexByte(string(data), ')')):]), " ")
	fields := strings.Fields(after)
	if len(fields) < 20 {
		return "", true
	}
	return fields[19], fields[0] != "Z" && fields[0] != "X"
}
