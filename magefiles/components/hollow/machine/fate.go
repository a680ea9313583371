package machine

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"caslab/components/hollow/api/v1beta2"
	"caslab/components/hollow/chance"
)

// fateOf returns the fate of the machine with that ordinal. base is the highest ordinal
// that the template had given when its spec changed last.
func fateOf(l v1beta2.Lifecycle, ordinal, base int64) (v1beta2.Fate, error) {
	nth, draw := ordinal-base, chance.Draw(l.Seed, fmt.Sprintf("fate/%d", ordinal))
	for _, share := range []struct {
		of   *intstr.IntOrString
		fate v1beta2.Fate
	}{{l.Fail, v1beta2.FateFailure}, {l.Never, v1beta2.FateNothing}} {
		switch {
		case share.of == nil:
		case share.of.Type == intstr.Int:
			if nth <= int64(share.of.IntVal) {
				return share.fate, nil
			}
			nth -= int64(share.of.IntVal)
		default:
			fraction, err := chance.Percent(share.of.StrVal)
			if err != nil {
				return "", err
			}
			if draw < fraction {
				return share.fate, nil
			}
			draw -= fraction
		}
	}
	return v1beta2.FateNode, nil
}

// startOf returns how long after its creation a machine with that ordinal gets its Node.
func startOf(l v1beta2.Lifecycle, ordinal int64) time.Duration {
	return chance.Delay(l.Start.Duration, l.StartJitter.Duration, chance.Draw(l.Seed, fmt.Sprintf("start/%d", ordinal)))
}
