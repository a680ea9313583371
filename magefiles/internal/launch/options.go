package launch

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Option is an option of a target.
type Option struct {
	// Name has no dash. Value is the placeholder for the value, or empty if the
	// option is written without a value.
	Name, Value string
	// Type is bool, int, time.Duration or string.
	Type string
}

// form is how the option is typed.
func (o Option) form() string {
	if o.Value == "" {
		return "-" + o.Name
	}
	return "-" + o.Name + "=" + o.Value
}

// Options has the options of every target that is a verb of the lab's command, sorted by
// name. A test compares it with the verbs.
var Options = map[string][]Option{
	"autoscaler:build":    {{"debug", "", "bool"}},
	"autoscaler:debug":    {{"flags", "FLAGS", "string"}, {"listen", "HOST:PORT", "string"}, {"terminal", "", "bool"}, {"wait", "", "bool"}},
	"autoscaler:deploy":   {{"flags", "FLAGS", "string"}, {"image", "REF", "string"}},
	"autoscaler:flags":    {{"flags", "FLAGS", "string"}},
	"autoscaler:ide":      {{"listen", "HOST:PORT", "string"}},
	"autoscaler:run":      {{"all", "", "bool"}, {"flags", "FLAGS", "string"}},
	"autoscaler:status":   nil,
	"autoscaler:undeploy": nil,
	"bench:autoscaler":    {{"flags", "FLAGS", "string"}, {"groups", "N", "int"}, {"nodes", "N", "int"}, {"out", "FOLDER", "string"}, {"pods", "N", "int"}, {"quiet", "DURATION", "time.Duration"}, {"rounds", "N", "int"}, {"trees", "AUTOSCALERS", "string"}},
	"bench:hand":          nil,
	"bench:run":           {{"alone", "", "bool"}, {"pairs", "N", "int"}},
	"cluster:describe":    nil,
	"cluster:management":  nil,
	"cluster:pivot":       nil,
	"cluster:workload":    nil,
	"config:matrix":       {{"all", "", "bool"}},
	"config:show":         nil,
	"env:doctor":          nil,
	"env:down":            nil,
	"env:kubeconfig":      nil,
	"env:start":           nil,
	"env:status":          nil,
	"env:stop":            nil,
	"env:up":              nil,
	"faults:list":         nil,
	"faults:run":          {{"down", "", "bool"}, {"engine", "", "bool"}, {"nodes", "NUMBERS", "string"}, {"only", "FAULTS", "string"}, {"out", "FOLDER", "string"}, {"seed", "SEED", "int"}},
	"hollow:remove":       nil,
	"hollow:run":          nil,
	"image:build":         nil,
	"image:load":          nil,
	"image:node":          nil,
	"matrix:run":          {{"out", "FOLDER", "string"}, {"rows", "ROWS", "string"}},
	"nodegroup:add":       {{"arch", "ARCH", "string"}, {"capacity", "CAPACITY", "string"}, {"csi", "DRIVERS", "string"}, {"dra", "DRIVERS", "string"}, {"fail", "SHARE", "string"}, {"from", "NAME", "string"}, {"instance", "TYPE", "string"}, {"labels", "LABELS", "string"}, {"late", "TIME", "string"}, {"machines", "KIND", "string"}, {"never", "SHARE", "string"}, {"own", "", "bool"}, {"podfail", "SHARE", "string"}, {"podstart", "TIME", "string"}, {"ready", "TIME", "string"}, {"seed", "NUMBER", "string"}, {"start", "TIME", "string"}, {"stop", "TIME", "string"}, {"taints", "TAINTS", "string"}, {"untaint", "TAINTS", "string"}, {"zone", "ZONE", "string"}, {"zones", "ZONES", "string"}},
	"nodegroup:delete":    nil,
	"nodegroup:list":      nil,
	"nodegroup:set":       {{"arch", "ARCH", "string"}, {"capacity", "CAPACITY", "string"}, {"csi", "DRIVERS", "string"}, {"dra", "DRIVERS", "string"}, {"fail", "SHARE", "string"}, {"instance", "TYPE", "string"}, {"labels", "LABELS", "string"}, {"late", "TIME", "string"}, {"never", "SHARE", "string"}, {"podfail", "SHARE", "string"}, {"podstart", "TIME", "string"}, {"ready", "TIME", "string"}, {"seed", "NUMBER", "string"}, {"start", "TIME", "string"}, {"stop", "TIME", "string"}, {"taints", "TAINTS", "string"}, {"untaint", "TAINTS", "string"}, {"zone", "ZONE", "string"}},
	"pins:bump":           nil,
	"pins:check":          nil,
	"scenario:bisect":     {{"again", "", "bool"}, {"autoscaler", "WHERE", "string"}, {"flags", "FLAGS", "string"}, {"machines", "KIND", "string"}, {"of", "REPOSITORY", "string"}, {"out", "FOLDER", "string"}, {"repeat", "N", "int"}},
	"scenario:compare":    {{"autoscaler", "WHERE", "string"}, {"flags", "FLAGS", "string"}, {"machines", "KIND", "string"}, {"out", "FOLDER", "string"}, {"parallel", "N", "int"}, {"scenarios", "NAMES", "string"}, {"tags", "TAGS", "string"}},
	"scenario:list":       {{"tags", "TAGS", "string"}},
	"scenario:run":        {{"autoscaler", "WHERE", "string"}, {"flags", "FLAGS", "string"}, {"machines", "KIND", "string"}, {"out", "FOLDER", "string"}, {"parallel", "N", "int"}, {"repeat", "N", "int"}, {"tags", "TAGS", "string"}},
	"source:fetch":        {{"component", "COMPONENT", "string"}},
	"timeline:explain":    {{"record", "FILE", "string"}},
	"timeline:export":     {{"out", "FILE", "string"}, {"record", "FILE", "string"}, {"since", "DURATION", "time.Duration"}},
	"timeline:import":     {{"complete", "", "bool"}, {"out", "FILE", "string"}},
	"timeline:report":     {{"out", "FILE", "string"}, {"record", "FILE", "string"}, {"since", "DURATION", "time.Duration"}},
	"timeline:serve":      {{"port", "PORT", "int"}, {"since", "DURATION", "time.Duration"}},
	"timeline:snapshot":   {{"out", "FILE", "string"}, {"within", "DURATION", "time.Duration"}},
	"timeline:watch":      nil,
	"workload:add":        {{"claims", "CLASSES", "string"}, {"devices", "DEVICES", "string"}, {"image", "REF", "string"}, {"memory", "MEMORY", "string"}, {"name", "NAME", "string"}, {"pods", "N", "int"}, {"selector", "LABELS", "string"}, {"tolerations", "KEYS", "string"}},
	"workload:delete":     {{"name", "NAME", "string"}},
	"workload:scale":      {{"name", "NAME", "string"}},
}

