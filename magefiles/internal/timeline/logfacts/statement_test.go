package logfacts

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
)

const (
	info    = "I1124 22:20:02.123456   26098 "
	warning = "W1124 22:20:02.123456   26098 "
	failure = "E1124 22:20:02.123456   26098 "
)

func TestStatement(t *testing.T) {
	t.Parallel()
	size := func(n int) *int { return &n }
	for _, c := range []struct {
		line string
		want timeline.Fact
	}{
		// Lines of a run of 1.36.1.
		{info + `executor.go:166] Scale-up: setting group MachineDeployment/default/work-md-1 size to 4`,
			timeline.Fact{What: timeline.ScaleUp, Group: "work-md-1", N: size(4), Text: "Scale-up: setting group MachineDeployment/default/work-md-1 size to 4"}},
		{info + `orchestrator.go:177] Final scale-up plan: [{MachineDeployment/default/work-md-1 1->4 (max: 4)}]`,
			timeline.Fact{What: timeline.ScaleUp, Group: "work-md-1", N: size(4), Text: "Final scale-up plan: [{MachineDeployment/default/work-md-1 1->4 (max: 4)}]"}},
		{info + `orchestrator.go:1085] Best option to resize: MachineDeployment/default/gpu`,
			timeline.Fact{What: timeline.Considered, Group: "gpu", Text: "Best option to resize: MachineDeployment/default/gpu"}},
		{info + `orchestrator.go:1089] Estimated 3 nodes needed in MachineDeployment/default/work-md-1`,
			timeline.Fact{What: timeline.Considered, Group: "work-md-1", Text: "Estimated 3 nodes needed in MachineDeployment/default/work-md-1"}},
		{info + `waste.go:56] Expanding Node Group MachineDeployment/default/work-md-1 would waste 12.50% CPU, 44.87% Memory, 28.69% Blended`,
			timeline.Fact{What: timeline.Considered, Group: "work-md-1", Text: "would waste 12.50% CPU, 44.87% Memory, 28.69% Blended"}},
		{info + `klogx.go:87] Pod default/scale-up-bb8499685-9xv6d is unschedulable`,
			timeline.Fact{What: timeline.Considered, Name: "default/scale-up-bb8499685-9xv6d", Text: "Pod default/scale-up-bb8499685-9xv6d is unschedulable"}},
		{info + `klogx.go:87] Pod default/a can be moved to template-node-for-MachineDeployment/default/work-md-1-6752657263478356012-upcoming-0`,
			timeline.Fact{What: timeline.Considered, Name: "default/a", Group: "work-md-1", Text: "can be moved to template-node-for-MachineDeployment/default/work-md-1"}},
		{info + `orchestrator.go:344] Skipping node group MachineDeployment/default/work-md-1 - max size reached`,
			timeline.Fact{What: timeline.Refused, Group: "work-md-1", Text: "max size reached"}},
		{info + `orchestrator.go:1074] No expansion options`, timeline.Fact{What: timeline.Refused, Text: "No expansion options"}},
		{info + `actuator.go:176] Scale-down: removing empty node "work-cluster-work-md-1-jbskx-c9fq9"`,
			timeline.Fact{What: timeline.ScaleDown, Node: "work-cluster-work-md-1-jbskx-c9fq9", Text: `Scale-down: removing empty node "work-cluster-work-md-1-jbskx-c9fq9"`}},
		{info + `drain.go:141] All pods removed from work-cluster-work-md-1-jbskx-c9fq9`,
			timeline.Fact{What: timeline.ScaleDown, Node: "work-cluster-work-md-1-jbskx-c9fq9", Text: "All pods removed from work-cluster-work-md-1-jbskx-c9fq9"}},
		{info + `eligibility.go:162] Node n-1 unremovable: memory requested (55.1253% of allocatable) is above the scale-down utilization threshold`,
			timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "memory requested (55.1253% of allocatable) is above the scale-down utilization threshold"}},
		{info + `klogx.go:87] Node n-1 - cpu requested is 0% of allocatable`, timeline.Fact{What: timeline.Considered, Node: "n-1", Text: "cpu requested is 0% of allocatable"}},
		{info + `nodes.go:212] n-1 was unneeded for 10.5s`, timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "was unneeded for 10.5s"}},
		{info + `nodes.go:150] n-1 is unneeded since 2026-11-24 22:22:41.123 +0000 UTC m=+174.012 duration 21.3s`,
			timeline.Fact{What: timeline.Considered, Node: "n-1", Text: "is unneeded since 2026-11-24 22:22:41.123 +0000 UTC"}},
		{info + `pre_filtering_processor.go:65] Skipping n-1 - node group min size reached (current: 1, min: 1)`,
			timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "node group min size reached (current: 1, min: 1)"}},
		{info + `static_autoscaler.go:795] Scale down status: lastScaleUpTime=2026-11-24 22:20:02.4 +0000 UTC m=+15.3 lastScaleDownDeleteTime=2026-11-24 21:19:47.2 +0000 UTC m=-3599.8 lastScaleDownFailTime=2026-11-24 21:19:47.2 +0000 UTC m=-3599.8 scaleDownForbidden=false scaleDownInCooldown=true`,
			timeline.Fact{What: timeline.Kept, Text: "scaleDownInCooldown=true"}},
		{warning + `static_autoscaler.go:840] Failed to delete docker:////n-1`, timeline.Fact{What: timeline.Problem, Node: "n-1", Text: "Failed to delete docker:////n-1"}},
		{failure + `clusterstate.go:558] Cannot get backoff status for node group MachineDeployment/default/gpu: failed to get template node info`,
			timeline.Fact{What: timeline.Problem, Group: "gpu", Text: "Cannot get backoff status for node group MachineDeployment/default/gpu: failed to get template node info"}},
		{info + `main.go:250] Cluster Autoscaler 1.36.1`, timeline.Fact{What: timeline.Started, Text: "1.36.1"}},
		{info + `main.go:93] Cleaned up, exiting...`, timeline.Fact{What: timeline.Stopped, Text: "Cleaned up, exiting"}},

		// Lines by the format strings in the sources of 1.26 to 1.36.
		{info + `orchestrator.go:177] Final scale-up plan: [{MachineDeployment/default/a 1->2 (max: 4)} {MachineDeployment/default/b 0->1 (max: 4)}]`,
			timeline.Fact{What: timeline.ScaleUp, Text: "Final scale-up plan: [{MachineDeployment/default/a 1->2 (max: 4)} {MachineDeployment/default/b 0->1 (max: 4)}]"}},
		{info + `orchestrator.go:301] ScaleUpToNodeGroupMinSize: final scale-up plan: [{MachineDeployment/default/a 0->2 (max: 4)}]`,
			timeline.Fact{What: timeline.ScaleUp, Group: "a", N: size(2), Text: "ScaleUpToNodeGroupMinSize: final scale-up plan: [{MachineDeployment/default/a 0->2 (max: 4)}]"}},
		{info + `scale_up.go:93] Pod scale-up-1 can't be scheduled on MachineDeployment/default/md-0, predicate checking error: Insufficient memory; predicateName=NodeResourcesFit; reasons: Insufficient memory; debugInfo=`,
			timeline.Fact{What: timeline.Refused, Name: "scale-up-1", Group: "md-0", Text: "Insufficient memory; predicateName=NodeResourcesFit; reasons: Insufficient memory; debugInfo="}},
		{info + `orchestrator.go:561] Pod default/a-1 can't be scheduled on MachineDeployment/default/md-0, predicate checking error: can't schedule pod default/a-1: predicate "NodeAffinity" didn't pass (predicateReasons=[node(s) didn't match Pod's node affinity/selector])`,
			timeline.Fact{What: timeline.Refused, Name: "default/a-1", Group: "md-0", Text: `predicate "NodeAffinity" didn't pass (predicateReasons=[node(s) didn't match Pod's node affinity/selector])`}},
		{info + `static_autoscaler.go:1193] Pod a-1 is 0.512 seconds old, too new to consider unschedulable`,
			timeline.Fact{What: timeline.Refused, Name: "a-1", Text: "0.512 seconds old, too new to consider unschedulable"}},
		{info + `orchestrator.go:616] Skipping node group MachineDeployment/default/a; "default" quota exceeded, resources: [cpu]`,
			timeline.Fact{What: timeline.Refused, Group: "a", Text: `"default" quota exceeded, resources: [cpu]`}},
		{info + `scale_up.go:134] Skipping node group MachineDeployment/default/a; maximal limit exceeded for [cpu]`,
			timeline.Fact{What: timeline.Refused, Group: "a", Text: "maximal limit exceeded for [cpu]"}},
		{warning + `orchestrator.go:599] Node group MachineDeployment/default/a is not ready for scaleup - backoff with status: {true {OtherErrorClass timeout }}`,
			timeline.Fact{What: timeline.Refused, Group: "a", Text: "not ready for scaleup - backoff with status: {true {OtherErrorClass timeout }}"}},
		{warning + `scale_up.go:117] Node group MachineDeployment/default/a is not ready for scaleup - backoff`,
			timeline.Fact{What: timeline.Refused, Group: "a", Text: "not ready for scaleup - backoff"}},
		{warning + `clusterstate.go:404] Disabling scale-up for node group MachineDeployment/default/a until 2026-11-24 22:25:02; errorClass=Other; errorCode=timeout`,
			timeline.Fact{What: timeline.Refused, Group: "a", Text: "Disabling scale-up for node group MachineDeployment/default/a until 2026-11-24 22:25:02; errorClass=Other; errorCode=timeout"}},
		{warning + `clusterstate.go:358] Scale-up timed out for node group MachineDeployment/default/a after 1m0.2s`,
			timeline.Fact{What: timeline.Problem, Group: "a", Text: "Scale-up timed out for node group MachineDeployment/default/a after 1m0.2s"}},
		{warning + `static_autoscaler.go:547] Max total nodes in cluster reached: 4. Current number of ready nodes: 4`,
			timeline.Fact{What: timeline.Refused, Text: "Max total nodes in cluster reached: 4. Current number of ready nodes: 4"}},
		{info + `static_autoscaler.go:516] Max total nodes in cluster reached`, timeline.Fact{What: timeline.Refused, Text: "Max total nodes in cluster reached"}},
		{info + `orchestrator.go:642] Capping size to max cluster total size (4)`, timeline.Fact{What: timeline.Refused, Text: "Capping size to max cluster total size (4)"}},
		{info + `priority.go:163] priority expander: MachineDeployment/default/a chosen as the highest available`,
			timeline.Fact{What: timeline.Considered, Group: "a", Text: "chosen as the highest available"}},
		{info + `orchestrator.go:700] Splitting scale-up between 2 similar node groups: {MachineDeployment/default/a, MachineDeployment/default/b}`,
			timeline.Fact{What: timeline.Considered, Text: "Splitting scale-up between 2 similar node groups: {MachineDeployment/default/a, MachineDeployment/default/b}"}},
		{info + `actuator.go:269] Scale-down: removing node n-1, utilization: {0.1 0.2 0 cpu 0.2}, pods to reschedule: default/a-1,default/a-2`,
			timeline.Fact{What: timeline.ScaleDown, Node: "n-1", Text: "Scale-down: removing node n-1, utilization: {0.1 0.2 0 cpu 0.2}, pods to reschedule: default/a-1,default/a-2"}},
		{info + `static_autoscaler.go:1065] Marking unregistered node docker:////n-1 for removal`,
			timeline.Fact{What: timeline.ScaleDown, Node: "n-1", Text: "Marking unregistered node docker:////n-1 for removal"}},
		{info + `static_autoscaler.go:698] Removing unregistered node pending-machine-default_md-0-x`,
			timeline.Fact{What: timeline.ScaleDown, Node: "md-0-x", Text: "Removing unregistered node pending-machine-default_md-0-x"}},
		{warning + `static_autoscaler.go:1070] Failed to remove node "pending-machine-default_md-0-x": gone`,
			timeline.Fact{What: timeline.Problem, Node: "md-0-x", Text: `Failed to remove node "pending-machine-default_md-0-x": gone`}},
		{info + `static_autoscaler.go:989] Removing 1 unregistered nodes for node group MachineDeployment/default/a`,
			timeline.Fact{What: timeline.ScaleDown, Group: "a", Text: "Removing 1 unregistered nodes for node group MachineDeployment/default/a"}},
		{info + `eligibility.go:144] Node n-1 is not suitable for removal - memory utilization too big (0.551253)`,
			timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "memory utilization too big (0.551253)"}},
		{info + `eligibility.go:148] Node n-1 - cpu utilization 0.050000`, timeline.Fact{What: timeline.Considered, Node: "n-1", Text: "cpu utilization 0.050000"}},
		{info + `cluster.go:173] node n-1 is not suitable for removal: can reschedule only 0 out of 1 pods`,
			timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "can reschedule only 0 out of 1 pods"}},
		{info + `cluster.go:151] Node n-1 cannot be removed: not enough pod disruption budget to move default/a-1`,
			timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "not enough pod disruption budget to move default/a-1"}},
		{info + `cluster.go:162] node n-1 cannot be removed: pod annotated as not safe to evict present: a-1`,
			timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "pod annotated as not safe to evict present: a-1"}},
		{info + `eligibility.go:118] Skipping n-1 from delete consideration - the node is marked as no scale down`,
			timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "the node is marked as no scale down"}},
		{warning + `eligibility.go:130] Skipped n-1 from delete consideration - the node is not autoscaled`,
			timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "the node is not autoscaled"}},
		{info + `eligibility.go:151] Skipping unready node n-1 from delete consideration - scale-down of unready nodes is disabled`,
			timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "scale-down of unready nodes is disabled"}},
		{info + `nodes.go:188] Skipping n-1 - node group min size reached`, timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "node group min size reached"}},
		{info + `nodes.go:200] Skipping n-1 - minimal limit exceeded for [cpu]`, timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "minimal limit exceeded for [cpu]"}},
		{info + `clusterapi_processors.go:70] Node n-1 will be skipped as it is currently under rollout`, timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "currently under rollout"}},
		{info + `pre_filtering_processor.go:55] Node n-1 should not be processed by cluster autoscaler (no node group config)`,
			timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "no node group config"}},
		{info + `node_latency_tracker.go:125] Node "n-1" is unremovable, became needed again (unneeded for 12s). Latency: 2s`,
			timeline.Fact{What: timeline.Kept, Node: "n-1", Text: "became needed again (unneeded for 12s)"}},
		{warning + `static_autoscaler.go:998] Node group MachineDeployment/default/a min size reached, skipping removal of 1 unregistered nodes`,
			timeline.Fact{What: timeline.Kept, Group: "a", Text: "min size reached, skipping removal of 1 unregistered nodes"}},
		{failure + `delete_in_batch.go:206] Scale-down: couldn't delete empty node "n-1", , status error: min size reached, nodes will not be deleted`,
			timeline.Fact{What: timeline.Problem, Node: "n-1", Text: `Scale-down: couldn't delete empty node "n-1", , status error: min size reached, nodes will not be deleted`}},
		{info + `clusterapi_controller.go:802] discovered a paused node group: MachineDeployment/default/a (min: 1, max: 4, replicas: 1)`,
			timeline.Fact{What: timeline.Refused, Group: "a", Text: "paused"}},
		{info + `clusterstate.go:352] Scale up in group MachineDeployment/default/a finished successfully in 42.1s`,
			timeline.Fact{What: timeline.Considered, Group: "a", Text: "Scale up in group MachineDeployment/default/a finished successfully in 42.1s"}},
		{info + `static_autoscaler.go:960] Decreasing size of MachineDeployment/default/a, expected=3 current=2 delta=-1`,
			timeline.Fact{What: timeline.ScaleDown, Group: "a", Text: "Decreasing size of MachineDeployment/default/a, expected=3 current=2 delta=-1"}},

		// Lines by the format strings in the sources of 1.31 to 1.37 and the main branch.
		{info + `klogx.go:87] Pod default/lost can be moved to n-1`,
			timeline.Fact{What: timeline.Considered, Name: "default/lost", Node: "n-1", Text: `can be moved to n-1`}},
		{info + `klogx.go:87] Pod default/a can be moved to template-node-for-MachineDeployment/default/web-6752657263478356012-0-salvo-1`,
			timeline.Fact{What: timeline.Considered, Name: "default/a", Group: "web", Text: `can be moved to template-node-for-MachineDeployment/default/web`}},
		{info + `klogx.go:87] failed to find place for default/a: can't schedule pod default/a: couldn't find a matching Node with passing predicates`,
			timeline.Fact{What: timeline.Considered, Name: "default/a", Text: `failed to find place for default/a: can't schedule pod default/a: couldn't find a matching Node with passing predicates`}},
		{info + `klogx.go:87] failed to find place for default/a based on similar pods scheduling`,
			timeline.Fact{What: timeline.Considered, Name: "default/a", Text: `failed to find place for default/a based on similar pods scheduling`}},
		{info + `filter_out_schedulable.go:121] 2 pods marked as unschedulable can be scheduled.`,
			timeline.Fact{What: timeline.Considered, Text: `2 pods marked as unschedulable can be scheduled`}},
		{info + `static_autoscaler.go:1403] Found 9 pods in the cluster: 6 scheduled, 0 with nominated node, 2 unschedulable, 0 unprocessed by scheduler, 1 ignored by allowed schedulers (most likely using custom scheduler), 0 ignored due to dissallowed schedulers`,
			timeline.Fact{What: timeline.Considered, Text: `1 ignored by allowed schedulers (most likely using custom scheduler), 0 ignored due to dissallowed schedulers`}},
		{info + `static_autoscaler.go:1290] Found 9 pods in the cluster: 6 scheduled, 2 unschedulable, 0 unprocessed by scheduler, 1 ignored (most likely using custom scheduler)`,
			timeline.Fact{What: timeline.Considered, Text: `1 ignored (most likely using custom scheduler)`}},
		{info + `klogx.go:87] Ignoring unschedulable pod default/a as it consumes ProvisioningRequest: default/batch`,
			timeline.Fact{What: timeline.Refused, Name: "default/a", Text: `consumes ProvisioningRequest: default/batch`}},
		{info + `expendable.go:44] Pod a has nominatedNodeName set to n-1 but node is gone`,
			timeline.Fact{What: timeline.Considered, Name: "a", Text: `has nominatedNodeName set to n-1 but node is gone`}},
		{info + `clusterapi_nodegroup.go:574] nodegroup web has no scaling capacity, skipping`,
			timeline.Fact{What: timeline.Refused, Group: "web", Text: `has no scaling capacity`}},
		{info + `orchestrator.go:130] Upcoming 2 nodes`,
			timeline.Fact{What: timeline.Considered, Text: `Upcoming 2 nodes`}},
		{info + `clusterstate.go:1134] Skipping 2 upcoming nodes for node group MachineDeployment/default/web: no active scale-up request`,
			timeline.Fact{What: timeline.Considered, Group: "web", Text: `Skipping 2 upcoming nodes for node group MachineDeployment/default/web: no active scale-up request`}},
		{info + `clusterstate.go:1138] Skipping 2 upcoming nodes for backed-off node group MachineDeployment/default/web: no room`,
			timeline.Fact{What: timeline.Considered, Group: "web", Text: `Skipping 2 upcoming nodes for backed-off node group MachineDeployment/default/web: no room`}},
		{info + `orchestrator.go:580] Found 1 similar node groups: [MachineDeployment/default/b]`,
			timeline.Fact{What: timeline.Considered, Text: `Found 1 similar node groups: [MachineDeployment/default/b]`}},
		{info + `compare_nodegroups.go:166] nodes "template-node-for-MachineDeployment/default/a-6752657263478356012" and "template-node-for-MachineDeployment/default/b-83716520883490983" are not similar, labels do not match`,
			timeline.Fact{What: timeline.Considered, Group: "a", Text: `nodes "template-node-for-MachineDeployment/default/a-6752657263478356012" and "template-node-for-MachineDeployment/default/b-83716520883490983" are not similar, labels do not match`}},
		{info + `clusterstate.go:1284] Failed adding 1 nodes (1 unseen previously) to group MachineDeployment/default/web due to Other.ProvisioningFailed; errorMessages=[]string{"Machine provisioning failed"}`,
			timeline.Fact{What: timeline.Problem, Group: "web", Text: `Failed adding 1 nodes (1 unseen previously) to group MachineDeployment/default/web due to Other.ProvisioningFailed; errorMessages=[]string{"Machine provisioning failed"}`}},
		{info + `clusterapi_nodegroup.go:269] Machine failed in node group MachineDeployment/default/web (failed-machine-default_web-x)`,
			timeline.Fact{What: timeline.Problem, Group: "web", Node: "web-x", Text: `Machine failed in node group MachineDeployment/default/web (failed-machine-default_web-x)`}},
		{info + `clusterapi_nodegroup.go:297] Machine failed in node group MachineDeployment/default/web (failed-machine-default_web-x) was being created`,
			timeline.Fact{What: timeline.Problem, Group: "web", Node: "web-x", Text: `Machine failed in node group MachineDeployment/default/web (failed-machine-default_web-x) was being created`}},
		{info + `clusterapi_controller.go:693] Status.FailureMessage of machine "web-x" is "no room"`,
			timeline.Fact{What: timeline.Problem, Node: "web-x", Text: `Status.FailureMessage of machine "web-x" is "no room"`}},
		{info + `taints.go:493] Overriding status of node n-1, which seems to have startup taint "node.cilium.io/agent-not-ready"`,
			timeline.Fact{What: timeline.Considered, Node: "n-1", Text: `Overriding status of node n-1, which seems to have startup taint "node.cilium.io/agent-not-ready"`}},
		{info + `info.go:70] node n-1 has unready GPU resource: nvidia.com/gpu`,
			timeline.Fact{What: timeline.Considered, Node: "n-1", Text: `has unready GPU resource: nvidia.com/gpu`}},
		{info + `node_latency_tracker.go:134] Node "n-1" became needed again (unneeded for 12s). Blocker: "default/a". Latency: 2s`,
			timeline.Fact{What: timeline.Kept, Node: "n-1", Text: `became needed again (unneeded for 12s). Blocker: "default/a"`}},
		{info + `drain.go:153] Not deleted yet default/a`,
			timeline.Fact{What: timeline.Considered, Name: "default/a", Text: `Not deleted yet default/a`}},
		{info + `drain.go:296] Starting force deletion of pod a`,
			timeline.Fact{What: timeline.Considered, Name: "a", Text: `Starting force deletion of pod a`}},
		{info + `delay.go:42] Wait for removing cluster-autoscaler.kubernetes.io/delay.x annotations on node n-1`,
			timeline.Fact{What: timeline.Considered, Node: "n-1", Text: `Wait for removing cluster-autoscaler.kubernetes.io/delay.x annotations on node n-1`}},
	} {
		c.want.Kind, c.want.Source = timeline.Autoscaler, timeline.Log
		c.want.Time = time.Date(2026, 11, 24, 22, 20, 2, 123456000, time.UTC)
		got, ok := parseLog(c.line, noon)
		if !ok || !equal(got, c.want) {
			t.Errorf("parseLog(%s)\n  = %+v, %v\nwant %+v", c.line, got, ok, c.want)
		}
	}
}

