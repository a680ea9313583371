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
