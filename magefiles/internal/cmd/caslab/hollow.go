package main

import "context"

var hollowVerbs = []verb{
	simpleVerb(usage{
		name:    "hollow:run",
		summary: "Runs the controller of hollow machines on this machine, for a cluster that the lab did not create, until it is stopped.",
		details: "It needs the right to create CustomResourceDefinitions there. In the lab's own environment, nodegroup:add installs the controller.",
	}, func(ctx context.Context, s *session) error { return s.hollows.Run(ctx) }),
	simpleVerb(usage{
		name:    "hollow:remove",
		summary: "Removes the controller and the kinds of hollow machines from the cluster.",
		details: "It refuses while there are node groups with hollow machines. The affinity that keeps the pods of the system off hollow nodes stays; it does nothing without such nodes.",
	}, func(ctx context.Context, s *session) error { return s.hollows.Remove(ctx) }),
}
