package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// guestPrefix begins the names of the locks of an environment's guests. Each guest holds
// one lock, and nothing else records it: the kernel releases the lock however the process
// ends.
func guestPrefix(environment string) string { return "guest." + environment + "." }

// Enter registers this process as a guest of an environment: a command that works on it and
// does not need it for itself. A process in another container that has the folder too may
// have the same ID.
func (d Dir) Enter(environment, command string) (*Lock, error) {
	for i := 0; ; i++ {
		guest, err := d.Lock(fmt.Sprintf("%s%d-%d", guestPrefix(environment), os.Getpid(), i), command)
		if !errors.As(err, new(*HeldError)) {
			return guest, err
		}
	}
}

// Leave ends the registration.
func (d Dir) Leave(guest *Lock) error {
	if guest.Lost() {
		return guest.Release()
	}
	return errors.Join(Remove(guest.file.Path()), guest.file.Close())
}

// Guests describes the commands that Enter registered, each with its process and the time
// since when it runs.
func (d Dir) Guests(environment string) ([]string, error) {
	locks, err := os.ReadDir(d.Path("lock"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for commands that work on the environment %q: %w", environment, err)
	}
	var guests []string
	for _, lock := range locks {
		if !strings.HasPrefix(lock.Name(), guestPrefix(environment)) {
			continue
		}
		guest, err := d.Holder(lock.Name())
		if err != nil {
			return nil, err
		}
		if guest != "" {
			guests = append(guests, guest)
		} else if err := Remove(d.lockPath(lock.Name())); err != nil { // its process was killed
			return nil, err
		}
	}
	return guests, nil
}
