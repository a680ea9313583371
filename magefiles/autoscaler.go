//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Autoscaler builds, runs and debugs the cluster autoscaler.
type Autoscaler mg.Namespace

// Build compiles the autoscaler and prints the path of the program. The source
// is the pinned release, or AUTOSCALER_DIR, your checkout. Example:
// AUTOSCALER_DIR=../autoscaler go tool mage autoscaler:build
func (Autoscaler) Build(ctx context.Context,
	debug *bool, // compile without optimisation, for a debugger
) error {
	return lab(ctx, "autoscaler:build", option("debug", debug))
}

// Run compiles the autoscaler and runs it on this machine against the
// environment until Ctrl-C. SIGTERM stops it too; shells start background jobs
// with SIGINT ignored, so a script sends SIGTERM. Example: go tool mage
// autoscaler:run -flags='--v=5 --expander=priority'
func (Autoscaler) Run(ctx context.Context,
	all *bool, // show every line of the log, not only decisions, refusals and problems
	flags *string, // autoscaler FLAGS that add to the settings' or replace them, such as '--v=5 --expander=priority'
) error {
	return lab(ctx, "autoscaler:run", option("all", all), option("flags", flags))
}

// Flags prints the command line that autoscaler:run runs. Flags come from
// manifests/autoscaler/flags.tmpl, then AUTOSCALER_FLAGS or autoscaler.flags in
// caslab.yaml, then -flags; the last value of a flag wins. Example: go tool mage
// autoscaler:flags -flags=--expander=priority
func (Autoscaler) Flags(ctx context.Context,
	flags *string, // autoscaler FLAGS that add to the settings' or replace them, such as '--v=5 --expander=priority'
) error {
	return lab(ctx, "autoscaler:flags", option("flags", flags))
}

// Debug runs the autoscaler, compiled without optimisation, under Delve. Delve
// is headless and an editor attaches to it (autoscaler:ide says how), or it is
// in this terminal. Example: go tool mage autoscaler:debug -wait
func (Autoscaler) Debug(ctx context.Context,
	flags *string, // autoscaler FLAGS that add to the settings' or replace them, such as '--v=5 --expander=priority'
	listen *string, // HOST:PORT of the headless debugger (default 127.0.0.1:2345)
	terminal *bool, // debug in this terminal instead of headless
	wait *bool, // hold the autoscaler until the first client continues
) error {
	return lab(ctx, "autoscaler:debug", option("flags", flags), option("listen", listen), option("terminal", terminal), option("wait", wait))
}

// IDE prints how an editor attaches to autoscaler:debug. EDITOR is vscode, for
// a .vscode/launch.json of your tree, or goland, for a note. Example: go tool
// mage autoscaler:ide vscode >.vscode/launch.json
func (Autoscaler) IDE(ctx context.Context, editor string,
	listen *string, // HOST:PORT of the headless debugger (default 127.0.0.1:2345)
) error {
	return lab(ctx, "autoscaler:ide", option("listen", listen), "--", editor)
}

// Deploy builds the autoscaler's image and runs it in the environment's
// cluster, with the rights it needs. Example: go tool mage autoscaler:deploy
// -flags=--v=5
func (Autoscaler) Deploy(ctx context.Context,
	flags *string, // autoscaler FLAGS that add to the settings' or replace them, such as '--v=5 --expander=priority'
	image *string, // deploy the image REF, of release AUTOSCALER_VERSION, instead of building one
) error {
	return lab(ctx, "autoscaler:deploy", option("flags", flags), option("image", image))
}

// Undeploy removes what autoscaler:deploy created.
func (Autoscaler) Undeploy(ctx context.Context) error { return lab(ctx, "autoscaler:undeploy") }

// Status prints which autoscaler runs and what it reports about each node
// group.
func (Autoscaler) Status(ctx context.Context) error { return lab(ctx, "autoscaler:status") }
