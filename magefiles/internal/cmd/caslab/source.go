package main

import (
	"context"
	"flag"
)

var sourceVerbs = []verb{
	with(usage{
		name:    "source:fetch",
		does:    "Fetches the pinned sources of Cluster API and of the autoscaler and prints where they are.",
		more:    "They come from git, the Go module proxy or your checkout.",
		example: "go tool mage source:fetch -component=cluster-api",
	}, func(fs *flag.FlagSet, component *string) {
		fs.StringVar(component, "component", "", "fetch this `COMPONENT` alone: cluster-api or autoscaler")
	}, func(ctx context.Context, s *session, component string, _ []string) error {
		return s.lab.FetchSources(ctx, component)
	}),
}
