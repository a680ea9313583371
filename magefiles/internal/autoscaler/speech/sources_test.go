package speech

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// treesVariable is the environment variable with the source trees of autoscalers that
// TestTableKnowsTheSources reads, separated as in PATH. A tree is the folder with core,
// processors and cloudprovider, or its parent with these under pkg.
const treesVariable = "CASLAB_AUTOSCALER_TREES"

// scannedFolders are the folders of a tree whose messages the table knows. The core is in
// another repository than the provider since 1.37, so that a tree may have only one of them.
var scannedFolders = []string{
	"core", "clusterstate", "estimator", "expander", "processors", "simulator", "provisioningrequest", "utils",
	"cloudprovider/clusterapi",
}

// defaultVerbosity is the highest level that an autoscaler of the lab logs.
const defaultVerbosity = 4

// call is a call of klog or klogx in a source.
type call struct {
	at       string
	severity string
	level    int
	format   string
	args     []string
}

// loggers are the packages whose functions write the log.
var loggers = map[string]bool{"klog": true, "klogx": true}

// callsIn returns the calls of klog and klogx in Go source.
func callsIn(name string, source []byte) ([]call, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var calls []call
	ast.Inspect(file, func(n ast.Node) bool {
		expr, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := expr.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		severity, structured := strings.CutSuffix(method.Sel.Name, "S")
		severity = strings.TrimSuffix(severity, "f")
		if !slices.Contains([]string{"Info", "Warning", "Error", "Fatal"}, severity) {
			return true
		}
		level, isLog := levelOf(method.X)
		args := expr.Args
		if structured && severity == "Error" && len(args) > 0 {
			args = args[1:] // the error
		}
		if !isLog || len(args) == 0 {
			return true
		}
		c := call{at: files.Position(expr.Pos()).String(), severity: severity, level: level}
		c.format, _ = textOf(args[0])
		for i, a := range args[1:] {
			text := string(source[files.Position(a.Pos()).Offset:files.Position(a.End()).Offset])
			if !structured {
				c.args = append(c.args, text)
			} else if key, ok := textOf(a); ok && i%2 == 0 {
				c.format += " " + key + `="%v"`
			} else {
				c.args = append(c.args, text)
			}
		}
		calls = append(calls, c)
		return true
	})
	return calls, nil
}

// levelOf returns the level of klog, klog.V(4) or klogx.V(4).UpTo(quota), 0 for one that is
// no number. It returns false for anything else.
func levelOf(x ast.Expr) (level int, isLog bool) {
	for {
		switch e := x.(type) {
		case *ast.Ident:
			return level, loggers[e.Name]
		case *ast.SelectorExpr:
			x = e.X
		case *ast.CallExpr:
			if method, ok := e.Fun.(*ast.SelectorExpr); ok && method.Sel.Name == "V" && len(e.Args) == 1 {
				if n, ok := e.Args[0].(*ast.BasicLit); ok {
					level, _ = strconv.Atoi(n.Value)
				}
			}
			x = e.Fun
		default:
			return level, false
		}
	}
}

// textOf returns the value of a string literal, or of several that are added.
func textOf(x ast.Expr) (string, bool) {
	switch e := x.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, leftOK := textOf(e.X)
		right, rightOK := textOf(e.Y)
		return left + right, leftOK && rightOK
	}
	return "", false
}

var (
	// verbs are the verbs of fmt.
	verbs = regexp.MustCompile(`%[-+#0-9.\[\]]*[a-zA-Z]`)
	// aboutAnObject matches the format or an argument of a call that is about a pod, a
	// node, a machine or a group.
	aboutAnObject = regexp.MustCompile(`(?i)pod|node|machine|group|instance|\bng\b|scalableResource`)
)

// namesAnObject reports whether the message has a value, and speaks of a pod, a node, a
// machine or a group.
func (c call) namesAnObject() bool {
	return len(c.args) > 0 && aboutAnObject.MatchString(c.format+" "+strings.Join(c.args, " "))
}

// samples returns messages of the call: with names and with numbers in the place of values.
func (c call) samples() []string {
	var samples []string
	for _, value := range []string{"name", "3"} {
		i := -1
		samples = append(samples, verbs.ReplaceAllStringFunc(c.format, func(verb string) string {
			i++
			switch verb {
			case "%d":
				return "3"
			case "%q":
				return strconv.Quote(value)
			}
			return value
		}))
	}
	return samples
}

