package target

import (
	"context"
	"errors"

	"caslab/magefiles/internal/lab"
)

// LockName returns the name of the lock that Claim takes in the state folder.
func (c *Cluster) LockName(name string) string { return name + "." + c.UID }

// Claim reserves name in the cluster for one command of the lab, until release is called. A lock in
// the state folder keeps out other commands of this checkout, and a reservation in the cluster
// keeps out commands elsewhere. If another command has the name, the error has a *state.HeldError
// or a *ReservedError.
func (c *Cluster) Claim(ctx context.Context, l *lab.Lab, name, command string) (release func() error, err error) {
	lock, err := l.State.Lock(c.LockName(name), command)
	if err != nil {
		return nil, err
	}
	unreserve, err := c.Reserve(ctx, Reservation{Name: name, Command: command, Checkout: l.Config.Root, Log: l.Log})
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return func() error {
		unreserve()
		return lock.Release()
	}, nil
}
