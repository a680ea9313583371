package pins

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"

	version "github.com/hashicorp/go-version"
	"golang.org/x/mod/semver"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/source"
)

// Options of Check and Bump.
type Options struct {
	// Root is the checkout.
	Root   string
	Runner run.Runner
	// Specs has the sources that list the releases of Cluster API and of the
	// autoscaler. For a component without one, the Go module proxy is asked.
	Specs []source.Spec
	// Progress, if set, is called with a description of what is being done.
	Progress func(string)
}

func (o Options) progress(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

// Answer is what is known about the releases of a pin.
type Answer struct {
	Pin
	// From names the repository or the proxy that answered.
	From string
	// Versions are all existing versions.
	Versions []string
	// Patch is the newest release of the pinned minor, and Newest the newest of all.
	Patch, Newest string
	// Err is why there is no answer.
	Err error
}

// Behind reports whether there is a newer release than the pinned one.
func (a Answer) Behind() bool {
	return a.Newest != "" && semver.Compare(canonical(a.Newest), canonical(a.Version)) > 0
}

// Check asks for the releases of all pins concurrently, and waits at most 30
// seconds. If there is no answer for a pin, its Answer has an error.
func Check(ctx context.Context, o Options) ([]Answer, error) {
	all, err := Read(o.Root)
	if err != nil {
		return nil, err
	}
	answers := make([]Answer, len(all))
	var wait sync.WaitGroup
	for i, p := range all {
		wait.Go(func() { answers[i] = ask(ctx, p, o) })
	}
	wait.Wait()
	return answers, ctx.Err()
}

// ask asks the source from which the lab would fetch a pin for its releases.
func ask(ctx context.Context, p Pin, o Options) Answer {
	a := Answer{Pin: p}
	options := source.Options{Runner: o.Runner}
	spec, has := o.spec(p.Name)
	if has {
		a.Versions, a.From, a.Err = source.Releases(ctx, spec, options)
	} else {
		a.From = source.Proxy
		a.Versions, a.Err = source.ModuleVersions(ctx, p.module, options)
	}
	a.Patch, a.Newest = newest(a.Versions, series(p.Version)), newest(a.Versions, p.hold)
	return a
}

func (o Options) spec(name string) (source.Spec, bool) {
	for _, s := range o.Specs {
		if s.Name == name {
			return s, true
		}
	}
	return source.Spec{}, false
}

// Print writes a table of the answers, and then which pins have no answer and
// why.
func Print(out io.Writer, answers []Answer) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "PIN\tPINNED\tSAME MINOR\tNEWEST\tASKED\tNOTE")
	behind := 0
	var silent []string
	for _, a := range answers {
		if a.Err != nil {
			silent = append(silent, a.Name+": "+strings.ReplaceAll(a.Err.Error(), "\n", "\n    "))
			fmt.Fprintf(w, "%s\t%s\t?\t?\tno answer\t%s\n", a.Name, a.Version, a.Follows)
			continue
		}
		if a.Behind() {
			behind++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", a.Name, a.Version, newer(a, a.Patch), newer(a, a.Newest), a.From, note(a, answers))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d of %d pins have newer releases", behind, len(answers))
	if len(silent) > 0 {
		fmt.Fprintf(out, "; for %d there is no answer:\n  %s", len(silent), strings.Join(silent, "\n  "))
	}
	_, err := fmt.Fprintln(out)
	return err
}

// newer returns a version if it is newer than the pin, otherwise a dash.
func newer(a Answer, v string) string {
	if v == "" || semver.Compare(canonical(v), canonical(a.Version)) <= 0 {
		return "-"
	}
	return written(v, a.Version)
}

// note says what else decides the version of a pin.
func note(a Answer, answers []Answer) string {
	if a.Name != kubernetes {
		return a.Follows
	}
	all := make([]Pin, len(answers))
	for i, other := range answers {
		all[i] = other.Pin
	}
	minors, ok := supported(all)
	if !ok {
		return a.Follows
	}
	return fmt.Sprintf("the pinned Cluster API manages itself on v1.%d to v1.%d", minors.Min, minors.Max)
}

// supported returns the minors of Kubernetes on which the pinned Cluster API manages
// itself.
func supported(all []Pin) (minors release.Minors, ok bool) {
	p, err := find(all, clusterAPI)
	if err != nil {
		return minors, false
	}
	v, err := version.NewSemver(p.Version)
	if err != nil {
		return minors, false
	}
	return release.Of(v).Kubernetes, true
}
