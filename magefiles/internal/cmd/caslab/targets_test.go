package main

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/magefile/mage/parse"

	"caslab/magefiles/internal/launch"
)

// magefiles is the folder of the mage targets.
const magefiles = "../../.."

// checks are the targets that do not start the lab's command.
var checks = []string{"lint", "test", "testUnit"}

// sources returns the files of the mage targets, relative to magefiles.
func sources(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(magefiles, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		files[i] = filepath.Base(f)
	}
	return slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
}

// targets returns the targets that mage finds, by name. Mage ignores a method
// whose signature it does not support.
func targets(t *testing.T) map[string]*parse.Function {
	t.Helper()
	info, err := parse.PrimaryPackage("go", magefiles, sources(t), false)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*parse.Function{}
	for _, f := range info.Funcs {
		byName[strings.ToLower(f.TargetName())] = f
	}
	for _, name := range checks {
		if byName[strings.ToLower(name)] == nil {
			t.Errorf("there is no target %s", name)
		}
		delete(byName, strings.ToLower(name))
	}
	return byName
}

func TestEveryTargetIsAVerb(t *testing.T) {
	t.Parallel()
	var names []string
	for _, v := range verbs {
		names = append(names, v.name)
	}
	if got := slices.Sorted(maps.Keys(targets(t))); !slices.Equal(got, names) {
		t.Errorf("mage has the targets\n%v\nand the command has the verbs\n%v", got, names)
	}
}

func TestTargetsHaveTheOptionsArgumentsAndTextsOfTheVerbs(t *testing.T) {
	t.Parallel()
	all := targets(t)
	for _, v := range verbs {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			target := all[v.name]
			if target == nil {
				t.Skip("there is no such target, as another test says")
			}
			var args []string
			for _, a := range target.RequiredArgs() {
				args = append(args, strings.ToUpper(a.Name))
			}
			var want []string
			for _, a := range v.args {
				want = append(want, a.name)
			}
			if !slices.Equal(args, want) {
				t.Errorf("the target has the arguments %q, the verb %q", args, want)
			}

			var got, options []string
			for _, a := range target.OptionalArgs() {
				got = append(got, fmt.Sprintf("-%s %s %s", a.Name, a.Type, a.Comment))
			}
			for _, o := range v.options() {
				options = append(options, fmt.Sprintf("-%s %s %s", o.name, o.kind, o.meaning))
			}
			if !slices.Equal(got, options) {
				t.Errorf("the target has the options\n%s\nthe verb\n%s", strings.Join(got, "\n"), strings.Join(options, "\n"))
			}

			if got, want := target.Comment, doc(target.Name, v); got != want {
				t.Errorf("the target's comment is\n%s\nby the verb it is\n%s", got, want)
			}
		})
	}
}

// The targets refuse arguments before the command is compiled.
func TestTargetsKnowTheRequiredArguments(t *testing.T) {
	t.Parallel()
	all := targets(t)
	var want []launch.Required
	for _, v := range verbs {
		if len(v.args) == 0 {
			continue
		}
		r := launch.Required{Target: v.name, Example: v.commandLine()}
		for _, a := range v.args {
			r.Args = append(r.Args, a.name)
		}
		for _, a := range all[v.name].RequiredArgs() {
			if a.Type == "int" {
				r.Numbers = append(r.Numbers, strings.ToUpper(a.Name))
			}
		}
		want = append(want, r)
	}
	if !reflect.DeepEqual(launch.Arguments, want) {
		t.Errorf("launch knows\n%v\nthe verbs have\n%v", launch.Arguments, want)
	}
}

// The targets refuse options, and names of targets, before the command is compiled.
func TestTargetsKnowTheOptions(t *testing.T) {
	t.Parallel()
	want := map[string][]launch.Option{}
	for _, v := range verbs {
		want[v.name] = nil
		for _, o := range v.options() {
			want[v.name] = append(want[v.name], launch.Option{Name: o.name, Value: o.value, Type: o.kind})
		}
	}
	if !reflect.DeepEqual(launch.Options, want) {
		t.Errorf("launch knows\n%v\nthe verbs have\n%v", launch.Options, want)
	}
	for _, name := range checks {
		if err := launch.CheckTarget([]string{name}); err != nil {
			t.Error(err)
		}
	}
}

func TestTargetsHaveTheShortNamesThatLaunchKnows(t *testing.T) {
	t.Parallel()
	info, err := parse.PrimaryPackage("go", magefiles, sources(t), false)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for alias, f := range info.Aliases {
		got[alias] = strings.ToLower(f.TargetName())
	}
	if !maps.Equal(got, launch.Aliases) {
		t.Errorf("mage has the short names %v, launch %v", got, launch.Aliases)
	}
	for _, v := range verbs {
		if verb, ok := launch.Verb(v.name); !ok || verb != v.name {
			t.Errorf("launch takes the target %s for the verb %q, %v", v.name, verb, ok)
		}
	}
}

// doc returns the comment of a verb's target as mage stores it: in one line that begins
// with the name of the method.
func doc(method string, v verb) string {
	parts := []string{method + " " + strings.ToLower(v.summary[:1]) + v.summary[1:]}
	if v.details != "" {
		parts = append(parts, strings.ReplaceAll(v.details, "`", "'"))
	}
	for _, a := range v.args {
		parts = append(parts, fmt.Sprintf("%s is %s.", a.name, a.meaning))
	}
	if v.example != "" {
		parts = append(parts, "Example: "+v.example)
	}
	return strings.Join(parts, " ")
}

