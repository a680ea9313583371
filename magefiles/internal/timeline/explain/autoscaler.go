package explain

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/removal"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

// autoscalerWord is what users write to ask about the autoscaler.
const autoscalerWord = "autoscaler"

// section is a part of an answer: lines with names.
type section struct {
	title string
	rows  []row
}

type row struct{ name, text string }

func (s *section) add(name, format string, args ...any) {
	s.rows = append(s.rows, row{timeline.Shorten(name, maxNameWidth), timeline.Shorten(fmt.Sprintf(format, args...), timeline.LongestText)})
}

// sections writes the parts that have lines.
func (e *explainer) sections(all ...section) {
	for _, s := range all {
		width := 0
		for _, r := range s.rows {
			width = max(width, utf8.RuneCountInString(r.name))
		}
		if len(s.rows) > 0 {
			e.printf("\n%s\n", s.title)
		}
		for _, r := range s.rows {
			e.printf("  %-*s  %s\n", width, r.name, r.text)
		}
	}
}

// autoscaler writes what is known of the autoscaler that ran last.
func (e *explainer) autoscaler() {
	w := e.world()
	a := w.Autoscaler
	if len(e.Runs) == 0 && !a.Known && a.Loops == nil {
		e.title("nothing of an autoscaler is on record.%s", e.toStart())
		return
	}
	var run history.Span
	if n := len(e.Runs); n > 0 {
		run = e.Runs[n-1]
	}
	idle := e.idle() != ""
	e.title("%s %s.", a.Title(), strings.TrimRight(e.running(run), "."))
	if start := strings.TrimSpace(e.toStart()); idle && start != "" {
		e.printf("%s\n", start)
	}
	process := e.process(run)
	seen, unseen := e.groupsSeen()
	var waits section
	if !idle {
		waits = e.waits()
	}
	e.sections(process, e.flags(), seen, unseen, waits, e.errors(run), e.unknown())
	e.printf("\n(as of %s, from %s, %s, %s, and what it logged and reported)\n", timeline.Clock(w.At), timeline.Plural(len(w.Groups), "group"), timeline.Plural(len(w.Nodes), "node"), flagsOnRecord(a))
}

func flagsOnRecord(a world.Autoscaler) string {
	if a.Known {
		return "its flags"
	}
	return "none of its flags"
}

// running returns whether the autoscaler runs, and since when.
func (e *explainer) running(run history.Span) string {
	switch {
	case run.From.IsZero():
		return "logged something; when it started is not on record"
	case !run.Open:
		text := fmt.Sprintf("ran from %s to %s and has stopped", timeline.Clock(run.From), timeline.Clock(run.To))
		if end := e.end(); end.Text != "" {
			text += ": " + timeline.Shorten(end.Text, timeline.LongestHover)
		}
		return text
	}
	text := "has been running since " + timeline.Clock(run.From)
	heard := e.heard()
	if since := e.silentSince(); !since.IsZero() {
		text = fmt.Sprintf("has run since %s, has logged nothing since %s, and may have been killed, or it is in a debugger", timeline.Clock(run.From), timeline.Clock(since))
	} else if a := e.world().Autoscaler; e.world().At.Sub(heard) > silence(a) {
		text += "; its last message on record is from " + timeline.Clock(heard)
	}
	return text
}

// process returns the autoscaler's version, the version of Cluster API's API that it uses, and
// the timing of its loops.
func (e *explainer) process(run history.Span) section {
	w := e.world()
	a := w.Autoscaler
	s := section{title: "The process"}
	if a.Tree != "" {
		s.add("tree", "%s", a.Tree)
	}
	if text := timeline.Tidy(run.Text); text != "" && !strings.HasSuffix(a.Title(), " "+text) {
		s.add("version", "%s", text)
	}
	if pod := e.podOf(run); pod != "" {
		s.add("pod", "%s", pod)
	}
	if n := len(e.Runs) - 1; n > 0 {
		s.add("restarts", "%s before it on record, the last one from %s to %s", timeline.Plural(n, "run"), timeline.Clock(e.Runs[n-1].From), timeline.Clock(e.Runs[n-1].To))
	}
	if a.API != "" {
		s.add("API", "%s of Cluster API", a.API)
	}
	if a.Loops != nil {
		s.add("loops", "%s", e.loops(run))
	}
	for _, f := range slices.Backward(e.Facts) {
		if f.Kind == timeline.Autoscaler && f.What == timeline.Health && f.Group == "" {
			if e.idle() == "" {
				s.add("status", "%s since %s", f.Text, timeline.Clock(f.Time))
			} else {
				s.add("last status", "%s from %s on", f.Text, timeline.Clock(f.Time))
			}
			break
		}
	}
	return s
}

