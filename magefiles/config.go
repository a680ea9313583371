//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Config has the lab's settings.
type Config mg.Namespace

// Show prints every setting with its value, where the value comes from, and
// the environment variable that changes it.
func (Config) Show(ctx context.Context) error { return lab(ctx, "config:show") }
