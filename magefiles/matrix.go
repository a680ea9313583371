//go:build mage

package main

import (
	"context"

	"github.com/magefile/mage/mg"
)

// Matrix has the combinations of releases, which are its rows.
type Matrix mg.Namespace

// Run tries rows of the version matrix, each in an environment of its own, and
// records the results in this checkout. A row is built and brought up from
// nothing, its autoscaler scales a node group up and down, and the environment is
// removed. proof.yaml and the README's table then say whether the row ran, or why
// it failed. An interrupted row is not recorded. A row takes about a quarter of an
// hour on 2 cores. 'go tool mage config:matrix -all' lists the rows. Example: go
// tool mage matrix:run -rows=v1.10.10,v1.12.11+v1.35.8+v1.35.2 -out=results
func (Matrix) Run(ctx context.Context,
	out *string, // FOLDER for summary.md, and for each row's output and results
	rows *string, // ROWS to try: releases of Cluster API in the matrix, or CLUSTER_API+KUBERNETES+AUTOSCALER for a new row, separated by commas; without it, all rows that never ran
) error {
	return lab(ctx, "matrix:run", option("out", out), option("rows", rows))
}
