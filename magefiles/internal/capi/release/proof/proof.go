// Package proof has the record of which releases were tried together, and when.
package proof

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	version "github.com/hashicorp/go-version"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/capi/release"
)

// Record says what was tried with a combination of releases, and when. A date
// has the form 2026-11-26, or is empty if that was not tried.
type Record struct {
	// ClusterAPI, Kubernetes and Autoscaler are releases with a leading v.
	ClusterAPI string `json:"clusterAPI"`
	Kubernetes string `json:"kubernetes"`
	Autoscaler string `json:"autoscaler"`
	// Built is when the programs and the node image were compiled, Generated when the
	// release's own CRDs accepted what the lab writes, and Ran when an environment came
	// up, managed itself and was scaled.
	Built     string `json:"built,omitempty"`
	Generated string `json:"generated,omitempty"`
	Ran       string `json:"ran,omitempty"`
	// Seconds is how long each part took, on 2 cores.
	Seconds Seconds `json:"seconds,omitzero"`
	// Failed is the reason why the trial did not succeed, or empty.
	Failed string `json:"failed,omitempty"`
}

// Seconds of the parts of a Record. A part that was not measured is zero.
type Seconds struct {
	Build     int `json:"build,omitempty"`
	Up        int `json:"up,omitempty"`
	ScaleUp   int `json:"scaleUp,omitempty"`
	ScaleDown int `json:"scaleDown,omitempty"`
}

// String returns the parts that were measured, such as "build 192, up 99".
func (s Seconds) String() string {
	var parts []string
	for _, p := range s.parts() {
		if p.seconds > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", p.name, p.seconds))
		}
	}
	return strings.Join(parts, ", ")
}

// part is one measured part of a trial. name is for readers, and key is its key in the
// file.
type part struct {
	name, key string
	seconds   int
}

func (s Seconds) parts() []part {
	return []part{{"build", "build", s.Build}, {"up", "up", s.Up}, {"scale-up", "scaleUp", s.ScaleUp}, {"scale-down", "scaleDown", s.ScaleDown}}
}

//go:embed proof.yaml
var records []byte

// All returns the records in proof.yaml, which is beside this file.
func All() ([]Record, error) { return Read(records) }

// Read returns the records in the text of a file such as proof.yaml.
func Read(data []byte) ([]Record, error) {
	var all []Record
	if err := yaml.UnmarshalStrict(data, &all); err != nil {
		return nil, fmt.Errorf("read the record of what ran: %w", err)
	}
	var errs []error
	for _, r := range all {
		if err := r.check(); err != nil {
			errs = append(errs, fmt.Errorf("the record of Cluster API %s on Kubernetes %s: %w", r.ClusterAPI, r.Kubernetes, err))
		}
	}
	return all, errors.Join(errs...)
}

func (r Record) check() error {
	for _, tag := range []string{r.ClusterAPI, r.Kubernetes, r.Autoscaler} {
		number, tagged := strings.CutPrefix(tag, "v")
		if _, err := version.NewSemver(number); err != nil || !tagged {
			return fmt.Errorf("%q: want a release such as v1.14.2", tag)
		}
	}
	for _, date := range []string{r.Built, r.Generated, r.Ran} {
		if _, err := time.Parse(time.DateOnly, date); date != "" && err != nil {
			return fmt.Errorf("%q: want a date such as 2026-11-26", date)
		}
	}
	switch {
	case r.Ran != "" && (r.Built == "" || r.Generated == ""):
		return errors.New("what ran was also built and generated: want these dates too")
	case r.Ran != "" && r.Failed != "":
		return errors.New("it ran, and it failed: want one of the two")
	}
	return nil
}

// Of reports whether the record is about the series of that release of Cluster API.
func (r Record) Of(series release.Release) bool {
	v, err := version.NewSemver(r.ClusterAPI)
	return err == nil && release.Of(v).Series() == series.Series()
}

// Done merges the records of a series. Each date is the latest one.
func Done(all []Record, series release.Release) Record {
	var done Record
	for _, r := range all {
		if r.Of(series) {
			done.Built, done.Generated, done.Ran = max(done.Built, r.Built), max(done.Generated, r.Generated), max(done.Ran, r.Ran)
		}
	}
	return done
}
