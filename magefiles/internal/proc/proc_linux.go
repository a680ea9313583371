// Package proc reads what Linux tells about processes.
package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Process is what /proc/PID/stat tells about a process.
type Process struct {
	Name string
	// State is one letter, such as Z for a process that has ended and whose parent has
	// not asked for its end.
	State  string
	Parent int
	// Start is when the process started, in clock ticks since the boot.
	Start string
}

// Read returns a process. Its error is fs.ErrNotExist if there is no such process.
func Read(pid int) (Process, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	data, err := os.ReadFile(path)
	if err != nil {
		return Process{}, err
	}
	// PID (NAME) STATE PARENT …, and the name may have brackets and spaces. The start is
	// the 22nd field: proc(5).
	stat := string(data)
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return Process{}, fmt.Errorf("%s is %q", path, stat)
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 20 {
		return Process{}, fmt.Errorf("%s is %q", path, stat)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return Process{}, fmt.Errorf("%s is %q", path, stat)
	}
	return Process{Name: stat[open+1 : end], State: fields[0], Parent: parent, Start: fields[19]}, nil
}
