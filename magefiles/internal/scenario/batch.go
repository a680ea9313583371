package scenario

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"caslab/magefiles/internal/autoscaler"
)

// Batch is a number of scenarios that can use one autoscaler at the same time.
type Batch struct {
	// Scenarios has indices in all that Batches got. The scenario that may take longest is
	// first, so that it does not run on its own at the end.
	Scenarios []int
	// alone is set for a scenario that WhyAlone names.
	alone bool
	// needs is what the first scenario needs, and changes has the flags of all.
	needs   Needs
	changes changes
}

// changes has, by name, the values of flags that scenarios set. A flag may have several values.
type changes map[string]change

type change struct {
	values []string
	// shared is set if all scenarios that set the flag say that it changes nothing for others.
	shared bool
}

// Batches divides the scenarios of all that chosen names by their indices into batches, in the order
// of the first scenario of each. A scenario that WhyAlone names is a batch of its own. The others share an autoscaler if they want the same
// variables and rights, if no flag has two values, and if a flag that only some of them set has
// its usual value or is Shared. usual are the flags that the autoscaler has without a scenario.
func Batches(all []*Scenario, chosen []int, usual []autoscaler.Flag) []Batch {
	var batches []Batch
	usually := valuesOf(usual)
	for _, i := range chosen {
		s := all[i]
		own, alone := s.changes(), s.WhyAlone() != ""
		n := slices.IndexFunc(batches, func(b Batch) bool { return !alone && b.admits(s.Autoscaler, own, usually) })
		if n < 0 {
			n = len(batches)
			batches = append(batches, Batch{alone: alone, needs: s.Autoscaler, changes: changes{}})
		}
		batches[n].add(i, own)
	}
	for _, b := range batches {
		slices.SortStableFunc(b.Scenarios, func(i, j int) int { return cmp.Compare(all[j].limit(), all[i].limit()) })
	}
	return batches
}

// limit returns how long the steps may take.
func (s *Scenario) limit() time.Duration {
	var all time.Duration
	for _, step := range s.Steps {
		var expects, stays Duration
		for _, c := range step.Expect {
			expects = max(expects, c.Within)
		}
		for _, c := range step.Stays {
			stays = max(stays, c.For)
		}
		all += time.Duration(expects + stays)
	}
	return all
}

// changes returns what the flags of the scenario set. Parse has read the flags.
func (s *Scenario) changes() changes {
	var flags []autoscaler.Flag
	for _, text := range s.Autoscaler.Flags {
		more, _ := autoscaler.ParseFlags(text) // as Parse did
		flags = append(flags, more...)
	}
	own := changes{}
	for name, values := range valuesOf(flags) {
		own[name] = change{values, s.Autoscaler.Shared}
	}
	return own
}

// valuesOf returns the values of flags by name. That of a flag without one is true.
func valuesOf(flags []autoscaler.Flag) map[string][]string {
	values := map[string][]string{}
	for _, f := range flags {
		if f.Bare {
			f.Value = "true"
		}
		values[f.Name] = append(values[f.Name], f.Value)
	}
	return values
}

// admits reports whether a scenario with these needs can use the autoscaler of the batch.
func (b Batch) admits(needs Needs, own changes, usually map[string][]string) bool {
	if b.alone || needs.RBAC != b.needs.RBAC || !maps.Equal(needs.Environment, b.needs.Environment) {
		return false
	}
	return own.suit(b.changes, usually) && b.changes.suit(own, usually)
}

// suit reports whether scenarios with the flags others can also run with the flags c.
func (c changes) suit(others changes, usually map[string][]string) bool {
	for name, mine := range c {
		if theirs, both := others[name]; both {
			if !slices.Equal(mine.values, theirs.values) {
				return false
			}
		} else if !mine.shared && !slices.Equal(mine.values, usually[name]) {
			return false
		}
	}
	return true
}

// Flags returns the flags of all these scenarios, sorted by name. The autoscaler gets them in
// addition to its usual ones, which they replace.
func (b Batch) Flags() []string {
	var flags []string
	for _, name := range slices.Sorted(maps.Keys(b.changes)) {
		for _, value := range b.changes[name].values {
			flags = append(flags, autoscaler.Flag{Name: name, Value: value}.String())
		}
	}
	return flags
}

// add adds the scenario at place i, whose flags set own.
func (b *Batch) add(i int, own changes) {
	b.Scenarios = append(b.Scenarios, i)
	for name, c := range own {
		if before, set := b.changes[name]; set {
			c.shared = c.shared && before.shared
		}
		b.changes[name] = c
	}
}
