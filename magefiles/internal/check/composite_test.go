package check_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"sigs.k8s.io/yaml"
)

// repository is the path of this repository's root, relative to this package.
const repository = "../../.."

// lab is the folder of the action.
const lab = ".github/actions/lab"

// action has the parts of an action's metadata that the tests need.
type action struct {
	Inputs  map[string]struct{ Description, Default string }
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []step
	}
}

type step struct {
	Name, ID, If, Uses, Run, Shell string
	WorkingDirectory               string `json:"working-directory"`
	Env                            map[string]string
	With                           map[string]any
}

func readAction(t *testing.T) action {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repository, lab, "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var a action
	if err := yaml.Unmarshal(data, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// composite runs the action as a runner does, on a copy of the files that the
// action needs. It runs shell steps with bash, and with fake programs that
// record their arguments. Steps that use other actions are only recorded.
type composite struct {
	t      *testing.T
	inputs map[string]string
	// env is the job's environment.
	env []string
	// fail has the first words of the call that fails. cancel has those of the
	// call during which the run is cancelled, so that this call fails too.
	fail, cancel string

	// These are the runner's folders. root is the copy of the repository.
	root, workspace, temp, home string
	// calls has the calls in order: a program with its arguments, or "uses" and
	// an action.
	calls []string
	// with has the inputs of the actions that were used, by the step's name.
	with map[string]map[string]string
	// outputs has the action's outputs, page the run's page, and console the
	// output of all steps.
	outputs map[string]string
	page    string
	console bytes.Buffer
	failed  bool
}

func newComposite(t *testing.T, inputs map[string]string) *composite {
	t.Helper()
	base := t.TempDir()
	c := &composite{
		t: t, inputs: inputs, root: filepath.Join(base, "actions", "owner", "caslab", "commit"),
		workspace: filepath.Join(base, "work space"), temp: filepath.Join(base, "temp"), home: filepath.Join(base, "home"),
		with: map[string]map[string]string{}, outputs: map[string]string{},
	}
	for _, dir := range []string{c.workspace, c.temp, c.home, filepath.Join(c.root, lab)} {
		c.do(os.MkdirAll(dir, 0o755))
	}
	for _, file := range []string{"go.mod", "go.sum", "magefiles/internal/config/settings.go", "magefiles/components/etcd/go.mod"} {
		c.copy(file)
	}
	scripts, err := filepath.Glob(filepath.Join(repository, "scripts", "action-*.sh"))
	c.do(err)
	for _, s := range scripts {
		c.copy(filepath.Join("scripts", filepath.Base(s)))
	}
	for _, name := range []string{"scale-up", "scale-down"} {
		c.write(filepath.Join(c.root, "manifests", "scenarios", name+".yaml"), "title: "+name+"\ntags: ["+name+"]\n")
	}
	c.program(filepath.Join(c.root, "scripts", "docker-engine.sh"), "docker-engine", "")
	// These are the files that a real env:up leaves.
	c.write(filepath.Join(c.root, ".caslab", "logs", "work-cluster.log"), "log")
	c.write(filepath.Join(c.root, ".caslab", "timeline", "work-cluster.jsonl"), "{}")
	c.write(filepath.Join(c.root, ".caslab", "kubeconfig", "work-cluster"), "secret")
	c.write(filepath.Join(c.home, "bin", "kubectl"), "#!/usr/bin/env bash\necho \"$*\"\n")
	c.do(os.Chmod(filepath.Join(c.home, "bin", "kubectl"), 0o755))
	c.program(filepath.Join(c.home, "bin", "go"), "go", `
if [ "$1 ${2-}" = "env GOCACHE" ] || [ "$1 ${2-}" = "env GOMODCACHE" ]; then echo "$HOME/$2"; fi
case "$*" in
*scenario:run*) for last; do :; done; printf '## 2 of 2 scenarios passed\n' >"${last#-out=}/summary.md" ;;
*scenario:compare*) for last; do :; done; mkdir "${last#-out=}"; printf '## No difference\n' >"${last#-out=}/summary.md" ;;
esac`)
	return c
}

func (c *composite) do(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *composite) write(path, text string) {
	c.t.Helper()
	c.do(os.MkdirAll(filepath.Dir(path), 0o755))
	// A process that another test starts now would inherit the open file, and the
	// kernel does not run a program that is open for writing.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	c.do(os.WriteFile(path, []byte(text), 0o644))
}

func (c *composite) copy(file string) {
	c.t.Helper()
	data, err := os.ReadFile(filepath.Join(repository, file))
	c.do(err)
	c.write(filepath.Join(c.root, file), string(data))
	c.do(os.Chmod(filepath.Join(c.root, file), 0o755))
}

// program writes a program that records its folder and its arguments, quoted for
// a shell, in one line. It fails if FAIL names it.
func (c *composite) program(path, name, then string) {
	c.t.Helper()
	c.write(path, fmt.Sprintf(`#!/usr/bin/env bash
set -eu
printf '%%s\n' "%s${*:+ ${*@Q}}" >>"$CALLS"
[ "$PWD" = "$ROOT" ] || { echo "%s was called in $PWD"; exit 9; }
[ -z "$FAIL" ] || case "%s $*" in "$FAIL"*) echo 'undefined: x' >&2; exit 1 ;; esac
%s
`, name, name, name, then))
	c.do(os.Chmod(path, 0o755))
}

// run runs the whole action.
func (c *composite) run() *composite {
	c.t.Helper()
	a := readAction(c.t)
	values := map[string]string{"github.action_path": filepath.Join(c.root, lab)}
	for name, in := range a.Inputs {
		values["inputs."+name] = in.Default
	}
	for name, value := range c.inputs {
		if _, ok := a.Inputs[name]; !ok {
			c.t.Fatalf("the action has no input %s", name)
		}
		values["inputs."+name] = value
	}
	cancelled := false
	for i, s := range a.Runs.Steps {
		eval := expression{t: c.t, lookup: func(name string) string { return values[name] }, failed: c.failed, cancelled: cancelled}
		if !eval.holds(s.If) {
			values["steps."+s.ID+".outcome"] = "skipped"
			continue
		}
		before := len(c.calls)
		err := c.step(i, s, eval, values)
		outcome := "success"
		if err != nil {
			outcome, c.failed = "failure", true
		}
		made := strings.ReplaceAll(strings.Join(c.calls[before:], "\n"), "'", "")
		cancelled = cancelled || c.cancel != "" && strings.Contains(made, c.cancel)
		values["steps."+s.ID+".outcome"] = outcome
	}
	eval := expression{t: c.t, lookup: func(name string) string { return values[name] }}
	for name, out := range a.Outputs {
		c.outputs[name] = eval.expand(out.Value)
	}
	return c
}

// step runs one step and stores its outputs in values.
func (c *composite) step(i int, s step, eval expression, values map[string]string) error {
	c.t.Helper()
	if s.Uses != "" {
		c.calls = append(c.calls, "uses "+s.Uses)
		with := map[string]string{}
		for k, v := range s.With {
			with[k] = eval.expand(fmt.Sprint(v))
		}
		c.with[s.Name+s.ID] = with
		switch s.ID {
		case "go":
			values["steps.go.outputs.go-version"] = "1.26.0"
		case "upload":
			values["steps.upload.outputs.artifact-url"] = "https://artifact"
		}
		return nil
	}
	if s.Shell != "bash" {
		c.t.Fatalf("step %q runs in the shell %q", s.Name, s.Shell)
	}
	script, output, page, calls := c.scratch(i, "script"), c.scratch(i, "output"), c.scratch(i, "page"), c.scratch(i, "calls")
	c.write(script, s.Run)
	for _, file := range []string{output, page, calls} {
		c.write(file, "")
	}
	cmd := exec.CommandContext(c.t.Context(), "bash", "--noprofile", "--norc", "-e", "-o", "pipefail", script)
	cmd.Dir = c.workspace
	if s.WorkingDirectory != "" {
		cmd.Dir = eval.expand(s.WorkingDirectory)
	}
	cmd.Env = append([]string{
		"PATH=" + filepath.Join(c.home, "bin") + ":" + os.Getenv("PATH"), "HOME=" + c.home,
		"GITHUB_ACTION_PATH=" + values["github.action_path"], "GITHUB_WORKSPACE=" + c.workspace,
		"GITHUB_OUTPUT=" + output, "GITHUB_STEP_SUMMARY=" + page, "RUNNER_TEMP=" + c.temp,
		"RUNNER_OS=Linux", "RUNNER_ARCH=X64", "GITHUB_SERVER_URL=https://github.com", "GITHUB_REPOSITORY=owner/name", "GITHUB_RUN_ID=7",
		"CALLS=" + calls, "ROOT=" + c.root, "FAIL=" + c.fail + c.cancel,
	}, c.env...)
	for k, v := range s.Env {
		cmd.Env = append(cmd.Env, k+"="+eval.expand(v))
	}
	cmd.Stdout, cmd.Stderr = &c.console, &c.console
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	c.page += c.read(page)
	if made := c.read(calls); made != "" {
		c.calls = append(c.calls, strings.Split(strings.TrimSpace(made), "\n")...)
	}
	for name, value := range parseOutputs(c.t, c.read(output)) {
		values["steps."+s.ID+".outputs."+name] = value
	}
	return err
}

func (c *composite) scratch(i int, name string) string {
	return filepath.Join(c.temp, fmt.Sprintf("%d-%s", i, name))
}

func (c *composite) read(path string) string {
	c.t.Helper()
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	c.do(err)
	return string(data)
}

var delimited = regexp.MustCompile(`^([a-z-]+)<<(\S+)$`)

// parseOutputs returns the outputs in the file that a step wrote as
// GITHUB_OUTPUT.
func parseOutputs(t *testing.T, text string) map[string]string {
	t.Helper()
	out := map[string]string{}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines) && text != ""; i++ {
		if m := delimited.FindStringSubmatch(lines[i]); m != nil {
			var value []string
			for i++; i < len(lines) && lines[i] != m[2]; i++ {
				value = append(value, lines[i])
			}
			out[m[1]] = strings.Join(value, "\n")
			continue
		}
		name, value, found := strings.Cut(lines[i], "=")
		if !found {
			t.Fatalf("a step wrote %q as an output", lines[i])
		}
		out[name] = value
	}
	return out
}
