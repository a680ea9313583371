package explain

import (
	"fmt"
	"slices"
	"time"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
)

// lease adds the lease for which a replica of the present autoscaler waits. Only the replica that holds it
// works. What replicas of former runs said does not count.
func (e *explainer) lease(s *section) {
	var began time.Time
	if n := len(e.Runs); n > 0 {
		began = e.Runs[n-1].From
	}
	for _, f := range slices.Backward(e.Facts) {
		if f.Time.Before(began) || f.Kind == timeline.Autoscaler && f.What == timeline.Stopped {
			return
		}
		if f.Kind != timeline.Autoscaler || f.What != timeline.Considered || f.Source != timeline.Log {
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
