// Package stats summarises measurements for tables.
package stats

import (
	"fmt"
	"slices"
)

// Median returns the median of values. It needs one value at least.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Ratio returns the ratio of the median of values to that of others as text, and "-" if there is none.
func Ratio(values, others []float64) string {
	if len(values) == 0 || len(others) == 0 || Median(others) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", Median(values)/Median(others))
}
