package recorder

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/timeline"
)

// line is one kind of line of the autoscaler's log. The pattern's groups named
// pod, node, group, n and text become the fact's; without text, the whole
// message is its text.
type line struct {
	what    string
	pattern *regexp.Regexp
}

func tells(what, pattern string) line { return line{what, regexp.MustCompile(pattern)} }

// lines are those that tell something of a pod, a node or a group, or why
// nothing is done, as releases 1.26 to 1.36.1 print them: core, clusterstate,
// estimator, expander, processors, simulator and cloudprovider/clusterapi. The
// first that matches counts.
var lines = []line{
	// Events reach the recorder from the API server.
	tells("", `^Event\(`),
	tells("", `^Skipping event processing`),
	tells("", `^Skipping node \S+ with deletion candidate taint`),

	// Decisions to grow.
	tells(timeline.ScaleUp, `^Scale-up: setting group (?P<group>\S+) size to (?P<n>\d+)$`),
	tells(timeline.ScaleUp, `^(?:Final scale-up plan|ScaleUpToNodeGroupMinSize: final scale-up plan): \[\{(?P<group>\S+) \d+->(?P<n>\d+) \(max: \d+\)\}\]$`),
	tells(timeline.ScaleUp, `^(?:Final scale-up plan|ScaleUpToNodeGroupMinSize: final scale-up plan|Initial scale-up succeeded)`),
	tells(timeline.Considered, `^Scale up in group (?P<group>\S+) finished successfully`),
	tells(timeline.Considered, `^Best option to resize: (?P<group>\S+)$`),
	tells(timeline.Considered, `^Estimated \d+ nodes needed in (?P<group>\S+)$`),
	tells(timeline.Considered, `^Expanding Node Group (?P<group>\S+) (?P<text>would waste .*?)\s*$`),
	tells(timeline.Considered, `^priority expander: (?P<group>\S+) (?P<text>chosen .*)$`),
	tells(timeline.Considered, `^Splitting scale-up between `),
	tells(timeline.Considered, `^Pod (?P<pod>\S+) is unschedulable$`),
	tells(timeline.Considered, `^Pod (?P<pod>\S+) (?P<text>can be moved to template-node-for-(?P<group>\S+?))(?:-\d+)?-upcoming-\d+$`),
	tells(timeline.Considered, `^\d+ other pods are also unschedulable`),

	// Why it does not grow.
	tells(timeline.Refused, `^Pod (?P<pod>\S+) can't be scheduled on (?P<group>\S+), predicate checking error: (?:can't schedule pod \S+: )?(?P<text>.*)$`),
	tells(timeline.Refused, `^\d+ other pods similar to \S+ can't be scheduled on (?P<group>\S+)$`),
	tells(timeline.Refused, `^Pod (?P<pod>\S+) is (?P<text>\S+ seconds old, too new to consider unschedulable)`),
	tells(timeline.Refused, `^Pod (?P<pod>\S+) (?P<text>has priority below .*|will be scheduled after low priority pods .*)$`),
	tells(timeline.Refused, `^Skipping node group (?P<group>\S+) - (?P<text>.*)$`),
	tells(timeline.Refused, `^Skipping node group (?P<group>[^\s;]+); (?P<text>.*)$`),
	tells(timeline.Refused, `^Node group (?P<group>\S+) is (?P<text>not ready for scaleup.*)$`),
	tells(timeline.Refused, `^Disabling scale-up for node group (?P<group>\S+) `),
	tells(timeline.Refused, `^(?:No pod can fit to|Some pods can't fit to) (?P<group>[^\s,]+)`),
	tells(timeline.Refused, `^Ignoring node group (?P<group>\S+) when balancing: (?P<text>.*)$`),
	tells(timeline.Refused, `^Group (?P<group>\S+), can't fit pod (?P<pod>[^\s,]+)`),
	tells(timeline.Refused, `^No info about pods passing predicates found for group (?P<group>[^\s,]+)`),
	tells(timeline.Refused, `^discovered a (?P<text>paused) node group: (?P<group>\S+)`),
	tells(timeline.Refused, `^Only \d+ nodes can be added to (?P<group>\S+) due to `),
	tells(timeline.Refused, `^Capping scale-up of (?P<group>\S+) from `),
	tells(timeline.Refused, `^Capping (?:size|scale-up size|binpacking) `),
	tells(timeline.Refused, `^Requested scale-up \(\d+\) exceeds `),
	tells(timeline.Refused, `^Can only (?:add|create) `),
	tells(timeline.Refused, `^(?:No expansion options|Expander filtered out all options|Max total nodes in cluster reached|Not attempting scale-up|Unschedulable pods are very new|Cluster is not ready for autoscaling)`),

	// Decisions to shrink.
	tells(timeline.ScaleDown, `^Scale-down: removing empty node "?(?P<node>[^\s"]+)"?$`),
	tells(timeline.ScaleDown, `^Scale-down: removing node "?(?P<node>[^\s",]+)"?,`),
	tells(timeline.ScaleDown, `^All pods removed from (?P<node>\S+)$`),
	tells(timeline.ScaleDown, `^Marking unregistered node (?P<node>\S+) for removal$`),
	tells(timeline.ScaleDown, `^Removing unregistered node (?P<node>\S+)$`),
	tells(timeline.ScaleDown, `^Removing \d+ unregistered nodes for node group (?P<group>\S+)$`),
	tells(timeline.ScaleDown, `^Deleting \d+ from (?P<group>\S+) node group because of create errors`),
	tells(timeline.ScaleDown, `^Decreasing size of (?P<group>[^\s,]+), expected=`),
	tells(timeline.ScaleDown, `^Starting force deletion of node (?P<node>\S+)$`),

	// Why it does not shrink.
	tells(timeline.Kept, `^[Nn]ode (?P<node>\S+) (?:unremovable: |cannot be removed: |is not suitable for removal(?:: | - ))(?P<text>.*)$`),
	tells(timeline.Kept, `^Node (?P<node>\S+) (?P<text>has active on-completion pods).*$`),
	tells(timeline.Kept, `^Node "(?P<node>[^\s"]+)" is unremovable, (?P<text>became needed again .*?)\. Latency`),
	tells(timeline.Kept, `^Node (?P<node>\S+) (?:will be skipped as it is (?P<text>currently under rollout))$`),
	tells(timeline.Kept, `^Node (?P<node>\S+) (?:has|should not be processed by cluster autoscaler \(|will not scale down, has )(?: ?)(?P<text>no node group config)`),
	tells(timeline.Kept, `^Skipp(?:ing|ed) (?:unready node )?(?P<node>\S+) from delete consideration - (?P<text>.*)$`),
	tells(timeline.Kept, `^Skipping scale down of (?P<node>\S+) in this batch - (?P<text>.*)$`),
	tells(timeline.Kept, `^Skipping scale down on node group (?P<group>\S+) (?P<text>because .*)$`),
	tells(timeline.Kept, `^Skipping scale down for \d+ nodes from node group (?P<group>[^\s,]+), (?P<text>.*)$`),
	tells(timeline.Kept, `^Skipping (?P<node>\S+) - (?P<text>.*)$`),
	tells(timeline.Kept, `^Failed to remove node (?P<node>[^\s:]+): (?P<text>node group min size reached.*)$`),
	tells(timeline.Kept, `^Node group (?P<group>\S+) (?P<text>min size reached, skipping removal of .*)$`),
	tells(timeline.Kept, `^(?P<node>\S+) (?P<text>was unneeded for \S+)$`),
	tells(timeline.Kept, `^Scale down status: .*(?P<text>scaleDownForbidden=true|scaleDownInCooldown=true)`),
	tells(timeline.Considered, `^(?P<node>\S+) (?P<text>is unneeded since .*?)(?: m=\S+)? duration \S+$`),
	tells(timeline.Considered, `^Node (?P<node>\S+) - (?P<text>.* (?:requested is|utilization) .*)$`),

	// The process.
	tells(timeline.Started, `^Cluster Autoscaler (?P<text>\d\S*)$`),
	tells(timeline.Stopped, `^(?P<text>Cleaned up, exiting)`),
}

