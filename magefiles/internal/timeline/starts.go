package timeline

import (
	"slices"
	"time"
)

// sameStartWithin is the longest time between two reports of one start of an autoscaler. The
// pod's time has whole seconds, and the log may begin seconds later.
const sameStartWithin = 15 * time.Second

// Starts tells the starts of autoscalers apart. A pod and its log report one start, each of
// them once, and so do the pods of a Deployment that start together: a second report of the same
// pod, or of more logs than there are pods, is a restart.
type Starts struct {
	at time.Time
	// pods are the UIDs of those that reported the start, logs the number of logs that did. A
	// line of a log does not say which pod it is from.
	pods []string
	logs int
}

// IsNew reports whether a fact that an autoscaler has Started is the first about that start. It
// is to be called with these facts by time.
func (s *Starts) IsNew(f Fact) bool {
	known := slices.Contains(s.pods, f.UID)
	if f.Source == Log {
		known = s.logs >= max(1, len(s.pods))
	}
	isNew := known || f.Time.Sub(s.at) > sameStartWithin
	if isNew {
		*s = Starts{at: f.Time}
	}
	if f.Source == Log {
		s.logs++
	} else {
		s.pods = append(s.pods, f.UID)
	}
	return isNew
}

// Stop notes that the autoscaler has Stopped: what follows is another start.
func (s *Starts) Stop() { *s = Starts{} }
