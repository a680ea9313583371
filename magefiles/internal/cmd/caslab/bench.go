package main

import "context"

var benchVerbs = []verb{
	simpleVerb(usage{
		name:    "bench",
		summary: "Brings an environment of its own up and down three times and prints what each step took.",
		details: "Everything is built before. Each step has its fastest, median and slowest time.",
	}, func(ctx context.Context, s *session) error { return s.environment.Bench(ctx) }),
}
