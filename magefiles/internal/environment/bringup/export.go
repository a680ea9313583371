package bringup

import (
	"context"

	"caslab/magefiles/internal/environment/export"
	"caslab/magefiles/internal/environment/home"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/steps"
)

// Export returns the step that writes into a folder the programs and files with which a person
// brings the environment up: those of export.Programs and export.Kit. The node image has no
// managers.
func (b *BringUp) Export(folder string) steps.Step {
	return steps.Step{
		Name: Export, Needs: []string{NodeImage, Compile, Render},
		Run: func(ctx context.Context, progress func(string)) (string, error) {
			return "", b.export(ctx, folder, progress)
		},
	}
}

func (b *BringUp) export(ctx context.Context, folder string, progress func(string)) (err error) {
	if _, err := b.build(ctx, export.Programs(b.Config.Root, b.programs(b.tree, b.Info.Arch()), folder), progress); err != nil {
		return err
	}
	if err := b.assembleManagers(); err != nil {
		return err
	}
	if b.image, err = b.bakeWith(ctx, nil, progress); err != nil {
		return err
	}
	if b.mark, err = b.Home.State.Mark(b.Config.ClusterName); err != nil {
		return err
	}
	kit := export.Kit{Management: b.newManagement(nil), Managers: b.managers, Clusterctl: b.repo.ConfigPath}
	if kit.Cluster, err = b.newCluster(ctx); err != nil {
		return err
	}
	kit.Network, err = b.base.Network(b.Config.Kubernetes, home.PodCIDR, func(path string) ([]byte, error) {
		return node.ReadFile(ctx, b.base.Node, path, b.nodeOptions(progress))
	})
	if err != nil {
		return err
	}
	return kit.Write(folder)
}