// loops returns when the last loop began, the timing of those just before it while the
// autoscaler runs, and the longest of the run.
func (e *explainer) loops(run history.Span) string {
	a := e.world().Autoscaler
	last, scan := a.Loops, a.Setting("scan-interval")
	text := "the last on record began at " + timeline.Clock(last.Last)
	recent := last.N > 0 && (run.Open || run.From.IsZero())
	if recent {
		before := last.Last.Sub(last.From)
		text += fmt.Sprintf("; in the %s before it %s, one every %s; the interval is %s (%s)", timeline.DurationText(before), timeline.Plural(last.N, "loop"), timeline.DurationText(before/time.Duration(last.N)), scan.Words(), scan.By)
		if last.Longest > 0 {
			text += fmt.Sprintf("; each of them took %s at the median and %s at most, by its lines", timeline.DurationText(last.Median), timeline.DurationText(last.Longest))
		}
	}
	switch n, longest := e.loopsOf(run); {
	case longest == 0 || recent && n == last.N:
	case n == 1:
		text += "; the only complete one on record took " + timeline.DurationText(longest)
	default:
		text += fmt.Sprintf("; the longest of all %s on record took %s", timeline.Plural(n, "complete loop"), timeline.DurationText(longest))
	}
	return text
}

// loopsOf returns the number of complete loops of a run, and the length of the longest one.
func (e *explainer) loopsOf(run history.Span) (n int, longest time.Duration) {
	for _, f := range e.facts {
		if f.Kind != timeline.Autoscaler || f.What != timeline.Shaped || f.Time.Before(run.From) {
			continue
		}
		var s shape.Autoscaler
		if json.Unmarshal(f.Shape, &s) == nil && s.Loops != nil {
			n, longest = n+s.Loops.N, max(longest, s.Loops.Longest)
		}
	}
	return n, longest
}

// podOf returns the name of the autoscaler's pod, empty if it has none on record.
func (e *explainer) podOf(run history.Span) string {
	for _, f := range slices.Backward(e.Facts) {
		if f.Kind == timeline.Autoscaler && f.What == timeline.Started && f.Name != "" && !f.Time.Before(run.From) {
			return timeline.Tidy(f.Name)
		}
	}
	return ""
}

// flags returns the flags that do not have their defaults.
func (e *explainer) flags() section {
	s := section{title: "Flags that differ from the defaults"}
	changed := e.world().Autoscaler.Changed()
	for _, flag := range slices.Sorted(maps.Keys(changed)) {
		s.add("--"+flag, "%s", changed[flag])
	}
	return s
}

// groupsSeen returns the node groups of the autoscaler, and the others with the reason.
func (e *explainer) groupsSeen() (seen, unseen section) {
	w := e.world()
	seen.title, unseen.title = "Groups that it scales", "Groups that it does not scale"
	if e.idle() != "" {
		seen.title, unseen.title = "Groups that it scaled", "Groups that it did not scale"
	}
	for _, g := range w.Groups {
		if found := e.judge().Outside(g); len(found) > 0 {
			var texts []string
			for _, o := range found {
				texts = append(texts, o.Text)
			}
			unseen.add(g.Name, "%s", strings.Join(texts, "; "))
			continue
		}
		least, most := w.Limits(g)
		text := fmt.Sprintf("wants %d; min %d, max %d", g.Wanted, least, most)
		if g.Health != "" {
			text += "; it says: " + g.Health
		}
		if lost := e.judge().Lost(g); lost != nil {
			text += "; " + lost.Text
		}
		seen.add(g.Name, "%s", text)
	}
	if len(seen.rows) == 0 && len(w.Groups) > 0 {
		seen.add("none", "it scales none of the groups on record")
	}
	return seen, unseen
}

// waits returns what the autoscaler waits for: its lease, cool-downs, back-offs, and in the groups that
// it scales nodes that are on their way, unneeded, or going.
func (e *explainer) waits() section {
	w := e.world()
	s := section{title: "What it waits for"}
	coolDowns := func(of string, timers []removal.Timer) {
		for _, t := range timers {
			if t.Until.After(w.At) {
				s.add("cool-down", "%s%s %s", of, t.Name, timer(t, w.At))
			}
		}
	}
	e.lease(&s)
	ofAll := removal.CoolDowns(w, nil)
	coolDowns("", ofAll)
	for _, g := range w.Groups {
		if len(e.judge().Outside(g)) > 0 {
			continue
		}
		if ofAll == nil { // each group has its own
			coolDowns(g.Name+": ", removal.CoolDowns(w, g))
		}
		switch {
		case g.Backoff.After(w.At):
			s.add("back-off", "%s until %s, %s more", g.Name, timeline.Clock(g.Backoff), timeline.DurationText(g.Backoff.Sub(w.At)))
		case strings.Contains(g.Health, "scale-up Backoff"):
			s.add("back-off", "%s; its end is not on record", g.Name)
		}
		coming, provision := w.Coming(g), e.provisionTime(g)
		for _, m := range g.Machines {
			if e.overlooks(m, g) {
				s.add("new node", "machine %s of %s has failed; %s", m.Name, g.Name, e.givesUp(g))
				continue
			}
			if !slices.Contains(coming, m) {
				continue
			}
			text := fmt.Sprintf("machine %s of %s since %s", m.Name, g.Name, timeline.Clock(m.Created))
			if m.Phase != "" {
				text += ", " + m.Phase
			}
			s.add("new node", "%s; the autoscaler waits at most %s for it (%s)", text, provision.Words(), provision.By)
		}
		e.removals(&s, g)
	}
	if len(s.rows) == 0 {
		s.add("nothing", "no cool-down, no back-off, no new node, no unneeded node and no removal is on record")
	}
	return s
}

