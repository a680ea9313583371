package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/interrupt"
)

// Repositories that exist while a name is lent: lent names the lab's image, and kept names
// the image that had the name before. Their tag is the tag of the lent name.
const (
	lent = repository + "/lent"
	kept = repository + "/kept"
)

// returnTime bounds how long Lend takes to return a name.
const returnTime = time.Minute

// Lend calls do while the image ours has the name theirs too. An old Docker provider runs
// theirs, and its objects cannot name another image. Afterwards theirs is what it was
// before: the user's image, or nothing. The caller holds the lock of builds.
func Lend(ctx context.Context, e *engine.Engine, ours, theirs release.LoadBalancer, do func() error) (err error) {
	// A killed run may have left theirs lent.
	if err := giveBack(ctx, e, theirs); err != nil {
		return err
	}
	id, _, err := e.ImageID(ctx, ours.Image())
	if err != nil {
		return err
	}
	before, there, err := e.ImageID(ctx, theirs.Image())
	if err != nil {
		return err
	}
	if there && before != id {
		if err := e.Tag(ctx, theirs.Image(), in(kept, theirs)); err != nil {
			return err
		}
	}
	defer func() {
		ctx, cancel := interrupt.Cleanup(ctx, returnTime)
		defer cancel()
		err = errors.Join(err, giveBack(ctx, e, theirs))
	}()
	for _, name := range []string{in(lent, theirs), theirs.Image()} {
		if err := e.Tag(ctx, ours.Image(), name); err != nil {
			return err
		}
	}
	return do()
}

// ReturnNames returns the names that killed runs left lent. The caller holds the lock of
// builds.
func ReturnNames(ctx context.Context, e *engine.Engine) error {
	if _, any, err := e.ImageID(ctx, lent+"/haproxy"); err != nil || !any {
		return err
	}
	var errs []error
	for _, theirs := range fixed() {
		errs = append(errs, giveBack(ctx, e, theirs))
	}
	return errors.Join(errs...)
}

// fixed returns the load balancers of the releases whose objects cannot name another one.
var fixed = sync.OnceValue(func() []release.LoadBalancer {
	var all []release.LoadBalancer
	for _, r := range release.Changes() {
		if !r.LoadBalancerFields && !slices.Contains(all, r.LoadBalancer) {
			all = append(all, r.LoadBalancer)
		}
	}
	return all
})

// giveBack returns the name theirs if it is lent. If the name belongs to neither image of
// Lend, the user has pulled another image since, which keeps the name.
func giveBack(ctx context.Context, e *engine.Engine, theirs release.LoadBalancer) error {
	ours, isLent, err := e.ImageID(ctx, in(lent, theirs))
	if err != nil {
		return err
	}
	_, isKept, err := e.ImageID(ctx, in(kept, theirs))
	if err != nil {
		return err
	}
	if isLent {
		now, there, err := e.ImageID(ctx, theirs.Image())
		switch {
		case err != nil:
			return err
		case !there || now != ours:
		case isKept:
			err = e.Tag(ctx, in(kept, theirs), theirs.Image())
		default:
			err = e.Untag(ctx, theirs.Image())
		}
		if err != nil {
			return err
		}
	}
	var errs []error
	if isKept {
		errs = append(errs, e.Untag(ctx, in(kept, theirs)))
	}
	if isLent {
		errs = append(errs, e.Untag(ctx, in(lent, theirs)))
	}
	return errors.Join(errs...)
}

// in returns the image's name in another repository.
func in(repository string, l release.LoadBalancer) string {
	return release.LoadBalancer{Repository: repository, Tag: l.Tag}.Image()
}
