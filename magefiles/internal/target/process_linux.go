package target

import (
	"os"
	"strings"
)

// processScope identifies what process IDs are unique in: a run of the kernel, and a PID
// namespace. It is empty if that is not known.
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
