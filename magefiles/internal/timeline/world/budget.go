package world

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"caslab/magefiles/internal/timeline/shape"
)

// Budget is a PodDisruptionBudget that exists.
type Budget struct {
	shape.Budget
	// Name is namespace/name.
	Name string

	selector labels.Selector
}

// NewBudget returns a budget with the name namespace/name.
func NewBudget(name string, b shape.Budget) *Budget {
	return &Budget{Budget: b, Name: name, selector: Selector(b.Selector)}
}

// Selects reports whether the budget is about a pod.
func (b *Budget) Selects(p *Pod) bool {
	return namespaceOf(b.Name) == p.Namespace() && b.selector.Matches(labels.Set(p.Labels))
}

// Selector returns a selector that can be asked. One that is missing, or that cannot be read, selects
// nothing.
func Selector(s *metav1.LabelSelector) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return selector
}
