package machine

import (
	"context"
	"fmt"
	"sync"
)

// Check is one thing that is checked before an environment comes up.
type Check struct {
	// Name says what is checked.
	Name string
	// Doctor is set if env:up does not need it.
	Doctor bool
	// Find checks it.
	Find func(ctx context.Context) Finding
}

// Pass makes the checks that env:up needs, one after the other. It ends at the first
// failure, and returns the warnings until then. progress gets the names of the checks.
func Pass(ctx context.Context, checks []Check, progress func(string)) (warnings []string, err error) {
	for _, c := range checks {
		if c.Doctor {
			continue
		}
		progress(c.Name)
		switch f := c.Find(ctx); f.Verdict {
		case Failure:
			return warnings, f.Error()
		case Warning:
			warnings = append(warnings, fmt.Sprintf("%s: %s; %s", f.Check, f.Found, f.ToDo))
		case OK, Note:
		}
	}
	return warnings, context.Cause(ctx)
}

// FindAll makes all checks at the same time, and returns their findings in the same order.
func FindAll(ctx context.Context, checks []Check) []Finding {
	findings := make([]Finding, len(checks))
	var made sync.WaitGroup
	for i, c := range checks {
		made.Go(func() { findings[i] = c.Find(ctx) })
	}
	made.Wait()
	return findings
}
