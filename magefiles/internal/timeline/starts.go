package timeline

import (
	"slices"
	"time"
)

// sameStartWithin is the longest time between two reports of one start of an autoscaler. The
// pod's time has whole seconds, and the log may begin seconds later.
const sameStartWithin = 15 * time.Second

// Starts tells the starts of autoscalers apart. A pod and a log may both report one start, and
// each of them reports a start once: a second report of the same source is a restart.
type Starts struct {
	at      time.Time
	sources []Source
}

// IsNew reports whether a fact that an autoscaler has Started is the first about that start. It
// is to be called with these facts by time.
func (s *Starts) IsNew(f Fact) bool {
	if f.Time.Sub(s.at) <= sameStartWithin && !slices.Contains(s.sources, f.Source) {
		s.sources = append(s.sources, f.Source)
		return false
	}
	*s = Starts{f.Time, []Source{f.Source}}
	return true
}

// Stop notes that the autoscaler has Stopped: what follows is another start.
func (s *Starts) Stop() { *s = Starts{} }
