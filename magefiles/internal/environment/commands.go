package environment

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/bringup"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/steps"
)

// BuildImages compiles the managers and assembles their images, and prints
// each image's digest.
func (e *Environment) BuildImages(ctx context.Context) error {
	return e.locked("image:build", func() error {
		refs, images, err := e.buildManagers(ctx)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			digest, err := images[ref].Digest()
			if err != nil {
				return fmt.Errorf("digest of %s: %w", ref, err)
			}
			fmt.Fprintf(e.Out, "%s\t%s\n", ref, digest)
		}
		return nil
	})
}

// buildManagers builds the managers' images.
func (e *Environment) buildManagers(ctx context.Context) (refs []string, images map[string]v1.Image, err error) {
	info, err := e.engine.Info(ctx)
	if err != nil {
		return nil, nil, err
	}
	b := e.bringUp(info, e.recorders(e.Lab))
	compile := slices.DeleteFunc(b.Steps(0), func(s steps.Step) bool {
		return s.Name != bringup.Fetch && s.Name != bringup.Compile && s.Name != bringup.Render
	})
	if _, err := steps.Run(ctx, e.Log, e.Now, compile); err != nil {
		return nil, nil, err
	}
	return b.Managers()
}

// BuildNodeImage builds the node image with the managers in it, and prints its
// reference and that of the load balancer's image.
func (e *Environment) BuildNodeImage(ctx context.Context) error {
	return e.locked("image:node", func() error {
		info, err := e.check(ctx)
		if err != nil {
			return err
		}
		b := e.bringUp(info, e.recorders(e.Lab))
		if err := e.runUpTo(ctx, b, bringup.Images); err != nil {
			return err
		}
		fmt.Fprintf(e.Out, "%s\n%s\n", b.Image(), b.LoadBalancer())
		return nil
	})
}

// runUpTo runs the step target and those that it needs: steps of env:up, and more.
func (e *Environment) runUpTo(ctx context.Context, b *bringup.BringUp, target string, more ...steps.Step) error {
	usually := node.Usually(ctx, b.Node)
	needed, err := steps.UpTo(append(b.Steps(usually), more...), target)
	if err != nil {
		return err
	}
	_, err = steps.Run(ctx, e.Log, e.Now, needed)
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
		if err := e.checkRuns(workload, management); err != nil {
			return err
		}
		_, images, err := e.buildManagers(ctx)
		if err != nil {
			return err
		}
		for _, n := range append(management, workload...) {
			if owner.IsLoadBalancer(n) {
				continue
			}
			step := e.Log.Start("load into "+n.Name, 5*time.Second)
			err := node.Load(ctx, e.engine, n.ID, images)
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
