package main

import (
	"context"
	"flag"

	"caslab/magefiles/internal/component"
)

var sourceVerbs = []verb{
	verbWithOptions(usage{
		name:    "source:fetch",
		summary: "Fetches the pinned sources of Cluster API and of the autoscaler and prints where they are.",
		details: "They come from git, the Go module proxy or your checkout.",
		example: "go tool mage source:fetch -component=cluster-api",
	}, func(fs *flag.FlagSet, name *string) {
		fs.StringVar(name, "component", "", "fetch this `COMPONENT` alone: cluster-api or autoscaler")
	}, func(ctx context.Context, s *session, name string, _ []string) error {
		return component.FetchAll(ctx, s.lab, name)
	}),
}
