// Package chance decides what happens to machines and pods in a way that can be repeated:
// the same seed and the same subject give the same result, in any order and after any
// restart.
package chance

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// Draw returns a number from 0 to below 1 for the subject, such as "start/7".
func Draw(seed int64, subject string) float64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d/%s", seed, subject))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}

// Delay returns the delay from d-jitter to d+jitter that draw selects, and never less than
// zero.
func Delay(d, jitter time.Duration, draw float64) time.Duration {
	return max(0, d+time.Duration((2*draw-1)*float64(jitter)))
}

// Percent returns the fraction, from 0 to 1, that a percentage such as 10% is. An empty
// text is zero.
func Percent(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	share := intstr.FromString(text)
	percent, err := intstr.GetScaledValueFromIntOrPercent(&share, 100, false)
	if err != nil {
		return 0, fmt.Errorf("%q is no percentage: %w", text, err)
	}
	return float64(percent) / 100, nil
}
