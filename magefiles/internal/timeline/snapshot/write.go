package snapshot

import (
	"fmt"
	"io"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/ui"
)

// mostRows is how many differences are written.
const mostRows = 60

// Write writes the differences as a table, and the time of the snapshot.
func Write(w io.Writer, s *Snapshot, differences []Difference) error {
	pods := 0
	for _, n := range s.Nodes {
		pods += len(n.Pods)
	}
	size := fmt.Sprintf("%s, %s and %s", timeline.Plural(len(s.Nodes), "node"), timeline.Plural(pods, "pod"), timeline.Plural(len(s.Templates), "template"))
	when := fmt.Sprintf("as of %s to %s, the loop in which the autoscaler collected them", timeline.Clock(s.Start), timeline.Clock(s.End))
	if len(differences) == 0 {
		_, err := fmt.Fprintf(w, "The autoscaler and the record agree on %s (%s).\n", size, when)
		return err
	}
	t := ui.NewTable(w, "WHAT", "NAME", "AUTOSCALER", "RECORD", "WHY")
	for _, d := range differences[:min(len(differences), mostRows)] {
		t.Row(d.What, timeline.Tidy(d.Name), timeline.Tidy(d.Autoscaler), timeline.Tidy(d.Record), timeline.Tidy(d.Why))
	}
	if err := t.End(); err != nil {
		return err
	}
	if n := len(differences) - mostRows; n > 0 {
		fmt.Fprintf(w, "and %d more\n", n)
	}
	_, err := fmt.Fprintf(w, "\n%s in %s (%s)\n", timeline.Plural(len(differences), "difference"), size, when)
	return err
}
