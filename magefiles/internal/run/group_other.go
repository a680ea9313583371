//go:build !linux

package run

import "syscall"

// groupOfItsOwn starts a process in a group of its own, so that its children
// can be told to end with it.
func groupOfItsOwn() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
