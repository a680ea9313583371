package recorder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/timeline/hostlog"
)

// bookmark is how far a recorder has read logs and events. The record shows that too,
// but with the bookmark nothing is read twice.
type bookmark struct {
	// Until is when the bookmark was written.
	Until time.Time `json:"until"`
	// Log is the place in the host's log.
	Log hostlog.Position `json:"log"`
	// Pods has the time of the last line that was read of each container's log, by
	// the pod's UID and the container's name.
	Pods map[string]time.Time `json:"pods,omitempty"`
	// Events has the eventState of each event that was recorded, by UID.
	Events map[string]string `json:"events,omitempty"`
	// Statements has the last time of each statement that the autoscaler repeats.
	Statements map[string]time.Time `json:"said,omitempty"`
}

// loadBookmark reads the bookmark of the record at path, if there is one.
func loadBookmark(path string) (bookmark, error) {
	b := bookmark{Pods: map[string]time.Time{}, Events: map[string]string{}}
	data, err := os.ReadFile(path + ".bookmark")
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, fmt.Errorf("read the recorder's bookmark: %w", err)
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return b, fmt.Errorf("read the recorder's bookmark: %s.bookmark: %w; delete the file: without it nothing is recorded twice either", path, err)
	}
	return b, nil
}

// save writes the bookmark of the record at path atomically.
func (b bookmark) save(path string, now time.Time) error {
	b.Until = now
	if err := state.WriteJSON(path+".bookmark", b); err != nil {
		return fmt.Errorf("write the recorder's bookmark: %w", err)
	}
	return nil
}
