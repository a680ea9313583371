package run

import "syscall"

// groupOfItsOwn starts a process in a group of its own, so that its children
// can be told to end with it, and has the kernel end it when the lab is killed.
func groupOfItsOwn() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
