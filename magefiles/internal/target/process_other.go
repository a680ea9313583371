//go:build !linux

package target

import (
	"errors"
	"os"
	"syscall"
)

// processScope identifies what process IDs are unique in: the machine. It is empty if that
// is not known.
func processScope() string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	return host
}

// startOf returns whether a process runs. When it started is not known.
func startOf(pid int) (start string, runs bool) {
	return "", !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
