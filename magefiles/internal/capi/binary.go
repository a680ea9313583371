package capi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
)

// binary implements Clusterctl with the clusterctl of the release.
type binary struct {
	options ClusterctlOptions
	now     func() time.Time
}

func newBinary(o ClusterctlOptions) (Clusterctl, error) {
	if _, err := os.Stat(o.Binary); err != nil {
		return nil, fmt.Errorf("find the clusterctl of Cluster API v%s: %w", o.Release.Version, err)
	}
	return &binary{options: o, now: time.Now}, nil
}

func (b *binary) Init(ctx context.Context, kubeconfig, version string) error {
	left, err := missing(ctx, kubeconfig)
	if err != nil || len(left) == 0 {
		return err
	}
	args := []string{"init", "--kubeconfig", kubeconfig}
	for _, p := range left {
		args = append(args, p.flag, p.name+":"+version)
	}
	_, err = b.run(ctx, args...)
	return err
}

func (b *binary) Move(ctx context.Context, from, to, namespace string) error {
	_, err := b.run(ctx, "move", "--kubeconfig", from, "--to-kubeconfig", to, "--namespace", namespace)
	return err
}

// NoDescribeError is returned for a release whose clusterctl cannot describe a cluster.
type NoDescribeError struct{ Version, First string }

func (e *NoDescribeError) Error() string {
	return fmt.Sprintf("the clusterctl of Cluster API v%s does not describe clusters; it does since v%s", e.Version, e.First)
}

func (b *binary) Describe(ctx context.Context, kubeconfig, namespace, name string) ([]Described, error) {
	if r := b.options.Release; !r.Describes {
		return nil, &NoDescribeError{r.Version.String(), release.First(func(r release.Release) bool { return r.Describes })}
	}
	res, err := b.run(ctx, "describe", "cluster", name, "--kubeconfig", kubeconfig, "--namespace", namespace)
	if err != nil {
		return nil, err
	}
	// Some releases print the table on standard error, because of their library
	// for colours.
	return parseTree(string(res.Stdout) + "\n" + string(res.Stderr))
}

// run runs clusterctl with the lab's configuration. Its home is a folder of the lab's,
// because clusterctl reads and writes ~/.cluster-api.
func (b *binary) run(ctx context.Context, args ...string) (run.Result, error) {
	if err := b.skipVersionCheck(); err != nil {
		return run.Result{}, err
	}
	home := b.options.Home
	res, err := b.options.Runner.Run(ctx, run.Cmd{
		Name: b.options.Binary, Args: append(args, "--config", b.options.Config),
		Env: []string{
			"HOME=" + home, "XDG_CONFIG_HOME=" + filepath.Join(home, ".config"), "XDG_DATA_HOME=" + filepath.Join(home, ".local"),
			// clusterctl reads this variable since v1.2.0.
			"CLUSTERCTL_DISABLE_VERSIONCHECK=true", "NO_COLOR=1",
		},
		Stderr: report(b.options.Progress),
	})
	if err != nil {
		return res, fmt.Errorf("clusterctl %s: %w", args[0], err)
	}
	return res, nil
}

// skipVersionCheck records that the newest release is known. Otherwise, before v1.2.0,
// clusterctl asks GitHub after every command: readStateFile and getLatestRelease in
// cmd/clusterctl/cmd/version_checker.go at v1.1.6.
func (b *binary) skipVersionCheck() error {
	data, err := yaml.Marshal(map[string]any{
		"lastcheck":     b.now().UTC().Format(time.RFC3339),
		"latestrelease": map[string]any{"version": "v" + b.options.Release.Version.String(), "url": ""},
	})
	if err != nil {
		return fmt.Errorf("record clusterctl's version check: %w", err)
	}
	dir := filepath.Join(b.options.Home, ".cluster-api")
	if err := errors.Join(os.MkdirAll(dir, 0o700), state.WriteFile(filepath.Join(dir, "version.yaml"), data, 0o600)); err != nil {
		return fmt.Errorf("record clusterctl's version check: %w", err)
	}
	return nil
}

// report calls progress with what clusterctl prints, line by line.
func report(progress func(string)) *run.Lines {
	return &run.Lines{Each: func(line string) {
		if text := strings.TrimSpace(line); text != "" && progress != nil {
			progress(text)
		}
	}}
}

// titles returns where the columns READY, SEVERITY and MESSAGE begin, in characters; nil if the row is
// not the one with the titles.
func titles(row string) (columns []int) {
	rest, is := strings.CutPrefix(row, "NAME ")
	if !is {
		return nil
	}
	at := len("NAME ")
	for _, title := range []string{"READY", "SEVERITY", "MESSAGE"} {
		before, after, there := strings.Cut(rest, title)
		if !there {
			return nil
		}
		at += len([]rune(before))
		columns = append(columns, at)
		at, rest = at+len(title), after
	}
	return columns
}

// parseTree reads the table that `clusterctl describe cluster` prints. Names are
// indented by two characters for each level, and each column begins where its
// title does.
func parseTree(text string) ([]Described, error) {
	var columns []int // READY, SEVERITY, MESSAGE
	var tree []Described
	for line := range strings.Lines(text) {
		row := []rune(strings.TrimRight(line, " \r\n"))
		if columns == nil {
			columns = titles(string(row))
			continue
		}
		if len(row) == 0 {
			break
		}
		cell := func(from, to int) string {
			from, to = min(from, len(row)), min(to, len(row))
			return strings.TrimSpace(string(row[from:to]))
		}
		name := string(row[:min(columns[0], len(row))])
		bare := strings.TrimLeft(name, "│├└─ ")
		if bare == "" && len(tree) > 0 { // a message of several lines
			tree[len(tree)-1].Message += " " + cell(columns[2], len(row))
			continue
		}
		tree = append(tree, Described{
			Depth: len([]rune(strings.TrimSuffix(name, bare))) / 2, Name: strings.TrimSpace(bare),
			Ready: cell(columns[0], columns[1]), Message: cell(columns[2], len(row)),
		})
	}
	if len(tree) == 0 {
		return nil, fmt.Errorf("clusterctl describe: no table in its output: %q", text)
	}
	return tree, nil
}
