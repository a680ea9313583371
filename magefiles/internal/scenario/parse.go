package scenario

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	version "github.com/hashicorp/go-version"
	"k8s.io/apimachinery/pkg/util/validation"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/capi/release"
	"caslab/manifests"
)

// Shipped returns the scenarios that come with the lab, in the order of their names.
func Shipped() ([]*Scenario, error) {
	folder, err := fs.Sub(manifests.FS, "scenarios")
	if err != nil {
		return nil, fmt.Errorf("look for scenarios: %w", err)
	}
	return Load(folder)
}

// Load reads all scenarios of a folder, in the order of their names.
func Load(folder fs.FS) ([]*Scenario, error) {
	files, err := fs.Glob(folder, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("look for scenarios: %w", err)
	}
	var all []*Scenario
	var errs []error
	for _, file := range files {
		data, err := fs.ReadFile(folder, file)
		if err != nil {
			return nil, fmt.Errorf("read the scenario %s: %w", file, err)
		}
		s, err := Parse(file, data)
		errs = append(errs, err)
		all = append(all, s)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return all, nil
}

// Parse reads a scenario. It takes the scenario's name from the file's. An error
// lists everything that is wrong, with the place and what is allowed there.
func Parse(file string, data []byte) (*Scenario, error) {
	s := new(Scenario)
	if err := decode(data, s); err != nil {
		return nil, fmt.Errorf("scenario %s: %w\nwhat a scenario may contain: manifests/scenarios/README.md", file, err)
	}
	s.File, s.Name = file, strings.TrimSuffix(path.Base(file), path.Ext(file))
	c := &checker{
		file: file, scenario: s, groups: map[string]*Group{}, workloads: map[string]*Workload{}, created: map[string]bool{}, rolledOut: map[string]bool{},
	}
	c.check()
	if len(c.errs) > 0 {
		return nil, fmt.Errorf("%w\nwhat a scenario may contain: manifests/scenarios/README.md", errors.Join(c.errs...))
	}
	return s, nil
}

// checker collects what is wrong with a scenario.
type checker struct {
	file     string
	scenario *Scenario
	errs     []error
	// groups and workloads exist at the step that is being checked.
	groups    map[string]*Group
	workloads map[string]*Workload
	pools     []string
	// created are the workloads that the step creates. rolledOut are the groups
	// that are rolled out in this step or an earlier one.
	created, rolledOut map[string]bool
}

func (c *checker) refuse(place, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("scenario %s: %s: %w", c.file, place, fmt.Errorf(format, args...)))
}

// refuseIf adds an error of another package, if it is not nil.
func (c *checker) refuseIf(place string, err error) {
	if err != nil {
		c.refuse(place, "%w", err)
	}
}

// maxName is the maximum length of a name. It leaves room for a prefix, and for
// the number of a similar group.
const maxName = 30

var ownName = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

var tagText = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func (c *checker) name(place, name string) {
	if !ownName.MatchString(name) || len(name) > maxName {
		c.refuse(place, "name %q: want lower case letters, digits and hyphens, first a letter, at most %d", name, maxName)
	}
}

func (c *checker) check() {
	s := c.scenario
	c.name("file name", s.Name)
	if strings.TrimSpace(s.Title) == "" {
		c.refuse("title", "want a few words")
	}
	for i, tag := range s.Tags {
		if !tagText.MatchString(tag) {
			c.refuse(fmt.Sprintf("tags[%d]", i), "%q: want lower case letters, digits and hyphens", tag)
		}
	}
	if s.Autoscaler.Since != "" {
		if _, err := version.NewSemver(s.Autoscaler.Since); err != nil {
			c.refuse("autoscaler.since", "%q: want a release such as 1.26.0", s.Autoscaler.Since)
		}
	}
	c.flags("autoscaler.flags", s.Autoscaler.Flags)
	if s.Autoscaler.Shared && len(s.Autoscaler.Flags) == 0 {
		c.refuse("autoscaler.shared", "it is about the flags of this scenario, and there are none; add autoscaler.flags, or leave it out")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Autoscaler.Environment)) {
		if problems := validation.IsEnvVarName(name); len(problems) > 0 {
			c.refuse("autoscaler.environment", "%q: want the name of a variable, such as CAPI_VERSION: %s", name, strings.Join(problems, "; "))
		}
		c.variables("autoscaler.environment."+name, s.Autoscaler.Environment[name])
	}
	if rbac := s.Autoscaler.RBAC; rbac != "" && rbac != UpstreamRBAC {
		c.refuse("autoscaler.rbac", "%q: want %s, the rights of the example in the autoscaler's tree", rbac, UpstreamRBAC)
	}
	if s.Known != nil {
		if err := release.CheckConstraint(s.Known.Releases); err != nil {
			c.refuse("known.releases", "%q: want releases such as %q", s.Known.Releases, ">= 1.30, < 1.36")
		}
		if _, err := regexp.Compile(s.Known.Failure); err != nil || s.Known.Failure == "" {
			c.refuse("known.failure", "%q: want a regular expression for how it fails, such as %q", s.Known.Failure, "the pod goes: did not come true .* group web: size 0")
		}
		if strings.TrimSpace(s.Known.Why) == "" {
			c.refuse("known.why", "want the reason, and where it can be read")
		}
	}
	if len(s.Groups) == 0 {
		c.refuse("groups", "want at least one")
	}
	for i := range s.Groups {
		c.group(fmt.Sprintf("groups[%d]", i), &s.Groups[i])
	}
	for i, o := range s.Objects {
		c.object(fmt.Sprintf("objects[%d]", i), o)
	}
	if len(s.Steps) == 0 {
		c.refuse("steps", "want at least one")
	}
	for i := range s.Steps {
		c.step(fmt.Sprintf("steps[%d]", i), &s.Steps[i])
	}
	// Workloads and rollouts of the steps do not exist before the first step.
	clear(c.created)
	clear(c.rolledOut)
	for i := range s.Always {
		place := fmt.Sprintf("always[%d]", i)
		c.lasting(place, &s.Always[i])
		if s.Always[i].For != 0 {
			c.refuse(place+".for", "always has no time limit")
		}
		if p := s.Always[i].Pods; p != nil && p.Undisturbed {
			c.refuse(place+".pods.undisturbed", "there are no pods before the first step; put the check into a step's stays")
		}
	}
}

