package explain

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/world"
)

// waiting is what the facts say of a pod that waits for a node.
type waiting struct {
	judge *fit.Judge
	pod   *world.Pod
	why   history.PodWhy
	// decided is the enlargement for the pod, or one that may be for it; nil if there was none.
	decided *decided
	// heard is what the autoscaler that runs said of the pod.
	heard heard
	// snapshot has what the autoscaler's snapshot says of the pod, nil if there is none of the
	// time in which it waits.
	snapshot *snapshotted
	// idle says that no autoscaler runs, empty if one does.
	idle string
	// unasked says why the scheduler's filters could not be asked. It is empty if they were asked,
	// or were not needed.
	unasked  string
	ignored  []fit.Obstacle
	verdicts []fit.Verdict
	// room are the nodes on which the autoscaler finds that the pod fits. If the pod fits on none of them
	// while expendable pods are there, evicted is one of those on the first node. The scheduler evicts
	// no more than it needs, so it is not known which.
	room     []string
	evicted  string
	unjudged []string
	// refused is why the autoscaler that runs refused the pod last, or a group that would take it. It is
	// empty if it did not.
	refused string
	// named are the groups of which the record has at least the names.
	named []string
}

// waitOf returns what the facts say of a waiting pod. It returns nil if the record does not
// have what the pod asks for, as records of older labs.
func (e *explainer) waitOf(ctx context.Context, p *history.PodStory, why history.PodWhy) *waiting {
	judge := e.judge()
	pod := judge.PodOf(p.UID(), p.Name)
	if pod == nil {
		return nil
	}
	j := &waiting{judge: judge, pod: pod, why: why, idle: e.idle(), ignored: judge.Ignored(pod)}
	j.unasked = e.consult(func(ask fit.Scheduler) error { return judge.Consult(ctx, ask, pod) })
	j.verdicts, j.unjudged = judge.Verdicts(pod), judge.Unjudged(pod)
	if n := len(e.Runs); n > 0 {
		j.heard = heardOf(why, e.Runs[n-1])
	}
	j.snapshot = e.snapshotOf(pod, p.Began())
	if j.heard == (heard{}) {
		j.heard = j.snapshot.heard(judge.At)
	}
	for _, g := range e.Groups {
		if g.Name != "" && g.Name != timeline.ControlPlane && g.Gone.IsZero() {
			j.named = append(j.named, timeline.Tidy(g.Name))
		}
	}
	room := judge.Room(pod)
	for _, n := range room {
		j.room = append(j.room, timeline.Tidy(n.Name))
	}
	if len(room) > 0 && len(judge.RoomNow(pod)) == 0 {
		if i := slices.IndexFunc(room[0].Pods, judge.Expendable); i >= 0 {
			j.evicted = timeline.Tidy(room[0].Pods[i].Name)
		}
	}
	j.decided = e.decidedFor(j)
	j.refused = e.refusal(j, p)
	return j
}

// refusal returns what the autoscaler that runs said last against the pod, or against a group that would
// take it; empty if it said nothing, or no longer said it when the pod came.
func (e *explainer) refusal(j *waiting, p *history.PodStory) string {
	if j.idle != "" || len(e.Runs) == 0 {
		return ""
	}
	takers, text := j.takers(), ""
	var last time.Time
	for _, s := range e.Statements(e.Runs[len(e.Runs)-1].From, e.To, func(f timeline.Fact) bool {
		pod, _, group := history.About(f)
		return f.Kind == timeline.Autoscaler && f.What == timeline.Refused && (pod == p.Name || pod == "" && slices.Contains(takers, timeline.Tidy(group)))
	}) {
		if !s.Until.Before(p.Began()) && !s.Last.Before(last) {
			text, last = timeline.Shorten(s.Text, timeline.LongestHover), s.Last
		}
	}
	return text
}

