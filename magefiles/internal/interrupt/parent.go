package interrupt

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"
)

// ErrOrphaned is the cause with which a command ends when one of its parents has ended.
var ErrOrphaned = errors.New("stopped, because the process that started it ended")

// parentsVariable has the parents that this process had at its beginning, for the process
// that replaces it.
const parentsVariable = "CASLAB_PARENTS"

// parentsEvery is the time between two looks at the parents.
const parentsEvery = time.Second

// Parents returns the IDs of the processes that wait for this one: its parent, which is
// mage, and the go command that started mage. A signal that ends one of them, such as
// SIGTERM or SIGKILL to mage, does not reach this process.
func Parents() string {
	parent := os.Getppid()
	parents := strconv.Itoa(parent)
	if grand := goParent(parent); grand != 0 {
		parents += " " + strconv.Itoa(grand)
	}
	return parents
}

// ParentsVariable returns the environment variable, as KEY=value, that passes the parents
// to a process that replaces this one. Without it, if mage had already ended, that process
// would take init, which adopts orphans, for its parent.
func ParentsVariable(parents string) string { return parentsVariable + "=" + parents }

// TakeParents returns the value of ParentsVariable. If it is not set, mage did not start this
// process, and TakeParents returns Parents, or an empty text for a process that outlives its
// parent. It unsets the variable, which is not for children of this process.
func TakeParents(outlives bool) string {
	parents, told := os.LookupEnv(parentsVariable)
	switch {
	case !told && outlives:
		return ""
	case !told:
		return Parents()
	}
	_ = os.Unsetenv(parentsVariable) // fails only for an invalid name
	return parents
}

// Orphaned waits until one of the parents, which are not empty, has ended: look, which is
// Parents, then returns another text. It returns false if ctx is done before.
func Orphaned(ctx context.Context, parents string, look func() string) bool {
	tick := time.NewTicker(parentsEvery)
	defer tick.Stop()
	for look() == parents {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
