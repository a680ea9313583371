package speech

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

var (
	// quotedName matches a name in quotes after the kind of the object, as the autoscaler, API servers
	// and structured messages have it: Machine "a", pods "a" not found, pod="default/a",
	// machinedeployments.cluster.x-k8s.io "a". In "cannot list resource "pods"" there is no kind before the quotes.
	quotedName = regexp.MustCompile(`(?i)\b(?:pod|node|machine|node ?group|machine ?(?:deployment|set|pool))s?(?:\.[-a-z0-9.]+)?[ =]\\?"(?:[^"/\s\\]+/)*([^"/\s\\]+)\\?"`)
	// providerName matches the name in the provider ID of a node, such as hollow:///default/a.
	providerName = regexp.MustCompile(`\b` + beforeName + `([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)`)
	// pathName matches a name in the path of a request to an API server.
	pathName = regexp.MustCompile(`/(?:pods|nodes|machines|machine(?:deployment|set|pool)s)/([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)`)
)

// beforeName matches a provider ID of a node up to the name in it. The providers are those whose IDs end with the
// name of the machine.
const beforeName = `(?:docker|kubemark|hollow):/{2,4}(?:[^/\s"]+/)*`

// resources are the plurals after which a text such as "pods/eviction" has a subresource, and no name.
var resources = []string{"pods", "nodes", "machines", "machinedeployments", "machinesets", "machinepools"}

// ordinary are words of messages that look like generated names.
var ordinary = []string{"scale-up", "scale-down", "cluster-autoscaler", "kube-system", "leader-election", "timed-out", "back-off"}

// Names returns the names of pods, nodes, machines and groups that a message mentions, without their
// namespaces. A word counts as a name if it is in quotes after a kind, if it is in the path of a request
// after a kind, if it has a namespace before it, or if it has a digit, a hyphen or a dot. Any other word
// may be an ordinary one, even if an object has that name: the message "Failed to list pods" is not about
// a group that is called pods.
func Names(message string) []string {
	var names []string
	for _, pattern := range []*regexp.Regexp{quotedName, pathName, providerName} {
		for _, m := range pattern.FindAllStringSubmatch(message, -1) {
			names = append(names, m[1])
		}
	}
	for word := range strings.FieldsFuncSeq(message, isBetweenNames) {
		word = strings.Trim(word, ".-") // the end of a sentence, a dash
		switch parts := strings.Split(word, "/"); {
		case strings.HasPrefix(word, "/") || slices.Contains(parts, "api") || slices.Contains(parts, "apis"):
		case len(parts) == 1 && isGenerated(word), len(parts) == 2 && !slices.Contains(resources, parts[0]), len(parts) == 3:
			names = append(names, parts[len(parts)-1])
		}
	}
	return names
}

// isBetweenNames reports whether a character separates names: it occurs in no name, kind or namespace.
func isBetweenNames(r rune) bool {
	return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-./", r)
}

// isGenerated reports whether a word has the form of a name and is no ordinary word.
func isGenerated(word string) bool {
	return word == strings.ToLower(word) && strings.ContainsFunc(word, unicode.IsLetter) && strings.ContainsAny(word, "-.0123456789") && !slices.Contains(ordinary, word)
}
