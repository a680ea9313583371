package main

import (
	"context"
	"errors"
	"flag"

	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/environment"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/ops/matrix"
	"caslab/magefiles/internal/ops/scenarios"
	"caslab/magefiles/internal/scenario/results"
)

var matrixVerbs = []verb{
	verbWithOptions(usage{
		name:    "matrix:run",
		summary: "Tries rows of the version matrix, each in an environment of its own, and records the results in this checkout.",
		details: "A row is built and brought up from nothing, its autoscaler scales a node group up and down, and the environment is removed. " +
			"proof.yaml and the README's table then say whether the row ran, or why it failed. An interrupted row is not recorded. " +
			"A row takes about a quarter of an hour on 2 cores. `go tool mage config:matrix -all` lists the rows.",
		example: "go tool mage matrix:run -rows=v1.10.10,v1.12.11+v1.35.8+v1.35.2 -out=results",
	}, func(fs *flag.FlagSet, o *matrix.Options) {
		fs.StringVar(&o.Rows, "rows", "", "`ROWS` to try: releases of Cluster API in the matrix, or CLUSTER_API+KUBERNETES+AUTOSCALER for a new row, separated by commas; without it, all rows that never ran")
		fs.StringVar(&o.Out, "out", "", "`FOLDER` for summary.md, and for each row's output and results")
	}, func(ctx context.Context, s *session, o matrix.Options, _ []string) error {
		m := matrix.Matrix{Lab: s.lab, Try: tryRow}
		return m.Run(ctx, o)
	}),
}

// rowTrial tries a row in a session that has the row's settings.
type rowTrial struct{ *session }

func tryRow(l *lab.Lab) matrix.Trial {
	s := sessionOf(l, "matrix:run")
	s.environment.Temporary = true
	return rowTrial{s}
}

func (t rowTrial) Check(ctx context.Context) error {
	return errors.Join(t.environment.Check(ctx), component.Check(ctx, t.lab, component.Autoscaler(t.cfg)))
}

func (t rowTrial) Fetch(ctx context.Context) error { return component.FetchAll(ctx, t.lab, "") }

func (t rowTrial) Build(ctx context.Context) error { return t.environment.BuildNodeImage(ctx) }

func (t rowTrial) BuildAutoscaler(ctx context.Context) error {
	_, err := t.autoscalers.Compile(ctx, false)
	return err
}

func (t rowTrial) Up(ctx context.Context) error { return t.environment.Up(ctx, environment.Ready) }

func (t rowTrial) Status(ctx context.Context) error { return t.environment.Status(ctx) }

func (t rowTrial) Scale(ctx context.Context, scenario, out string) (_ *results.Results, err error) {
	defer func() { err = errors.Join(err, t.leave()) }() // Down ends all guests
	return t.scenarios.Results(ctx, scenario, scenarios.Options{Autoscaler: scenarios.OnThisMachine, Out: out})
}

func (t rowTrial) Down(ctx context.Context) error { return t.environment.Down(ctx) }
