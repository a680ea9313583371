package interrupt

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// goParent returns the parent of a process if that parent is a go command, as in
// `go tool mage`, and 0 otherwise. A shell does not count: it may end before its jobs.
func goParent(pid int) int {
	_, parent := status(pid)
	if name, _ := status(parent); name != "go" {
		return 0
	}
	return parent
}

// status returns the name and the parent of a process from proc(5). The parent is 0 if
// there is no such process.
func status(pid int) (name string, parent int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// PID (NAME) STATE PARENT …, and the name may have brackets and spaces.
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if err != nil || open < 0 || end < open {
		return "", 0
	}
	if fields := bytes.Fields(stat[end+1:]); len(fields) > 1 {
		parent, _ = strconv.Atoi(string(fields[1]))
	}
	return string(stat[open+1 : end]), parent
}
