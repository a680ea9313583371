package run

import "syscall"

// groupOfItsOwn puts a process into a new group, so that a signal reaches its
// children too. The kernel sends SIGTERM when the lab is killed.
func groupOfItsOwn() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
