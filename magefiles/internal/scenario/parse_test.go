package scenario

import (
	"encoding/json"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/api/resource"

	"caslab/manifests"
)

// validScenario is a scenario that Parse accepts.
const validScenario = `
title: pods get nodes
groups:
- {name: web, max: 3}
- {name: twin, max: 2, similar: 2, pool: pair}
objects:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: '${prefix}c', namespace: '${namespace}'}}
steps:
- say: a pod waits
  do:
  - workload: {name: shop, pods: 1, pool: web}
  expect:
  - group: {name: web, size: 1}
    within: 2m
  stays:
  - pods: {of: shop, pending: <= 1}
    for: 10s
`

func TestParse(t *testing.T) {
	t.Parallel()
	s, err := Parse("folder/pods-wait.yaml", []byte(validScenario))
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "pods-wait" || len(s.Steps) != 1 || s.Steps[0].Do[0].Workload.Pool != "web" {
		t.Errorf("read as %+v", s)
	}
	if names := s.Groups[1].Names(); !slices.Equal(names, []string{"twin-1", "twin-2"}) {
		t.Errorf("groups alike are named %v", names)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, new, says string }{
		{"an unknown key", "say: a pod waits", "say: a pod waits\n  colour: red", `line 10: steps[0]: unknown field "colour": want say, do, expect, stays`},
		{"an unknown key inside", "size: 1", "size: 1, weight: 2", `line 13: steps[0].expect[0].group: unknown field "weight": want name, size, machines, ready, old`},
		{"an unknown key of a group", "max: 3", "maxx: 3", `line 4: groups[0]: unknown field "maxx": want name, min, max, pool, labels, taints, capacity, told, similar, options, broken, machines, hollow`},
		{"an unknown key of the scenario", "title:", "titel:", `line 2: unknown field "titel": want title, about, source, tags, autoscaler, groups, objects, steps, always, known`},
		{"a list instead of fields", "group: {name: web, size: 1}", "group: [web]", "line 13: steps[0].expect[0].group: has a list: want fields: name, size, machines, ready, old"},
		{"fields instead of a list", "- {name: web, max: 3}\n- {name: twin, max: 2, similar: 2, pool: pair}", "  {name: web, max: 3}", "line 4: groups: has fields: want a list"},
		{"a text instead of keys", "max: 3", "max: 3, labels: a", `line 4: groups[0].labels: has "a": want keys with values`},
		{"a text instead of a truth", "max: 3", "max: 3, broken: perhaps", `line 4: groups[0].broken: "perhaps": want true or false`},
		{"an old word for a truth", "max: 3", "max: 3, broken: yes", ""},
		{"a key in upper case", "title:", "Title:", ""},
		{"an alias", "max: 3}", "max: 3, labels: &l {a: b}}\n- {name: other, max: 1, pool: web, labels: *l}", ""},
		{"an unknown key behind an alias", "- {name: web, max: 3}", "- &web {name: web, maxx: 3}\n- *web", `line 4: groups[1]: unknown field "maxx"`},
		{"a merge", "  - pods: {of: shop, pending: <= 1}\n    for: 10s\n", "  - &first\n    pods: {of: shop, pending: <= 1}\n    for: 10s\n  - {<<: *first}\n", ""},
		{"no YAML", "title: pods get nodes", "title: 'pods", "yaml: line"},
		{"a key twice", "title: pods get nodes", "title: a\ntitle: b", `line 3: field "title" is already set in line 2`},
		{"a field of an object twice", "kind: ConfigMap", "kind: ConfigMap, kind: Secret", `"kind" already set`},
		{"a wrong type", "pods: 1", "pods: one", `line 11: steps[0].do[0].workload.pods: "one": want a number`},
		{"no title", "title: pods get nodes", "title: ''", "title: want a few words"},
		{"a tag of two words", "title:", "tags: [fast, Very fast]\ntitle:", `tags[1]: "Very fast": want lower case letters`},
		{"no deadline", "    within: 2m\n", "", "steps[0].expect[0].within: want how long it may take, such as 2m"},
		{"a number as deadline", "within: 2m", "within: 120", "line 14: steps[0].expect[0].within: 120: want a text such as 45s or 2m"},
		{"a negative deadline", "within: 2m", "within: -2m", "want a duration such as 45s or 2m"},
		{"a time of another kind", "within: 2m", "within: 2m\n    for: 3s", "steps[0].expect[0].for: only stays have for"},
		{"an unknown group", "group: {name: web, size", "group: {name: wob, size", `steps[0].expect[0].group.name: "wob": want a group of the scenario: twin-1 and twin-2 and web`},
		{"an unknown workload", "of: shop", "of: shap", `steps[0].stays[0].pods.of: "shap": want a workload that an earlier step makes: shop`},
		{"an unknown pool", "pool: web}\n  expect", "pool: wob}\n  expect", `steps[0].do[0].workload.pool: "wob": want one of web, pair`},
		{"a template of a claim that is no name", "pods: 1", "pods: 1, claims: {gpu: My_GPU}", `steps[0].do[0].workload.claims: gpu: "My_GPU": want the name of a ResourceClaimTemplate: a lowercase`},
		{"no template of a claim", "pods: 1", "pods: 1, claims: {gpu: ''}", `steps[0].do[0].workload.claims: gpu: "": want the name of a ResourceClaimTemplate`},
		{"a template of a claim by a variable", "pods: 1", "pods: 1, claims: {gpu: '${prefix}gpu'}", ""},
		{"an unknown variable in the template of a claim", "pods: 1", "pods: 1, claims: {gpu: '${x}'}", "steps[0].do[0].workload.claims: ${x}: want ${prefix}"},
		{"an ambiguous pool", ", pool: web}\n  expect", "}\n  expect", `steps[0].do[0].workload.pool: "": want one of web, pair`},
		{"two actions in one", "  - workload:", "  - autoscaler: stop\n    workload:", "steps[0].do[0]: has autoscaler and workload; want exactly one of annotate, apply, autoscaler, controllers"},
		{"an unknown action of the autoscaler", "  - workload:", "  - autoscaler: sleep\n  - workload:", `want one of kill, restart, start, stop`},
		{"no check", "group: {name: web, size: 1}", "said: null", "steps[0].expect[0]: has none; want exactly one of decisions, group, metric, never, nodes, object, order, pods, said"},
		{"an empty check", "size: 1", "", "want at least one of size, machines, ready, old"},
		{"a said that stays", "pods: {of: shop, pending: <= 1}", "said: {what: kept}", "come true once"},
		{"an unknown fact", "group: {name: web, size: 1}", "said: {what: thought}", `"thought": want one of kept, problem, refused, scaleDown, scaleUp`},
		{"a broken expression", "group: {name: web, size: 1}", "said: {what: kept, text: '('}", "error parsing regexp"},
		{"a broken group with a minimum", "max: 3", "min: 1, max: 3, broken: true", "groups[0].min: 1: the machines of a broken group never become nodes"},
		{"an order in an order", "group: {name: web, size: 1}", "order: [{nodes: 1}, {order: [{nodes: 1}, {nodes: 2}]}]", "steps[0].expect[0].order[1]: an order cannot contain an order"},
		{"a time in an order", "group: {name: web, size: 1}", "order: [{nodes: 1}, {nodes: 2, within: 1s}]", "steps[0].expect[0].order[1]: the whole order has one time"},
		{"a deadline of a stay", "for: 10s", "within: 10s", "steps[0].stays[0].within: only expectations have within"},
		{"a time of always", "steps:", "always: [{nodes: 1, for: 3s}]\nsteps:", "always[0].for: always has no time limit"},
		{"undisturbed pods always", "steps:", "always: [{pods: {of: shop, undisturbed: true}}]\nsteps:", "always[0].pods.undisturbed: there are no pods before the first step"},
		{"a name that is too long", "{name: web, max: 3}", "{name: web, max: 3}\n- {name: " + strings.Repeat("a", 31) + ", max: 1, pool: web}", "at most 30"},
		{"a name of the greatest length", "{name: web, max: 3}", "{name: web, max: 3}\n- {name: " + strings.Repeat("a", 30) + ", max: 1, pool: web}", ""},
		{"a group called cluster", "{name: web, max: 3}", "{name: web, max: 3}\n- {name: cluster, max: 1, pool: web}", `"cluster" is taken`},
		{"one similar group", "similar: 2", "similar: 1", "groups[1].similar: 1: want 2 to 9"},
		{"a known failure without a reason", "title:", "known: {releases: '>= 1.30', failure: x}\ntitle:", "known.why"},
		{"a known failure that matches all", "title:", "known: {releases: '>= 1.30', why: x}\ntitle:", "known.failure"},
		{"unknown rights", "title:", "autoscaler: {rbac: admin}\ntitle:", `autoscaler.rbac: "admin": want upstream`},
		{"an unknown release", "title:", "autoscaler: {since: new}\ntitle:", `autoscaler.since: "new"`},
		{"an order of one", "group: {name: web, size: 1}", "order: [{group: {name: web, size: 1}}]", "want at least two"},
		{"a broken count", "size: 1", "size: few", `want a number, or a text such as ">= 1"`},
		{"a broken variable", "${prefix}c", "${preefix}c", "${preefix}: want ${prefix}, ${namespace}"},
		{"the Cluster's name", "${prefix}c", "${cluster}-${clusterNamespace}", ""},
		{"an object without a name", "{name: '${prefix}c', ", "{", "objects[0]: want a manifest with apiVersion, kind and metadata.name"},
		{"limits the wrong way round", "max: 3", "min: 4, max: 3", "groups[0]: minimum 4, maximum 3"},
		{"a group twice", "name: twin", "name: web", `groups[1].name: "web-1" is taken`},
		{"a capacity of an unknown resource", "max: 3", "max: 3, capacity: {disk: 1}", `groups[0].capacity: "disk": want cpu, memory or maxPods`},
		{"a number of pods on a node", "max: 3", "max: 3, capacity: {maxPods: 20}", ""},
		{"a lie", "max: 3", "max: 3, told: {capacity: {gpu-type: nvidia.com/gpu, gpu-count: 1, memory: 2x, dra-driver: gpu.nvidia.com, csi-driver: 'ebs.csi.aws.com=25', ephemeral-disk: 10Gi, maxPods: 3}, labels: {a: b}, taints: []}", ""},
		{"nothing told", "max: 3", "max: 3, machines: docker, told: {capacity: {}, labels: {}}", ""},
		{"a lie about nothing that is read", "max: 3", "max: 3, told: {capacity: {disk: 1}}", `groups[0].told.capacity: capacity "disk": want one of cpu, csi-driver, dra-driver, ephemeral-disk, gpu-count, gpu-type, maxPods, memory`},
		{"a broken number of volumes", "max: 3", "max: 3, told: {capacity: {csi-driver: ebs}}", "groups[0].told.capacity: capacity csi-driver=ebs: want drivers with numbers of volumes"},
		{"a broken taint that is told", "max: 3", "max: 3, told: {taints: [a]}", "groups[0].told.taints"},
		{"unknown machines", "max: 3", "max: 3, machines: virtual", `groups[0].machines: "virtual": want one of docker, hollow`},
		{"hollow machines", "max: 3", "max: 3, machines: hollow, capacity: {memory: 0.5x, nvidia.com/gpu: 1}, hollow: {start: 5s, zone: a, fail: 10%, seed: 3, late: 60s}", ""},
		{"what hollow machines cannot do", "max: 3", "max: 3, machines: hollow, hollow: {start: soon}", "groups[0].hollow: -start=soon"},
		{"what only hollow machines are", "max: 3", "max: 3, machines: docker, hollow: {zone: a}", "groups[0].hollow: docker machines have no such options"},
		{"times of machines that may be hollow", "max: 3", "max: 3, hollow: {start: 30s, ready: 5s, stop: 1s, podStart: 2s, seed: 3}", ""},
		{"more of machines that may be hollow", "max: 3", "max: 3, hollow: {start: 30s, zone: a}", "groups[0].hollow: a group whose machines may be of both kinds has only start"},
		{"drivers of hollow machines", "max: 3", "max: 3, machines: hollow, hollow: {dra: gpu.example.com=4, csi: ebs.csi.aws.com=25}", ""},
		{"a driver without devices", "max: 3", "max: 3, machines: hollow, hollow: {dra: gpu.example.com}", "groups[0].hollow: -dra=gpu.example.com: "},
		{"a driver of volumes without a number", "max: 3", "max: 3, machines: hollow, hollow: {csi: ebs}", "groups[0].hollow: -csi=ebs: "},
		{"broken hollow machines", "max: 3", "max: 3, machines: hollow, broken: true", ""},
		{"hollow machines that are broken twice", "max: 3", "max: 3, machines: hollow, broken: true, hollow: {never: 10%}", "groups[0].broken: hollow.never says which machines never become nodes"},
		{"hollow machines that break later", "max: 3}", "max: 3, machines: hollow}\n- {name: x, max: 1, pool: web}", ""},
		{"a broken taint", "max: 3", "max: 3, taints: [a=b]", "groups[0].taints"},
		{"undisturbed pods of the same step", "pending: <= 1", "undisturbed: true", "steps[0].stays[0].pods.undisturbed: the step itself makes shop"},
		{"old machines without a rollout", "size: 1", "old: 0", "steps[0].expect[0].group.old: no rollout of web begins before that"},
		{"old machines always", "steps:", "always: [{group: {name: web, old: 0}}]\nsteps:\n- {say: roll, do: [{rollout: web}]}", "always[0].group.old: no rollout of web"},
		{"a stay without an end", "    for: 10s\n", "", ""},
		{"an unknown owner", "pods: 1,", "pods: 1, owner: ReplicaSet,", `steps[0].do[0].workload.owner: "ReplicaSet": want one of DaemonSet, Deployment, Job, Pod, StatefulSet`},
		{"a number of daemons", "pods: 1,", "pods: 1, owner: DaemonSet,", "steps[0].do[0].workload.pods: 1: a DaemonSet has a pod on each node"},
		{"daemons that are scaled", "pods: 1, pool: web}", "owner: DaemonSet, pool: web}\n  - scale: {workload: shop, pods: 2}", "steps[0].do[1].scale: shop is a DaemonSet, which has no number of pods"},
		{"another owner later", "  - workload:", "  - workload: {name: shop, pods: 2, pool: web, owner: Job}\n  - workload:", "steps[0].do[1].workload.owner: Deployment: an earlier step makes shop as a Job"},
		{"more than a node", "pods: 1,", "pods: 1, memory: 110%, cpu: 200%,", ""},
		{"a share without a unit", "pods: 1,", "pods: 1, cpu: 40,", `steps[0].do[0].workload.cpu: "40": want a percentage of what a worker offers, 1% to 1000%`},
		{"an unknown topology", "pods: 1,", "pods: 1, apart: rack,", `steps[0].do[0].workload.apart: "rack": want one of hostname, zone`},
		{"a broken port", "pods: 1,", "pods: 1, hostPort: 70000,", "steps[0].do[0].workload.hostPort: 70000: want 1 to 65535"},
		{"a resource of the node as a device", "pods: 1,", "pods: 1, devices: {gpu: 1},", `steps[0].do[0].workload.devices: "gpu": 1: want the name of an extended resource and a number`},
		{"a priority by value", "pods: 1,", "pods: 1, priority: -20,", ""},
		{"a priority by class", "pods: 1,", "pods: 1, priority: system-cluster-critical,", ""},
		{"a priority of the cluster's own", "pods: 1,", "pods: 1, priority: 2000000000,", "line 11: steps[0].do[0].workload.priority: 2000000000: want a class, such as system-cluster-critical, or at most 1000000000"},
		{"a priority that is none", "pods: 1,", "pods: 1, priority: Very High,", "want a number, such as -20, or the name of a class"},
		{"a template", "pods: 1,", "pods: 1, template: {spec: {$setElementOrder/containers: [{name: idle}], containers: [{name: idle, env: [{name: A, value: '${prefix}'}]}]}},", ""},
		{"an unknown field of a template", "pods: 1,", "pods: 1, template: {spec: {nodeSelektor: {a: b}}},", `steps[0].do[0].workload.template: want a pod template with metadata and spec: unknown field "nodeSelektor"`},
		{"an unknown variable of a template", "pods: 1,", "pods: 1, template: {spec: {nodeName: '${node}'}},", "steps[0].do[0].workload.template: ${node}: want ${prefix}"},
		{"a manifest without a name", "  - workload:", "  - apply: {apiVersion: v1, kind: ConfigMap}\n  - workload:", "steps[0].do[0].apply: want a manifest with apiVersion, kind and metadata.name"},
		{"a patch of the scenario's object", "  - workload:", "  - patch: {apiVersion: v1, kind: ConfigMap, metadata: {name: '${prefix}c'}, data: {a: null}}\n  - workload:", ""},
		{"a patch of what the scenario makes", "  - workload:", "  - patch: {apiVersion: apps/v1, kind: Deployment, metadata: {name: '${prefix}shop'}}\n  - workload:", ""},
		{"a patch of another's object", "  - workload:", "  - patch: {apiVersion: v1, kind: ConfigMap, metadata: {name: theirs}}\n  - workload:", `steps[0].do[0].patch: "ConfigMap/theirs": want an object of the scenario: ConfigMap/${prefix}c`},
		{"the deletion of an object that an action makes", "  - workload:", "  - apply: {apiVersion: v1, kind: Secret, metadata: {name: s}}\n  - delete: {object: Secret/s}\n  - workload:", ""},
		{"nodes of nothing", "  - workload:", "  - node: {cordon: true}\n  - workload:", "steps[0].do[0].node: has none; want exactly one of group, under"},
		{"two changes of a node", "  - workload:", "  - node: {group: web, cordon: true, untaint: a}\n  - workload:", "steps[0].do[0].node: has cordon and untaint; want exactly one of cordon, labels, sick, taint, untaint"},
		{"a broken taint of a node", "  - workload:", "  - node: {group: web, taint: a}\n  - workload:", `steps[0].do[0].node.taint: taint "a"`},
		{"a broken label of a node", "  - workload:", "  - node: {group: web, labels: {a: ' '}}\n  - workload:", `steps[0].do[0].node.labels: "a"`},
		{"the middle machine", "  - workload:", "  - machine: {group: web, which: middle, do: delete}\n  - workload:", `steps[0].do[0].machine.which: "middle": want one of newest, oldest`},
		{"an unknown deed", "  - workload:", "  - machine: {group: web, do: paint}\n  - workload:", `steps[0].do[0].machine.do: "paint": want one of delete, fail, hold, release`},
		{"a machine under a workload that is not there", "  - workload:", "  - machine: {under: shop, do: hold}\n  - workload:", `steps[0].do[0].machine.under: "shop": want a workload`},
		{"a group that is not changed", "  - workload:", "  - group: {name: web}\n  - workload:", "steps[0].do[0].group: has none; want exactly one of annotations, broken, delete, size"},
		{"a size of zero", "  - workload:", "  - group: {name: web, size: 0}\n  - workload:", ""},
		{"a size that is mistyped", "  - workload:", "  - group: {name: web, size: 1000}\n  - workload:", "steps[0].do[0].group.size: 1000: want 0 to 100"},
		{"a group that is broken from the start and mended", "similar: 2, pool: pair}\nobjects:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: '${prefix}c', namespace: '${namespace}'}}\nsteps:\n- say: a pod waits\n  do:\n",
			"broken: true}\nsteps:\n- say: a pod waits\n  do:\n  - group: {name: twin, broken: false}\n", "steps[0].do[0].group.broken: the machines of twin are broken from the start"},
		{"machines of either kind without a told capacity", "max: 3", "max: 3, told: {capacity: {}}", "the autoscaler is always told of one; or say machines: docker"},
		{"hollow machines without a told capacity", "max: 3", "max: 3, machines: hollow, told: {capacity: {}}", "groups[0].told.capacity: the template of hollow machines announces"},
		{"unknown controllers", "  - workload:", "  - controllers: kill\n  - workload:", `steps[0].do[0].controllers: "kill": want one of start, stop`},
		{"no limits", "  - workload:", "  - limits: {group: web, none: true}\n  - workload:", ""},
		{"no limits and a limit", "  - workload:", "  - limits: {group: web, none: true, max: 2}\n  - workload:", "steps[0].do[0].limits: sets both none and a limit"},
		{"a broken variable of the autoscaler", "title:", "autoscaler: {environment: {'a b': c}}\ntitle:", `autoscaler.environment: "a b": want the name of a variable, such as CAPI_VERSION`},
		{"never as an expectation", "group: {name: web, size: 1}", "never: {what: kept}", "steps[0].expect[0].never: never does not come true once: only stays and always may have it"},
		{"never of an unknown kind", "pods: {of: shop, pending: <= 1}", "never: {what: thought}", `steps[0].stays[0].never.what: "thought": want one of kept`},
		{"no decisions", "group: {name: web, size: 1}", "decisions: {}", "steps[0].expect[0].decisions: want at least one of up, down"},
		{"decisions", "pods: {of: shop, pending: <= 1}", "decisions: {up: <= 1, down: 0, group: web}", ""},
		{"a field of an object", "group: {name: web, size: 1}", "object: {apiVersion: v1, kind: Node, name: a, path: '{.status.conditions[?(@.type==\"Ready\")].status}', is: 'True'}", ""},
		{"a path that is none", "group: {name: web, size: 1}", "object: {apiVersion: v1, kind: Node, name: a, path: '{.status', is: 'True'}", `steps[0].expect[0].object.path: "{.status": want a path such as`},
		{"no value of a field", "group: {name: web, size: 1}", "object: {apiVersion: v1, kind: Node, name: a, path: '{.status}'}", "steps[0].expect[0].object: has none; want exactly one of absent, is"},
		{"an object that is gone", "group: {name: web, size: 1}", "object: {apiVersion: v1, kind: Node, name: '${prefix}a', absent: true}", ""},
		{"an object without a kind", "group: {name: web, size: 1}", "object: {apiVersion: v1, name: a, absent: true}", "steps[0].expect[0].object: want apiVersion, kind and name"},
		{"a metric", "group: {name: web, size: 1}", "metric: {name: cluster_autoscaler_nodes_count, labels: {state: ready}, value: 1}", ""},
		{"a metric without a value", "group: {name: web, size: 1}", "metric: {name: a}", "steps[0].expect[0].metric.value: want a number"},
		{"a metric without a name", "group: {name: web, size: 1}", "metric: {name: a-b, value: 1}", `steps[0].expect[0].metric.name: "a-b": want the name of a metric`},
		{"flags that are none", "  - workload:", "  - flags: [scan]\n  - workload:", "steps[0].do[0].flags[0]"},
		{"a stay for ever", "for: 10s", "for: 100h", "want at most 1h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(validScenario, c.old, c.new, 1)
			if c.name == "a group twice" {
				text = strings.Replace(text, "name: web, max: 3", "name: web-1, max: 3", 1)
			}
			if text == validScenario {
				t.Fatal("the test changes nothing")
			}
			_, err := Parse("mine.yaml", []byte(text))
			if c.says == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error %v, want one that says %q", err, c.says)
			}
			for _, part := range []string{"scenario mine.yaml", "manifests/scenarios/README.md"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error names no %s: %v", part, err)
				}
			}
		})
	}
}

