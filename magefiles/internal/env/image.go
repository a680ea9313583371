package env

import (
	"context"
	"fmt"
	"slices"
	"time"

	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/steps"
)

// BuildImages compiles the managers and assembles their images, and prints
// each image's digest.
func (l *Lab) BuildImages(ctx context.Context) error {
	return l.locked("image:build", func() error {
		c, err := l.buildManagers(ctx)
		if err != nil {
			return err
		}
		for _, ref := range c.refs() {
			digest, err := c.managers[ref].Digest()
			if err != nil {
				return fmt.Errorf("digest of %s: %w", ref, err)
			}
			fmt.Fprintf(l.out, "%s\t%s\n", ref, digest)
		}
		return nil
	})
}

func (l *Lab) buildManagers(ctx context.Context) (*creation, error) {
	info, err := l.engine.Info(ctx)
	if err != nil {
		return nil, err
	}
	c := l.creation(info)
	compile := slices.DeleteFunc(c.steps(0), func(s steps.Step) bool {
		return s.Name != stepFetch && s.Name != stepCompile && s.Name != stepRender
	})
	if _, err := steps.Run(ctx, l.log, l.now, compile); err != nil {
		return nil, err
	}
	return c, c.assembleManagers()
}

func (c *creation) refs() []string {
	var refs []string
	for _, p := range c.repo.Providers {
		refs = append(refs, p.Image)
	}
	return refs
}

// BuildNodeImage makes the node image, managers baked in, and prints it and
// the load balancer's.
func (l *Lab) BuildNodeImage(ctx context.Context) error {
	return l.locked("image:node", func() error {
		if err := l.cfg.CheckEnvironment(); err != nil {
			return err
		}
		info, err := l.askEngine(ctx)
		if err != nil {
			return err
		}
		if err := l.preflight(ctx, info); err != nil {
			return err
		}
		c := l.creation(info)
		usually := node.Usually(ctx, c.nodeOptions(info.Arch(), nil))
		image, err := steps.UpTo(c.steps(usually), stepImages)
		if err != nil {
			return err
		}
		if _, err := steps.Run(ctx, l.log, l.now, image); err != nil {
			return err
		}
		fmt.Fprintf(l.out, "%s\n%s\n", c.image, c.base.LoadBalancer.Image())
		return nil
	})
}

// LoadImages rebuilds the managers' images and loads them into every node of
// the environment.
func (l *Lab) LoadImages(ctx context.Context) error {
	return l.locked("image:load", func() error {
		workload, management, err := l.containers(ctx)
		if err != nil {
			return err
		}
		if len(workload)+len(management) == 0 {
			return &NotUpError{l.cfg.ClusterName}
		}
		c, err := l.buildManagers(ctx)
		if err != nil {
			return err
		}
		for _, n := range append(management, workload...) {
			if isLoadBalancer(n) {
				continue
			}
			step := l.log.Start("load into "+n.Name, 5*time.Second)
			err := node.Load(ctx, l.engine, n.ID, c.managers)
			step.Done("", err)
			if err != nil {
				return err
			}
		}
		l.log.Printf("a manager runs its new image once its pod is deleted: kubectl delete pods -A -l cluster.x-k8s.io/provider; nodes that come later have the images of before")
		return nil
	})
}
