package environment

import (
	"context"

	"caslab/magefiles/internal/environment/export"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/steps"
)

// Export writes into a folder the programs and files with which a person brings the
// environment up: those of export.Programs and export.Kit. The node image has no managers,
// and Down removes the clusters.
func (e *Environment) Export(ctx context.Context, folder string) error {
	return e.locked("bench", func() error {
		info, err := e.check(ctx)
		if err != nil {
			return err
		}
		c := e.newBringUp(info)
		return c.runUpTo(ctx, stepExport, steps.Step{
			Name: stepExport, Needs: []string{stepNode, stepCompile, stepRender},
			Run: func(ctx context.Context, progress func(string)) (string, error) {
				return "", c.export(ctx, folder, progress)
			},
		})
	})
}

func (c *bringUp) export(ctx context.Context, folder string, progress func(string)) (err error) {
	if _, err := c.build(ctx, export.Programs(c.Config.Root, c.programs(c.tree, c.info.Arch()), folder), progress); err != nil {
		return err
	}
	if err := c.assembleManagers(); err != nil {
		return err
	}
	if c.image, err = c.bakeWith(ctx, nil, progress); err != nil {
		return err
	}
	if c.mark, err = c.State.Mark(c.Config.ClusterName); err != nil {
		return err
	}
	kit := export.Kit{Management: c.newManagement(nil), Managers: c.managers, Clusterctl: c.repo.ConfigPath}
	if kit.Cluster, err = c.newCluster(ctx); err != nil {
		return err
	}
	kit.Network, err = c.base.Network(c.Config.Kubernetes, podCIDR, func(path string) ([]byte, error) {
		return node.ReadFile(ctx, c.base.Node, path, c.nodeOptions(c.info.Arch(), progress))
	})
	if err != nil {
		return err
	}
	return kit.Write(folder)
}