func (c *checker) flags(place string, flags []string) {
	for i, flag := range flags {
		place := fmt.Sprintf("%s[%d]", place, i)
		all, err := autoscaler.ParseFlags(flag)
		c.refuseIf(place, err)
		if err == nil && (len(all) != 1 || strings.ContainsAny(flag, " \t\n'\"\\")) {
			c.refuse(place, "%q: want one flag as --name=value, without spaces, quotes and backslashes", flag)
		}
		c.variables(place, flag)
	}
}

func (c *checker) object(place string, o map[string]any) {
	kind, _ := o["kind"].(string)
	api, _ := o["apiVersion"].(string)
	metadata, _ := o["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	if kind == "" || api == "" || name == "" {
		c.refuse(place, "want a manifest with apiVersion, kind and metadata.name")
	}
	_ = c.substitutes(place, o) // it is refused
}

// variables refuses unknown variables in text.
func (c *checker) variables(place, text string) {
	_, err := Variables{}.Expand(text)
	c.refuseIf(place, err)
}

func (c *checker) step(place string, s *Step) {
	if strings.TrimSpace(s.Say) == "" {
		c.refuse(place+".say", "want the step in words")
	}
	if len(s.Do)+len(s.Expect)+len(s.Stays) == 0 {
		c.refuse(place, "want at least one of do, expect, stays")
	}
	clear(c.created)
	for i := range s.Do {
		c.action(fmt.Sprintf("%s.do[%d]", place, i), &s.Do[i])
	}
	for i := range s.Expect {
		at, check := fmt.Sprintf("%s.expect[%d]", place, i), &s.Expect[i]
		c.one(at, check, true)
		if check.Within <= 0 {
			c.refuse(at+".within", "want how long it may take, such as 2m")
		}
		if check.For != 0 {
			c.refuse(at+".for", "only stays have for; an expectation has within")
		}
	}
	for i := range s.Stays {
		at, check := fmt.Sprintf("%s.stays[%d]", place, i), &s.Stays[i]
		c.lasting(at, check)
		if check.For == 0 && len(s.Expect) == 0 {
			c.refuse(at+".for", "want how long, such as 45s; it can be left out only in a step with expectations, and this step has none")
		}
	}
}

// maxStay is the maximum of For. It catches typing errors.
const maxStay = Duration(time.Hour)

// lasting checks what has to hold for some time.
func (c *checker) lasting(place string, check *Check) {
	c.one(place, check, false)
	if check.Within != 0 {
		c.refuse(place+".within", "only expectations have within")
	}
	if check.For > maxStay {
		c.refuse(place+".for", "%s: want at most %s", time.Duration(check.For), time.Duration(maxStay))
	}
}

// oneOf refuses unless exactly one of the keys is set.
func (c *checker) oneOf(place string, set map[string]bool) {
	var there []string
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if set[key] {
			there = append(there, key)
		}
	}
	if len(there) != 1 {
		c.refuse(place, "has %s; want exactly one of %s", orNone(there), strings.Join(slices.Sorted(maps.Keys(set)), ", "))
	}
}

func orNone(there []string) string {
	if len(there) == 0 {
		return "none"
	}
	return strings.Join(there, " and ")
}
