package main

import "context"

var imageVerbs = []verb{
	simpleVerb(usage{
		name:    "image:build",
		summary: "Compiles the managers from the pinned source and assembles their images.",
	}, func(ctx context.Context, s *session) error { return s.environment.BuildImages(ctx) }),
	simpleVerb(usage{
		name:    "image:node",
		summary: "Builds the node image, which contains the managers, and the load balancer's image.",
	}, func(ctx context.Context, s *session) error { return s.environment.BuildNodeImage(ctx) }),
	simpleVerb(usage{
		name:    "image:load",
		summary: "Rebuilds the managers' images and loads them into every node of the running environment.",
		details: "After a change in your checkout of Cluster API (CAPI_DIR), it is quicker than a new environment. It prints how to restart a manager with its new image.",
	}, func(ctx context.Context, s *session) error { return s.environment.LoadImages(ctx) }),
}
