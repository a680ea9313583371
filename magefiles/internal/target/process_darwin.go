package target

import (
	"errors"
	"syscall"
)

// processScope identifies what process IDs are unique in: a run of the kernel. It is empty
// if that is not known.
func processScope() string {
	boot, err := syscall.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return boot
}

// startOf returns whether a process runs. When it started is not known.
func startOf(pid int) (start string, runs bool) {
	return "", !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
