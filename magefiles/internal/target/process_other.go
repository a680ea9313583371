//go:build !linux && !darwin

package target

// processScope identifies what process IDs are unique in. It is not known here, and empty:
// a hostname does not tell two machines apart that have the same one.
func processScope() string { return "" }

// startOf returns that a process runs, because this is not known here.
func startOf(int) (start string, runs bool) { return "", true }
