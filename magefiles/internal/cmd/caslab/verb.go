package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// verb is one thing that the command does, on behalf of the mage target of the
// same name.
type verb struct {
	usage
	// define declares the options and returns the pointer to their values.
	define func(*flag.FlagSet) any
	// run parses options and arguments, in this order, and does the work.
	run func(ctx context.Context, s *session, args []string) error
}

// usage documents a verb. The mage target has the same texts; a test compares
// them.
type usage struct {
	name string
	// summary is one sentence about what the verb does, which begins with a verb.
	summary string
	// details are the sentences after the first, if there are any.
	details string
	args    []argument
	// example is a whole command line; the target alone if empty.
	example string
}

// argument is a required argument, which has no default.
type argument struct {
	name, meaning string
}

// verbs are all verbs, sorted by name.
var verbs = sorted(envVerbs, clusterVerbs, autoscalerVerbs, nodegroupVerbs, workloadVerbs, scenarioVerbs,
	timelineVerbs, sourceVerbs, imageVerbs, configVerbs, matrixVerbs, faultVerbs, pinVerbs, benchVerbs, hollowVerbs)

func sorted(namespaces ...[]verb) []verb {
	all := slices.Concat(namespaces...)
	slices.SortFunc(all, func(a, b verb) int { return strings.Compare(a.name, b.name) })
	return all
}

// findVerb returns the verb of that name.
func findVerb(name string) (verb, error) {
	i := slices.IndexFunc(verbs, func(v verb) bool { return v.name == name })
	if i >= 0 {
		return verbs[i], nil
	}
	names := make([]string, len(verbs))
	for i, v := range verbs {
		names[i] = v.name
	}
	if name == "" {
		return verb{}, fmt.Errorf("want one of: %s", strings.Join(names, ", "))
	}
	return verb{}, fmt.Errorf("%q: want one of: %s", name, strings.Join(names, ", "))
}

// simpleVerb returns a verb without options and arguments.
func simpleVerb(u usage, do func(ctx context.Context, s *session) error) verb {
	return verbWithOptions(u, noOptions, func(ctx context.Context, s *session, _ struct{}, _ []string) error { return do(ctx, s) })
}

func noOptions(*flag.FlagSet, *struct{}) {}

// verbWithOptions returns a verb that has the options that define declares, and the
// arguments of u.
func verbWithOptions[O any](u usage, define func(*flag.FlagSet, *O), do func(ctx context.Context, s *session, options O, args []string) error) verb {
	return verb{
		usage: u,
		define: func(fs *flag.FlagSet) any {
			o := new(O)
			define(fs, o)
			return o
		},
		run: func(ctx context.Context, s *session, args []string) error {
			var o O
			fs := flag.NewFlagSet(u.name, flag.ContinueOnError)
			fs.SetOutput(io.Discard) // the error is printed once, at the top
			define(fs, &o)
			if err := fs.Parse(args); err != nil {
				return usageError{u, err}
			}
			if fs.NArg() != len(u.args) {
				return usageError{u, fmt.Errorf("want %s, got %q", u.arguments(), fs.Args())}
			}
			return do(ctx, s, o, fs.Args())
		},
	}
}

// usageError is a command line that the verb cannot run.
type usageError struct {
	usage
	err error
}

func (m usageError) Error() string {
	return fmt.Sprintf("%s: %v; for example: %s", m.name, m.err, m.commandLine())
}

func (m usageError) Unwrap() error { return m.err }

// wantsHelp reports whether args ask what the verb does.
func wantsHelp(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		return slices.Contains([]string{"-h", "--h", "-help", "--help"}, a)
	})
}

// help writes what the verb does, its arguments, its options with their
// defaults, and an example.
func (v verb) help(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "%s\n", v.summary)
	if v.details != "" {
		fmt.Fprintf(w, "%s\n", v.details)
	}
	fmt.Fprintf(w, "\nUsage:\n  go tool mage %s", v.name)
	if len(v.args) > 0 {
		fmt.Fprintf(w, " %s", v.arguments())
	}
	options := v.options()
	if len(options) > 0 {
		fmt.Fprint(w, " [options]")
	}
	fmt.Fprintln(w)
	if len(v.args) > 0 {
		fmt.Fprintln(w, "\nArguments:")
		for _, a := range v.args {
			fmt.Fprintf(w, "  %s\t%s\n", a.name, a.meaning)
		}
	}
	if len(options) > 0 {
		fmt.Fprintln(w, "\nOptions:")
		for _, o := range options {
			fmt.Fprintf(w, "  %s\t%s\n", o.form(), o.meaning)
		}
	}
	fmt.Fprintf(w, "\nExample:\n  %s\n", v.commandLine())
	return w.Flush()
}

// arguments are the names of the arguments, as they are typed.
func (u usage) arguments() string {
	if len(u.args) == 0 {
		return "no arguments"
	}
	names := make([]string, len(u.args))
	for i, a := range u.args {
		names[i] = a.name
	}
	return strings.Join(names, " ")
}

// commandLine is an example of what to type.
func (u usage) commandLine() string {
	if u.example != "" {
		return u.example
	}
	return "go tool mage " + u.name
}

// option is an option of a verb, for people.
type option struct {
	name string
	// value is the placeholder of the value, such as NAME; empty for a boolean.
	value string
	// kind is the type of the value as mage calls it.
	kind string
	// meaning is one phrase, with the default if there is one.
	meaning string
}

// form is how the option is typed.
func (o option) form() string {
	if o.value == "" {
		return "-" + o.name
	}
	return "-" + o.name + "=" + o.value
}

// options returns the options of the verb, sorted by name.
func (v verb) options() []option {
	fs := flag.NewFlagSet(v.name, flag.ContinueOnError)
	v.define(fs)
	var all []option
	fs.VisitAll(func(f *flag.Flag) {
		value, meaning := flag.UnquoteUsage(f)
		if !slices.Contains([]string{"", "0", "0s", "false"}, f.DefValue) {
			meaning += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		all = append(all, option{name: f.Name, value: value, kind: kindOf(f), meaning: meaning})
	})
	return all
}

func kindOf(f *flag.Flag) string {
	value, _ := f.Value.(flag.Getter)
	switch value.Get().(type) {
	case bool:
		return "bool"
	case int:
		return "int"
	case time.Duration:
		return "time.Duration"
	}
	return "string"
}

// parseNumber returns the argument of that name as a whole number.
func parseNumber(name, text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %q: want a whole number", name, text)
	}
	return n, nil
}

// parseLimits returns MIN and MAX, the last two arguments of a node group's verbs.
func parseLimits(args []string) (lowest, highest int, err error) {
	lowest, lerr := parseNumber("MIN", args[0])
	highest, herr := parseNumber("MAX", args[1])
	return lowest, highest, errors.Join(lerr, herr)
}