func TestLoadReportsAllErrors(t *testing.T) {
	t.Parallel()
	_, err := Load(fstest.MapFS{"a.yaml": {Data: []byte("title: 1")}, "b.yaml": {Data: []byte(validScenario)}, "c.yaml": {Data: []byte("{}")}, "README.md": {}})
	if err == nil || !strings.Contains(err.Error(), "a.yaml") || !strings.Contains(err.Error(), "c.yaml") || strings.Contains(err.Error(), "b.yaml") {
		t.Errorf("error %v, want one of a.yaml and c.yaml", err)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for text, c := range map[string]struct {
		yes, no int
		says    string
	}{
		`3`: {3, 4, "3"}, `"= 3"`: {3, 2, "3"}, `">= 2"`: {2, 1, "at least 2"}, `"<=2"`: {0, 3, "at most 2"},
		`"<= ${nodes+2}"`: {12, 13, "at most 12"}, `"${nodes}"`: {10, 9, "10"}, `">= ${nodes-1}"`: {9, 8, "at least 9"},
	} {
		var count Count
		if err := json.Unmarshal([]byte(text), &count); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !count.Holds(c.yes, 10) || count.Holds(c.no, 10) || count.Text(10) != c.says {
			t.Errorf("%s is read as %s; holds for %d: %t, for %d: %t", text, count.Text(10), c.yes, count.Holds(c.yes, 10), c.no, count.Holds(c.no, 10))
		}
		again, err := json.Marshal(count)
		var read Count
		if err != nil || json.Unmarshal(again, &read) != nil || read != count {
			t.Errorf("%s is written as %s, %v", text, again, err)
		}
	}
}

func TestCapacityAndShares(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"1x": "16Gi", "0.5x": "8Gi", "2x": "32Gi", "3Gi": "3Gi"} {
		if got, err := CapacityOf(text, resource.MustParse("16Gi")); err != nil || got != want {
			t.Errorf("%s of 16Gi is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "0x", "-1x", "200x", "lots", "0"} {
		if got, err := CapacityOf(text, resource.MustParse("16Gi")); err == nil {
			t.Errorf("%q was taken as %s", text, got)
		}
	}
	for _, text := range []string{"40", "0%", "1001%", "%", "x%"} {
		if _, err := Percentage(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := fs.Glob(manifests.FS, "scenarios/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		data, err := fs.ReadFile(manifests.FS, file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(validScenario))
	f.Add([]byte("steps: [{do: [{}], expect: [{order: [{}]}]}]\nobjects: [{metadata: 1}]\ngroups: [{similar: -1}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("fuzz.yaml", data)
		if err != nil {
			if !strings.Contains(err.Error(), "fuzz.yaml") {
				t.Errorf("an error that does not name the file: %v", err)
			}
			return
		}
		// Every scenario that parses can be described.
		for _, step := range s.Steps {
			for _, a := range step.Do {
				_ = a.String()
			}
			for _, c := range slices.Concat(step.Expect, step.Stays, s.Always) {
				_ = c.String()
			}
		}
	})
}
