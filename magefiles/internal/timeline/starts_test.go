package timeline

import (
	"testing"
	"time"
)

// TestStarts: the pod and the log report the same start, and so do pods that start together;
// each of them reports a restart, however soon that follows.
func TestStarts(t *testing.T) {
	t.Parallel()
	type report struct {
		at     int
		source Source // empty for the end
		pod    string
	}
	for name, tc := range map[string]struct {
		reports []report
		want    []bool
	}{
		"a log":                                  {[]report{{0, Log, ""}}, []bool{true}},
		"a pod and its log":                      {[]report{{0, Watch, "a"}, {5, Log, ""}}, []bool{true, false}},
		"a log that begins late":                 {[]report{{0, Watch, "a"}, {16, Log, ""}}, []bool{true, true}},
		"a log, restarted at once":               {[]report{{0, Log, ""}, {3, Log, ""}}, []bool{true, true}},
		"a pod and its log, restarted at once":   {[]report{{0, Watch, "a"}, {1, Log, ""}, {4, Watch, "a"}, {5, Log, ""}}, []bool{true, false, true, false}},
		"a pod whose restart only the log shows": {[]report{{0, Watch, "a"}, {1, Log, ""}, {4, Log, ""}}, []bool{true, false, true}},
		"two pods that start together":           {[]report{{0, Watch, "a"}, {1, Watch, "b"}, {1, Log, ""}, {2, Log, ""}}, []bool{true, false, false, false}},
		"one of two restarted at once":           {[]report{{0, Watch, "a"}, {1, Watch, "b"}, {3, Watch, "b"}}, []bool{true, false, true}},
		"a log of two restarted at once":         {[]report{{0, Watch, "a"}, {1, Watch, "b"}, {2, Log, ""}, {2, Log, ""}, {5, Log, ""}}, []bool{true, false, false, false, true}},
		"a pod that follows later":               {[]report{{0, Watch, "a"}, {16, Watch, "b"}}, []bool{true, true}},
		"stopped and started at once":            {[]report{{0, Watch, "a"}, {2, "", ""}, {3, Log, ""}}, []bool{true, true}},
	} {
		var s Starts
		var got []bool
		for _, r := range tc.reports {
			if r.source == "" {
				s.Stop()
				continue
			}
			got = append(got, s.IsNew(Fact{Time: time.Unix(int64(r.at), 0), Source: r.source, UID: r.pod}))
		}
		if len(got) != len(tc.want) {
			t.Fatal(name)
		}
		for i, want := range tc.want {
			if got[i] != want {
				t.Errorf("%s: start %d is new: %t", name, i+1, got[i])
			}
		}
	}
}