// against returns what the autoscaler said against the pod, as the end of a sentence about what the facts
// say for it.
func (j *waiting) against() string {
	if j.refused == "" {
		return ""
	}
	return "; the autoscaler: " + j.refused
}

// contradicts reports whether the autoscaler tried to make room for the pod, and yet enlarged no group
// that would take it by the facts.
func (j *waiting) contradicts() bool {
	return len(j.takers()) > 0 && j.heard.tried && len(j.unjudged) == 0 && j.early() == ""
}

// consult calls ask with the scheduler's filters, and returns why that failed; empty if it
// succeeded.
func (e *explainer) consult(ask func(fit.Scheduler) error) string {
	if e.Scheduler == nil {
		return ""
	}
	if err := ask(e.Scheduler); err != nil {
		return timeline.Shorten(err.Error(), timeline.LongestText)
	}
	return ""
}

// filtersText names the scheduler's filters of a version of Kubernetes at the end of what an answer rests
// on. It returns nothing without a version.
func filtersText(version string) string {
	if version == "" {
		return ""
	}
	return ", the scheduler's own filters (Kubernetes " + version + ")"
}

// notAsked is a sentence that says why the scheduler's filters were not asked.
const notAsked = "The scheduler's own filters could not be asked: %s."

// takers returns the groups that would take the pod.
func (j *waiting) takers() []string {
	var takers []string
	for _, v := range j.verdicts {
		if v.Takes() {
			takers = append(takers, timeline.Tidy(v.Group.Name))
		}
	}
	return takers
}

// maxOpen is the largest number of groups of which a phrase says what is not on record.
const maxOpen = 2

// open returns, for each group whose verdict is unknown, its name and what the record lacks.
func (j *waiting) open() []string {
	var texts []string
	for _, v := range j.verdicts {
		if v.Open() {
			texts = append(texts, timeline.Tidy(v.Group.Name)+": "+v.Unknown)
		}
	}
	if left := len(texts) - maxOpen; left > 0 {
		texts = append(texts[:maxOpen], fmt.Sprintf("and %s more", timeline.Plural(left, "group")))
	}
	return texts
}

// scheduler returns the name of the pod's scheduler.
func (j *waiting) scheduler() string {
	if j.pod.Scheduler == "" {
		return "the scheduler"
	}
	return fmt.Sprintf("the scheduler %q", timeline.Tidy(j.pod.Scheduler))
}

// fits reports whether the pod has room on a node that exists: by everything that it asks for,
// or by what the autoscaler said.
func (j *waiting) fits() bool {
	return len(j.room) > 0 && (len(j.unjudged) == 0 || j.heard.moved != "")
}

// but returns what is not judged of the pod, as the end of a sentence that says where it fits.
func (j *waiting) but() string {
	if len(j.unjudged) == 0 || j.fits() {
		return ""
	}
	return ", apart from its " + strings.Join(j.unjudged, ", ") + ", which the lab does not judge"
}

// unjudged matches the parts of the scheduler's message about what the lab does not judge, and
// not those about taints, selectors and resources. Source: pkg/scheduler/framework/plugins of
// Kubernetes 1.36, the packages interpodaffinity, podtopologyspread, volumebinding, volumezone,
// volumerestrictions, nodevolumelimits and dynamicresources.
var unjudged = regexp.MustCompile(`(?:\d+ node\(s\) )?[^,:.]*(?:affinity rules|topology spread constraints|[Vv]olume|resourceclaim|claims)[^,.]*`)

// says returns what the scheduler says of what is not judged, as the end of a sentence; empty if
// its message has nothing of that.
func (j *waiting) says() string {
	var all []string
	message, _, _ := strings.Cut(j.pod.Message, ". ") // what follows is about preemption
	for _, part := range unjudged.FindAllString(message, -1) {
		all = timeline.AppendUnique(all, strings.TrimSpace(part))
	}
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprintf("; %s says: %s", j.scheduler(), timeline.Shorten(strings.Join(all, ", "), timeline.LongestHover))
}

