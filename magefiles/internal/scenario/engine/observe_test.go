package engine_test

import (
	"strings"
	"testing"

	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/scenario/simtest"
)

// observed is a scenario in which a pod gets a node, with room for one more check.
const observed = `
title: t
groups: [{name: web, max: 3}]
objects:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: '${prefix}c', namespace: '${namespace}'}, data: {colour: red}}
steps:
- say: a pod waits
  do: [{workload: {name: shop, pods: 2}}]
  expect:
  - pods: {of: shop, running: 2}
    within: 5m
- say: look
  do:
  - patch: {apiVersion: v1, kind: ConfigMap, metadata: {name: '${prefix}c', namespace: '${namespace}'}, data: {colour: blue}}
  - scale: {workload: shop, pods: 3}
  expect:
  - pods: {of: shop, running: 3}
    within: 5m
  CHECK
`

// TestChecksOfTheRest: checks of decisions, statements, objects and metrics hold when they are
// true, and fail when they are not.
func TestChecksOfTheRest(t *testing.T) {
	t.Parallel()
	const object = "object: {apiVersion: v1, kind: ConfigMap, name: '${prefix}c', namespace: '${namespace}', "
	for name, tc := range map[string]struct{ check, says string }{
		"decisions of the step":       {"stays: [{decisions: {up: <= 1, down: 0}}]", ""},
		"decisions of a group":        {"stays: [{decisions: {up: <= 1, group: web}}]", ""},
		"decisions of the scenario":   {"\nalways: [{decisions: {up: <= 2}}]", ""},
		"too many decisions":          {"stays: [{decisions: {up: 0}}]", "did not stay so: decisions: 0 to enlarge groups\n  seen at"},
		"too many in the scenario":    {"\nalways: [{decisions: {up: <= 1}}]", "1 to enlarge groups"},
		"never said":                  {"stays: [{never: {what: scaleDown}}]", ""},
		"said":                        {"stays: [{never: {what: scaleUp, group: web}}]", "did not stay so: never: the autoscaler scales up of group web"},
		"said in the scenario":        {"\nalways: [{never: {what: scaleUp}}]", "a pod waits: did not stay so: never: the autoscaler scales up"},
		"a field":                     {"- " + object + "path: '{.data.colour}', is: blu.}\n    within: 1s", ""},
		"a field with another value":  {"- " + object + "path: '{.data.colour}', is: green|lue}\n    within: 1s", `{.data.colour} is green|lue` + "\n  seen: it is \"blue\""},
		"a field that changes":        {"\nalways: [{" + object + "path: '{.data.colour}', is: red}}]", "by: ConfigMap sc-c changed"},
		"no such field":               {"- " + object + "path: '{.data.size}', is: '1'}\n    within: 1s", "nothing at {.data.size}"},
		"an object that is there":     {"- " + object + "absent: true}\n    within: 1s", "no ConfigMap ${prefix}c\n  seen: there is a ConfigMap sc-c"},
		"no object":                   {"- object: {apiVersion: v1, kind: ConfigMap, name: x, namespace: '${namespace}', absent: true}\n    within: 1s", ""},
		"a kind that is not served":   {"- object: {apiVersion: v1, kind: Teapot, name: x, absent: true}\n    within: 1s", "a check is about the kind Teapot"},
		"a metric":                    {"- metric: {name: cluster_autoscaler_scaled_up_nodes_total, labels: {gpu: ''}, value: 3}\n    within: 30s", ""},
		"a metric with another value": {"- metric: {name: cluster_autoscaler_scaled_up_nodes_total, value: 7}\n    within: 30s", "the metric cluster_autoscaler_scaled_up_nodes_total is 7\n  seen: it is 3"},
		"a metric without samples":    {"- metric: {name: cluster_autoscaler_scaled_up_nodes_total, labels: {gpu: a}, value: 0}\n    within: 30s", ""},
		"a metric of the earlier process": {"- metric: {name: cluster_autoscaler_scaled_up_nodes_total, value: 3}\n    within: 30s\n- say: again\n  do: [{autoscaler: restart}]\n" +
			"  expect: [{metric: {name: cluster_autoscaler_scaled_up_nodes_total, value: 3}, within: 30s}]", "again: did not come true within 30s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := parse(t, strings.Replace(observed, "CHECK", tc.check, 1))
			came, err := simulate(t, &simtest.Autoscaler{Behaviour: simtest.Good}, nil, s)
			r := came.Scenarios[0]
			if tc.says == "" {
				if err != nil {
					t.Errorf("%v", err)
				}
				return
			}
			if r.Verdict != results.Failed || !strings.Contains(r.Failure, tc.says) {
				t.Errorf("%s, and the failure does not say %q:\n%s", r.Verdict, tc.says, r.Failure)
			}
		})
	}
}
