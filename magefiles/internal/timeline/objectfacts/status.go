package objectfacts

import (
	"cmp"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
)

// Health returns the facts of the autoscaler's status ConfigMap: the health of
// all groups together, and of each.
func Health(o *unstructured.Unstructured, now time.Time) []timeline.Fact {
	text := kube.Field(o, "data", "status")
	s, err := autoscaler.ParseStatus(text)
	if err != nil {
		return plainStatusFacts(text, now)
	}
	at := cmp.Or(autoscaler.ParseTime(s.Time), now)
	fact := func(g autoscaler.GroupStatus, first string) timeline.Fact {
		backoff := strings.Trim(g.ScaleUp.BackoffInfo.ErrorCode+" "+g.ScaleUp.BackoffInfo.ErrorMessage, " ")
		return health(at, g.Name, first, g.Health.Status, sentence(g.ScaleUp.Status, backoff), g.ScaleDown.Status)
	}
	first := s.AutoscalerStatus
	if first == "Running" {
		first = "" // the default is not recorded
	}
	facts := []timeline.Fact{fact(s.ClusterWide, sentence(first, s.Message))}
	for _, g := range s.NodeGroups {
		facts = append(facts, fact(g, ""))
	}
	return facts
}

// health returns one fact of the status.
func health(at time.Time, group, first, health, up, down string) timeline.Fact {
	var parts []string
	for _, p := range []struct{ name, value string }{{"", first}, {"", health}, {"scale-up ", up}, {"scale-down ", down}} {
		if p.value != "" {
			parts = append(parts, p.name+p.value)
		}
	}
	return timeline.Fact{Time: at, Kind: timeline.Autoscaler, What: timeline.Health, Group: timeline.LastPart(group), Text: timeline.Bound(strings.Join(parts, ", ")), Source: timeline.Status}
}

// plainLine matches a line of the plain text that autoscalers before 1.30 write as status.
var plainLine = regexp.MustCompile(`^\s*(Name|Health|ScaleUp|ScaleDown):\s+(\S+)`)

// plainStatusFacts returns the facts of a status in plain text. It has a part for the
// cluster, and then one for every group, which begins with its name.
func plainStatusFacts(text string, now time.Time) []timeline.Fact {
	type part struct{ group, health, up, down string }
	parts := []part{{}}
	for line := range strings.Lines(text) {
		m := plainLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		last := &parts[len(parts)-1]
		switch m[1] {
		case "Name":
			parts = append(parts, part{group: m[2]})
		case "Health":
			last.health = m[2]
		case "ScaleUp":
			last.up = m[2]
		case "ScaleDown":
			last.down = m[2]
		}
	}
	var facts []timeline.Fact
	for _, p := range parts {
		if p.health != "" {
			facts = append(facts, health(now, p.group, "", p.health, p.up, p.down))
		}
	}
	return facts
}