// overlooked returns that the autoscaler does not look at the pod, and why.
func (j *waiting) overlooked(why fit.Obstacle) string {
	if j.idle != "" {
		return "an autoscaler would not look at it: " + why.Text
	}
	return "the autoscaler does not look at it: " + why.Text
}

// reason returns in a phrase why the pod still waits, apart from an autoscaler that does not
// run.
func (j *waiting) reason() string {
	takers := j.takers()
	switch {
	case j.heard.comes != "" && j.idle == "":
		return fmt.Sprintf("the autoscaler expects that it fits on a new node of %s, which is not Ready yet", j.heard.comes)
	case len(j.ignored) > 0:
		return j.overlooked(j.ignored[0])
	case j.evicted != "":
		return j.preemption()
	case len(j.room) > 0 && j.idle != "":
		return fmt.Sprintf("it has room on %s%s, and %s does not bind it", some(j.room), j.but(), j.scheduler())
	case len(j.room) > 0 && !j.fits():
		return fmt.Sprintf("it has room on %s%s%s", some(j.room), j.but(), j.says())
	case len(j.room) > 0:
		return fmt.Sprintf("scheduler and autoscaler disagree: it has room on %s, so the autoscaler adds no node, and %s does not bind it%s", some(j.room), j.scheduler(), j.against())
	case len(takers) > 0:
		text := fmt.Sprintf("%s would take it%s", some(takers), j.but())
		if j.contradicts() {
			text += j.against()
		}
		return text
	case len(j.verdicts) == 0:
		return j.noGroup()
	case !slices.ContainsFunc(j.verdicts, func(v fit.Verdict) bool { return v.Scaled }):
		return "the autoscaler scales none of the groups"
	case len(j.open()) > 0:
		return "it is not known whether a group would take it: " + strings.Join(j.open(), "; ")
	case len(j.verdicts) == 1:
		return fmt.Sprintf("%s would not take it: %s", timeline.Tidy(j.verdicts[0].Group.Name), j.verdicts[0].Obstacles[0].Text)
	}
	text := fmt.Sprintf("none of %s would take it", timeline.Plural(len(j.verdicts), "group"))
	if fitting := j.fitting(); fitting != "" {
		return text + "; it would fit on nodes of " + fitting
	}
	if nearest := j.nearest(); nearest != "" {
		return text + "; there is only one obstacle for " + nearest
	}
	return text
}

// preemption returns in a phrase that the pod fits where expendable pods are.
func (j *waiting) preemption() string {
	does := "the autoscaler ignores such pods, and adds no node"
	if j.idle != "" {
		does = "an autoscaler ignores such pods, and would add no node"
	}
	cutoff := j.judge.Autoscaler.Setting(world.ExpendableCutoff)
	return fmt.Sprintf("it fits on %s if pods with a priority below %s (%s) are evicted there, such as %s: %s%s", j.room[0], cutoff.Value, cutoff.By, j.evicted, does, j.but())
}

// maxFitting is the largest number of groups that a phrase names, each with what keeps it from
// growing.
const maxFitting = 2

// fitting returns the groups on whose next node the pod would fit and that do not grow, each with
// what keeps it from that; empty if there is none. Of many, it names the first ones that the autoscaler scales.
func (j *waiting) fitting() string {
	var scaled, others []string
	for _, v := range j.verdicts {
		if !v.Fits || v.Takes() {
			continue
		}
		text := obstacle(v)
		if v.Scaled {
			scaled = append(scaled, text)
		} else {
			others = append(others, text)
		}
	}
	texts := slices.Concat(scaled, others)
	if len(texts) == 0 {
		return ""
	}
	return first(texts) + j.but()
}

// nearest returns the groups that the autoscaler scales and from which only one thing keeps the pod, each with
// that thing; empty if there is none.
func (j *waiting) nearest() string {
	var texts []string
	for _, v := range j.verdicts {
		if v.Scaled && len(v.Obstacles) == 1 {
			texts = append(texts, obstacle(v))
		}
	}
	return first(texts)
}