// isStated reports whether the table knows the message of a call: its line becomes a
// statement, or is a round's start or harmless. The rows that only colour the console do not
// count.
func (c call) isStated() bool {
	return slices.ContainsFunc(c.samples(), func(message string) bool {
		e := Parse("I1124 20:26:26.1  1 a.go:1] " + message)
		_, ok := e.Statement(time.Now())
		return ok || e.known != nil && (e.known.Harmless || e.known.Class == Loop)
	})
}

// callsInTree returns the calls in the scanned folders of a tree.
func callsInTree(tree string) ([]call, error) {
	var calls []call
	found := false
	for _, root := range []string{tree, filepath.Join(tree, "pkg")} {
		for _, folder := range scannedFolders {
			err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
					return err
				}
				found = true
				source, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				more, err := callsIn(path, source)
				calls = append(calls, more...)
				return err
			})
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
	}
	if !found {
		return nil, fmt.Errorf("%s is no source tree of the autoscaler: it has none of %s, nor under pkg", tree, strings.Join(scannedFolders, ", "))
	}
	return calls, nil
}

// isMissing reports whether the table should know the message of a call and does not. A
// warning and an error are a problem, known or not.
func (c call) isMissing() bool {
	return c.severity == "Info" && c.level <= defaultVerbosity && c.namesAnObject() && !c.isStated() && unstated[c.format] == ""
}

// TestTableKnowsTheSources reports the messages of an autoscaler's sources that name a pod,
// a node, a machine or a group, are logged at the level of the lab, and are neither in the
// table nor in unstated.
func TestTableKnowsTheSources(t *testing.T) {
	t.Parallel()
	trees := filepath.SplitList(os.Getenv(treesVariable))
	if len(trees) == 0 {
		t.Skipf("no sources of an autoscaler: %s is not set", treesVariable)
	}
	for _, tree := range trees {
		calls, err := callsInTree(tree)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range calls {
			if c.isMissing() {
				t.Errorf("%s: the table does not know %q at level %d", c.at, c.format, c.level)
			}
		}
	}
}

// TestMissingMessages: a call is missing unless it names no object, is above the level of
// the lab, or the table or unstated knows it.
func TestMissingMessages(t *testing.T) {
	t.Parallel()
	calls, err := callsIn("a.go", []byte(`package a

func f(node *Node, ng NodeGroup, pod *Pod, quota *Quota, n klog.Level) {
	klog.V(4).Infof("Frobnicating node %s", node.Name)
	klogx.V(2).UpTo(quota).Infof("Frobnicating "+"%v", ng.Id())
	klog.V(n).InfoS("Frobnicating", "pod", pod)
	klog.Infof("Pod %s/%s can be moved to %s", pod.Namespace, pod.Name, node.Name)
	klog.V(1).Infof("%v other pods are also unschedulable", 3)
	klog.V(2).Infof("Simulating node %s removal", node.Name)
	klog.V(5).Infof("Frobnicating node %s", node.Name)
	klog.Warningf("Frobnicating node %s", node.Name)
	klog.ErrorS(err, "Frobnicating", "node", node)
	klog.V(4).Infof("Frobnicated in %v", duration)
	klog.Info("Frobnicating nodes")
	other.Infof("Frobnicating node %s", node.Name)
}
`))
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, c := range calls {
		if c.isMissing() {
			missing = append(missing, fmt.Sprintf("%s level %d: %s", c.at, c.level, c.format))
		}
	}
	want := []string{
		"a.go:4:2 level 4: Frobnicating node %s",
		"a.go:5:2 level 2: Frobnicating %v",
		`a.go:6:2 level 0: Frobnicating pod="%v"`,
	}
	if !slices.Equal(missing, want) {
		t.Errorf("missing are\n%s\nwant\n%s", strings.Join(missing, "\n"), strings.Join(want, "\n"))
	}
	if len(calls) != 11 {
		t.Errorf("found %d calls, want 11", len(calls))
	}
}

// TestUnstatedMessages: a message that the table knows is not in unstated.
func TestUnstatedMessages(t *testing.T) {
	t.Parallel()
	for format := range unstated {
		if (call{severity: "Info", format: format}).isStated() {
			t.Errorf("the table knows %q", format)
		}
	}
}
