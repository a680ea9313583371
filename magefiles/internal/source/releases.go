package source

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Releases returns the existing versions of a component, unsorted and with
// pre-releases, in the form of Spec.Version. from is what answered: the
// repository's URL without credentials, or Proxy. Auto asks git first, and then
// the proxy if it may have the component. Dir does the same, because a checkout
// has no releases. No answer within 30 seconds is an error.
func Releases(ctx context.Context, s Spec, o Options) (versions []string, from string, err error) {
	var gitErr error
	if s.Origin != Module {
		prefix := strings.TrimSuffix(s.Tag, s.Version)
		var refs []*plumbing.Reference
		if refs, gitErr = s.list(ctx, cmp.Or(o.answerTimeout, answerTimeout)); gitErr == nil {
			for _, ref := range refs {
				v, ok := strings.CutPrefix(ref.Name().Short(), prefix)
				if ref.Name().IsTag() && ok && !strings.HasSuffix(v, "^{}") {
					versions = append(versions, v)
				}
			}
			return versions, s.shownURL(), nil
		}
		gitErr = s.gitError("list the tags of", gitErr)
	}
	if s.Origin == Git || len(s.Modules) == 0 || ctx.Err() != nil {
		return nil, "", cmp.Or(gitErr, error(&NoModuleError{Component: s.Name}))
	}
	versions, err = ModuleVersions(ctx, s.Modules[0].Path, o)
	if err != nil && gitErr != nil {
		err = s.bothFailed(gitErr, err)
	}
	if err != nil {
		return nil, "", err
	}
	return versions, Proxy, nil
}

// Proxy is the name of the Go module proxy in what Releases returns.
const Proxy = "Go module proxy"

// ModuleVersions returns the versions of a module that the Go module proxy lists, in
// ascending order. No answer within 30 seconds is an error.
func ModuleVersions(ctx context.Context, path string, o Options) ([]string, error) {
	within := cmp.Or(o.answerTimeout, answerTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("no answer within %s", within))
	defer cancel()
	res, err := goCommand(ctx, o, "list", "-m", "-versions", path)
	if err != nil {
		return nil, fmt.Errorf("ask the Go module proxy for the versions of %s: %w", path, err)
	}
	words := strings.Fields(string(res.Stdout))
	if len(words) < 2 {
		return nil, fmt.Errorf("ask the Go module proxy for the versions of %s: it lists none", path)
	}
	return words[1:], nil
}
