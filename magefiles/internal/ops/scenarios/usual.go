package scenarios

import (
	"context"
	"fmt"
	"slices"

	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/state"
)

// usual has, for each scenario, the seconds of the last runs in this checkout that passed, the
// latest run last. Only runs of the settings' autoscaler with the settings' flags count: those of
// scenario:bisect, of scenario:compare and of -flags take another time.
type usual map[string][]float64

// usualRuns is how many runs of a scenario are remembered.
const usualRuns = 5

func (sc *Scenarios) usualFile() string { return sc.State.Path("scenario-seconds.json") }

// usual reads the seconds of earlier runs.
func (sc *Scenarios) usual() (usual, error) {
	known := usual{}
	if _, err := state.ReadJSON(sc.usualFile(), &known); err != nil {
		return nil, fmt.Errorf("%w; remove the file: the next runs write it again", err)
	}
	return known, nil
}

// text returns the median of the seconds of a scenario, and "-" for one that never passed.
func (u usual) text(name string) string {
	if len(u[name]) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", results.Median(u[name]))
}

// remember adds the seconds of the scenarios that passed. Other environments of the checkout may
// do the same at the same time.
func (sc *Scenarios) remember(ctx context.Context, came *results.Results) error {
	return sc.State.Exclusively(context.WithoutCancel(ctx), "scenario-seconds", func(string) {}, func() error {
		known, err := sc.usual()
		if err != nil {
			return err
		}
		for _, r := range came.Scenarios {
			if !r.Verdict.Passes() {
				continue
			}
			all := slices.Concat(known[r.Name], []float64{r.Seconds})
			known[r.Name] = all[max(0, len(all)-usualRuns):]
		}
		return state.WriteJSON(sc.usualFile(), known)
	})
}
