//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Autoscaler builds, runs and debugs the cluster autoscaler.
type Autoscaler mg.Namespace

// Build compiles the autoscaler from the pinned release or from AUTOSCALER_DIR,
// your checkout, and prints where it is. -debug leaves out optimisation.
func (Autoscaler) Build(ctx context.Context, debug *bool) error {
	return lab(ctx, "autoscaler:build", option("debug", debug))
}

// Run compiles the autoscaler and runs it here, against the environment, until
// Ctrl-C. -flags='--v=5 …' adds flags or replaces the template's, -all shows
// every line of the log.
func (Autoscaler) Run(ctx context.Context, flags *string, all *bool) error {
	return lab(ctx, "autoscaler:run", option("flags", flags), option("all", all))
}

// Flags prints the command line that autoscaler:run runs. The template is
// manifests/autoscaler/flags.tmpl; AUTOSCALER_FLAGS, caslab.yaml and -flags
// override it.
func (Autoscaler) Flags(ctx context.Context, flags *string) error {
	return lab(ctx, "autoscaler:flags", option("flags", flags))
}

// Debug runs the autoscaler, compiled without optimisation, under Delve:
// headless, for an editor to attach to, or with -terminal in this terminal.
// -wait holds it until the first client continues; -listen=host:port says
// where, 127.0.0.1:2345 if not given.
func (Autoscaler) Debug(ctx context.Context, terminal, wait *bool, listen, flags *string) error {
	return lab(ctx, "autoscaler:debug", option("terminal", terminal), option("wait", wait), option("listen", listen), option("flags", flags))
}

// IDE prints how an editor attaches to autoscaler:debug: vscode prints what
// belongs into .vscode/launch.json of your tree, goland a note. -listen is that
// of autoscaler:debug.
func (Autoscaler) IDE(ctx context.Context, editor string, listen *string) error {
	return lab(ctx, "autoscaler:ide", option("listen", listen), editor)
}

// Deploy builds the autoscaler's image and runs it in the environment's
// cluster, with the rights it needs. -image=REF deploys that image instead, as
// one of AUTOSCALER_VERSION; -flags as in autoscaler:run.
func (Autoscaler) Deploy(ctx context.Context, flags, image *string) error {
	return lab(ctx, "autoscaler:deploy", option("flags", flags), option("image", image))
}

// Undeploy removes what autoscaler:deploy made.
func (Autoscaler) Undeploy(ctx context.Context) error { return lab(ctx, "autoscaler:undeploy") }

// Status prints which autoscaler runs and what it says of each node group.
func (Autoscaler) Status(ctx context.Context) error { return lab(ctx, "autoscaler:status") }
