package speech

import (
	"regexp"
	"strconv"
)

// Message is a row of the table: one kind of message of the autoscaler.
type Message struct {
	// Pattern matches the message without klog's head. Its groups named pod,
	// node, group, n and text become those of a Statement; without a text, the
	// whole message is the text.
	Pattern *regexp.Regexp
	// Since and Until are the first and the last minor release, such as "1.28", whose
	// source has the message. The sources of 1.17 to 1.37 were read, and those of the main
	// branch, which is called 1.38 here. An empty Since means 1.17 or earlier. An empty
	// Until means that the main branch still has the message.
	Since, Until string
	// Kind is what the message states; KindNone if it states nothing about a pod, a
	// node or a group.
	Kind Kind
	// Class is how the console shows the message at severity I.
	Class Class
	// Harmless is set for messages that are no problem at severity W or E either.
	Harmless bool
}

var othersWait = regexp.MustCompile(`^\d+ other pods are also unschedulable`)

// OthersWait reports whether a message says that more pods wait than the autoscaler names in this
// loop.
func OthersWait(message string) bool { return othersWait.MatchString(message) }

func row(kind Kind, class Class, since, until, pattern string) Message {
	return Message{Pattern: regexp.MustCompile(pattern), Since: since, Until: until, Kind: kind, Class: class}
}

func harmless(class Class, since, pattern string) Message {
	m := row(KindNone, class, since, "", pattern)
	m.Harmless = true
	return m
}

