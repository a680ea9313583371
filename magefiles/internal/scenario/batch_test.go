package scenario_test

import (
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/scenario"
)

func TestScenariosShareAnAutoscalerWhoseFlagsSuitThemAll(t *testing.T) {
	t.Parallel()
	const (
		steps = "groups:\n- {name: web, max: 3}\nsteps:\n- say: pods\n  do:\n  - workload: {name: shop, pods: 1}\n  expect:\n  - group: {name: web, size: 1}\n    within: 1m\n"
		waste = "{flags: [--expander=least-waste]}"
	)
	usual, err := autoscaler.ParseFlags("--v=4 --balance-similar-node-groups --label=a --label=b")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ a, b, want string }{
		"no flags":                           {"{}", "{}", "a+b"},
		"equal flags":                        {waste, waste, "a+b --expander=least-waste"},
		"a flag of one":                      {waste, "{}", "a --expander=least-waste|b"},
		"a flag of the other":                {"{}", waste, "a|b --expander=least-waste"},
		"a shared flag of one":               {"{flags: [--x=1], shared: true}", "{}", "a+b --x=1"},
		"a shared flag of each":              {"{flags: [--x=1], shared: true}", "{flags: [--y=2], shared: true}", "a+b --x=1 --y=2"},
		"a shared flag beside another one":   {"{flags: [--x=1], shared: true}", waste, "a --x=1|b --expander=least-waste"},
		"a shared flag with two values":      {"{flags: [--x=1], shared: true}", "{flags: [--x=2], shared: true}", "a --x=1|b --x=2"},
		"the usual value":                    {"{flags: [--v=4]}", "{}", "a+b --v=4"},
		"the usual value of a bare flag":     {"{flags: [--balance-similar-node-groups=true]}", "{}", "a+b --balance-similar-node-groups=true"},
		"the usual value and another one":    {"{flags: [--v=4]}", "{flags: [--v=5], shared: true}", "a --v=4|b --v=5"},
		"both usual values":                  {"{flags: [--label=a, --label=b]}", "{}", "a+b --label=a --label=b"},
		"one of two usual values":            {"{flags: [--label=a]}", "{}", "a --label=a|b"},
		"an underscore":                      {"{flags: [--max_x=1], shared: true}", "{flags: [--max-x=2], shared: true}", "a --max-x=1|b --max-x=2"},
		"one flag written in two ways":       {"{flags: [--max_x], shared: true}", "{flags: [--max-x=true], shared: true}", "a+b --max-x=true"},
		"other variables":                    {"{environment: {CAPI_GROUP: x.io}}", "{}", "a|b"},
		"other rights":                       {"{rbac: upstream}", "{}", "a|b"},
		"a scenario that must run alone":     {"{flags: ['--x=${nodes+1}'], shared: true}", "{}", "a --x=${nodes+1}|b"},
		"one that must run alone at the end": {"{}", "{flags: ['--x=${nodes+1}'], shared: true}", "a|b --x=${nodes+1}"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all []*scenario.Scenario
			for _, needs := range []string{tt.a, tt.b} {
				s, err := scenario.Parse("x.yaml", []byte("title: t\nautoscaler: "+needs+"\n"+steps))
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, s)
			}
			var got []string
			for _, b := range scenario.Batches(all, []int{0, 1}, usual) {
				var names []string
				for _, i := range b.Scenarios {
					names = append(names, string("ab"[i]))
				}
				got = append(got, strings.Join(append([]string{strings.Join(names, "+")}, b.Flags()...), " "))
			}
			if text := strings.Join(got, "|"); text != tt.want {
				t.Errorf("batches %s, want %s", text, tt.want)
			}
		})
	}
}

func TestScenarioThatMayTakeLongestBeginsFirst(t *testing.T) {
	t.Parallel()
	var all []*scenario.Scenario
	for _, within := range []string{"1m", "3m", "2m"} {
		s, err := scenario.Parse("x.yaml", []byte("title: t\ngroups:\n- {name: web, max: 3}\nsteps:\n- say: pods\n  do:\n  - workload: {name: shop, pods: 1}\n  expect:\n  - group: {name: web, size: 1}\n    within: "+within+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if got := scenario.Batches(all, []int{0, 1, 2}, nil)[0].Scenarios; !slices.Equal(got, []int{1, 2, 0}) {
		t.Errorf("the order is %v, want that of their limits", got)
	}
}

func shipped(t *testing.T) []*scenario.Scenario {
	t.Helper()
	all, err := scenario.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestMostShippedScenariosShareOneAutoscaler(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	var chosen []int
	for i := range all {
		all[i] = all[i].On(scenario.HollowMachines)
		chosen = append(chosen, i)
	}
	usual, err := autoscaler.Flags(autoscaler.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	batches := scenario.Batches(all, chosen, usual)
	var apart []string
	for _, b := range batches[1:] {
		for _, i := range b.Scenarios {
			apart = append(apart, all[i].Name)
		}
	}
	want := []string{"bypassed-scheduler", "bypassed-scheduler-room", "expander-priority", "local-storage", "max-nodes-total", "paused-cluster", "restart-in-the-middle", "unhealthy-group", "upstream-rights"}
	slices.Sort(apart)
	if !slices.Equal(apart, want) {
		t.Errorf("these run apart from the first %d: %q, want %q", len(batches[0].Scenarios), apart, want)
	}
}

// TestKnownFailuresMatchAnyPrefix: names begin with "sc-", or with "sc-12-" in the scenario that
// is number 12 of those that run at the same time.
func TestKnownFailuresMatchAnyPrefix(t *testing.T) {
	t.Parallel()
	for _, s := range shipped(t) {
		if s.Known != nil && strings.Count(s.Known.Failure, "sc-") != strings.Count(s.Known.Failure, `sc-(\d+-)?`) {
			t.Errorf(`%s: known.failure %q: want sc-(\d+-)? before names`, s.Name, s.Known.Failure)
		}
	}
}
