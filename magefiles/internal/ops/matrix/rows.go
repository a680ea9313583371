package matrix

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/capi/release/proof"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/list"
	"caslab/magefiles/internal/ops/autoscalers"
	"caslab/magefiles/internal/state"
)

// row is a combination of releases.
type row struct {
	clusterAPI, kubernetes, autoscaler *version.Version
	// before is what was recorded of the combination so far.
	before proof.Record
}

// String returns the row as the option -rows takes it, such as v1.10.10+v1.33.4+v1.33.6.
func (r row) String() string {
	return strings.Join([]string{config.Tag(r.clusterAPI), config.Tag(r.kubernetes), config.Tag(r.autoscaler)}, "+")
}

// environment returns the name of the environment in which the row is tried. It is short
// enough for names of containers, and differs between rows.
func (r row) environment() string {
	return "row-" + strings.ReplaceAll(r.clusterAPI.String(), ".", "-") + "-" + state.ShortSum(r.String())
}

// scaling returns how the row's autoscaler scales a group up and down.
func (r row) scaling() scaling {
	if release.OfAutoscaler(r.autoscaler).KnowsEmptyGroups {
		return fromZero
	}
	return fromOne
}

// apply changes settings into those of the row. It drops checkouts, commits, flags and
// other clusters, because a row is about releases.
func (r row) apply(c *config.Config) {
	c.ClusterName, c.Workers, c.CertManager = r.environment(), 1, false
	c.Kubernetes = r.kubernetes
	c.ClusterAPI, c.Autoscaler = ofRelease(c.ClusterAPI, r.clusterAPI), ofRelease(c.Autoscaler, r.autoscaler)
	c.AutoscalerCoreDir, c.AutoscalerFlags = "", ""
	c.WorkloadKubeconfig, c.ManagementKubeconfig, c.Namespace = "", "", "default"
}

// ofRelease returns a component's settings with the source of a release.
func ofRelease(s config.Source, v *version.Version) config.Source {
	s.Version, s.Commit, s.Dir = v, "", ""
	if s.Origin == config.OriginDir {
		s.Origin = config.OriginAuto
	}
	return s
}

// rows returns the rows of the matrix, the newest first: the records, and the default
// versions of each series whose last release has no record.
func rows(proofs []proof.Record) ([]row, error) {
	all := slices.Clone(proofs)
	for _, r := range release.All() {
		tag := config.Tag(r.Version)
		if !slices.ContainsFunc(proofs, func(p proof.Record) bool { return p.ClusterAPI == tag }) {
			all = append(all, proof.Record{ClusterAPI: tag, Kubernetes: r.DefaultKubernetes, Autoscaler: "v" + r.DefaultAutoscaler})
		}
	}
	proof.Sort(all)
	rows := make([]row, len(all))
	for i, p := range all {
		r, err := parseRow(strings.Join([]string{p.ClusterAPI, p.Kubernetes, p.Autoscaler}, "+"))
		if err != nil {
			return nil, err
		}
		rows[i], rows[i].before = r, p
	}
	return rows, nil
}

// parseRow reads what String writes.
func parseRow(text string) (r row, err error) {
	parts := strings.Split(text, "+")
	if len(parts) != 3 {
		return r, fmt.Errorf("%q: want releases of Cluster API, Kubernetes and the autoscaler, such as %s", text, example)
	}
	for i, field := range []**version.Version{&r.clusterAPI, &r.kubernetes, &r.autoscaler} {
		if *field, err = parseRelease(parts[i]); err != nil {
			return r, fmt.Errorf("%q: %w", text, err)
		}
	}
	r.before = proof.Record{ClusterAPI: config.Tag(r.clusterAPI), Kubernetes: config.Tag(r.kubernetes), Autoscaler: config.Tag(r.autoscaler)}
	return r, nil
}

// example is a row in errors and in the help.
const example = "v1.10.10+v1.33.4+v1.33.6"

func parseRelease(text string) (*version.Version, error) {
	v, err := version.NewSemver(strings.TrimPrefix(text, "v"))
	if err != nil || strings.Count(text, ".") < 2 {
		return nil, fmt.Errorf("%q is no release; want one such as v1.10.10", text)
	}
	return v, nil
}

// choose returns the rows that names lists, separated by commas: releases of Cluster API
// that the matrix has, and whole rows, which may be new. If names is empty, it returns
// the rows that never ran.
func choose(all []row, names string) ([]row, error) {
	if strings.TrimSpace(names) == "" {
		return neverRan(all), nil
	}
	var chosen []row
	var errs []error
	listed, err := list.Split(names)
	if err != nil {
		return nil, fmt.Errorf("-rows: %w", err)
	}
	for _, name := range listed {
		named, err := find(all, name)
		if err != nil {
			errs = append(errs, err)
		}
		for _, r := range named {
			if slices.ContainsFunc(chosen, func(other row) bool { return other.String() == r.String() }) {
				errs = append(errs, fmt.Errorf("%s is named twice", r))
			}
			chosen = append(chosen, r)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("-rows: %w", err)
	}
	return chosen, nil
}

// neverRan returns the rows that did not run yet. The default versions of a series do not
// count if another release of it ran.
func neverRan(all []row) []row {
	var proofs []proof.Record
	for _, r := range all {
		proofs = append(proofs, r.before)
	}
	return slices.DeleteFunc(slices.Clone(all), func(r row) bool {
		untried := r.before.Built == "" && r.before.Generated == "" && r.before.Failed == ""
		return r.before.Ran != "" || untried && proof.Done(proofs, release.Of(r.clusterAPI)).Ran != ""
	})
}

// find returns the rows of a release of Cluster API, or a whole row.
func find(all []row, name string) ([]row, error) {
	if strings.Contains(name, "+") {
		r, err := parseRow(name)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(all, func(other row) bool { return other.String() == r.String() }); i >= 0 {
			r = all[i]
		}
		return []row{r}, nil
	}
	v, err := parseRelease(name)
	if err != nil {
		return nil, err
	}
	named := slices.DeleteFunc(slices.Clone(all), func(r row) bool { return !r.clusterAPI.Equal(v) })
	if len(named) == 0 {
		near, _ := release.Of(v).Nearest(func(release.Release) bool { return true })
		return nil, fmt.Errorf("the matrix has no row of Cluster API v%s; the nearest is v%s. A new row names all three releases: v%[1]s+%[3]s+v%[4]s", v, near.Version, near.DefaultKubernetes, near.DefaultAutoscaler)
	}
	return named, nil
}

// check refuses a row that cannot run with the settings c, which are the row's.
func (r row) check(c *config.Config) error {
	facts := release.Of(r.clusterAPI)
	if !facts.Supported {
		near, _ := facts.Nearest(func(release.Release) bool { return true })
		return fmt.Errorf("%s: the lab knows Cluster API from v%s on; the nearest row is that of v%s", r,
			release.First(func(f release.Release) bool { return f.Supported }), near.Version)
	}
	if err := autoscalers.CheckRelease(r.autoscaler); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	if facts.With(r.kubernetes) == release.OutsideTable && !c.Force {
		near := r
		near.kubernetes = version.Must(version.NewSemver(strings.TrimPrefix(facts.NearestKubernetes(r.kubernetes), "v")))
		return fmt.Errorf("%s: Cluster API v%s manages itself on Kubernetes %s; the nearest row is %s, and FORCE=true tries this one nevertheless", r, r.clusterAPI, facts.Kubernetes, near)
	}
	if err := c.CheckEnvironment(); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	return nil
}
