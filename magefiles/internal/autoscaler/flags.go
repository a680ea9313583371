// Package autoscaler runs the cluster autoscaler that a developer built: its
// command line, its process and what it logs, its debugger, its deployment and
// its status.
package autoscaler

import (
	"bytes"
	"fmt"
	"strings"
	"text/template"

	"caslab/magefiles/internal/capi/release"
	"caslab/manifests"
)

// Flag is one flag of a command line.
type Flag struct {
	// Name has no leading dashes, and hyphens inside: to the autoscaler, underscores
	// are the same as hyphens.
	Name string
	// Value is the text after the equals sign. Bare is set for a flag without one.
	Value string
	Bare  bool
}

// String writes the flag as the autoscaler reads it.
func (f Flag) String() string {
	if f.Bare {
		return "--" + f.Name
	}
	return "--" + f.Name + "=" + f.Value
}

// Settings fill in the template of the command line.
type Settings struct {
	// Release decides which flags the template has.
	Release release.Autoscaler
	// ClusterName and Namespace are those of the Cluster object.
	ClusterName, Namespace string
	// ConfigNamespace, in the workload cluster, has the autoscaler's status.
	ConfigNamespace string
	// Kubeconfig reaches the workload cluster and CloudConfig the management
	// cluster, where that is another one. Both are empty in a pod.
	Kubeconfig, CloudConfig string
	// Address is the host:port of metrics and health.
	Address string
	// InCluster is set for an autoscaler in a pod. It uses leader election, because
	// another autoscaler may run in the cluster.
	InCluster bool
}

const flagsTemplate = "autoscaler/flags.tmpl"

// Flags renders the template of the command line, manifests/autoscaler/flags.tmpl, and
// adds the overrides, in the syntax of a command line. A flag in the overrides replaces
// all flags of that name in the template.
func Flags(s Settings, overrides ...string) ([]Flag, error) {
	t, err := template.New("flags.tmpl").Option("missingkey=error").ParseFS(manifests.FS, flagsTemplate)
	if err != nil {
		return nil, fmt.Errorf("read the template of flags: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, s); err != nil {
		return nil, fmt.Errorf("fill in the template of flags: %w", err)
	}
	var flags []Flag
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f, ok := parseFlag(line)
		if !ok {
			return nil, fmt.Errorf("manifests/%s: %q is no flag; want one --name=value on each line", flagsTemplate, line)
		}
		flags = append(flags, f)
	}
	for _, text := range overrides {
		more, err := ParseFlags(text)
		if err != nil {
			return nil, err
		}
		flags = override(flags, more)
	}
	return flags, nil
}

// override returns flags without those that more has too, followed by more.
func override(flags, more []Flag) []Flag {
	named := map[string]bool{}
	for _, f := range more {
		named[f.Name] = true
	}
	var kept []Flag
	for _, f := range flags {
		if !named[f.Name] {
			kept = append(kept, f)
		}
	}
	return append(kept, more...)
}

// ParseFlags reads the flags of a command line. It splits the line as a shell does,
// with quotes and backslashes and without variables and globs. A value follows its
// flag after an equals sign or a space.
func ParseFlags(text string) ([]Flag, error) {
	words, err := split(text)
	if err != nil {
		return nil, fmt.Errorf("flags %q: %w", text, err)
	}
	var flags []Flag
	for _, word := range words {
		f, ok := parseFlag(word)
		switch last := len(flags) - 1; {
		case ok:
			flags = append(flags, f)
		case last >= 0 && flags[last].Bare && !strings.HasPrefix(word, "--"):
			flags[last].Value, flags[last].Bare = word, false
		default:
			return nil, fmt.Errorf("flags %q: %q is no flag; want --name=value", text, word)
		}
	}
	return flags, nil
}

// FlagsOf returns the flags among the words of a command line. A value follows its flag
// after an equals sign, or as the next word.
func FlagsOf(words []string) []Flag {
	var flags []Flag
	after := false
	for _, word := range words {
		f, ok := parseFlag(word)
		if ok {
			flags = append(flags, f)
		} else if after {
			flags[len(flags)-1].Value, flags[len(flags)-1].Bare = word, false
		}
		after = ok && f.Bare
	}
	return flags
}

// parseFlag reads --name, --name=value, and the same with one dash.
func parseFlag(word string) (Flag, bool) {
	name, found := strings.CutPrefix(word, "--")
	if !found {
		if name, found = strings.CutPrefix(word, "-"); !found {
			return Flag{}, false
		}
	}
	name, value, hasValue := strings.Cut(name, "=")
	name = strings.ReplaceAll(name, "_", "-")
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") != "" ||
		!isLetter(name[0]) {
		return Flag{}, false
	}
	return Flag{Name: name, Value: value, Bare: !hasValue}, true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// Args returns the flags as arguments of a process.
func Args(flags []Flag) []string {
	args := make([]string, len(flags))
	for i, f := range flags {
		args[i] = f.String()
	}
	return args
}
