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
	"autoscaler-busy":       "The scale-down is in a cool-down, a group is in back-off, a node starts and nodes are being removed",
	"autoscaler-old-record": "A record of an older lab, without flags and objects",
	"autoscaler-recorded":   "An autoscaler runs, after two restarts",
	"autoscaler-stopped":    "An autoscaler has stopped",
	"group":                 "A group has grown and shrunk",
	"group-recorded":        "An empty group has similar groups",
	"group-refusals":        "A group is at its maximum, and a scale-up timed out",
	"idle-autoscaler":       "No autoscaler runs, and the question is about it",
	"idle-node":             "No autoscaler runs, and the question is about a node",
	"idle-pod":              "No autoscaler runs, and the question is about a pod",
	"node-blocked":          "Pods that may not be evicted are on a node",
	"node-counting":         "A node is unneeded, and its group is at the minimum",
	"node-discovery":        "The MachineSets of a group lack the label by which the autoscaler discovers groups",
	"node-drained":          "A PodDisruptionBudget holds up a drain",
	"node-hook":             "The deletion of a Machine waits for a hook",
	"node-in-use":           "Pods request most of the memory of a node",
	"node-kept":             "A node stays when others go; the record has no resource requests of pods",
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
	"pod-snapshot":          "The pod is in a debugging snapshot of the autoscaler",
	"pod-system-label":      "A pod selects kubernetes.io/os, and the group is empty",
	"pod-waiting":           "A pod waits; the record has no resource requests of pods",
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

This table is generated from the golden files of [package explain](../magefiles/internal/timeline/explain/testdata). A
test fails if the table is out of date. Some of the records come from real clusters, the others were made for the test.
Each row shows the first sentence of an answer. For a node, it also shows why the node stays or is removed. The last
column lists the facts that the answer uses. The whole answer is in the file of that name, with .txt.

| Answer | Situation | What explain says | Facts used |
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
			t.Errorf("%s has no entry in situations", file)
		}
		delete(left, name)
		basis := "not stated"
		if m := basisText.FindStringSubmatch(string(data)); m != nil {
			basis = m[1]
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", name, situations[name], cell(firstSentence(string(data))), cell(basis))
	}
	if len(left) > 0 {
		t.Errorf("testdata has no file for: %s", strings.Join(slices.Sorted(maps.Keys(left)), ", "))
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
