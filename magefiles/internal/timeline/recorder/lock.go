package recorder

import (
	"errors"
	"fmt"

	"caslab/magefiles/internal/state"
)

// BusyError is returned for a record that another command of the lab writes.
type BusyError struct{ File string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("another command of the lab already records to %s, which can be read meanwhile", e.File)
}

// RestartedError is returned when a record was started again, or removed, while a recorder
// was at work: what that recorder knows belongs to the old record.
type RestartedError struct{ File string }

func (e *RestartedError) Error() string {
	return fmt.Sprintf("the record %s was started again while it was written", e.File)
}

// lock reserves the record at path for one recorder, or returns a *BusyError.
func lock(path string) (*state.Lock, error) {
	lock, err := state.TryLock(path+".lock", "a recorder")
	if errors.As(err, new(*state.HeldError)) {
		return nil, &BusyError{File: path}
	}
	if err != nil {
		return nil, fmt.Errorf("lock the record: %w", err)
	}
	return lock, nil
}