// TestTargetsPassTheirOptions reads the bodies of the targets, whose shape is
// lab(ctx, VERB, option(NAME, variable)…, "--", argument…). Without the "--" an argument
// that begins with a dash is read as an option.
func TestTargetsPassTheirOptions(t *testing.T) {
	t.Parallel()
	all := targets(t)
	seen := 0
	for _, file := range sources(t) {
		tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(magefiles, file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			f, ok := n.(*ast.FuncDecl)
			if !ok {
				return true
			}
			name := strings.ToLower(f.Name.Name)
			if f.Recv != nil {
				name = strings.ToLower(fmt.Sprint(f.Recv.List[0].Type)) + ":" + name
			}
			target := all[name]
			if target == nil {
				return false
			}
			seen++
			verb, options, args, separated := passedOptions(f.Body)
			if verb != name {
				t.Errorf("the target %s runs the verb %q", name, verb)
			}
			var wantOptions, wantArgs []string
			for _, a := range target.OptionalArgs() {
				wantOptions = append(wantOptions, a.Name+" "+a.Name)
			}
			for _, a := range target.RequiredArgs() {
				wantArgs = append(wantArgs, a.Name)
			}
			if !slices.Equal(options, wantOptions) {
				t.Errorf("%s passes the options %q, want %q", name, options, wantOptions)
			}
			if !slices.Equal(args, wantArgs) {
				t.Errorf("%s passes the arguments %q, want %q", name, args, wantArgs)
			}
			if separated != (len(wantArgs) > 0) {
				t.Errorf("%s passes -- between options and arguments: %t, and it has the arguments %q", name, separated, wantArgs)
			}
			return false
		})
	}
	if seen != len(all) {
		t.Errorf("%d targets were found in the files, want %d", seen, len(all))
	}
}

// passedOptions returns what the body of a target passes to lab: the verb, the options
// (name and variable) and the variables of the arguments. separated reports whether the
// first argument follows a "--".
func passedOptions(body *ast.BlockStmt) (verb string, options, args []string, separated bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || fmt.Sprint(call.Fun) != "lab" {
			return true
		}
		verb = text(call.Args[1])
		for _, a := range call.Args[2:] {
			inner, isCall := a.(*ast.CallExpr)
			switch {
			case isCall && fmt.Sprint(inner.Fun) == "option":
				options = append(options, text(inner.Args[0])+" "+fmt.Sprint(inner.Args[1]))
			case isCall: // strconv.Itoa(variable)
				args = append(args, fmt.Sprint(inner.Args[0]))
			case text(a) == "--":
				separated = len(args) == 0
			default:
				args = append(args, fmt.Sprint(a))
			}
		}
		return false
	})
	return verb, options, args, separated
}

// text returns the value of a string literal, and "" for other expressions.
func text(e ast.Expr) string {
	literal, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, _ := strconv.Unquote(literal.Value)
	return s
}

// TestOptionsSetTheFieldsOfTheirNames sets one option at a time.
func TestOptionsSetTheFieldsOfTheirNames(t *testing.T) {
	t.Parallel()
	fields := map[string]string{"scenarios": "names"}
	values := map[string]string{"bool": "true", "int": "77", "time.Duration": "77s", "string": "set"}
	for _, v := range verbs {
		for _, o := range v.options() {
			fs := flag.NewFlagSet(v.name, flag.ContinueOnError)
			set := v.define(fs)
			before := fieldsOf("", reflect.ValueOf(set).Elem())
			value := values[o.kind]
			if err := fs.Parse([]string{"-" + o.name + "=" + value}); err != nil {
				t.Fatal(err)
			}
			var changed []string
			for field, now := range fieldsOf("", reflect.ValueOf(set).Elem()) {
				if now != before[field] {
					changed = append(changed, field)
				}
			}
			name := cmp.Or(fields[o.name], o.name)
			if len(changed) != 1 || changed[0] != "" && !strings.Contains(strings.ToLower(changed[0]), name) {
				t.Errorf("-%s of %s sets %q", o.name, v.name, changed)
			}
		}
	}
}

// fieldsOf returns the values of a struct's fields by name, including those of nested
// structs. A value that is not a struct is returned under an empty name.
func fieldsOf(name string, v reflect.Value) map[string]string {
	if v.Kind() != reflect.Struct {
		return map[string]string{name: fmt.Sprint(v)}
	}
	all := map[string]string{}
	for i := range v.NumField() {
		maps.Copy(all, fieldsOf(v.Type().Field(i).Name, v.Field(i)))
	}
	return all
}

func TestEveryVerbIsDocumented(t *testing.T) {
	t.Parallel()
	for _, v := range verbs {
		if !strings.HasSuffix(v.summary, ".") || strings.Count(v.summary, ". ") > 0 {
			t.Errorf("%s: %q is not one sentence", v.name, v.summary)
		}
		for _, a := range v.args {
			if a.name != strings.ToUpper(a.name) || a.meaning == "" {
				t.Errorf("%s: the argument %q has the meaning %q", v.name, a.name, a.meaning)
			}
		}
		if len(v.args) > 0 && v.example == "" {
			t.Errorf("%s has arguments and no example", v.name)
		}
		for _, o := range v.options() {
			if o.meaning == "" {
				t.Errorf("%s: the option %s has no meaning", v.name, o.name)
			}
			if o.kind == "bool" != (o.value == "") {
				t.Errorf("%s: the option %s of type %s is written %s", v.name, o.name, o.kind, o.form())
			}
		}
	}
}
