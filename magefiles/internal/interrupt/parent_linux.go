package interrupt

import "caslab/magefiles/internal/proc"

// goParent returns the parent of a process if that parent is a go command, as in
// `go tool mage`, and 0 otherwise. A shell does not count: it may end before its jobs.
func goParent(pid int) int {
	own, err := proc.Read(pid)
	if err != nil {
		return 0
	}
	if parent, err := proc.Read(own.Parent); err != nil || parent.Name != "go" {
		return 0
	}
	return own.Parent
}
