package main

import (
	"slices"
	"testing"

	"caslab/magefiles/internal/environment"
	"caslab/magefiles/internal/ops/faults"
)

// TestFaultsKnowTheSteps: a fault waits for a step of env:up by its name.
func TestFaultsKnowTheSteps(t *testing.T) {
	t.Parallel()
	if steps := environment.StepNames(); !slices.Contains(steps, faults.ControlPlaneStep) {
		t.Errorf("env:up has the steps %q, and none is %q", steps, faults.ControlPlaneStep)
	}
}
