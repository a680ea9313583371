package target

import (
	"context"
	"errors"

	"caslab/magefiles/internal/lab"
)

// Lock returns the name of the lock in the state folder with which Claim keeps what name means.
func (c *Cluster) Lock(name string) string { return name + "." + c.UID }

// Claim keeps what name means in the cluster for a command of the lab, until release is called:
// among the commands of this checkout with a lock in the state folder, and elsewhere with a
// reservation in the cluster. The error has a *state.HeldError or a *ReservedError if another
// command has it.
func (c *Cluster) Claim(ctx context.Context, l *lab.Lab, name, command string) (release func() error, err error) {
	lock, err := l.State.Lock(c.Lock(name), command)
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
