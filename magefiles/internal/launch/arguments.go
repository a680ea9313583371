package launch

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Required are the required arguments of a target.
type Required struct {
	Target string
	// Args are the names of the arguments, in capitals.
	Args []string
	// Numbers are those of Args that are whole numbers.
	Numbers []string
	// Example is a command line that mage takes.
	Example string
}

// Arguments are the targets that have required arguments. A test compares them with the
// verbs of the lab's command: the targets cannot ask the command before it is compiled.
var Arguments = []Required{
	{Target: "autoscaler:ide", Args: []string{"EDITOR"}, Example: "go tool mage autoscaler:ide vscode >.vscode/launch.json"},
	{Target: "nodegroup:add", Args: []string{"NAME", "MIN", "MAX"}, Numbers: []string{"MIN", "MAX"},
		Example: "go tool mage nodegroup:add gpu 0 2 -labels=tier=gpu -taints=dedicated=gpu:NoSchedule"},
	{Target: "nodegroup:delete", Args: []string{"NAME"}, Example: "go tool mage nodegroup:delete gpu"},
	{Target: "nodegroup:set", Args: []string{"NAME", "MIN", "MAX"}, Numbers: []string{"MIN", "MAX"},
		Example: "go tool mage nodegroup:set work-cluster-md-0 1 3"},
	{Target: "pins:bump", Args: []string{"PIN", "VERSION"}, Example: "go tool mage pins:bump kubernetes newest"},
	{Target: "scenario:bisect", Args: []string{"GOOD", "BAD", "NAME"}, Example: "go tool mage scenario:bisect 1.35.2 1.36.1 restart-in-the-middle -out=results"},
	{Target: "scenario:compare", Args: []string{"A", "B"}, Example: "go tool mage scenario:compare 1.35.2 ../autoscaler -scenarios=scale-up,scale-down"},
	{Target: "scenario:run", Args: []string{"NAMES"}, Example: "go tool mage scenario:run scale-up,./mine.yaml -out=results"},
	{Target: "timeline:explain", Args: []string{"WHAT"}, Example: "go tool mage timeline:explain pod/sc-shop-7d9f8-x2x8z"},
	{Target: "timeline:import", Args: []string{"DIR"}, Example: "go tool mage timeline:import ~/Downloads/must-gather.tar.gz"},
	{Target: "workload:scale", Args: []string{"PODS"}, Numbers: []string{"PODS"}, Example: "go tool mage workload:scale 2"},
}

// Aliases are the short names of targets.
var Aliases = map[string]string{"up": "env:up", "down": "env:down", "status": "env:status", "bench": "bench:run"}

// namespaced matches the names of targets with a namespace, and no argument of a
// target.
var namespaced = regexp.MustCompile(`^[a-z]+:[a-z]+$`)

// Verb returns the verb of a target that the lab's command runs.
func Verb(word string) (verb string, ok bool) {
	word = strings.ToLower(word)
	if full := Aliases[word]; full != "" {
		return full, true
	}
	return word, namespaced.MatchString(word)
}

// CheckAlone refuses a target after verb: it would not run, because the lab's command
// replaces mage. For a target without options and arguments it also refuses those, which
// mage reads as the next target or ignores. words are the arguments of mage.
func CheckAlone(verb string, words []string, takes bool) error {
	if last := lastTarget(words); last != "" && last != verb {
		return fmt.Errorf("%s becomes the lab's command, so %s would not run after it; type one target at a time: go tool mage %s && go tool mage %s", verb, last, verb, last)
	}
	if takes {
		return checkRest(verb, words)
	}
	for _, w := range words {
		if strings.HasPrefix(w, "-") {
			return fmt.Errorf("%s has no option %s; settings are variables and caslab.yaml: go tool mage config:show", verb, w)
		}
	}
	if last := words[len(words)-1]; lastTarget([]string{last}) != verb {
		return fmt.Errorf("%s takes no argument, and a target %s would not run after it; type one target at a time", verb, last)
	}
	return nil
}

// checkRest refuses a word after the required arguments of verb that is no option: mage
// reads it as the next target.
func checkRest(verb string, words []string) error {
	begin := slices.IndexFunc(words, func(w string) bool { v, ok := Verb(w); return ok && v == verb })
	for n, w := range words[begin+1:] {
		if n >= required(verb) && !strings.HasPrefix(w, "-") {
			return fmt.Errorf("%s has no use for %q, and as a target it would not run after it; options are written -name=value: go tool mage -h %s", verb, w, verb)
		}
	}
	return nil
}

// lastTarget returns the verb of the last word that is a target with a namespace; empty if
// there is none. Short names of targets count only if the first word is one, because a
// scenario or a workload may have the same name.
func lastTarget(words []string) string {
	for _, w := range slices.Backward(words) {
		verb, ok := Verb(w)
		if ok && (Aliases[strings.ToLower(w)] == "" || Aliases[strings.ToLower(words[0])] != "") {
			return verb
		}
	}
	return ""
}

// CheckArguments refuses the arguments that mage would refuse too, and, unlike mage, says
// what to type. words are a target and what follows it.
func CheckArguments(words []string) error {
	if len(words) == 0 {
		return nil
	}
	i := slices.IndexFunc(Arguments, func(r Required) bool { return strings.EqualFold(r.Target, words[0]) })
	if i < 0 {
		return nil
	}
	want, got := Arguments[i], words[1:]
	refuse := func(format string, a ...any) error {
		return fmt.Errorf("%s %s: %s\nFor example: %s\nFor its arguments and options, type: go tool mage -h %s", want.Target, strings.Join(want.Args, " "), fmt.Sprintf(format, a...), want.Example, want.Target)
	}
	for n, name := range want.Args {
		if n == len(got) {
			return refuse("missing %s", strings.Join(want.Args[n:], " "))
		}
		if got[n] == "" {
			return refuse("%s is empty", name)
		}
		if _, err := strconv.Atoi(got[n]); err != nil {
			if strings.HasPrefix(got[n], "-") {
				return refuse("%s is missing, or it comes after the option %s; options come after all arguments", name, got[n])
			}
			if slices.Contains(want.Numbers, name) {
				return refuse("%s is %q, want a whole number", name, got[n])
			}
		}
	}
	return nil
}

// OneDash returns words with options that have two dashes, as many programs want them,
// written with the one dash that mage knows. The first word is the target.
func OneDash(words []string) []string {
	words = slices.Clone(words)
	for i, w := range words {
		if i > 0 && len(w) > 2 && strings.HasPrefix(w, "--") {
			words[i] = w[1:]
		}
	}
	return words
}

// WantsHelp reports whether the words after a target ask for its usage.
func WantsHelp(words []string) bool {
	return len(words) > 1 && !strings.HasPrefix(words[0], "-") && slices.ContainsFunc(words[1:], func(w string) bool {
		return slices.Contains([]string{"-h", "-help", "--help"}, w)
	})
}

// HelpVerb returns the verb whose usage is printed if -h follows a target. It returns an
// error for a target that does not exist or that the lab's command does not run.
func HelpVerb(target string) (verb string, err error) {
	if err := checkName(target); err != nil {
		return "", err
	}
	verb, ok := Verb(target)
	if !ok {
		return "", fmt.Errorf("%s: want -h before the target; type: go tool mage -h %[1]s", target)
	}
	return verb, nil
}
