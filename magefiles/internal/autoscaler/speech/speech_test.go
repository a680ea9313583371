package speech

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseAndClassify(t *testing.T) {
	t.Parallel()
	const head = "I1124 20:26:26.123456   12345 "
	for line, want := range map[string]Class{
		head + `static_autoscaler.go:274] Starting main loop`:                                                                   Loop,
		head + `orchestrator.go:310] Best option to resize: MachineDeployment/default/work-md-1`:                                ScaleUp,
		head + `orchestrator.go:185] Final scale-up plan: [{MachineDeployment/default/work-md-1 1->3 (max: 4)}]`:                ScaleUp,
		head + `executor.go:166] Scale-up: setting group MachineDeployment/default/work-md-1 size to 3`:                         ScaleUp,
		head + `actuator.go:214] Scale-down: removing empty node "work-md-1-x"`:                                                 ScaleDown,
		head + `orchestrator.go:181] No expansion options`:                                                                      Reason,
		head + `nodes.go:126] work-md-1-x was unneeded for 12.3s`:                                                               Reason,
		head + `eligibility.go:163] Node work-md-1-x unremovable: memory requested (55% of allocatable) is above the threshold`: Reason,
		head + `orchestrator.go:603] Pod default/scale-up-1 can't be scheduled on MachineDeployment/default/md-0`:               Reason,
		head + `static_autoscaler.go:400] Upcoming 0 nodes`:                                                                     Chatter,
		head + `clusterapi_provider.go:1] nodegroup md-0 has no scaling capacity, skipping`:                                     Reason,
		`couldn't start listener: listen tcp 127.0.0.1:2345: bind: address already in use`:                                      Problem,
		head + `filter_out_schedulable.go:63] Filtering out schedulables`:                                                       Chatter,
		`W1124 20:26:26.123456   12345 clusterstate.go:311] Disabling scale-up for node group x until later`:                    Problem,
		`W1124 20:26:26.123456   12345 delta.go:1] SetClusterState: node "a" bound or nominated by pod "b" does not exist`:      Chatter,
		`E1124 20:26:26.123456   12345 static_autoscaler.go:554] Failed to scale up: no`:                                        Problem,
		`panic: runtime error: invalid memory address`:                                                                          Problem,
		`goroutine 1 [running]:`: Chatter,
		`unknown flag: --nope`:   Problem,
	} {
		if got := Parse(line).Class; got != want {
			t.Errorf("class %d, want %d of %s", got, want, line)
		}
	}
	e := Parse(head + "a.go:1] hello: [b] c")
	if e.Time != "20:26:26" || e.Source != "a.go:1" || e.Message != "hello: [b] c" {
		t.Errorf("got %+v", e)
	}
}

