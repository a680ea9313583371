package environment

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/steps"
)

// BuildImages compiles the managers and assembles their images, and prints
// each image's digest.
func (e *Environment) BuildImages(ctx context.Context) error {
	return e.locked("image:build", func() error {
		c, err := e.buildManagers(ctx)
		if err != nil {
			return err
		}
		for _, ref := range c.refs() {
			digest, err := c.managers[ref].Digest()
			if err != nil {
				return fmt.Errorf("digest of %s: %w", ref, err)
			}
			fmt.Fprintf(e.Out, "%s\t%s\n", ref, digest)
		}
		return nil
	})
}

func (e *Environment) buildManagers(ctx context.Context) (*bringUp, error) {
	info, err := e.engine.Info(ctx)
	if err != nil {
		return nil, err
	}
	c := e.newBringUp(info)
	compile := slices.DeleteFunc(c.steps(0), func(s steps.Step) bool {
		return s.Name != stepFetch && s.Name != stepCompile && s.Name != stepRender
	})
	if _, err := steps.Run(ctx, e.Log, e.Now, compile); err != nil {
		return nil, err
	}
	return c, c.assembleManagers()
}

func (c *bringUp) refs() []string {
	var refs []string
	for _, p := range c.repo.Providers {
		refs = append(refs, p.Image)
	}
	return refs
}

// BuildNodeImage builds the node image with the managers in it, and prints its
// reference and that of the load balancer's image.
func (e *Environment) BuildNodeImage(ctx context.Context) error {
	return e.locked("image:node", func() error {
		info, err := e.check(ctx)
		if err != nil {
			return err
		}
		c := e.newBringUp(info)
		if err := c.runUpTo(ctx, stepImages); err != nil {
			return err
		}
		fmt.Fprintf(e.Out, "%s\n%s\n", c.image, c.base.LoadBalancer.Image())
		return nil
	})
}

// runUpTo runs the step target and those that it needs: steps of env:up, and more.
func (c *bringUp) runUpTo(ctx context.Context, target string, more ...steps.Step) error {
	usually := node.Usually(ctx, c.nodeOptions(c.info.Arch(), nil))
	needed, err := steps.UpTo(append(c.steps(usually), more...), target)
	if err != nil {
		return err
	}
	_, err = steps.Run(ctx, c.Log, c.Now, needed)
	return err
}

// Check refuses settings with which no environment can come up on this machine. It
// creates nothing but, for a moment, a container.
func (e *Environment) Check(ctx context.Context) error {
	_, err := e.check(ctx)
	return err
}

func (e *Environment) check(ctx context.Context) (engine.Info, error) {
	if err := e.Config.CheckEnvironment(); err != nil {
		return engine.Info{}, err
	}
	info, err := e.askEngine(ctx)
	if err != nil {
		return info, err
	}
	return info, e.preflight(ctx, info)
}

// LoadImages rebuilds the managers' images and loads them into every node of
// the environment.
func (e *Environment) LoadImages(ctx context.Context) error {
	if err := e.checkOwn("image:load"); err != nil {
		return err
	}
	return e.locked("image:load", func() error {
		workload, management, err := e.containers(ctx)
		if err != nil {
			return err
		}
		if len(workload)+len(management) == 0 {
			return e.whyMissing(ctx)
		}
		c, err := e.buildManagers(ctx)
		if err != nil {
			return err
		}
		for _, n := range append(management, workload...) {
			if owner.IsLoadBalancer(n) {
				continue
			}
			step := e.Log.Start("load into "+n.Name, 5*time.Second)
			err := node.Load(ctx, e.engine, n.ID, c.managers)
			step.Done("", err)
			if err != nil {
				return err
			}
		}
		e.Log.Printf("a manager runs its new image once its pod is deleted: kubectl delete pods -A -l cluster.x-k8s.io/provider; nodes that are added later have the old images")
		return nil
	})
}

// LoadIntoControlPlane gives an image to the nodes of the environment's control
// plane.
func (e *Environment) LoadIntoControlPlane(ctx context.Context, ref string, image v1.Image) error {
	nodes, _, err := e.containers(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if !owner.IsControlPlane(n) {
			continue
		}
		step := e.Log.Start("load its image into "+n.Name, 5*time.Second)
		err := node.Load(ctx, e.engine, n.ID, map[string]v1.Image{ref: image})
		step.Done(ref, err)
		if err != nil {
			return err
		}
	}
	return nil
}
