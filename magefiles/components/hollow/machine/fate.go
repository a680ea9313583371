package machine

import (
	"cmp"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"caslab/components/hollow/api/v1beta2"
	"caslab/components/hollow/chance"
)

// groupLabel is the label with the name of the MachineDeployment, which Cluster API copies to the
// infrastructure machines.
const groupLabel = "cluster.x-k8s.io/deployment-name"

// Draw returns a random number from 0 to below 1 for one purpose, such as "start". It depends on the
// seed, the machine's group and its ordinal, so it is the same in each run. The group of a machine
// that no MachineDeployment made is its template.
func Draw(m *v1beta2.HollowMachine, what string) float64 { return draw(m, what, m.Status.Ordinal) }

func draw(m *v1beta2.HollowMachine, what string, ordinal int64) float64 {
	group := cmp.Or(m.Labels[groupLabel], m.Annotations[templateAnnotation])
	return chance.Draw(m.Spec.Lifecycle.Seed, fmt.Sprintf("%s/%s/%d", what, group, ordinal))
}

// fateOf returns the fate of a machine. draw is its random number, and nth counts the machines since
// lifecycle.fail or lifecycle.never of the template changed last, from 1.
func fateOf(l v1beta2.Lifecycle, draw float64, nth int64) (v1beta2.Fate, error) {
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

// startOf returns how long after its creation a machine gets its Node.
func startOf(m *v1beta2.HollowMachine) time.Duration {
	l := m.Spec.Lifecycle
	return chance.Delay(l.Start.Duration, l.StartJitter.Duration, Draw(m, "start"))
}