func TestTimeOfALine(t *testing.T) {
	t.Parallel()
	east := time.FixedZone("east", 3*60*60)
	for _, c := range []struct {
		stamp      string
		near, want time.Time
	}{
		{"1124 20:26:26.123456", time.Date(2026, 11, 25, 1, 0, 0, 0, east), time.Date(2026, 11, 24, 20, 26, 26, 123456000, east)},
		{"1231 23:59:59.5", time.Date(2027, 1, 1, 0, 0, 1, 0, time.UTC), time.Date(2026, 12, 31, 23, 59, 59, 500000000, time.UTC)},
		{"0101 00:00:00.0", time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"0229 12:00:00.0", time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC)},
		{"1399 20:26:26.1", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		{"", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
	} {
		if got := (Entry{Stamp: c.stamp}).At(c.near); !got.Equal(c.want) {
			t.Errorf("%q near %s was at %s, want %s", c.stamp, c.near, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("I1124 20:26:26.123456   12345 a.go:274] Starting main loop")
	f.Add("")
	f.Add("W1124 20:26:26.1  1 a:1] ")
	f.Fuzz(func(t *testing.T, line string) {
		e := Parse(line)
		if !strings.HasSuffix(strings.TrimRight(line, "\r\n"), e.Message) {
			t.Errorf("%q has the message %q", line, e.Message)
		}
		near := time.Date(2026, 11, 24, 20, 26, 26, 0, time.UTC)
		if at := e.At(near); at.Sub(near).Abs() > 190*24*time.Hour {
			t.Errorf("%q was written at %s, by who reads it at %s", line, at, near)
		}
	})
}

// TestTheTableIsWellFormed: every pattern is anchored or only for the console,
// its named groups are fields of Statement, and Since is not after Until.
func TestTheTableIsWellFormed(t *testing.T) {
	t.Parallel()
	minor := func(release string, missing int) int {
		if release == "" {
			return missing
		}
		var n int
		if _, err := fmt.Sscanf(release, "1.%d", &n); err != nil || fmt.Sprintf("1.%d", n) != release {
			t.Errorf("%q is no minor release", release)
		}
		return n
	}
	for _, m := range Messages {
		if m.Kind != KindNone && !strings.HasPrefix(m.Pattern.String(), "^") {
			t.Errorf("%s may match in the middle of a message", m.Pattern)
		}
		if minor(m.Since, 0) > minor(m.Until, 1000) {
			t.Errorf("%s begins with %s, after it ends with %s", m.Pattern, m.Since, m.Until)
		}
		for _, name := range m.Pattern.SubexpNames() {
			if name != "" && !slices.Contains([]string{"pod", "node", "group", "n", "text"}, name) {
				t.Errorf("%s names %s, which no statement has", m.Pattern, name)
			}
		}
		if m.Harmless && m.Kind != KindNone {
			t.Errorf("%s is harmless and states %s", m.Pattern, m.Kind)
		}
	}
}

// TestNormalize: generated names and numbers do not change what a message says.
func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, same := range [][2]string{
		{"node was unneeded for 10.5s", "node was unneeded for 1m2s"},
		{"can't be scheduled on template-node-for-MachineDeployment/default/web-3287627618815168233: no", "can't be scheduled on template-node-for-MachineDeployment/default/web-7683716520883490983: no"},
		{`node "template-node-for-MachineDeployment/default/web-3287627618815168233-e-0"`, `node "template-node-for-MachineDeployment/default/web-7683716520883490983-e-12"`},
		{"moved to template-node-for-web-3287627618815168233-upcoming-1", "moved to template-node-for-web-83716520883490983-upcoming-0"},
		{"moved to template-node-for-web-3287627618815168233-0-salvo-1", "moved to template-node-for-web-83716520883490983-3-salvo-2"},
		{"pod kube-proxy-pod-3287627618815168233 does not fit", "pod kube-proxy-pod-7683716520883490983 does not fit"},
		{"md-0-asg-3287627618815168233: no labels", "md-0-asg-7683716520883490983: no labels"},
		{"until 2026-11-24 22:25:02.123 +0000 UTC m=+15.3; x", "until 2026-11-25 09:05:02.5 +0000 UTC m=+1115.3; x"},
		{"since 2026-11-24T22:25:02Z, again", "since 2026-11-24T23:26:03.5Z, again"},
		{"lock host_3f0c9f5e-6f0e-4f0b-9a55-1f2a3b4c5d6e lost", "lock host_00000000-6f0e-4f0b-9a55-1f2a3b4c5d6f lost"},
		{"nil pointer &{0xc000123456}", "nil pointer &{0xc0009abcde}"},
		{"3 other pods similar to default/web-7f8d9c6b5-x2k4p can't be scheduled on g", "4 other pods similar to default/web-7f8d9c6b5-bcdfg can't be scheduled on g"},
	} {
		if a, b := Normalize(same[0]), Normalize(same[1]); a != b {
			t.Errorf("%q and %q say the same", a, b)
		}
	}
	for _, other := range [][2]string{
		{"template-node-for-MachineDeployment/default/web-1-3287627618815168233", "template-node-for-MachineDeployment/default/web-2-3287627618815168233"},
		{"pod default/web-7f8d9c6b5-x2k4p blocks it", "pod default/web-7f8d9c6b5-bcdfg blocks it"},
		{"Node md-0-jbskx-c9fq9 is lost", "Node md-0-jbskx-d8gr8 is lost"},
		{"3 other pods similar to default/web-7f8d9c6b5-x2k4p", "3 other pods similar to default/api-7f8d9c6b5-x2k4p"},
	} {
		if a, b := Normalize(other[0]), Normalize(other[1]); a == b {
			t.Errorf("%q and %q do not say the same", other[0], other[1])
		}
	}
}

// TestTemplateNodeIsNoNode: a problem with a template node names the group and
// no node.
func TestTemplateNodeIsNoNode(t *testing.T) {
	t.Parallel()
	s, ok := Parse("E1124 20:26:26.1  1 a.go:1] no capacity for node template-node-for-MachineDeployment/default/web-3287627618815168233").Statement(time.Now())
	if !ok || s.Node != "" || s.Kind != KindProblem {
		t.Errorf("stated %+v, %v", s, ok)
	}
}

// TestLeases: the words of client-go, with the lease's name, and nothing else.
func TestLeases(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]struct {
		name  string
		waits bool
	}{
		`"Attempting to acquire leader lease..." lock="kube-system/cluster-autoscaler"`: {"kube-system/cluster-autoscaler", true},
		"attempting to acquire leader lease kube-system/cluster-autoscaler...":          {"kube-system/cluster-autoscaler", true},
		`"Successfully acquired lease" lock="kube-system/cluster-autoscaler"`:           {"kube-system/cluster-autoscaler", false},
		"successfully acquired lease kube-system/cluster-autoscaler":                    {"kube-system/cluster-autoscaler", false},
		`"Failed to acquire lease" lock="kube-system/cluster-autoscaler"`:               {},
		"": {},
	} {
		name, waits := LeaseOf(message)
		if name != want.name || waits != want.waits {
			t.Errorf("%s: %q, %t, want %q, %t", message, name, waits, want.name, want.waits)
		}
		e := Parse("I1124 20:26:26.123456   12345 leaderelection.go:271] " + message)
		if _, states := e.Statement(time.Date(2026, 11, 24, 20, 0, 0, 0, time.UTC)); want.name != "" && !states {
			t.Errorf("%s states nothing", message)
		}
	}
}