// parseLog returns the fact of a line of the autoscaler's log.
func parseLog(line string, day time.Time) (timeline.Fact, bool) {
	return Statement(speech.Parse(line), day)
}

func equal(a, b timeline.Fact) bool {
	if (a.N == nil) != (b.N == nil) || a.N != nil && *a.N != *b.N || !a.Time.Equal(b.Time) {
		return false
	}
	a.N, b.N, a.Time, b.Time = nil, nil, time.Time{}, time.Time{}
	return reflect.DeepEqual(a, b)
}

func TestOtherLogLinesAreNoFacts(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"", info + `static_autoscaler.go:308] Starting main loop`,
		info + `orchestrator.go:120] Upcoming 0 nodes`,
		info + `cluster.go:165] Node n-1 may be removed`,
		info + `clusterapi_controller.go:840] node "n-1" is in nodegroup "MachineDeployment/default/a"`,
		info + `clusterapi_controller.go:807] discovered node group: MachineDeployment/default/a (min: 1, max: 4, replicas: 1)`,
		info + `static_autoscaler.go:795] Scale down status: lastScaleUpTime=x scaleDownForbidden=false scaleDownInCooldown=false`,
		info + `event_sink_logging_wrapper.go:48] Event(v1.ObjectReference{Kind:"Pod", Namespace:"default", Name:"a"}): type: 'Normal' reason: 'TriggeredScaleUp' pod triggered scale-up: [{MachineDeployment/default/a 1->4 (max: 4)}]`,
		info + `eventing_scale_up_processor.go:47] Skipping event processing for unschedulable pods since there is a ScaleUp attempt this loop`,
		info + `filter_out_schedulable.go:121] 0 pods marked as unschedulable can be scheduled.`,
		info + `static_autoscaler.go:1403] Found 9 pods in the cluster: 6 scheduled, 0 with nominated node, 3 unschedulable, 0 unprocessed by scheduler, 0 ignored by allowed schedulers (most likely using custom scheduler), 0 ignored due to dissallowed schedulers`,
		info + `clusterapi_nodegroup.go:315] Machine running in node group MachineDeployment/default/a (docker:////n-1)`,
		warning + `klogx.go:100] SetClusterState: node "n-1" bound or nominated by pod "kube-system/x" does not exist in the snapshot`,
		warning + `static_autoscaler.go:1055] No node group for node docker:////n-1, skipping`,
		`No expansion options`, // no line of klog's
		`goroutine 1 [running]:`,
	} {
		if f, ok := parseLog(line, noon); ok {
			t.Errorf("parseLog(%s) = %+v", line, f)
		}
	}
	f, ok := parseLog("panic: runtime error: index out of range", noon)
	if !ok || f.What != timeline.Problem || !f.Time.Equal(noon) {
		t.Errorf("a panic is %+v, %v", f, ok)
	}
}

