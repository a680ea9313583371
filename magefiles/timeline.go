//go:build mage

package main

import (
	"context"
	"time"

	"github.com/magefile/mage/mg"
)

// Timeline tells what happened to pods, node groups, machines and nodes, and
// what the autoscaler said meanwhile.
type Timeline mg.Namespace

// Watch shows what happens, live, and records it, until Ctrl-C.
func (Timeline) Watch(ctx context.Context) error { return lab(ctx, "timeline:watch") }

// Report writes what was recorded as a page that needs no network, and beside
// it as a picture and as JSON; it prints their paths. -out=FILE.html says
// where, -since=15m how far back page and picture go; the JSON has all.
func (Timeline) Report(ctx context.Context, out *string, since *time.Duration) error {
	return lab(ctx, "timeline:report", option("out", out), option("since", since))
}

// Explain says in words what happened to pod/NAME, node/NAME or group/NAME:
// why a pod waited, why a node was kept, what changed a group's size.
func (Timeline) Explain(ctx context.Context, what string) error {
	return lab(ctx, "timeline:explain", what)
}
