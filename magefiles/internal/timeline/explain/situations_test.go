package explain

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/golden"
)

// situations says in which situation each answer in testdata was given.
var situations = map[string]string{
	"autoscaler-busy":       "An autoscaler waits for a cool-down, a back-off, a new node and removals",
	"autoscaler-old-record": "A record of an older lab, without flags and objects",
	"autoscaler-recorded":   "An autoscaler runs, after two restarts",
	"autoscaler-stopped":    "An autoscaler has stopped",
	"group":                 "A group has grown and shrunk",
	"group-recorded":        "An empty group is beside similar ones",
	"group-refusals":        "A group is at its maximum, and a scale-up timed out",
	"idle-autoscaler":       "No autoscaler runs: about the autoscaler",
	"idle-node":             "No autoscaler runs: about a node",
	"idle-pod":              "No autoscaler runs: about a pod",
	"node-blocked":          "Pods that may not be evicted are on a node",
	"node-counting":         "A node is unneeded, and its group is at the minimum",
	"node-discovery":        "The MachineSets of a group lack the label by which the autoscaler discovers groups",
	"node-drained":          "A PodDisruptionBudget holds up a drain",
	"node-hook":             "The deletion of a Machine waits for a hook",
	"node-in-use":           "Pods request most of the memory of a node",
	"node-kept":             "A node stays when others go; the record does not have what pods ask for",
	"node-outside":          "The MachineDeployment of a node has no minimum and maximum",
	"node-recorded":         "A node became needed while the autoscaler deleted it",
	"node-removed":          "The autoscaler removed an empty node",
	"pod-apart":             "A pod has an anti-affinity, and the scheduler's own filters judge it",
	"pod-devices":           "A pod claims two devices, and the nodes have one",
	"pod-golden":            "A pod selects a label that Cluster API gives to nodes, and the group is empty",
	"pod-lost":              "The scheduler of a pod does not run",
	"pod-new-node":          "A pod came to a new node",
	"pod-old-node":          "A pod came to a node that was there",
	"pod-seven":             "Each group has a reason of its own not to grow",
	"pod-snapshot":          "A debugging snapshot of the autoscaler has the pod",
	"pod-system-label":      "A pod selects kubernetes.io/os, and the group is empty",
	"pod-waiting":           "A pod waits; the record does not have what it asks for",
}

// basisText finds what an answer says that it rests on.
var basisText = regexp.MustCompile(`\(as of [0-9:]+, from (.+)\)\n`)

// TestSituations keeps the table of situations equal to the answers in testdata. Other tests compare these with
// what the package says. With -update, they may write answers after this test has read them: run it again then.
func TestSituations(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString(`# What timeline:explain says in which situation

A test writes this table from answers that are in the tests of
[the package explain](../magefiles/internal/timeline/explain/testdata), and fails if the two differ. Each line has the
first sentence of an answer; of a node also why it stays or goes. The last column says on what the answer rests.
The file with the same name has the whole answer.

| Answer | Situation | What explain says | It rests on |
|---|---|---|---|
`)
	left := maps.Clone(situations)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if situations[name] == "" {
			t.Errorf("%s is in no situation", file)
		}
		delete(left, name)
		basis := "the answer does not say"
		if m := basisText.FindStringSubmatch(string(data)); m != nil {
			basis = m[1]
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", name, situations[name], cell(firstSentence(string(data))), cell(basis))
	}
	if len(left) > 0 {
		t.Errorf("no answer is there for %s", strings.Join(slices.Sorted(maps.Keys(left)), ", "))
	}
	golden.CheckFile(t, filepath.Join("..", "..", "..", "..", ".github", "explain-situations.md"), table.String())
}

// firstSentence returns the first line of an answer. To that about a node it adds why the node stays or goes.
func firstSentence(answer string) string {
	sentence, rest, _ := strings.Cut(answer, "\n")
	for line := range strings.Lines(rest) {
		for _, why := range []string{"Why it stays: ", "What its removal waits for: ", "Why it went: "} {
			if strings.HasPrefix(line, why) {
				return sentence + " " + strings.TrimSpace(line)
			}
		}
	}
	return sentence
}

// cell returns text for a cell of a table in Markdown.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(text)
}
