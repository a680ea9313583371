package environment

import (
	"context"

	"caslab/magefiles/internal/environment/bringup"
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
		b := e.bringUp(info, e.recorders(e.Lab))
		return e.runUpTo(ctx, b, bringup.Export, b.Export(folder))
	})
}