// Messages is the table. The first row that matches a message counts. The
// patterns are taken from the sources of releases 1.17 to 1.37 and of the main branch: core,
// clusterstate, estimator, expander, processors, simulator, utils and
// cloudprovider/clusterapi. TestTableKnowsTheSources compares the table with sources.
var Messages = []Message{
	// Rounds. A round is logged at level 4.
	row(KindNone, Loop, "", "", `^Starting main loop`),

	// Not needed, or known from another source: the recorder gets events from the API
	// server.
	harmless(Chatter, "", `^Event\(`),
	harmless(Chatter, "", `^Skipping event processing`),
	harmless(Reason, "1.34", `^Skipping node \S+ with deletion candidate taint`),

	// Warnings and errors of a healthy cluster: one for each pod while a node is
	// deleted, one before the first round, those of a new group, and those of a
	// node that Cluster API does not know yet, or no longer.
	harmless(Chatter, "1.36", `^SetClusterState: node `),
	harmless(Chatter, "1.18", `^AcceptableRanges have not been populated yet`),
	harmless(Chatter, "", `^Failed to find (?:acceptable ranges|readiness information) for `),
	harmless(Chatter, "1.26", `^Failed to check cloud provider has instance for `),
	harmless(Chatter, "", `^Nodegroup is nil for `),
	harmless(Chatter, "", `^No node group for node `),

	// Decisions to scale up.
	row(KindScaleUp, ScaleUp, "", "", `^Scale-up: setting group (?P<group>\S+) size to (?P<n>\d+)$`),
	row(KindScaleUp, ScaleUp, "", "", `^(?:Final scale-up plan|ScaleUpToNodeGroupMinSize: final scale-up plan): \[\{(?P<group>\S+) \d+->(?P<n>\d+) \(max: \d+\)\}\]$`),
	row(KindScaleUp, ScaleUp, "", "", `^(?:Final scale-up plan|ScaleUpToNodeGroupMinSize: final scale-up plan)`),
	row(KindScaleUp, ScaleUp, "1.31", "", `^Initial scale-up succeeded`),
	row(KindConsidered, Chatter, "", "", `^Scale up in group (?P<group>\S+) finished successfully`),
	row(KindConsidered, ScaleUp, "", "", `^Best option to resize: (?P<group>\S+)$`),
	row(KindConsidered, ScaleUp, "", "", `^Estimated \d+ nodes needed in (?P<group>\S+)$`),
	row(KindConsidered, Chatter, "", "", `^Expanding Node Group (?P<group>\S+) (?P<text>would waste .*?)\s*$`),
	row(KindConsidered, Chatter, "", "", `^priority expander: (?P<group>\S+) (?P<text>chosen .*)$`),
	row(KindConsidered, ScaleUp, "", "", `^Splitting scale-up between `),
	row(KindConsidered, Reason, "", "", `^Pod (?P<pod>\S+) is unschedulable$`),
	row(KindConsidered, Chatter, "", "", `^Pod (?P<pod>\S+) (?P<text>can be moved to template-node-for-(?P<group>\S+?))(?:-\d+)?(?:-upcoming-\d+|-\d+-salvo-\d+)$`),
	row(KindConsidered, Reason, "", "", othersWait.String()),
	row(KindConsidered, Reason, "", "", `^Upcoming [1-9]\d* nodes`),
	row(KindConsidered, Reason, "1.36", "", `^Skipping \d+ upcoming nodes for (?:backed-off )?node group (?P<group>[^\s:]+): `),
	row(KindConsidered, Reason, "1.38", "", `^Skipped node group (?P<group>\S+) satisfies pod predicates of `),
	row(KindConsidered, Chatter, "1.28", "", `^Found [1-9]\d* similar node groups: `),
	row(KindConsidered, Chatter, "1.28", "", `^nodes "?(?:template-node-for-(?P<group>\S+?)-\d+|\S+?)"? and \S+ are not similar, `),

	// Whether a pod fits on a node that exists. The autoscaler simulates that for pods that
	// wait, and for pods of nodes that it may remove.
	row(KindConsidered, Chatter, "", "", `^Pod (?P<pod>\S+) (?P<text>can be moved to (?P<node>\S+))$`),
	row(KindConsidered, Reason, "1.26", "", `^failed to find place for (?P<pod>[^\s:]+)(?::| based on similar pods scheduling)`),
	row(KindConsidered, Chatter, "", "", `^(?P<text>[1-9]\d* pods marked as unschedulable can be scheduled)\.`),
	row(KindConsidered, Reason, "1.37", "", `^Scheduling simulation aborted early due to `),
	// The message counts all pods, and a count of 0 is no news.
	row(KindConsidered, Chatter, "1.33", "", `^Found \d+ pods in the cluster: .*?(?P<text>[1-9]\d* ignored (?:\(most|by allowed|due to dissallowed) .*)$`),

	// Why it does not scale up.
	row(KindRefused, Reason, "1.18", "", `^Pod (?P<pod>\S+) can't be scheduled on (?P<group>\S+), predicate checking error: (?:can't schedule pod \S+: )?(?P<text>.*)$`),
	row(KindRefused, Reason, "1.18", "", `^\d+ other pods similar to \S+ can't be scheduled on (?P<group>\S+)$`),
	row(KindRefused, Reason, "", "", `^Pod (?P<pod>\S+) is (?P<text>\S+ seconds old, too new to consider unschedulable)`),
	row(KindRefused, Reason, "", "1.35", `^Pod (?P<pod>\S+) (?P<text>has priority below .*|will be scheduled after low priority pods .*)$`),
	row(KindConsidered, Reason, "", "1.35", `^Pod (?P<pod>\S+) (?P<text>has nominatedNodeName set to \S+ but node is gone)$`),
	row(KindRefused, Reason, "1.30", "", `^Ignoring unschedulable pod (?P<pod>\S+) as it (?P<text>consumes ProvisioningRequest: \S+)$`),
	row(KindRefused, Reason, "1.30", "", `^nodegroup (?P<group>\S+) (?P<text>has no scaling capacity), skipping$`),
	row(KindRefused, Reason, "", "", `^Skipping node group (?P<group>\S+) - (?P<text>.*)$`),
	row(KindRefused, Reason, "", "", `^Skipping node group (?P<group>[^\s;]+); (?P<text>.*)$`),
	row(KindRefused, Reason, "", "", `^Node group (?P<group>\S+) is (?P<text>not ready for scaleup.*)$`),
	row(KindRefused, Chatter, "", "", `^Disabling scale-up for node group (?P<group>\S+) `),
	row(KindRefused, Chatter, "", "", `^(?:No pod can fit to|Some pods can't fit to) (?P<group>[^\s,]+)`),
	row(KindRefused, Chatter, "", "", `^Ignoring node group (?P<group>\S+) when balancing: (?P<text>.*)$`),
	row(KindRefused, Chatter, "", "1.27", `^Group (?P<group>\S+), can't fit pod (?P<pod>[^\s,]+)`),
	row(KindRefused, Chatter, "", "1.27", `^No info about pods passing predicates found for group (?P<group>[^\s,]+)`),
	row(KindRefused, Chatter, "1.36", "", `^discovered a (?P<text>paused) node group: (?P<group>\S+)`),
	row(KindRefused, Chatter, "1.30", "", `^Only \d+ nodes can be added to (?P<group>\S+) due to `),
	row(KindRefused, ScaleUp, "1.36", "", `^Capping scale-up of (?P<group>\S+) from `),
	row(KindRefused, ScaleUp, "", "", `^Capping (?:size|scale-up size) `),
	row(KindRefused, Chatter, "1.24", "", `^Capping binpacking `),
	row(KindRefused, Chatter, "1.18", "", `^Requested scale-up \(\d+\) exceeds `),
	row(KindRefused, Reason, "1.30", "", `^Can only add `),
	row(KindRefused, Chatter, "1.30", "", `^Can only create `),
	row(KindRefused, Reason, "", "", `^(?:No expansion options|Max total nodes in cluster reached|Unschedulable pods are very new)`),
	row(KindRefused, Reason, "1.36", "", `^Expander filtered out all options`),
	row(KindRefused, Reason, "1.30", "", `^Not attempting scale-up`),
	row(KindRefused, Chatter, "", "", `^Cluster is not ready for autoscaling`),

	// Decisions to scale down.
	row(KindScaleDown, ScaleDown, "", "", `^Scale-down: removing empty node "?(?P<node>[^\s"]+)"?$`),
	row(KindScaleDown, ScaleDown, "", "", `^Scale-down: removing node "?(?P<node>[^\s",]+)"?,`),
	row(KindScaleDown, ScaleDown, "", "", `^All pods removed from (?P<node>\S+)$`),
	row(KindScaleDown, ScaleDown, "1.28", "", `^Marking unregistered node (?P<node>\S+) for removal$`),
	row(KindScaleDown, ScaleDown, "", "1.27", `^Removing unregistered node (?P<node>\S+)$`),
	row(KindScaleDown, Chatter, "1.28", "", `^Removing \d+ unregistered nodes for node group (?P<group>\S+)$`),
	row(KindScaleDown, ScaleDown, "", "", `^Deleting \d+ from (?P<group>\S+) node group because of create errors`),
	row(KindScaleDown, Chatter, "", "", `^Decreasing size of (?P<group>[^\s,]+), expected=`),
	row(KindScaleDown, Chatter, "1.33", "", `^Starting force deletion of node (?P<node>\S+)$`),

	// Why it does not scale down.
	row(KindKept, Reason, "", "", `^[Nn]ode (?P<node>\S+) (?:unremovable: |cannot be removed: |is not suitable for removal(?:: | - ))(?P<text>.*)$`),
	row(KindKept, Reason, "1.36", "", `^Node (?P<node>\S+) (?P<text>has active on-completion pods).*$`),
	row(KindKept, Reason, "1.35", "1.36", `^Node "(?P<node>[^\s"]+)" is unremovable, (?P<text>became needed again .*?)\. Latency`),
	row(KindKept, Reason, "1.37", "", `^Node "(?P<node>[^\s"]+)" (?P<text>became needed again .*?)\. Latency`),
	row(KindKept, Reason, "1.35", "", `^Node (?P<node>\S+) (?:will be skipped as it is (?P<text>currently under rollout))$`),
	row(KindKept, Reason, "1.35", "", `^Node (?P<node>\S+) (?:has|will not scale down, has) (?P<text>no node group config)`),
	row(KindKept, Chatter, "1.23", "", `^Node (?P<node>\S+) should not be processed by cluster autoscaler \((?P<text>no node group config)`),
	row(KindKept, Reason, "", "", `^Skipping (?:unready node )?(?P<node>\S+) from delete consideration - (?P<text>.*)$`),
	row(KindKept, Chatter, "", "", `^Skipped (?:unready node )?(?P<node>\S+) from delete consideration - (?P<text>.*)$`),
	row(KindKept, Reason, "1.36", "", `^Skipping scale down of (?P<node>\S+) in this batch - (?P<text>.*)$`),
	row(KindKept, Reason, "1.29", "", `^Skipping scale down on node group (?P<group>\S+) (?P<text>because .*)$`),
	row(KindKept, Reason, "1.29", "", `^Skipping scale down for \d+ nodes from node group (?P<group>[^\s,]+), (?P<text>.*)$`),
	row(KindKept, Reason, "", "", `^Skipping (?P<node>\S+) - (?P<text>.*)$`),
	row(KindKept, Chatter, "", "1.27", `^Failed to remove node (?P<node>[^\s:]+): (?P<text>node group min size reached.*)$`),
	row(KindKept, Reason, "1.28", "", `^Node group (?P<group>\S+) (?P<text>min size reached, skipping removal of .*)$`),
	row(KindKept, Reason, "", "", `^(?P<node>\S+) (?P<text>was unneeded for \S+)$`),
	row(KindKept, Chatter, "", "", `^Scale down status: .*(?P<text>scaleDownForbidden=true|scaleDownInCooldown=true)`),
	row(KindConsidered, Reason, "", "", `^(?P<node>\S+) (?P<text>is unneeded since .*?)(?: m=\S+)? duration \S+$`),
	row(KindConsidered, Reason, "", "", `^Node (?P<node>\S+) - (?P<text>.* (?:requested is|utilization) .*)$`),
	row(KindConsidered, Reason, "", "", `^Overriding status of node (?P<node>[^\s,]+), which seems to have `),
	row(KindConsidered, Reason, "1.27", "", `^node (?P<node>\S+) (?P<text>has unready GPU resource: .*)$`),

	// What a removal waits for.
	row(KindConsidered, Chatter, "", "", `^Not deleted yet (?P<pod>\S+)$`),
	row(KindConsidered, Chatter, "1.33", "", `^Starting force deletion of pod (?P<pod>\S+)$`),
	row(KindConsidered, Chatter, "", "", `^Wait for removing \S+ annotations on node (?P<node>\S+)$`),

	// Pods that cannot be removed.
	row(KindProblem, Problem, "", "", `^Failed to evict pod (?P<pod>\S+), error: `),
	row(KindProblem, Problem, "1.33", "", `^Failed to forcefully delete pod (?P<pod>\S+), error: `),

	// Machines that fail, which are logged at severity I.
	row(KindProblem, Problem, "", "", `^Failed adding \d+ nodes \(\d+ unseen previously\) to group (?P<group>\S+) due to `),
	row(KindProblem, Problem, "1.33", "", `^Machine failed in node group (?P<group>\S+) \((?P<node>[^\s()]+)\)`),
	row(KindProblem, Problem, "", "", `^Status\.FailureMessage of machine "(?P<node>[^\s"]+)" is `),

	// The process. Of several replicas, one holds the lease and works. The messages are those of
	// client-go (tools/leaderelection): structured ones with quotes since 0.35 at the latest.
	row(KindConsidered, Chatter, "", "", `^"?[Aa]ttempting to acquire leader lease\b`),
	row(KindConsidered, Chatter, "", "", `^"?[Ss]uccessfully acquired lease\b`),
	row(KindStarted, Chatter, "", "", `^Cluster Autoscaler (?P<text>\d\S*)$`),
	row(KindStopped, Chatter, "", "", `^(?P<text>Cleaned up, exiting)`),

	// Only for the console: messages that begin like those above and state nothing
	// that the record needs.
	row(KindNone, ScaleUp, "", "", `^(?:Best option to resize|Scale-up: setting group|Splitting scale-up between|Estimated |Capping s)`),
	row(KindNone, ScaleDown, "", "", `^(?:Scale-down: removing|Removing unregistered node|Marking unregistered node|All pods removed from|Deleting |Terminating instance|Successfully added ToBeDeleted)`),
	row(KindNone, Chatter, "", "", `^(?:Skipping |Node group |Pod |Node |Upcoming ).*(?:is being processed|may be removed|triggered scale-up|should not be processed|can be moved to|using maxNodeStartupTime)`),
	row(KindNone, Chatter, "", "", `^Upcoming 0 nodes`),
	row(KindNone, Reason, "", "", `^(?:Skipping |Node group |Pod |Node |Can only add|Failed to find place|Upcoming |Cluster has no|Scale-down: waiting)`),
	row(KindNone, Reason, "", "", ` was unneeded for | is unneeded since | is unschedulable|cannot be removed|other pods are also unschedulable|other pods similar to`),
}

