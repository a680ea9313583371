//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Pins has the versions of what the lab builds and runs.
type Pins mg.Namespace

// Bump changes a pin everywhere in this checkout, with all that depends on it,
// prints what changed and what to do next, and commits nothing. PIN is the name
// of the pin, as pins:check prints it. VERSION is a release, or newest. Example:
// go tool mage pins:bump kubernetes newest
func (Pins) Bump(ctx context.Context, pin, version string) error {
	return lab(ctx, "pins:bump", "--", pin, version)
}

// Check prints which pins have newer releases.
func (Pins) Check(ctx context.Context) error { return lab(ctx, "pins:check") }