// obstacle returns the name of a group, and what first keeps a pod from it.
func obstacle(v fit.Verdict) string {
	return fmt.Sprintf("group %s (%s)", timeline.Tidy(v.Group.Name), v.Obstacles[0].Text)
}

// first returns the first maxFitting texts about groups, and how many more there are.
func first(texts []string) string {
	if left := len(texts) - maxFitting; left > 0 {
		texts = append(slices.Clone(texts[:maxFitting]), strings.Replace(timeline.Plural(left, "group"), " ", " more ", 1))
	}
	if n := len(texts) - 1; n > 0 {
		return strings.Join(texts[:n], ", ") + " and " + texts[n]
	}
	return strings.Join(texts, "")
}

// noGroup returns that no group is on record. A record of a log alone has only their names.
func (j *waiting) noGroup() string {
	if len(j.named) > 0 {
		return fmt.Sprintf("the record has only the names of the node groups: %s", some(j.named))
	}
	return "there is no node group"
}

// some returns names for a sentence.
func some(names []string) string { return strings.Join(timeline.SomeOf(names, 3), ", ") }

// agreement returns whether scheduler, autoscaler and facts agree, in sentences.
func (j *waiting) agreement() []string {
	var lines []string
	if d := j.decided; d != nil && d.end != "" {
		lines = append(lines, capitalised(d.words())+".")
	}
	switch {
	case j.idle != "":
		// Nobody contradicts the scheduler.
	case len(j.ignored) > 0:
		lines = append(lines, "The autoscaler judges no pod that it does not look at.")
	case j.coming():
		lines = append(lines, fmt.Sprintf("They agree: there was no room, and %s.", j.decided.words()))
	case j.heard.comes != "":
		lines = append(lines, fmt.Sprintf("They agree: there is no room yet, and the autoscaler expects that it fits on a new node of %s.", j.heard.comes))
	case j.evicted != "":
		lines = append(lines, "They agree that there is room if the scheduler evicts expendable pods. The autoscaler leaves that to the scheduler.")
	case len(j.room) > 0 && !j.fits():
		// What is not judged may be why.
	case len(j.room) > 0:
		by := "its requests, selectors and tolerations"
		if j.judge.FiltersOf(j.pod) != "" {
			by = "the scheduler's own filters"
		}
		text := fmt.Sprintf("They disagree: according to %s the pod fits on %s now, and %s does not bind it.", by, some(j.room), j.scheduler())
		if j.heard.moved != "" {
			text += fmt.Sprintf(" The autoscaler says so too: it %s.", j.heard.moved)
		}
		lines = append(lines, text, "The autoscaler adds no node for a pod that fits on an existing one.")
		if j.pod.Scheduler != "" {
			lines = append(lines, fmt.Sprintf("The autoscaler judges as the default scheduler does; the pod waits for a scheduler %q.", timeline.Tidy(j.pod.Scheduler)))
		}
	case j.heard.moved != "":
		lines = append(lines, fmt.Sprintf("They disagree: the autoscaler says that the pod %s, and so adds no node. By the facts there is no room.", j.heard.moved))
	case len(j.takers()) > 0 && len(j.ignored) == 0 && j.early() != "":
		lines = append(lines, j.early())
	case j.contradicts():
		text := fmt.Sprintf("They disagree: according to the facts %s would take it, and the autoscaler has not enlarged it", some(j.takers()))
		if j.decided != nil {
			text += " again"
		}
		lines = append(lines, text+".")
	case len(j.takers()) > 0 && !j.heard.tried && len(j.ignored) == 0:
		lines = append(lines, "The autoscaler has said nothing of the pod.")
	case len(j.open()) > 0 && len(j.ignored) == 0:
		lines = append(lines, "Whether a group would make room is not known.")
	case len(j.takers()) == 0 && len(j.ignored) == 0 && j.pod.Marked:
		lines = append(lines, "They agree: there is no room, and no group would make any.")
	}
	if j.unasked != "" {
		lines = append(lines, fmt.Sprintf(notAsked, j.unasked))
	}
	if len(j.unjudged) > 0 {
		lines = append(lines, fmt.Sprintf("Not judged by the lab: %s. See what the scheduler says.", strings.Join(j.unjudged, ", ")))
	}
	return lines
}