// lease matches what a replica says of the lease for which it waits, or that it got.
var lease = regexp.MustCompile(`^"?(?:([Aa])ttempting to acquire leader lease|[Ss]uccessfully acquired lease)(?:\.\.\.)?"? (?:lock=)?"?([^"\s]+?)(?:\.\.\.)?"?$`)

// LeaseOf returns the lease, as NAMESPACE/NAME, of which a message says that a replica of the
// autoscaler waits for it or has got it. The name is empty for any other message.
func LeaseOf(message string) (name string, waits bool) {
	m := lease.FindStringSubmatch(message)
	if m == nil {
		return "", false
	}
	return m[2], m[1] != ""
}

// removed matches messages, and events of a node, which say that the node's removal was
// carried out.
var removed = regexp.MustCompile(`^(?:All pods removed from |nodes? removed by cluster autoscaler|Scale-down: (?:empty )?node \S+ removed)`)

// EndsRemoval reports whether a message, or the message of an event, says that the
// removal of a node was carried out, which may be minutes after the decision.
func EndsRemoval(message string) bool { return removed.MatchString(message) }

// planned matches a group in a plan, as in the log and in the events of pods.
var planned = regexp.MustCompile(`\{(\S+) \d+->(\d+) \(max: \d+\)\}`)

// Planned is a group in a plan, without its kind and namespace, and its new size.
type Planned struct {
	Group string
	N     int
}

// PlanOf returns the groups of the plan in a message of the log or of an event, nil if it
// has no plan.
func PlanOf(message string) []Planned {
	var plan []Planned
	for _, m := range planned.FindAllStringSubmatch(message, -1) {
		if n, err := strconv.Atoi(m[2]); err == nil {
			plan = append(plan, Planned{lastPart(m[1]), n})
		}
	}
	return plan
}
