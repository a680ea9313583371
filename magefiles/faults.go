//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Faults has the ways in which an environment is broken and repaired.
type Faults mg.Namespace

// List prints the faults that faults:run makes.
func (Faults) List(ctx context.Context) error { return lab(ctx, "faults:list") }

// Run breaks an environment of its own in many ways, repairs it after each fault with
// env:up, and prints the results. After each repair it compares all Cluster API
// objects, node groups and workloads. The environment is called caslab-faults and is
// removed at the end. All faults take about an hour on 2 cores. It fails if a fault
// ended badly. Example: go tool mage faults:run -only=killed-in/,node-killed
// -out=results
func (Faults) Run(ctx context.Context,
	down *bool, // after each fault, remove the environment with env:down instead of repairing it
	engine *bool, // also restart the Docker engine, and remove unused networks and all stopped containers, OTHER PEOPLE'S TOO
	nodes *string, // NUMBERS of nodes with which the engine is killed, separated by commas (default 2,5,10)
	only *string, // FAULTS to make, separated by commas: names that faults:list prints, or beginnings of names that end with a slash; without it, all that leave other containers alone
	out *string, // FOLDER for summary.md, results.json and the output of the commands
	seed *int, // SEED of the random moments, which is printed; without it, another one each time
) error {
	return lab(ctx, "faults:run", option("down", down), option("engine", engine), option("nodes", nodes), option("only", only), option("out", out), option("seed", seed))
}