// early returns a sentence if the autoscaler has not had two loops for the pod. The first one
// may leave out a pod that is very new.
func (j *waiting) early() string {
	scan := j.judge.Autoscaler.Setting("scan-interval")
	every, err := time.ParseDuration(scan.Value)
	running := j.judge.At.Sub(j.judge.Autoscaler.Since)
	switch {
	case err != nil:
	case j.why.Waited < 2*every:
		return fmt.Sprintf("It is too early to tell: the pod has waited %s, and the autoscaler looks every %s (%s). It may leave out a pod that is very new.",
			timeline.DurationText(j.why.Waited), scan.Words(), scan.By)
	case running < 2*every:
		return fmt.Sprintf("It is too early to tell: the autoscaler has been running for %s, and looks every %s (%s).", timeline.DurationText(running), scan.Words(), scan.By)
	}
	return ""
}

// heard is what an autoscaler said of a pod.
type heard struct {
	// moved is that it "can be moved to" a node, and comes the group of a new node on which it
	// fits. Each is empty if the autoscaler has said something else since.
	moved, comes string
	// tried is set if the autoscaler tried to make room.
	tried bool
}

// heardOf returns what the autoscaler of a run said of the pod. What a process thought ends
// with it.
func heardOf(why history.PodWhy, run history.Span) heard {
	var h heard
	if !run.Open {
		return h
	}
	for _, s := range slices.SortedStableFunc(slices.Values(why.Autoscaler), func(a, b history.Statement) int { return a.Last.Compare(b.Last) }) {
		switch {
		case s.Pod == "" || s.Last.Before(run.From):
			continue
		case !strings.HasPrefix(s.Text, "can be moved to "):
			h = heard{tried: true}
		case s.Node == "" && s.Group != "":
			h.moved, h.comes = "", timeline.Tidy(s.Group)
		default:
			h.moved, h.comes = timeline.Shorten(s.Text, timeline.LongestHover), ""
		}
	}
	return h
}

// matrix writes the answer of each group, and what would have to change.
func (e *explainer) matrix(j *waiting) {
	e.printf("\nWhat the facts say (%s)\n", j.basis())
	for _, o := range j.ignored {
		e.printf("  %s\n", timeline.Shorten(j.overlooked(o), timeline.LongestText))
	}
	width := 0
	for _, v := range j.verdicts {
		width = min(max(width, len(v.Group.Name)), maxNameWidth)
	}
	for _, v := range j.verdicts {
		answer, texts := "no", []string{}
		if v.Takes() {
			answer, texts = "yes", append(texts, strings.TrimSpace("it fits "+v.Basis))
		}
		if v.Open() {
			answer, texts = "?", append(texts, v.Unknown)
		}
		for _, o := range v.Obstacles {
			texts = append(texts, o.Text)
		}
		e.printf("  %-*s  %-3s  %s\n", width, timeline.Tidy(v.Group.Name), answer, timeline.Shorten(strings.Join(texts, "; "), timeline.LongestText))
		for _, note := range v.Notes {
			e.printf("  %-*s       and %s\n", width, "", timeline.Shorten(note, timeline.LongestText))
		}
	}
	if len(j.verdicts) == 0 {
		e.printf("  %s\n", j.noGroup())
	}
	for _, line := range j.nodes() {
		e.printf("  %s\n", line)
	}
	if j.idle == "" {
		e.printf("\nDo scheduler and autoscaler agree?\n")
	} else {
		e.printf("\nWhat the scheduler says\n")
	}
	if j.pod.Marked {
		e.printf("  %s says: %s\n", j.scheduler(), timeline.Shorten(orNothing(j.pod.Message), timeline.LongestText))
	} else {
		e.printf("  %s has said nothing of it.\n", j.scheduler())
	}
	for _, line := range j.agreement() {
		e.printf("  %s\n", line)
	}
	e.snapshotLines(j.snapshot)
	e.changes(j)
}

