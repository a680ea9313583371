//go:build !linux

package run

import "syscall"

// groupOfItsOwn puts a process into a new group, so that a signal reaches its
// children too.
func groupOfItsOwn() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
