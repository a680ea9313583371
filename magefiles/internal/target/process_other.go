//go:build !linux

package target

import "os"

// processScope identifies what process IDs are unique in: the machine. It is empty if that
// is not known.
func processScope() string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	return host
}