func orNothing(text string) string {
	if text == "" {
		return "Unschedulable, without a message"
	}
	return text
}

// maxNameWidth bounds the column of names.
const maxNameWidth = 48

// maxRefusals is the largest number of nodes of which a matrix says why the pod has no room.
const maxRefusals = 4

// nodes returns why the pod has no room on the nodes that exist, the commonest reasons
// first.
func (j *waiting) nodes() []string {
	if len(j.room) > 0 {
		text := "nodes that exist: it fits on " + some(j.room) + j.but()
		if j.evicted != "" {
			text = fmt.Sprintf("nodes that exist: it fits on %s without expendable pods, such as %s%s", j.room[0], j.evicted, j.but())
		}
		return []string{text}
	}
	var lines []string
	for _, o := range j.judge.Refusals(j.pod) {
		lines = append(lines, fmt.Sprintf("nodes that exist: %s: %s", some(o.Nodes), timeline.Shorten(o.Text, timeline.LongestText)))
	}
	if left := len(lines) - maxRefusals; left > 0 {
		lines = append(lines[:maxRefusals], fmt.Sprintf("nodes that exist: and %s more", timeline.Plural(left, "reason")))
	}
	return lines
}

// changes writes the smallest change for each group.
func (e *explainer) changes(j *waiting) {
	var lines []string
	change := func(subject string, all []fit.Obstacle) {
		var texts []string
		for _, o := range all {
			texts = timeline.AppendUnique(texts, o.Change)
		}
		if len(texts) > 0 {
			lines = append(lines, subject+timeline.Shorten(strings.Join(texts, "; "), timeline.LongestText))
		}
	}
	if j.idle != "" && !j.fits() && len(j.ignored) == 0 {
		lines = append(lines, e.aStart())
	}
	change("", j.ignored)
	if j.evicted != "" {
		lines = append(lines, fmt.Sprintf("the scheduler evicts expendable pods of %s, or --%s is at most their priority", j.room[0], world.ExpendableCutoff))
	}
	if j.fits() && j.pod.Scheduler != "" {
		lines = timeline.AppendUnique(lines, fmt.Sprintf("schedulerName: default-scheduler, or a scheduler %q that runs", timeline.Tidy(j.pod.Scheduler)))
	}
	for _, v := range j.verdicts {
		if !j.fits() {
			change(timeline.Tidy(v.Group.Name)+": ", v.Obstacles)
		}
	}
	title := "What would have to change"
	switch {
	case len(lines) == 0 || (j.coming() || j.heard.comes != "") && j.idle == "":
		return
	case len(j.takers()) > 0 && len(j.ignored) == 0 && !j.fits() && j.idle == "":
		title += " for the other groups to take it"
	}
	e.printf("\n%s\n  %s\n", title, strings.Join(lines, "\n  "))
}

// basis returns from what the facts are.
func (j *waiting) basis() string {
	w := j.judge
	text := fmt.Sprintf("as of %s, from %s, %s and %s", timeline.Clock(w.At), timeline.Plural(len(w.Pods), "pod"), timeline.Plural(len(w.Nodes), "node"), timeline.Plural(len(w.Groups), "group"))
	text += filtersText(w.FiltersOf(j.pod))
	if w.Autoscaler.Known {
		return text + ", and the flags of " + w.Autoscaler.Title()
	}
	return text + "; the autoscaler's flags are not on record"
}
