// Package release has tables of facts about the releases of Cluster API, Kubernetes and the
// cluster autoscaler, and about the versions of Cluster API's API. It is the only package of
// the lab that compares versions.
//
// Each entry of a table has the facts that are new at a tag. A fact holds until a later
// entry changes it. So a release that is newer than the table has the facts of the
// newest entry.
//
// The package imports nothing of the lab, so that settings, builds and
// templates can all read it.
package release

import (
	"fmt"
	"strings"

	version "github.com/hashicorp/go-version"
)

// change is one entry of a table: the facts that are new at a tag.
type change[T any] struct {
	// since are the first tags with the change, without a leading v, in ascending
	// order. The last one is on the main line. Those before it are backports: they
	// hold only for later patches of the same minor.
	since []string
	apply func(*T)
}

// fold applies the changes of the table that v has to facts, in order.
func fold[T any](v *version.Version, table []change[T], facts T) T {
	for _, c := range table {
		if since(v, c.since...) {
			c.apply(&facts)
		}
	}
	return facts
}

// since reports whether v has a change that came with the tags, as change.since says.
func since(v *version.Version, tags ...string) bool {
	for i, tag := range tags {
		first := must(tag)
		if v.LessThan(first) {
			continue
		}
		if i == len(tags)-1 || SameMinor(v, first) {
			return true
		}
	}
	return false
}

// SameMinor reports whether two versions have the same first two numbers.
func SameMinor(a, b *version.Version) bool {
	aMajor, aMinor := MajorMinor(a)
	bMajor, bMinor := MajorMinor(b)
	return aMajor == bMajor && aMinor == bMinor
}

// must parses a tag of a table.
func must(tag string) *version.Version { return version.Must(version.NewSemver(tag)) }

// MajorMinor returns the first two numbers of a version.
func MajorMinor(v *version.Version) (major, minor int) {
	numbers := v.Segments()
	return numbers[0], numbers[1]
}

// AtLeast reports whether v is the release tag, such as 1.26.0, or a later one. A
// pre-release counts as its release.
func AtLeast(v *version.Version, tag string) (bool, error) {
	first, err := version.NewSemver(tag)
	if err != nil {
		return false, fmt.Errorf("release %q: want one such as 1.26.0: %w", tag, err)
	}
	return v.Core().GreaterThanOrEqual(first), nil
}

// In reports whether v is one of the releases that the constraint names, such
// as ">= 1.30, < 1.36". A pre-release counts as its release.
func In(v *version.Version, constraint string) (bool, error) {
	allowed, err := version.NewConstraint(constraint)
	if err != nil {
		return false, fmt.Errorf("releases %q: want a constraint such as %q: %w", constraint, ">= 1.30, < 1.36", err)
	}
	return allowed.Check(v.Core()), nil
}

// CheckConstraint refuses a constraint that In cannot read.
func CheckConstraint(constraint string) error {
	_, err := version.NewConstraint(constraint)
	return err
}

// first returns the first tag of a table, backports aside, for which has is true.
func first[T any](table []change[T], facts T, has func(T) bool) string {
	for _, c := range table {
		c.apply(&facts)
		if has(facts) {
			return strings.TrimSuffix(c.since[len(c.since)-1], "-0")
		}
	}
	return ""
}
