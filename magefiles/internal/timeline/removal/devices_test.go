package removal

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// TestUsageOfDevices: of a node with devices that pods claim, the autoscaler counts only the devices.
func TestUsageOfDevices(t *testing.T) {
	t.Parallel()
	const byDefault = "(the default of --scale-down-utilization-threshold)"
	const ofMemory = "75% of memory is requested, above the threshold of 50% " + byDefault
	slice := func(name string, generation, count int, more string) string {
		return fmt.Sprintf(`{"metadata":{"name":%q},"spec":{"driver":"gpu.example.com","nodeName":"n","pool":{"name":"n","generation":%d,"resourceSliceCount":%d},"devices":[{"name":"gpu-0"},{"name":"gpu-1"},{"name":"gpu-2"},{"name":"gpu-3"}]%s}}`, name, generation, count, more)
	}
	claim := func(name, more string, devices ...string) string {
		var results []string
		for _, d := range devices {
			results = append(results, fmt.Sprintf(`{"request":"r","driver":"gpu.example.com","pool":"n","device":%q%s}`, d, more))
		}
		return fmt.Sprintf(`{"metadata":{"namespace":"d","name":%q},"status":{"allocation":{"devices":{"results":[%s]}}}}`, name, strings.Join(results, ","))
	}
	one := []string{slice("s", 1, 1, "")}
	for name, tc := range map[string]struct {
		release        string
		slices, claims []string
		incomplete     bool
		want, unsaid   string
	}{
		"one of four":             {slices: one, claims: []string{claim("c", "", "gpu-0")}, want: ""},
		"three of four":           {slices: one, claims: []string{claim("a", "", "gpu-0"), claim("b", "", "gpu-1", "gpu-2")}, want: "75% of gpu.example.com/n is allocated, above the threshold of 50% " + byDefault},
		"for administration":      {slices: one, claims: []string{claim("c", `,"adminAccess":true`, "gpu-0", "gpu-1", "gpu-2")}, want: ""},
		"an older generation":     {slices: []string{slice("old", 1, 1, ""), slice("s", 2, 1, "")}, claims: []string{claim("c", "", "gpu-0", "gpu-1", "gpu-2")}, want: "75% of gpu.example.com/n is allocated, above the threshold of 50% " + byDefault},
		"a slice is missing":      {slices: []string{slice("s", 1, 2, "")}, want: "the autoscaler cannot compute how much of it is in use: the pool gpu.example.com/n has 1 of its 2 ResourceSlices"},
		"shared counters":         {slices: []string{slice("s", 1, 1, `,"sharedCounters":[{"name":"memory"}]`)}, unsaid: "the utilisation of the devices of gpu.example.com/n, because they share counters"},
		"no devices":              {want: ofMemory},
		"not all on record":       {slices: one, incomplete: true, want: ofMemory},
		"a release that is blind": {release: "1.34.5", slices: one, want: ofMemory},
	} {
		if tc.release == "" {
			tc.release = "1.36.1"
		}
		r := stayRecord(tc.release, nil, 2, nil, shape.Node{})
		r.Bound("n", map[string]shape.Pod{"d/a": {Owner: replicaSet, Requests: resources("cpu=1", "memory=6Gi")}})
		for kind, all := range map[timeline.Kind][]string{timeline.ResourceSlice: tc.slices, timeline.ResourceClaim: tc.claims} {
			for i, text := range all {
				r.Shaped(kind, fmt.Sprint(i), "", json.RawMessage(text))
			}
			if !tc.incomplete {
				r.Add(timeline.Fact{Kind: kind, What: timeline.Shaped})
			}
		}
		_, s := stay(r)
		var got string
		if len(s.Obstacles) > 0 {
			got = s.Obstacles[0].Text
		}
		if got != tc.want || tc.unsaid != "" && !strings.Contains(strings.Join(s.Unjudged, "\n"), tc.unsaid) {
			t.Errorf("%s: %q, not judged: %q, want %q and %q", name, got, s.Unjudged, tc.want, tc.unsaid)
		}
	}
}
