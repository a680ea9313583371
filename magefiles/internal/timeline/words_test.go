package timeline

import (
	"testing"
	"time"
)

func TestDurationText(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 1250 * time.Millisecond: "1.2s", 59 * time.Second: "59s", time.Minute: "1m00s", 61 * time.Second: "1m01s", -3 * time.Second: "-3s",
		time.Hour: "1h00m", 2*time.Hour + 5*time.Minute: "2h05m", 48 * time.Hour: "2d00h", 75 * time.Hour: "3d03h",
	} {
		if got := DurationText(d); got != want {
			t.Errorf("took(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestMentions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"":                                     false,
		"worker-1":                             true,
		"worker-12":                            false,
		"my-worker-1":                          false,
		"worker-1-x":                           false,
		"worker-1.example.com":                 false,
		"a.worker-1":                           false,
		"Node worker-1.":                       true,
		"removing \"worker-1\", worker-2":      true,
		"default/worker-1: no":                 true,
		"worker-12 and worker-1":               true,
		"worker-worker-1worker-1 (worker-1)":   true,
		"worker-11, worker-10 and worker-1x":   false,
		"MachineDeployment/default/worker-1-9": false,
	} {
		if got := Mentions(text, "worker-1"); got != want {
			t.Errorf("Mentions(%q) = %t", text, got)
		}
	}
	if Mentions("text", "") {
		t.Error("no name is mentioned")
	}
}