// removals adds the nodes of a group that are going, or may go when a time has passed.
func (e *explainer) removals(s *section, g *world.Group) {
	w := e.world()
	for _, n := range g.Nodes {
		if going := removal.GoingOf(w, n, w.MachineOf("", n.Name)); going != nil {
			s.add("removal", "%s of %s: %s", n.Name, g.Name, going.Text)
			continue
		}
		stay := removal.Of(e.judge(), n, g)
		if !n.Blocked.IsZero() && len(stay.Obstacles)+len(stay.Blockers) == 0 {
			s.add("recheck", "%s of %s: %s", n.Name, g.Name, e.lookAgain(n))
		}
		for _, t := range stay.Timers {
			if t.Name != removal.Unneeded || t.From.IsZero() || len(stay.Obstacles) > 0 {
				continue
			}
			text := fmt.Sprintf("%s of %s: unneeded since %s, may be deleted from %s on (%s)", n.Name, g.Name, timeline.Clock(t.From), timeline.Clock(t.Until), t.By)
			if stay.AtMinimum != nil {
				text += "; but " + stay.AtMinimum.Text
			}
			s.add("unneeded", "%s", text)
		}
	}
	for _, m := range g.Machines {
		if going := removal.GoingOf(w, nil, m); going != nil && w.NodeOf(m.Node) == nil {
			s.add("removal", "%s of %s: %s", m.Name, g.Name, going.Text)
		}
	}
}

// maxErrors is the largest number of errors in an answer.
const maxErrors = 10

// errors returns the problems of the last run, the latest ones last.
func (e *explainer) errors(run history.Span) section {
	s := section{title: "Errors"}
	list := e.Statements(run.From, e.To, func(f timeline.Fact) bool { return f.Kind == timeline.Autoscaler && f.What == timeline.Problem })
	if left := len(list) - maxErrors; left > 0 {
		s.add("", "%s before", timeline.Plural(left, "other error"))
		list = list[left:]
	}
	for _, problem := range list {
		name := timeline.Clock(problem.First)
		if problem.Count > 1 {
			name += fmt.Sprintf(" – %s (%d times)", timeline.Clock(problem.Last), problem.Count)
		}
		text := problem.Text
		if denied := forbidden(text); denied != "" {
			text = denied
		}
		s.add(name, "%s", text)
	}
	return s
}

// denial matches what the API server says of a request that a role does not allow, also in
// a quoted message.
var denial = regexp.MustCompile(`User \\?"([^"\\]+)\\?" cannot (\S+) resource \\?"([^"\\]+)\\?" in API group \\?"([^"\\]*)\\?"(?: in the namespace \\?"([^"\\]+)\\?")?`)

// forbidden returns the verb and the resource that a role lacks, by an error; empty if the
// error is another one.
func forbidden(text string) string {
	m := denial.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	resource, where := m[3], "in the cluster"
	if m[4] != "" {
		resource += "." + m[4]
	}
	if m[5] != "" {
		where = "in the namespace " + m[5]
	}
	return fmt.Sprintf("forbidden: no role allows %s to %s %s %s", m[1], m[2], resource, where)
}

// loopVerbosity is the verbosity from which on the autoscaler logs its loops.
const loopVerbosity = 4

// noLoops returns why no loop is on record.
func (e *explainer) noLoops() string {
	a := e.world().Autoscaler
	v := a.Setting("v").Value
	level, err := strconv.Atoi(v)
	switch {
	case !a.Known || err != nil:
		return fmt.Sprintf("none is on record; it logs them from --v=%d on", loopVerbosity)
	case level < loopVerbosity:
		return fmt.Sprintf("it logs them from --v=%d on, and has --v=%s", loopVerbosity, v)
	case !slices.ContainsFunc(e.Facts, func(f timeline.Fact) bool {
		return f.Kind == timeline.Autoscaler && f.Source == timeline.Log && !f.Time.Before(a.Since)
	}):
		return "its log is not on record"
	}
	return "none was recorded yet"
}

// unknown returns what the record does not have.
func (e *explainer) unknown() section {
	a := e.world().Autoscaler
	s := section{title: "What is not known"}
	note := func(missing bool, name, text string) {
		if missing {
			s.add(name, "%s", text)
		}
	}
	r := a.Release()
	note(a.Version == nil, "version", "no line and no image with its release is on record; the newest release is assumed")
	note(!a.Known, "flags", "they are not on record; the defaults are assumed")
	note(a.API == "", "API", fmt.Sprintf("no line names the version of Cluster API that it uses; %s reads %s to %s", a.Title(), r.OldestAPI, r.NewestAPI))
	note(a.Loops == nil, "loops", e.noLoops())
	note(a.CoolDown == nil, "cool-downs", "it has not logged them; its decisions on record stand for them")
	note(len(e.world().Groups) == 0, "groups", "no MachineDeployment, MachinePool or MachineSet is on record, so their annotations are not known")
	return s
}
