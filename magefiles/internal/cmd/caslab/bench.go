package main

import (
	"context"

	"caslab/magefiles/internal/environment"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/ops/bench"
)

var benchVerbs = []verb{
	simpleVerb(usage{
		name:    "bench",
		summary: "Brings an environment of its own up and down three times and prints what each step took.",
		details: "Everything is built before. Each step has its fastest, median and slowest time.",
	}, func(ctx context.Context, s *session) error { return bench.Run(ctx, s.lab, openBench) }),
}

// benchEnvironment is an environment that is removed at the end.
type benchEnvironment struct{ *environment.Environment }

func openBench(l *lab.Lab) bench.Environment {
	e := sessionOf(l, "bench").environment
	e.Temporary = true
	return benchEnvironment{e}
}

func (b benchEnvironment) Up(ctx context.Context) error {
	return b.Environment.Up(ctx, environment.Ready)
}