// checks are the targets that do not start the lab's command. They have no
// arguments and options.
var checks = []string{"lint", "test", "testunit"}

// CheckTarget refuses a target that does not exist, and options that it does not
// have or that have a wrong value. Mage refuses them too, but does not say what
// is allowed. words are mage's arguments.
func CheckTarget(words []string) error {
	if len(words) > 1 && words[0] == "-h" {
		return checkName(words[1])
	}
	if len(words) == 0 || strings.HasPrefix(words[0], "-") {
		return nil
	}
	if err := checkName(words[0]); err != nil {
		return err
	}
	verb, _ := Verb(words[0])
	options, ok := Options[verb]
	if !ok {
		return nil
	}
	for n, w := range words[1:] {
		if n < required(verb) {
			continue
		}
		if !strings.HasPrefix(w, "-") {
			break // CheckAlone refuses it
		}
		if len(options) == 0 && required(verb) == 0 {
			break // CheckAlone refuses it, and says where settings are
		}
		if err := checkOption(options, w); err != nil {
			return fmt.Errorf("%s: %w\nFor its arguments and options, type: go tool mage -h %s", verb, err, verb)
		}
	}
	return nil
}

// checkName refuses a word that is not a target, and names similar targets.
func checkName(word string) error {
	verb, _ := Verb(word)
	if _, ok := Options[verb]; ok || slices.Contains(checks, verb) {
		return nil
	}
	namespace, method, both := strings.Cut(verb, ":")
	var near []string
	for name := range Options {
		n, m, _ := strings.Cut(name, ":")
		if n == namespace || m != "" && (m == method || !both && m == namespace || strings.HasPrefix(n, namespace)) {
			near = append(near, name)
		}
	}
	if len(near) == 0 {
		return fmt.Errorf("there is no target %q; to see all, type: go tool mage -l", word)
	}
	slices.Sort(near)
	return fmt.Errorf("there is no target %q; did you mean %s?\nTo see all, type: go tool mage -l", word, strings.Join(near, ", "))
}

// checkOption refuses word if it is not one of the options with a value of its type.
func checkOption(options []Option, word string) error {
	name, value, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
	i := slices.IndexFunc(options, func(o Option) bool { return strings.EqualFold(o.Name, name) })
	if i < 0 {
		if len(options) == 0 {
			return fmt.Errorf("there is no option -%s; the target has none", name)
		}
		forms := make([]string, len(options))
		for i, o := range options {
			forms[i] = o.form()
		}
		return fmt.Errorf("there is no option -%s; want one of %s", name, strings.Join(forms, ", "))
	}
	o := options[i]
	if !hasValue {
		if o.Type == "bool" {
			return nil
		}
		return fmt.Errorf("-%s has no value; want %s, without a space", name, o.form())
	}
	if err := checkValue(o.Type, value); err != nil {
		return fmt.Errorf("-%s=%s: %w", name, value, err)
	}
	return nil
}

func checkValue(kind, value string) error {
	var err error
	switch kind {
	case "bool":
		if _, err = strconv.ParseBool(value); err != nil {
			return errors.New("want true or false")
		}
	case "int":
		if _, err = strconv.Atoi(value); err != nil {
			return errors.New("want a whole number")
		}
	case "time.Duration":
		if _, err = time.ParseDuration(value); err != nil {
			return errors.New("want a duration, such as 15m or 1h30m")
		}
	}
	return nil
}

// required returns how many required arguments a target has.
func required(verb string) int {
	if i := slices.IndexFunc(Arguments, func(r Required) bool { return r.Target == verb }); i >= 0 {
		return len(Arguments[i].Args)
	}
	return 0
}
