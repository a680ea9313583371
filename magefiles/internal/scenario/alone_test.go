package scenario_test

import (
	"strings"
	"testing"

	"caslab/magefiles/internal/scenario"
)

func TestScenarioSaysWhyItCannotRunBesideOthers(t *testing.T) {
	t.Parallel()
	const (
		head  = "title: t\ngroups:\n- {name: web, max: 3}\n"
		steps = "steps:\n- say: pods\n  do:\n  - workload: {name: shop, pods: 1}\n"
		grows = "  expect:\n  - group: {name: web, size: 1}\n    within: 1m\n"
		said  = "  expect:\n  - said: {what: problem, text: quota}\n    within: 1m\n"
	)
	tests := map[string]struct{ text, want string }{
		"own groups and pods":        {head + steps + grows, ""},
		"flags that others may have": {head + "autoscaler: {flags: [--expander=least-waste]}\n" + steps + grows, ""},
		"a flag with the nodes":      {head + "autoscaler: {flags: ['--max-nodes-total=${nodes+1}']}\n" + steps + grows, "counts the nodes"},
		"a flag with the prefix":     {head + "autoscaler: {flags: ['--balancing-label=${prefix}x']}\n" + steps + grows, "expands in its own way"},
		"a variable with a name":     {head + "autoscaler: {environment: {CAPI_GROUP: '${namespace}'}}\n" + steps + grows, "expands in its own way"},
		"a restart":                  {head + steps + "  - autoscaler: restart\n" + grows, `"restart the autoscaler" restarts the autoscaler`},
		"other flags":                {head + steps + "  - flags: [--v=5]\n" + grows, "restarts the autoscaler"},
		"the managers":               {head + steps + "  - controllers: stop\n" + grows, "Cluster API's managers"},
		"the whole cluster":          {head + steps + "  - pause: cluster\n" + grows, "pauses the whole cluster"},
		"a group":                    {head + steps + "  - pause: web\n" + grows, ""},
		"nodes":                      {head + steps + grows + "always:\n- nodes: <= ${nodes+1}\n", "counts the nodes"},
		"nodes in an order":          {head + steps + "  expect:\n  - order: [{nodes: '${nodes+1}'}, {group: {name: web, size: 1}}]\n    within: 1m\n", "counts the nodes"},
		"metrics":                    {head + steps + grows + "always:\n- metric: {name: x, value: 0}\n", "reads metrics"},
		"any statement":              {head + steps + said, "names no pod or group"},
		"never any statement":        {head + steps + grows + "always:\n- never: {what: problem}\n", "names no pod or group"},
		"a statement about a group":  {head + steps + grows + "always:\n- never: {what: problem, group: web}\n", ""},
		"an object of its own":       {head + "objects:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: '${prefix}x', namespace: '${namespace}'}}\n" + steps + grows, ""},
		"an object of any name":      {head + "objects:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: '${namespace}'}}\n" + steps + grows, "its ConfigMap x does not contain ${prefix}"},
		"a size of docker machines":  {"title: t\ngroups:\n- {name: web, max: 3, machines: docker, capacity: {memory: 0.5x}}\n" + steps + grows, "its group web sets the capacity"},
		"a size of hollow machines":  {"title: t\ngroups:\n- {name: web, max: 3, machines: hollow, capacity: {memory: 0.5x}}\n" + steps + grows, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := scenario.Parse("x.yaml", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := s.WhyAlone(); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("WhyAlone() = %q, want %q", got, tt.want)
			}
		})
	}
}
