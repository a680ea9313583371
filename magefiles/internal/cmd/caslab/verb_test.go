package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"strconv"
	"strings"
	"testing"
)

func TestHelpExplainsArgumentsOptionsAndAnExample(t *testing.T) {
	t.Parallel()
	for _, help := range []string{"-h", "-help", "--help"} {
		var out bytes.Buffer
		if err := execute(t.Context(), []string{"workload:scale", help}, &out, io.Discard); err != nil {
			t.Fatal(err)
		}
		want := `Changes the number of pods of a workload.

Usage:
  go tool mage workload:scale PODS [options]

Arguments:
  PODS   the number of pods

Options:
  -name=NAME   NAME of the workload (default scale-up)

Example:
  go tool mage workload:scale 2
`
		if out.String() != want {
			t.Errorf("%s prints\n%s\nwant\n%s", help, out.String(), want)
		}
	}
}

func TestHelpNeedsNoSettings(t *testing.T) {
	t.Setenv("CAPI_VERSION", "no version")
	var out bytes.Buffer
	if err := execute(t.Context(), []string{"env:up", "-h"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "go tool mage env:up") {
		t.Errorf("the help is %s", out.String())
	}
	if err := execute(t.Context(), []string{"config:show"}, &out, io.Discard); err == nil || !strings.Contains(err.Error(), "no version") {
		t.Errorf("config:show fails with %v, want the refused setting", err)
	}
}

func TestUnknownVerbsAreRefusedWithTheKnownOnes(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"env:upp"}} {
		err := execute(t.Context(), args, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), "want one of: autoscaler:build, ") {
			t.Errorf("%q fails with %v", args, err)
		}
		if len(args) > 0 && !strings.Contains(err.Error(), `"env:upp"`) {
			t.Errorf("%v does not name what was typed", err)
		}
	}
}

func TestMisuseIsRefusedWithAnExample(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args string
		want []string
	}{
		{"workload:scale", []string{"want PODS, got []", "go tool mage workload:scale 2"}},
		{"workload:scale 1 2", []string{`want PODS, got ["1" "2"]`, "go tool mage workload:scale 2"}},
		{"env:up now", []string{`want no arguments, got ["now"]`, "go tool mage env:up"}},
		{"workload:scale two", []string{`PODS: "two": want a whole number`}},
		{"nodegroup:set web 0.5 x", []string{`MIN: "0.5": want a whole number`, `MAX: "x": want a whole number`}},
		{"nodegroup:add web 0 1.5", []string{`MAX: "1.5": want a whole number`}},
		{"workload:add -pods=x", []string{`"x"`, "-pods", "go tool mage workload:add -pods=4"}},
		{"workload:add -size=1", []string{"-size", "go tool mage workload:add -pods=4"}},
	} {
		args := strings.Fields(tc.args)
		v, err := findVerb(args[0])
		if err != nil {
			t.Fatal(err)
		}
		err = v.run(context.Background(), &session{}, args[1:])
		for _, want := range tc.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s fails with %v, want %s", tc.args, err, want)
			}
		}
	}
}

// The verbs accept the commands that the documentation shows.
func TestExamplesAreAccepted(t *testing.T) {
	t.Parallel()
	for _, v := range verbs {
		_, line, found := strings.Cut(v.commandLine(), "go tool mage "+v.name)
		if !found {
			t.Errorf("the example of %s is %s", v.name, v.commandLine())
			continue
		}
		line, _, _ = strings.Cut(line, " >")
		line = strings.TrimSuffix(strings.ReplaceAll(line, " --", "\x00--"), ")") // the last of '… --…' is one word
		var options, args []string
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "-") {
				options = append(options, strings.ReplaceAll(word, "\x00", " "))
			} else {
				if len(options) > 0 {
					t.Errorf("the example of %s has arguments after options, which mage does not take", v.name)
				}
				args = append(args, word)
			}
		}
		if len(args) != len(v.args) {
			t.Errorf("the example of %s has the arguments %q", v.name, args)
		}
		fs := flag.NewFlagSet(v.name, flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		v.define(fs)
		if err := fs.Parse(options); err != nil {
			t.Errorf("the example of %s: %v", v.name, err)
		}
	}
}

// FuzzParseLimits: numbers as they are written are read as these numbers, and each argument that is none
// is named in the error.
func FuzzParseLimits(f *testing.F) {
	for _, seed := range [][2]string{{"0", "3"}, {"-1", "x"}, {"", "1e3"}, {"+2", "03"}, {"9223372036854775808", "٣"}, {"MAX", "MIN"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, low, high string) {
		lowest, highest, err := parseLimits([]string{low, high})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "MIN: "+strconv.Quote(low)) && !strings.Contains(err.Error(), "MAX: "+strconv.Quote(high)) {
				t.Errorf("parseLimits(%q, %q): %v", low, high, err)
			}
			return
		}
		if a, b, err := parseLimits([]string{strconv.Itoa(lowest), strconv.Itoa(highest)}); a != lowest || b != highest || err != nil {
			t.Errorf("parseLimits(%q, %q) = %d, %d, and these are read as %d, %d, %v", low, high, lowest, highest, a, b, err)
		}
	})
}
