package autoscaler

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	version "github.com/hashicorp/go-version"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/run/runtest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func v(text string) *version.Version { return version.Must(version.NewSemver(text)) }

// golden compares got with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
	}
}

func onThisMachine(version string) Settings {
	return Settings{
		Release: release.OfAutoscaler(v(version)), ClusterName: "work-cluster", Namespace: "default", ConfigNamespace: "default",
		Kubeconfig: "/home/mike/lab/.caslab/kubeconfig/work-cluster", Address: "127.0.0.1:8085",
	}
}

func TestCommandLines(t *testing.T) {
	t.Parallel()
	apart := onThisMachine("1.36.1")
	apart.Namespace, apart.ConfigNamespace = "team-a", "kube-system"
	apart.CloudConfig = "/home/mike/management kubeconfig"
	inCluster := Settings{Release: release.OfAutoscaler(v("1.36.1")), ClusterName: "work-cluster", Namespace: "default", ConfigNamespace: "default", InCluster: true}
	for name, s := range map[string]Settings{
		"host.txt": onThisMachine("1.36.1"), "apart.txt": apart, "pod.txt": inCluster, "oldest.txt": onThisMachine("1.18.0"),
	} {
		flags, err := Flags(s)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, CommandLine(nil, "/lab/cluster-autoscaler", flags)+"\n")
	}
}

// TestSeedFlags: the flags in manifests/seed.yaml are those of a command line that its
// release of the autoscaler accepts.
func TestSeedFlags(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "manifests", "seed.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var seed struct {
		Autoscaler struct{ Version, Flags string }
	}
	if err := yaml.Unmarshal(data, &seed); err != nil {
		t.Fatal(err)
	}
	s := onThisMachine(strings.TrimPrefix(seed.Autoscaler.Version, "v"))
	flags, err := Flags(s, seed.Autoscaler.Flags)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range flags {
		span := history[f.Name]
		if span.first == "" {
			continue
		}
		if has, err := release.AtLeast(s.Release.Version, span.first); err != nil || !has {
			t.Errorf("--%s: autoscalers from %s on have it (%v)", f.Name, span.first, err)
		}
	}
	golden(t, "seed.txt", CommandLine(nil, "/lab/cluster-autoscaler", flags)+"\n")
}

func TestOverridesWin(t *testing.T) {
	t.Parallel()
	flags, err := Flags(onThisMachine("1.36.1"),
		"--v=2 --scale_down_enabled=false", `--v 7 --expander=priority --node-group-auto-discovery="clusterapi:namespace=a b"`)
	if err != nil {
		t.Fatal(err)
	}
	args := Args(flags)
	for _, want := range []string{"--v=7", "--scale-down-enabled=false", "--expander=priority", "--node-group-auto-discovery=clusterapi:namespace=a b", "--max-nodes-total=24"} {
		if !slices.Contains(args, want) {
			t.Errorf("no %s in %q", want, args)
		}
	}
	for _, gone := range []string{"--v=4", "--v=2", "--scale-down-enabled=true"} {
		if slices.Contains(args, gone) {
			t.Errorf("%s is still in %q", gone, args)
		}
	}
}

func TestParseFlags(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                               nil,
		"--v=4 --dry":                    {"--v=4", "--dry"},
		"-v 4":                           {"--v=4"},
		"--expendable-pods --x=-1":       {"--expendable-pods", "--x=-1"},
		"--cutoff -10":                   {"--cutoff=-10"},
		`--a="x y" --b='$HOME' --c=d\ e`: {"--a=x y", "--b=$HOME", "--c=d e"},
		"--bool --next=1":                {"--bool", "--next=1"},
	} {
		flags, err := ParseFlags(text)
		if err != nil || !slices.Equal(Args(flags), want) {
			if len(flags)+len(want) > 0 {
				t.Errorf("ParseFlags(%q) = %q, %v; want %q", text, Args(flags), err, want)
			}
		}
	}
	for _, text := range []string{"v=4", "--v=4 stray more", "--=4", "--a;rm", "--a='open", "--a | b", "- -", "--9=1"} {
		if flags, err := ParseFlags(text); err == nil {
			t.Errorf("ParseFlags(%q) = %q, want an error", text, Args(flags))
		}
	}
}

func FuzzParseFlags(f *testing.F) {
	for _, seed := range []string{"--v=4", `--a="b c" -d e`, "--x -10", "'", "--a=\\", "--a `b` $(c)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		flags, err := ParseFlags(text)
		if err != nil {
			return
		}
		for _, fl := range flags {
			again, ok := parseFlag(fl.String())
			if !ok || again != fl {
				t.Errorf("%q gave %#v, which reads back as %#v, %t", text, fl, again, ok)
			}
		}
	})
}

