package release

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	version "github.com/hashicorp/go-version"
)

// lastReleases has the last release of each series of Cluster API at the time
// when the table was read, in ascending order.
var lastReleases = []string{
	"0.3.25", "0.4.8", "1.0.5", "1.1.6", "1.2.12", "1.3.10", "1.4.9", "1.5.8", "1.6.8", "1.7.9",
	"1.8.12", "1.9.11", "1.10.10", "1.11.11", "1.12.11", "1.13.6", newest,
}

// All returns the last release of each series that the table knows, the oldest first.
func All() []Release {
	all := make([]Release, len(lastReleases))
	for i, tag := range lastReleases {
		all[i] = Of(must(tag))
	}
	return all
}

// Changes returns every final release since v0.3.5 that changes a fact of the
// table, the newest first. The first one stands for the main branch.
func Changes() []Release {
	return changes(clusterAPI, Of, func(r Release) bool { return r.Supported })
}

// AutoscalerChanges returns every release of the cluster autoscaler with a provider for
// Cluster API that changes a fact of the table, the newest first.
func AutoscalerChanges() []Autoscaler {
	return changes(autoscalers, OfAutoscaler, func(a Autoscaler) bool { return a.Supported })
}

// changes returns the facts of each tag of the table for which has is true, the newest
// first. Pre-releases count as their release.
func changes[T any](table []change[T], of func(*version.Version) T, has func(T) bool) []T {
	var tags []*version.Version
	for _, c := range table {
		for _, tag := range c.since {
			v := must(tag).Core()
			known := slices.ContainsFunc(tags, func(other *version.Version) bool { return other.Equal(v) })
			if !known && has(of(v)) {
				tags = append(tags, v)
			}
		}
	}
	slices.SortFunc(tags, func(a, b *version.Version) int { return b.Compare(a) })
	all := make([]T, len(tags))
	for i, v := range tags {
		all[i] = of(v)
	}
	return all
}

// Speaks reports whether the Docker provider can use an engine whose oldest API
// version is minAPI, such as 1.44. If minAPI is not a version, Speaks returns
// true.
func (r Release) Speaks(minAPI string) bool {
	oldest, err := version.NewVersion(minAPI)
	return err != nil || !oldest.GreaterThan(version.Must(version.NewVersion(r.MaxEngineAPI)))
}

// Doubts returns what is uncertain about a self-managed cluster of the release
// on Kubernetes k: that one of them is newer than the table, or that upstream
// does not support them together. Each is one sentence without a full stop.
func (r Release) Doubts(k *version.Version) []string {
	var doubts []string
	last := Newest()
	if r.Newer {
		doubts = append(doubts, fmt.Sprintf("Cluster API v%s is newer than this lab knows: it is treated as %s", r.Version, last.Series()))
	}
	switch pair := r.With(k); {
	case pair == OutsideTable:
		doubts = append(doubts, fmt.Sprintf("upstream supports Cluster API v%s on Kubernetes %s, but not on v%s", r.Version, r.Kubernetes, k))
	case pair == AheadOfTable && !r.Kubernetes.Has(k):
		doubts = append(doubts, fmt.Sprintf("Kubernetes v%s is newer than this lab knows: it is treated as v1.%d", k, last.Kubernetes.Max))
	}
	return doubts
}

// Newest returns the newest release that the table knows.
func Newest() Release { return Of(must(newest)) }

// Series returns the series of a release, such as v1.14.
func (r Release) Series() string {
	major, minor := MajorMinor(r.Version)
	return fmt.Sprintf("v%d.%d", major, minor)
}

// Pair says whether a self-managed cluster may have a release of Cluster API and
// a version of Kubernetes together.
type Pair int

// Pairs.
const (
	// InTable: upstream supports it.
	InTable Pair = iota
	// AheadOfTable: one of the two is newer than the table, and the other one is as new as
	// the table goes.
	AheadOfTable
	// OutsideTable: the table has both, but not together.
	OutsideTable
)

// With returns what is known about the release on Kubernetes k.
func (r Release) With(k *version.Version) Pair {
	major, minor := MajorMinor(k)
	switch {
	case r.Kubernetes.Has(k) && !r.Newer:
		return InTable
	case r.Kubernetes.Has(k), major == 1 && minor > r.Kubernetes.Max && r.Kubernetes.Max == Newest().Kubernetes.Max:
		return AheadOfTable
	}
	return OutsideTable
}

// NearestKubernetes returns the version of Kubernetes, such as v1.33.4, that is nearest to
// k among those that the release supports.
func (r Release) NearestKubernetes(k *version.Version) string {
	_, want := MajorMinor(k)
	near := r.DefaultKubernetes
	distance := r.Kubernetes.Max
	for minor := r.Kubernetes.Min; minor <= r.Kubernetes.Max; minor++ {
		if away := max(minor-want, want-minor); standardKubernetes[minor] != "" && away < distance {
			near, distance = standardKubernetes[minor], away
		}
	}
	return near
}

// KubernetesThat returns the oldest version of Kubernetes that the release
// supports and for which the function is returns true, such as v1.21.14. ok is
// false if the lab knows none.
func (r Release) KubernetesThat(is func(Kubernetes) bool) (tag string, ok bool) {
	for minor := r.Kubernetes.Min; minor <= r.Kubernetes.Max; minor++ {
		tag, ok := standardKubernetes[minor]
		if ok && is(OfKubernetes(must(strings.TrimPrefix(tag, "v")))) {
			return tag, true
		}
	}
	return "", false
}

// NearestTo returns the version of Kubernetes that the lab uses for the minor
// nearest to that of tag, such as v1.36.1. It returns "" if tag is not a
// version.
func NearestTo(tag string) string {
	v, err := version.NewSemver(strings.TrimPrefix(tag, "v"))
	if err != nil {
		return ""
	}
	_, want := MajorMinor(v)
	near, distance := "", 0
	for _, minor := range slices.Sorted(maps.Keys(standardKubernetes)) {
		if away := max(minor-want, want-minor); near == "" || away <= distance {
			near, distance = standardKubernetes[minor], away
		}
	}
	return near
}

// NearestFor returns the last release of the series nearest to that of r which supports
// Kubernetes k; ok is false if none does.
func (r Release) NearestFor(k *version.Version) (near Release, ok bool) {
	return r.Nearest(func(other Release) bool { return other.Kubernetes.Has(k) })
}

// Nearest returns the last release of the series nearest to that of r for which
// the function is returns true. ok is false if there is none.
func (r Release) Nearest(is func(Release) bool) (near Release, ok bool) {
	all := All()
	at, _ := slices.BinarySearchFunc(all, r, func(a, b Release) int {
		aMajor, aMinor := MajorMinor(a.Version)
		bMajor, bMinor := MajorMinor(b.Version)
		return cmp.Or(cmp.Compare(aMajor, bMajor), cmp.Compare(aMinor, bMinor))
	})
	distance := len(all) + 1
	for i, other := range all {
		// If two are equally near, the newer one is taken.
		if away := max(i-at, at-i); is(other) && away <= distance {
			near, distance, ok = other, away, true
		}
	}
	return near, ok
}
