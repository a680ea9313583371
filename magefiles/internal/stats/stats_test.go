package stats

import "testing"

func TestMedian(t *testing.T) {
	t.Parallel()
	for want, values := range map[float64][]float64{3: {3}, 2.5: {4, 1}, 2: {9, 1, 2}, 5: {8, 1, 4, 6}} {
		if got := Median(values); got != want {
			t.Errorf("the median of %v is %v, want %v", values, got, want)
		}
	}
}

func TestRatio(t *testing.T) {
	t.Parallel()
	for want, of := range map[string][2][]float64{
		"0.50": {{2, 1, 3}, {4}}, "-": {nil, {1}},
	} {
		if got := Ratio(of[0], of[1]); got != want {
			t.Errorf("the ratio of %v is %s, want %s", of, got, want)
		}
	}
	for _, others := range [][]float64{nil, {0}} {
		if got := Ratio([]float64{1}, others); got != "-" {
			t.Errorf("the ratio to %v is %s", others, got)
		}
	}
}
