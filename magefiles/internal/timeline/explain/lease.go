package explain

import (
	"fmt"
	"slices"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
)

// lease adds the lease for which a replica of the autoscaler waits. Only the replica that holds it
// works.
func (e *explainer) lease(s *section) {
	for _, f := range slices.Backward(e.Facts) {
		if f.Kind != timeline.Autoscaler {
			continue
		}
		name, waits := speech.LeaseOf(f.Text)
		switch {
		case name == "":
			continue
		case waits:
			text := fmt.Sprintf("%s, since %s; it does nothing until it has the lease", timeline.Tidy(name), timeline.Clock(f.Time))
			if loops := e.world().Autoscaler.Loops; loops != nil && loops.Last.After(f.Time) {
				text = fmt.Sprintf("one replica has waited for %s since %s; another replica is active", timeline.Tidy(name), timeline.Clock(f.Time))
			}
			s.add("lease", "%s", text)
		}
		return
	}
}
