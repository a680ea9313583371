// Package release holds one table of facts about releases: of Cluster API, of
// the versions of its API, and of the cluster autoscaler. It is the only place
// of the lab where versions are compared.
//
// A fact stands in the table at the first tag that shows it, and holds from
// there on. The next tags change it or leave it. So a release that is newer
// than the table has the facts of the newest one in it.
//
// The package imports nothing of the lab, so that settings, builds and
// templates can all read it.
package release

import (
	"fmt"
	"strings"

	version "github.com/hashicorp/go-version"
)

// change is one entry of a table: what is different from a tag on.
type change[T any] struct {
	// since are the first tags that have it, without a leading v, in rising
	// order. The last one is the first of the main line; those before it are
	// backports, and hold for later patches of the same minor only.
	since []string
	apply func(*T)
}

// fold applies all changes that v has to facts, in the order of the table.
func fold[T any](v *version.Version, table []change[T], facts T) T {
	for _, c := range table {
		if since(v, c.since...) {
			c.apply(&facts)
		}
	}
	return facts
}

// since reports whether v has what came with the tags, as change.since says.
func since(v *version.Version, tags ...string) bool {
	for i, tag := range tags {
		first := must(tag)
		if v.LessThan(first) {
			continue
		}
		if i == len(tags)-1 || sameMinor(v, first) {
			return true
		}
	}
	return false
}

func sameMinor(a, b *version.Version) bool {
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

// AtLeast reports whether v is the release tag or a later one. A pre-release
// counts as the release that it leads to. tag is like 1.26.0.
func AtLeast(v *version.Version, tag string) (bool, error) {
	first, err := version.NewSemver(tag)
	if err != nil {
		return false, fmt.Errorf("release %q: want one such as 1.26.0: %w", tag, err)
	}
	return v.Core().GreaterThanOrEqual(first), nil
}

// In reports whether v is one of the releases that the constraint names, such
// as ">= 1.30, < 1.36". A pre-release counts as the release that it leads to.
func In(v *version.Version, constraint string) (bool, error) {
	allowed, err := version.NewConstraint(constraint)
	if err != nil {
		return false, fmt.Errorf("releases %q: want a constraint such as %q: %w", constraint, ">= 1.30, < 1.36", err)
	}
	return allowed.Check(v.Core()), nil
}

// CheckConstraint refuses what In cannot read.
func CheckConstraint(constraint string) error {
	_, err := version.NewConstraint(constraint)
	return err
}

// first returns the first tag of a table, backports aside, at which has holds.
func first[T any](table []change[T], facts T, has func(T) bool) string {
	for _, c := range table {
		c.apply(&facts)
		if has(facts) {
			return strings.TrimSuffix(c.since[len(c.since)-1], "-0")
		}
	}
	return ""
}