const help = `I0101 00:00:00.000000       1 flags.go:64] FLAG: --v="0"
Usage of ./cluster-autoscaler:
      --add-dir-header                                              If true, adds the file directory to the header of the log messages
      --cloud-provider string                                       Cloud provider type. (default "gce")
      --max-nodes-total int                                         Maximum number of nodes in all node groups.
      --scale-down-unneeded-time duration                           How long (default 10m0s)
      --skip_headers                                                If true, avoid header prefixes
  -v, --v Level                                                     number for the log level verbosity
pflag: help requested
`

func TestFlagsAreCheckedAgainstTheBinarysHelp(t *testing.T) {
	t.Parallel()
	fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "/lab/cluster-autoscaler --help", Stdout: "", Stderr: help, Err: exitStatus2(t)}}}
	if _, err := KnownFlags(t.Context(), fake, "/lab/cluster-autoscaler"); err != nil {
		t.Fatal(err)
	}
	known := parseHelp(help)
	for _, name := range []string{"add-dir-header", "cloud-provider", "max-nodes-total", "scale-down-unneeded-time", "skip-headers", "v"} {
		if !known[name] {
			t.Errorf("--%s was not found", name)
		}
	}
	if len(known) != 6 {
		t.Errorf("found %v", known)
	}
	flags, err := ParseFlags("--cloud-provider=clusterapi --parallel-drain --max-node-total=3 --enforce-node-group-min-size --made-up=1 --v=4")
	if err != nil {
		t.Fatal(err)
	}
	err = CheckFlags(flags, known, release.OfAutoscaler(v("1.25.3")))
	for _, want := range []string{
		"--parallel-drain: this autoscaler (1.25.3) has no such flag; autoscalers from 1.26.0 to 1.31.5 have it",
		"did you mean --max-nodes-total?",
		"--enforce-node-group-min-size: this autoscaler (1.25.3) has no such flag; autoscalers from 1.26.0 on have it",
		"--made-up",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckFlags() = %v\nwant in it: %s", err, want)
		}
	}
	if err != nil && (strings.Contains(err.Error(), "--cloud-provider:") || strings.Contains(err.Error(), "--v:")) {
		t.Errorf("CheckFlags() complains of flags that are there: %v", err)
	}
}

func TestOtherProgramIsNoAutoscaler(t *testing.T) {
	t.Parallel()
	fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "/bin/ls", Stdout: "Usage: ls [OPTION]...\n      --author\n"}}}
	const not = "/bin/ls --help names no --cloud-provider: this is not a cluster autoscaler"
	if _, err := KnownFlags(t.Context(), fake, "/bin/ls"); err == nil || err.Error() != not {
		t.Errorf("KnownFlags(ls) = %v", err)
	}
	fake = &runtest.Fake{Answers: []runtest.Answer{{Prefix: "/lab", Err: context.Canceled}}}
	if _, err := KnownFlags(t.Context(), fake, "/lab"); !errors.Is(err, context.Canceled) {
		t.Errorf("KnownFlags() = %v, want the context's error", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	if _, err := KnownFlags(ctx, interrupted{func() { cancel(errStopped) }}, "/lab"); !errors.Is(err, errStopped) || strings.Contains(err.Error(), "this is not") {
		t.Errorf("KnownFlags() at an interruption = %v, want its cause alone", err)
	}
}

// errStopped is the cause of an interruption.
var errStopped = errors.New("stopped")

// interrupted is a runner that is interrupted while a process runs. As with
// run.Exec, its error then wraps the cause and says how the process ended.
type interrupted struct{ stop func() }

func (i interrupted) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	i.stop()
	return run.Result{}, &run.Error{Cmd: c, Err: errors.Join(context.Cause(ctx), new(exec.ExitError))}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		version string
		v1beta2 bool
		arch    string
		want    []string
	}{
		{"1.36.1", true, "", []string{"CAPI_VERSION="}},
		{"1.34.0", true, "arm64", []string{"CAPI_VERSION=", "CAPI_SCALE_ZERO_DEFAULT_ARCH=arm64"}},
		{"1.33.0", true, "", []string{"CAPI_VERSION=v1beta1"}},
		{"1.33.1", true, "", []string{"CAPI_VERSION="}},
		{"1.30.5", true, "", []string{"CAPI_VERSION=v1beta1"}},
		{"1.29.4", true, "", []string{"CAPI_VERSION=v1beta1"}},
		{"1.29.4", false, "", []string{"CAPI_VERSION="}},
		{"1.23.0", true, "arm64", []string{"CAPI_SCALE_ZERO_DEFAULT_ARCH=arm64"}}, // it asks for no version
	} {
		if got := Environment(release.OfAutoscaler(v(tc.version)), tc.v1beta2, tc.arch); !slices.Equal(got, tc.want) {
			t.Errorf("autoscaler %s, v1beta2 %t: %q, want %q", tc.version, tc.v1beta2, got, tc.want)
		}
	}
}
