package fit

import (
	"fmt"
	"strings"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// Budget is a PodDisruptionBudget that exists.
type Budget struct {
	shape.Budget
	// Name is namespace/name.
	Name string
}

// budgets returns the PodDisruptionBudgets that select the pod.
func (w *World) budgets(p *Pod) []*Budget {
	var found []*Budget
	for _, b := range w.Budgets {
		if namespaceOf(b.Name) == namespaceOf(p.Name) && selects(b.Selector, p.Labels) {
			found = append(found, b)
		}
	}
	return found
}

func namespaceOf(name string) string {
	namespace, _, _ := strings.Cut(name, "/")
	return namespace
}

// blocks returns why the budget lets none of its pods be evicted now, nil if it lets one.
func (b *Budget) blocks() *Obstacle {
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
	return &Obstacle{
		fmt.Sprintf("its PodDisruptionBudget %s allows no eviction: %s (healthy: %d of %s, needed: %d)", name, wants, b.Healthy, timeline.Plural(b.Expected, "pod"), b.Desired),
		fmt.Sprintf("one more healthy pod than the PodDisruptionBudget %s needs, or a budget that allows an eviction", name),
	}
}