// What a problem may name.
var (
	anyGroup = regexp.MustCompile(`\b(?:MachineDeployment|MachineSet|MachinePool)/[^/\s]+/[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?`)
	anyNode  = regexp.MustCompile(`(?:\bnode "|\b(?:for|on|of|from|remove|delete) node |\b(?:docker|kubemark):/{2,4})(?:(?:docker|kubemark):/{2,4})?([a-z0-9](?:[-a-z0-9._]*[a-z0-9])?)`)
)

// maxText bounds what is kept of a message.
const maxText = 4096

// ParseLog reads one line of the autoscaler's log, without its end. It reports
// false for a line that tells nothing of a pod, a node, a group, a problem or
// the autoscaler itself. klog leaves out the year and the time zone: they are
// those of day, a moment near the line's. A line without a time, such as a
// panic's, is of day itself. Pods have their namespace where the line names
// it, as it does since 1.31.
func ParseLog(text string, day time.Time) (timeline.Fact, bool) {
	e := autoscaler.Parse(strings.TrimRight(text, "\r\n"))
	f := timeline.Fact{Kind: timeline.Autoscaler, Source: timeline.Log}
	for _, l := range lines {
		m := l.pattern.FindStringSubmatch(e.Message)
		if m == nil {
			continue
		}
		if l.what == "" || e.Time == "" {
			return timeline.Fact{}, false
		}
		f.What, f.Time, f.Text = l.what, e.At(day), e.Message
		for i, name := range l.pattern.SubexpNames() {
			switch name {
			case "pod":
				f.Name = m[i]
			case "node":
				f.Node = nodeName(m[i])
			case "group":
				f.Group = timeline.LastPart(m[i])
			case "n":
				if n, err := strconv.Atoi(m[i]); err == nil {
					f.N = &n
				}
			case "text":
				f.Text = m[i]
			}
		}
		f.Text = bounded(f.Text)
		return f, true
	}
	if e.Class != autoscaler.Problem {
		return timeline.Fact{}, false
	}
	f.What, f.Time, f.Text = timeline.Problem, e.At(day), bounded(e.Message)
	f.Group = timeline.LastPart(anyGroup.FindString(e.Message))
	if m := anyNode.FindStringSubmatch(e.Message); m != nil && m[1] != "group" {
		f.Node = nodeName(m[1])
	}
	return f, true
}

// unregistered is what the provider for Cluster API calls a machine that has no
// provider ID to call it by.
var unregistered = regexp.MustCompile(`^(?:pending|failed|deleting)-machine-[^_]*_(.+)$`)

// nodeName is the name of a node that the autoscaler may call by its provider,
// or of a machine that is none yet.
func nodeName(id string) string {
	if m := unregistered.FindStringSubmatch(id); m != nil {
		return m[1]
	}
	if _, rest, found := strings.Cut(id, "://"); found {
		return timeline.LastPart(rest)
	}
	return id
}

func bounded(text string) string {
	text = strings.ToValidUTF8(strings.TrimSpace(text), "?")
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}
