package release

import (
	"cmp"
	"fmt"
	"slices"

	version "github.com/hashicorp/go-version"
)

// lastReleases has the last release of each series of Cluster API, in ascending order, as
// far as the table was read.
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

// Newest returns the newest release that the table knows.
func Newest() Release { return Of(must(newest)) }

// Series returns the series of a release, such as v1.14.
func (r Release) Series() string {
	major, minor := MajorMinor(r.Version)
	return fmt.Sprintf("v%d.%d", major, minor)
}

// Pair is what is known about a cluster that manages itself with a release of Cluster API,
// on a version of Kubernetes.
type Pair int

// Pairs.
const (
	// InTable: upstream supports it.
	InTable Pair = iota
	// AheadOfTable: one of the two is newer than the table, and the other one is as new as
	// the table goes.
	AheadOfTable
	// OutsideTable: the table has both, and not together.
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

// NearestFor returns the release of Cluster API that supports Kubernetes k and whose series
// is nearest to that of r; ok is false if none does.
func (r Release) NearestFor(k *version.Version) (near Release, ok bool) {
	all := All()
	at, _ := slices.BinarySearchFunc(all, r, func(a, b Release) int {
		aMajor, aMinor := MajorMinor(a.Version)
		bMajor, bMinor := MajorMinor(b.Version)
		return cmp.Or(cmp.Compare(aMajor, bMajor), cmp.Compare(aMinor, bMinor))
	})
	distance := len(all) + 1
	for i, other := range all {
		// Of two that are as near, the newer one.
		if away := max(i-at, at-i); other.Kubernetes.Has(k) && away <= distance {
			near, distance, ok = other, away, true
		}
	}
	return near, ok
}