// FuzzStatement: any line becomes a complete fact or none.
func FuzzStatement(f *testing.F) {
	f.Add(info + "a.go:1] Scale-up: setting group MachineDeployment/default/g size to 99999999999999999999")
	f.Add(info + "a.go:1] Skipping a - ")
	f.Add(warning + "a.go:1] node \"n\"\xff")
	f.Add("panic: x")
	f.Add("I9999 99:99:99.9 1 a:1] No expansion options")
	f.Fuzz(func(t *testing.T, line string) {
		got, ok := parseLog(line, noon)
		if !ok {
			if !reflect.DeepEqual(got, timeline.Fact{}) {
				t.Errorf("%q becomes no fact, but Statement returns %+v", line, got)
			}
			return
		}
		if got.Kind != timeline.Autoscaler || got.Source != timeline.Log || got.What == "" || got.Time.IsZero() {
			t.Errorf("%q gives %+v", line, got)
		}
		if !utf8.ValidString(got.Text) || len(got.Text) > timeline.MaxText+len("…") {
			t.Errorf("%q gives the text %q", line, got.Text)
		}
		for _, name := range []string{got.Name, got.Node, got.Group} {
			if strings.ContainsAny(name, " \t\n") {
				t.Errorf("%q names %q", line, name)
			}
		}
	})
}
