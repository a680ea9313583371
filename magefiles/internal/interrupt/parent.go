package interrupt

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"
)

// ErrOrphaned is the cause for which a command ends whose parents have ended.
var ErrOrphaned = errors.New("stopped, because mage was ended")

// parentsVariable tells a process that this one executes in its place who its parents
// were at the beginning.
const parentsVariable = "CASLAB_PARENTS"

// parentsEvery is how often the parents are looked at.
const parentsEvery = time.Second

// Parents names the processes without which nobody waits for this one: its parent, which
// is mage, and the go command that started mage. A signal that ends one of them, such as
// SIGTERM or SIGKILL to mage, does not reach this process.
func Parents() string {
	parent := os.Getppid()
	parents := strconv.Itoa(parent)
	if grand := goParent(parent); grand != 0 {
		parents += " " + strconv.Itoa(grand)
	}
	return parents
}

// ParentsVariable returns the environment variable, as KEY=value, with which a process that
// replaces this one knows the parents. Without it, that process would take what adopts
// orphans for its parent if mage ended before.
func ParentsVariable(parents string) string { return parentsVariable + "=" + parents }

// TakeParents returns the value of ParentsVariable, or Parents if it is not set. It unsets
// the variable, which is not for children of this process.
func TakeParents() string {
	parents, told := os.LookupEnv(parentsVariable)
	if !told {
		return Parents()
	}
	_ = os.Unsetenv(parentsVariable) // fails only for names that are no names
	return parents
}

// Orphaned waits until look, which is Parents, returns something else than parents: one of
// the processes has ended. It returns false if ctx is done before.
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
