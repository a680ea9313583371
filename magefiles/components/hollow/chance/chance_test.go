package chance

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestDrawIsUniformAndRepeatable(t *testing.T) {
	const n = 10_000
	sum, below := 0.0, 0
	for i := range n {
		draw := Draw(7, fmt.Sprintf("fate/%d", i))
		if draw < 0 || draw >= 1 {
			t.Fatalf("draw %d is %v", i, draw)
		}
		if draw != Draw(7, fmt.Sprintf("fate/%d", i)) {
			t.Fatalf("draw %d differs the second time", i)
		}
		sum += draw
		if draw < 0.1 {
			below++
		}
	}
	if mean := sum / n; math.Abs(mean-0.5) > 0.01 {
		t.Errorf("the mean is %v", mean)
	}
	if below < 900 || below > 1100 {
		t.Errorf("%d of %d are below 0.1", below, n)
	}
	if Draw(7, "fate/1") == Draw(8, "fate/1") || Draw(7, "fate/1") == Draw(7, "start/1") {
		t.Error("neither the seed nor the subject changes the draw")
	}
}

func TestDelay(t *testing.T) {
	for _, c := range []struct {
		d, jitter time.Duration
		draw      float64
		want      time.Duration
	}{
		{30 * time.Second, 10 * time.Second, 0, 20 * time.Second},
		{30 * time.Second, 10 * time.Second, 0.5, 30 * time.Second},
		{30 * time.Second, 10 * time.Second, 0.75, 35 * time.Second},
		{30 * time.Second, 0, 0.9, 30 * time.Second},
		{5 * time.Second, 10 * time.Second, 0, 0},
	} {
		if got := Delay(c.d, c.jitter, c.draw); got != c.want {
			t.Errorf("Delay(%v, %v, %v) = %v, want %v", c.d, c.jitter, c.draw, got, c.want)
		}
	}
}

func TestPercent(t *testing.T) {
	for text, want := range map[string]float64{"": 0, "0%": 0, "7%": 0.07, "100%": 1} {
		if got, err := Percent(text); err != nil || got != want {
			t.Errorf("Percent(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"7", "%", "x%", "0.5%"} {
		if got, err := Percent(text); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("Percent(%q) = %v, %v, want an error with the text", text, got, err)
		}
	}
}
