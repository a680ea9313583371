package removal

import (
	"fmt"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/world"
)

// budgets returns the PodDisruptionBudgets that select the pod.
func budgets(w *world.World, p *world.Pod) []*world.Budget {
	var found []*world.Budget
	for _, b := range w.Budgets {
		if b.Selects(p) {
			found = append(found, b)
		}
	}
	return found
}

// blocks returns why the budget lets none of its pods be evicted now, nil if it lets one.
func blocks(b *world.Budget) *fit.Obstacle {
	if b.Allowed > 0 {
		return nil
	}
	wants := "it has neither minAvailable nor maxUnavailable"
	switch {
	case b.MinAvailable != "":
		wants = "minAvailable is " + b.MinAvailable
	case b.MaxUnavailable != "":
		wants = "maxUnavailable is " + b.MaxUnavailable
	}
	name := timeline.LastPart(b.Name)
	o := obstacle(
		fmt.Sprintf("its PodDisruptionBudget %s allows no eviction: %s (healthy: %d of %s, needed: %d)", name, wants, b.Healthy, timeline.Plural(b.Expected, "pod"), b.Desired),
		fmt.Sprintf("one more healthy pod than the PodDisruptionBudget %s needs, or a budget that allows an eviction", name),
	)
	return &o
}
