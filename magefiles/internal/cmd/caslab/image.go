package main

import "context"

var imageVerbs = []verb{
	plain(usage{
		name: "image:build",
		does: "Compiles the managers from the pinned source and assembles their images.",
	}, func(ctx context.Context, s *session) error { return s.environment.BuildImages(ctx) }),
	plain(usage{
		name: "image:node",
		does: "Builds the node image, which contains the managers, and the load balancer's image.",
	}, func(ctx context.Context, s *session) error { return s.environment.BuildNodeImage(ctx) }),
	plain(usage{
		name: "image:load",
		does: "Rebuilds the managers' images and loads them into every node of the running environment.",
		more: "It prints how to restart a manager with its new image.",
	}, func(ctx context.Context, s *session) error { return s.environment.LoadImages(ctx) }),
}
