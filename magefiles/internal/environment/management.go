package environment

import (
	"context"
	"fmt"
	"strings"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/node"
)

func (c *bringUp) createManagement(ctx context.Context, progress func(string)) (_ string, err error) {
	if c.owner, err = c.mark(); err != nil {
		return "", err
	}
	if err := c.recordEngine(c.info); err != nil {
		return "", err
	}
	workload, existing, err := c.containers(ctx)
	if err != nil {
		return "", err
	}
	if len(existing) > 0 {
		keep, err := c.keeps(ctx, workload, existing[0])
		if err != nil {
			return "", err
		}
		if !keep {
			progress("its images are others now: replacing it, and what it made")
			if err := c.removeClusters(ctx); err != nil {
				return "", err
			}
			if err := c.recordMade(); err != nil {
				return "", err
			}
			existing = nil
		}
	}
	m := c.management(progress)
	if len(existing) == 0 {
		m.CgroupV1, m.OwnerFile = c.info.CgroupVersion == "1", c.owner
		if m.NodeImage, err = c.imageSoon(ctx); err != nil {
			return "", err
		}
		if err := m.Create(ctx); err != nil {
			return "", err
		}
	} else if err := m.ExportKubeconfig(); err != nil {
		return "", err
	}
	c.mgmt, err = kube.Open(c.managementKubeconfig())
	return "", err
}

// imageSoon returns the node image with the managers baked in if that is a
// matter of seconds, and the one without them if there is something to compile.
func (c *bringUp) imageSoon(ctx context.Context) (string, error) {
	select {
	case <-c.compiled:
	case <-time.After(bakedWithin):
		return c.base.Node, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	select {
	case <-c.baked:
		return c.image, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// keeps reports whether what an interrupted run left has the images of this
// one: the nodes of the workload cluster, and the management cluster, whose
// managers may have come with its node image or after it.
func (c *bringUp) keeps(ctx context.Context, workload []engine.Container, management engine.Container) (bool, error) {
	select {
	case <-c.baked:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	for _, n := range workload {
		if !isLoadBalancer(n) && n.Image != c.image {
			return false, nil
		}
	}
	if management.Image != c.base.Node {
		return management.Image == c.image, nil
	}
	loaded, err := c.loaded(ctx, management)
	return loaded == "" || loaded == c.image, err
}

// loadedFile, in a management node that started without managers, names the
// node image whose managers were loaded.
const loadedFile = "/kind/caslab-managers"

func (c *bringUp) loaded(ctx context.Context, n engine.Container) (string, error) {
	res, err := c.engine.Exec(ctx, n.ID, nil, "sh", "-c", "cat "+loadedFile+" 2>/dev/null || true")
	if err != nil {
		return "", fmt.Errorf("look for loaded managers: %w", err)
	}
	return strings.TrimSpace(string(res.Stdout)), nil
}

// loadManagers gives the management cluster the managers, if it started from a
// node image without them.
func (c *bringUp) loadManagers(ctx context.Context, progress func(string)) error {
	_, management, err := c.containers(ctx)
	if err != nil {
		return err
	}
	for _, n := range management {
		if n.Image == c.image {
			continue
		}
		if loaded, err := c.loaded(ctx, n); err != nil || loaded == c.image {
			return err
		}
		progress("loading the managers")
		if err := node.Load(ctx, c.engine, n.ID, c.managers); err != nil {
			return fmt.Errorf("load the managers into %s: %w", n.Name, err)
		}
		if _, err := c.engine.Exec(ctx, n.ID, strings.NewReader(c.image), "tee", loadedFile); err != nil {
			return fmt.Errorf("record the loaded managers: %w", err)
		}
	}
	return nil
}

// install has clusterctl install the providers and waits until they answer.
func (c *bringUp) install(ctx context.Context, client *kube.Client, kubeconfig string, progress func(string)) error {
	ctx, cancel := lab.Within(ctx, 5*time.Minute)
	defer cancel()
	if !c.Config.CertManager {
		if err := capi.StandIn(ctx, client, progress); err != nil {
			return err
		}
	}
	ctl, err := capi.NewClusterctl(ctx, c.repo.ConfigPath, progress)
	if err != nil {
		return err
	}
	if err := ctl.Init(ctx, kubeconfig, c.repo.Version); err != nil {
		return err
	}
	var namespaces []string
	for _, p := range c.repo.Providers {
		namespaces = append(namespaces, p.Namespace)
	}
	return capi.WaitProviders(ctx, client, namespaces, progress)
}

func (c *bringUp) initManagement(ctx context.Context, progress func(string)) (string, error) {
	if err := c.loadManagers(ctx, progress); err != nil {
		return "", err
	}
	return "", c.install(ctx, c.mgmt, c.managementKubeconfig(), progress)
}
