package pins

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
	"golang.org/x/mod/zip"

	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/source"
)

// files has contents by path.
type files map[string]string

// proxy is a Go module proxy: the files of modules by path and version.
type proxy map[string]map[string]files

// add adds a module with one package to the proxy.
func (p proxy) add(path string, versions ...string) {
	for _, v := range versions {
		p.addFiles(path, v, nil)
	}
}

func (p proxy) addFiles(path, version string, more files) {
	if p[path] == nil {
		p[path] = map[string]files{}
	}
	all := files{"go.mod": "module " + path + "\n\ngo 1.26.0\n", "doc.go": "package doc\n"}
	maps.Copy(all, more)
	p[path][version] = all
}

// ServeHTTP implements the protocol of https://go.dev/ref/mod#goproxy-protocol.
func (p proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	escaped, file, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/@")
	path, err := module.UnescapePath(escaped)
	versions := p[path]
	if err != nil || versions == nil {
		http.NotFound(w, r)
		return
	}
	listed := slices.SortedFunc(maps.Keys(versions), semver.Compare)
	kind := filepath.Ext(file)
	version := strings.TrimSuffix(strings.TrimPrefix(file, "v/"), kind)
	switch {
	case file == "v/list":
		fmt.Fprintln(w, strings.Join(listed, "\n"))
	case file == "latest":
		fmt.Fprintf(w, `{"Version":%q}`, listed[len(listed)-1])
	case versions[version] == nil:
		http.NotFound(w, r)
	case kind == ".info":
		fmt.Fprintf(w, `{"Version":%q}`, version)
	case kind == ".mod":
		fmt.Fprint(w, versions[version]["go.mod"])
	case kind == ".zip":
		var in []zip.File
		for name, text := range versions[version] {
			in = append(in, inMemory{name, text})
		}
		if err := zip.Create(w, module.Version{Path: path, Version: version}, in); err != nil {
			panic(err)
		}
	default:
		http.NotFound(w, r)
	}
}

// inMemory is a file in memory that implements zip.File.
type inMemory struct{ name, text string }

func (f inMemory) Path() string                 { return f.name }
func (f inMemory) Lstat() (os.FileInfo, error)  { return f, nil }
func (f inMemory) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.text)), nil }
func (f inMemory) Name() string                 { return filepath.Base(f.name) }
func (f inMemory) Size() int64                  { return int64(len(f.text)) }
func (f inMemory) Mode() os.FileMode            { return 0o644 }
func (f inMemory) ModTime() time.Time           { return time.Time{} }
func (f inMemory) IsDir() bool                  { return false }
func (f inMemory) Sys() any                     { return nil }

// with runs real processes with additional environment variables.
type with struct{ env []string }

func (r with) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	c.Env = append(slices.Clone(c.Env), r.env...)
	return run.Exec{}.Run(ctx, c)
}

const (
	oldDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	newDigest = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

// upstream returns a proxy that has all pinned modules, at the pinned version and at
// newer ones.
func upstream() proxy {
	p := proxy{}
	p.add("sigs.k8s.io/cluster-api", "v1.14.2", "v1.14.4", "v1.15.0-beta.0")
	p.add("sigs.k8s.io/cluster-api/api", "v1.14.2", "v1.14.4")
	for _, v := range []string{"v1.14.2", "v1.14.4"} {
		p.addFiles("sigs.k8s.io/cluster-api/test", v, files{"infrastructure/kind/mapper.go": "package kind\n\n" +
			"// kindest/node:v1.37.2@" + newDigest + "\n// kindest/node:v1.27.17@" + newDigest + "\n// kindest/node:v1.36.1@" + newDigest + "\n// kindest/node:v1.37.2@" + oldDigest + "\n"})
	}
	for v, needs := range map[string][3]string{"v1.36.1": {"3.6.8-0", "v1.14.2", "old"}, "v1.37.2": {"3.7.1-0", "v1.14.6", "new"}} {
		p.addFiles("k8s.io/kubernetes", v, files{
			"go.mod": "module k8s.io/kubernetes\n\ngo 1.26.0\n\nrequire (\n\tk8s.io/api v0.0.0\n\tk8s.io/" + needs[2] + " v0.0.0\n\texample.com/shared v1." + v[3:5] + ".0\n)\n\n" +
				"replace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tk8s.io/" + needs[2] + " => ./staging/src/k8s.io/" + needs[2] + "\n)\n",
			"cmd/kubelet/main.go":                         "package main\n\nimport (\n\t_ \"example.com/shared\"\n\t_ \"k8s.io/api\"\n\t_ \"k8s.io/" + needs[2] + "\"\n)\n\nfunc main() {}\n",
			"cmd/kubeadm/app/constants/constants.go":      "package constants\n\nconst (\n\tDefaultEtcdVersion = \"" + needs[0] + "\"\n\tCoreDNSVersion     = \"" + needs[1] + "\"\n)\n",
			"staging/src/k8s.io/" + needs[2] + "/doc.txt": "not in the real module\n",
		})
		p.add("k8s.io/api", "v0"+v[2:])
		p.add("k8s.io/"+needs[2], "v0"+v[2:])
	}
	p.add("example.com/shared", "v1.0.0", "v1.36.0", "v1.37.0")
	for _, v := range []string{"v3.6.8", "v3.7.1", "v3.8.0-alpha.0"} {
		p.addFiles("go.etcd.io/etcd/server/v3", v, files{
			"go.mod": "module go.etcd.io/etcd/server/v3\n\ngo 1.26.0\n\nrequire example.com/shared v1.0.0\n",
			"doc.go": "package main\n\nimport _ \"example.com/shared\"\n\nfunc main() {}\n",
		})
	}
	p.add("github.com/coredns/coredns", "v1.10.1", "v1.14.2", "v1.14.6")
	p.addFiles("sigs.k8s.io/cri-tools", "v1.36.0", files{"cmd/crictl/main.go": "package main\n\nfunc main() {}\n"})
	p.addFiles("sigs.k8s.io/cri-tools", "v1.37.0", files{"cmd/crictl/main.go": "package main\n\nfunc main() {}\n"})
	p.add("github.com/containerd/containerd/v2", "v2.3.7")
	p.add("github.com/containerd/containerd", "v1.7.30", "v1.7.35", "v1.8.0")
	p.add("github.com/containernetworking/plugins", "v1.9.1")
	p.add("sigs.k8s.io/kind", "v0.33.0")
	p.add("github.com/magefile/mage", "v1.17.2")
	p.add("sigs.k8s.io/controller-runtime", "v0.25.2")
	p.add("github.com/go-delve/delve", "v1.27.2")
	p.add("gotest.tools/gotestsum", "v1.13.0")
	p.add("github.com/golangci/golangci-lint/v2", "v2.6.2", "v2.7.0")
	p.add("golang.org/x/vuln", "v1.9.0")
	// The proxy does not have github.com/rhysd/actionlint.
	return p
}

// scene is a committed checkout with pins, and a proxy.
type scene struct {
	Options
	t *testing.T
}

func newScene(t *testing.T, p proxy) *scene {
	t.Helper()
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	root := t.TempDir()
	cache := t.TempDir()
	s := &scene{t: t, Options: Options{Root: root, Runner: with{[]string{
		"GOPROXY=" + server.URL, "GOSUMDB=off", "GOFLAGS=-mod=mod -modcacherw", "GOMODCACHE=" + cache, "GONOPROXY=", "GOPRIVATE=",
		// Otherwise git's maintenance after a commit runs in the background, in a folder
		// that the test removes.
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=maintenance.auto", "GIT_CONFIG_VALUE_0=false",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b",
	}}}}
	capi, ca := source.ClusterAPI("v1.14.2"), source.Autoscaler("1.36.1")
	capi.Origin, ca.Origin, ca.URL = source.Module, source.Dir, "file://"+root
	s.Specs = []source.Spec{capi, ca}
	s.write(files{
		settingsFile: "package config\n\nconst (\n\tdefaultClusterAPI = \"v1.14.2\"\n\tdefaultAutoscaler = \"v1.36.1\"\n\tdefaultKubernetes = \"v1.36.1\"\n)\n",
		checkFile: "package check\n\nconst (\n\tgotestsum    = \"gotest.tools/gotestsum@v1.13.0\"\n\tgolangciLint = \"github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.6.2\"\n" +
			"\tactionlint   = \"github.com/rhysd/actionlint/cmd/actionlint@v1.7.9\"\n\tgovulncheck  = \"golang.org/x/vuln/cmd/govulncheck@v1.9.0\"\n)\n",
		digestsFile: "package node\n\n// From test/infrastructure/kind/mapper.go at Cluster API v1.14.2.\nvar nodeDigests = map[string]string{\n\t\"v1.36.1\": \"" + oldDigest + "\",\n}\n",
		"README.md": "Kubernetes v1.36.1, autoscaler 1.36.1, Cluster API v1.14.2 and v1.14.20.\nAUTOSCALER_* v1.36.1\n",
		"go.mod":    "module caslab\n\ngo 1.26.0\n\nrequire (\n\texample.com/shared v1.36.0\n\tgithub.com/magefile/mage v1.17.2\n\tsigs.k8s.io/cluster-api v1.14.2\n\tsigs.k8s.io/cluster-api/api v1.14.2\n\tsigs.k8s.io/kind v0.33.0\n)\n",
		"a.go":      "package a\n\nimport (\n\t_ \"example.com/shared\"\n\t_ \"github.com/magefile/mage\"\n\t_ \"sigs.k8s.io/cluster-api\"\n\t_ \"sigs.k8s.io/cluster-api/api\"\n\t_ \"sigs.k8s.io/kind\"\n)\n",
		components + "kubernetes/go.mod": "module k\n\ngo 1.26.0\n\ntool k8s.io/kubernetes/cmd/kubelet\n\nrequire (\n\texample.com/shared v1.36.0 // indirect\n\tk8s.io/api v0.36.1 // indirect\n\tk8s.io/kubernetes v1.36.1 // indirect\n\tk8s.io/old v0.36.1 // indirect\n)\n\n" +
			"replace (\n\tk8s.io/api => k8s.io/api v0.36.1\n\tk8s.io/old => k8s.io/old v0.36.1\n)\n",
		components + "predicates/go.mod": "module s\n\ngo 1.26.0\n\ntool k8s.io/kubernetes/cmd/kubelet\n\nrequire (\n\texample.com/shared v1.36.0 // indirect\n\tk8s.io/api v0.36.1 // indirect\n\tk8s.io/kubernetes v1.36.1 // indirect\n\tk8s.io/old v0.36.1 // indirect\n)\n\n" +
			"replace (\n\tk8s.io/api => k8s.io/api v0.36.1\n\tk8s.io/old => k8s.io/old v0.36.1\n)\n",
		components + "etcd/go.mod":           "module e\n\ngo 1.26.0\n\ntool go.etcd.io/etcd/server/v3\n\nrequire (\n\texample.com/shared v1.36.0 // indirect\n\tgo.etcd.io/etcd/server/v3 v3.6.8 // indirect\n)\n",
		components + "nodetools/go.mod":      "module n\n\ngo 1.26.0\n\ntool sigs.k8s.io/cri-tools/cmd/crictl\n\nrequire sigs.k8s.io/cri-tools v1.36.0 // indirect\n",
		components + "hollow/go.mod":         "module h\n\ngo 1.26.0\n\nrequire sigs.k8s.io/controller-runtime v0.25.2\n",
		components + "coredns/go.mod":        "module c\n\ngo 1.26.0\n\nrequire github.com/coredns/coredns v1.14.2\n",
		components + "coredns/main.go":       "package main\n\nimport _ \"github.com/coredns/coredns\"\n\nfunc main() {}\n",
		components + "coredns-1.10/go.mod":   "module c10\n\ngo 1.26.0\n\nrequire github.com/coredns/coredns v1.10.1\n",
		components + "containerd/go.mod":     "module d\n\ngo 1.26.0\n\nrequire github.com/containerd/containerd/v2 v2.3.7\n",
		components + "containerd-1.7/go.mod": "module d17\n\ngo 1.26.0\n\nrequire github.com/containerd/containerd v1.7.30\n",
		components + "cni/go.mod":            "module p\n\ngo 1.26.0\n\nrequire github.com/containernetworking/plugins v1.9.1\n",
		"magefiles/tools/delve/go.mod":       "module v\n\ngo 1.26.0\n\nrequire github.com/go-delve/delve v1.27.2\n",
	})
	s.git("init", "-q")
	s.commit()
	for _, tag := range []string{"1.36.0", "1.36.1", "1.36.2", "1.37.0-beta.1"} {
		s.git("tag", "cluster-autoscaler-"+tag)
	}
	s.git("tag", "vertical-pod-autoscaler-9.0.0")
	return s
}

func (s *scene) write(all files) {
	s.t.Helper()
	for name, text := range all {
		path := filepath.Join(s.Root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *scene) read(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.Root, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}

func (s *scene) git(args ...string) string {
	s.t.Helper()
	res, err := s.Runner.Run(s.t.Context(), run.Cmd{Name: "git", Args: args, Dir: s.Root})
	if err != nil {
		s.t.Fatal(err)
	}
	return string(res.Stdout)
}

func (s *scene) commit() {
	s.t.Helper()
	s.git("add", "-A")
	s.git("commit", "-q", "-m", "all")
}

// TestTheTreesOwnPins: the table's pins are all found in this tree.
func TestTheTreesOwnPins(t *testing.T) {
	t.Parallel()
	all, err := Read(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if canonical(p.Version) == "" {
			t.Errorf("%s is pinned at %q", p.Name, p.Version)
		}
	}
	for _, file := range append(documents, digestsFile) {
		if _, err := os.Stat(filepath.Join("..", "..", "..", file)); err != nil {
			t.Error(err)
		}
	}
	data, err := os.ReadFile(filepath.Join("..", "..", "..", digestsFile))
	if err != nil || !digestTable.Match(data) || !digestsOf.Match(data) {
		t.Errorf("%s has no table of digests with its source, %v", digestsFile, err)
	}
	// Every nested module with a pin of the node image is in the table.
	folders, err := filepath.Glob(filepath.Join("..", "..", "components", "*", "go.mod"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("components: %q, %v", folders, err)
	}
	for _, f := range folders {
		folder := components + filepath.Base(filepath.Dir(f))
		switch folder {
		case components + "dockercli": // old Docker providers cannot read what newer releases print
			continue
		case components + "balancer": // it requires nothing
			continue
		}
		if !slices.ContainsFunc(all, func(p Pin) bool { return slices.Contains(p.folders, folder) }) {
			t.Errorf("no pin is in %s", folder)
		}
	}
}

// TestReadRefuses: a tree is refused if its pins are not where the table says.
func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]files{
		"the pins of cluster-api differ: v1.14.1 and v1.14.2":       {settingsFile: "const (\n\tdefaultClusterAPI = \"v1.14.1\"\n)\n"},
		"has no version in a constant defaultClusterAPI":            {settingsFile: "package config\n"},
		"magefiles/components/etcd/go.mod does not require go.etcd": {components + "etcd/go.mod": "module e\n"},
	} {
		s := newScene(t, proxy{})
		s.write(change)
		if _, err := Read(s.Root); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Read() = %v, want %q", err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	s := newScene(t, upstream())
	answers, err := Check(t.Context(), s.Options)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, a := range answers {
		got[a.Name] = fmt.Sprintf("%s %s %s %t", a.Version, a.Patch, a.Newest, a.Behind())
	}
	for name, want := range map[string]string{
		clusterAPI: "v1.14.2 v1.14.4 v1.14.4 true", autoscaler: "v1.36.1 1.36.2 1.36.2 true", kubernetes: "v1.36.1 v1.36.1 v1.37.2 true",
		etcd: "v3.6.8 v3.6.8 v3.7.1 true", "kind": "v0.33.0 v0.33.0 v0.33.0 false", "golangci-lint": "v2.6.2 v2.6.2 v2.7.0 true",
		"containerd-1.7": "v1.7.30 v1.7.35 v1.7.35 true", "coredns-1.10": "v1.10.1 v1.10.1 v1.10.1 false", "actionlint": "v1.7.9   false",
	} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
	var out bytes.Buffer
	if err := Print(&out, answers); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"kubernetes           v1.36.1   -            v1.37.2   Go module proxy", "the pinned Cluster API manages itself on v1.33 to v1.",
		"autoscaler           v1.36.1   v1.36.2      v1.36.2   file://", "actionlint           v1.7.9    ?            ?         no answer",
		"8 of 18 pins have newer releases; for 1 there is no answer:\n  actionlint: ask the Go module proxy for the versions of github.com/rhysd/actionlint: ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

// TestNobodyAnswers: if there is no answer, Check returns no error, and the answers say
// which server was asked.
func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	s := newScene(t, proxy{})
	s.Specs[0].Origin, s.Specs[0].URL, s.Specs[1].URL = source.Auto, "file:///nosuch", "file:///nosuch"
	s.Runner = &runtest.Fake{Answers: []runtest.Answer{{Prefix: "go ", Stderr: "no route to host\n", Err: errors.New("exit status 1")}}}
	answers, err := Check(t.Context(), s.Options)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Print(&out, answers); err != nil || !strings.Contains(out.String(), "\n0 of 18 pins have newer releases; for 18 there is no answer:\n") || strings.Count(out.String(), "no route to host") != 17 || strings.Count(out.String(), "list the tags of file:///nosuch") != 1 || !strings.Contains(out.String(), "(git was asked first: file:///nosuch: ") {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestBumpClusterAPI(t *testing.T) {
	t.Parallel()
	s := newScene(t, upstream())
	change, err := Bump(t.Context(), clusterAPI, "1.14.4", s.Options)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		settingsFile: `defaultClusterAPI = "v1.14.4"`, "README.md": "Cluster API v1.14.4 and v1.14.20.", digestsFile: "mapper.go at Cluster API v1.14.4.",
		"go.mod": "\tsigs.k8s.io/cluster-api v1.14.4\n\tsigs.k8s.io/cluster-api/api v1.14.4\n",
	} {
		if !strings.Contains(s.read(name), want) {
			t.Errorf("%s has no %q:\n%s", name, want, s.read(name))
		}
	}
	if want := "\t\"v1.37.2\":  \"" + newDigest + "\",\n\t\"v1.36.1\":  \"" + oldDigest + "\",\n\t\"v1.27.17\": \"" + newDigest + "\",\n}"; !strings.Contains(s.read(digestsFile), want) {
		t.Errorf("the digests are\n%s", s.read(digestsFile))
	}
	if change.Version != "v1.14.2" || change.To != "v1.14.4" || !slices.Contains(change.Files, "go.mod") || slices.Contains(change.Files, components+"etcd/go.mod") {
		t.Errorf("%+v", change)
	}
	if next := strings.Join(change.Next, "\n"); !strings.Contains(next, "capi/release") || !strings.Contains(next, "go tool mage test") {
		t.Errorf("next is %s", next)
	}
	if log := s.git("log", "--oneline"); strings.Count(log, "\n") != 1 {
		t.Errorf("committed: %s", log)
	}
}

func TestBumpKubernetes(t *testing.T) {
	t.Parallel()
	s := newScene(t, upstream())
	change, err := Bump(t.Context(), kubernetes, Newest, s.Options)
	if err != nil {
		t.Fatal(err)
	}
	for name, wants := range map[string][]string{
		settingsFile:                     {`defaultKubernetes = "v1.37.2"`, `defaultAutoscaler = "v1.36.1"`},
		"README.md":                      {"Kubernetes v1.37.2, autoscaler 1.36.1,", "AUTOSCALER_* v1.36.1\n"},
		components + "kubernetes/go.mod": {"k8s.io/kubernetes v1.37.2", "k8s.io/api => k8s.io/api v0.37.2", "k8s.io/new => k8s.io/new v0.37.2", "k8s.io/new v0.37.2"},
		components + "predicates/go.mod": {"k8s.io/kubernetes v1.37.2", "k8s.io/api => k8s.io/api v0.37.2"},
		components + "etcd/go.mod":       {"go.etcd.io/etcd/server/v3 v3.7.1", "example.com/shared v1.37.0"},
		components + "coredns/go.mod":    {"github.com/coredns/coredns v1.14.6"},
		components + "nodetools/go.mod":  {"sigs.k8s.io/cri-tools v1.37.0"},
		digestsFile:                      {`"v1.37.2": "` + newDigest},
	} {
		for _, want := range wants {
			if !strings.Contains(s.read(name), want) {
				t.Errorf("%s has no %q:\n%s", name, want, s.read(name))
			}
		}
	}
	if mod := s.read(components + "kubernetes/go.mod"); strings.Contains(mod, "k8s.io/old") || strings.Contains(mod, "36") {
		t.Errorf("what Kubernetes no longer has is in\n%s", mod)
	}
	if mod := s.read(components + "kubernetes/go.mod"); strings.Contains(mod, "\n\n\n") {
		t.Errorf("lines were left empty in\n%s", mod)
	}
	if slices.ContainsFunc(change.Notes, func(n string) bool {
		return !strings.HasSuffix(n, "does not exist") && !strings.HasPrefix(n, "Cluster API v1.14.2 manages itself on ")
	}) {
		t.Errorf("notes: %q", change.Notes)
	}
	if strings.Contains(s.read(digestsFile), "v1.27.17") || !strings.Contains(s.read(digestsFile), "at Cluster API v1.14.2.") {
		t.Errorf("more than one digest came:\n%s", s.read(digestsFile))
	}
	if _, err := Read(s.Root); err != nil {
		t.Errorf("after the change: %v", err)
	}
}

// TestBumpOfAutoscaler: a version without a v in a document is replaced by one without
// it, and a version of Kubernetes with the same numbers is not changed.
func TestBumpOfAutoscaler(t *testing.T) {
	t.Parallel()
	s := newScene(t, upstream())
	change, err := Bump(t.Context(), autoscaler, "1.36.2", s.Options)
	if err != nil {
		t.Fatal(err)
	}
	want := "Kubernetes v1.36.1, autoscaler 1.36.2, Cluster API v1.14.2 and v1.14.20.\nAUTOSCALER_* v1.36.2\n"
	if got := s.read("README.md"); got != want || !strings.Contains(s.read(settingsFile), `defaultAutoscaler = "v1.36.2"`) || !slices.Equal(change.Files, []string{"README.md", settingsFile}) {
		t.Errorf("changed %q: %s", change.Files, got)
	}
}

// TestBumpOfLinter: only one constant changes.
func TestBumpOfLinter(t *testing.T) {
	t.Parallel()
	s := newScene(t, upstream())
	change, err := Bump(t.Context(), "golangci-lint", "v2.7.0", s.Options)
	if err != nil || !slices.Equal(change.Files, []string{checkFile}) || !strings.Contains(s.read(checkFile), `/cmd/golangci-lint@v2.7.0"`) {
		t.Errorf("%+v, %v:\n%s", change, err, s.read(checkFile))
	}
	if strings.Count(s.read(checkFile), "@v2.7.0") != 1 {
		t.Errorf("others changed too:\n%s", s.read(checkFile))
	}
}

// TestBumpRefuses: wrong inputs are refused before anything is changed.
func TestBumpRefuses(t *testing.T) {
	t.Parallel()
	s := newScene(t, upstream())
	for _, tc := range []struct{ name, version, want string }{
		{"nosuch", "v1.0.0", `no pin is called "nosuch"; want one of cluster-api, autoscaler, kubernetes,`},
		{kubernetes, "v1.36.9", "kubernetes has no release v1.36.9 (asked: Go module proxy); the newest is v1.37.2, and the newest of the pinned minor is v1.36.1"},
		{kubernetes, "tomorrow", "kubernetes has no release tomorrow"},
		{autoscaler, "v1.36.1", "autoscaler is pinned at v1.36.1 already"},
		{"coredns-1.10", Newest, "coredns-1.10 is pinned at v1.10.1 already"},
		{"actionlint", "v9.9.9", "ask for the releases of actionlint: ask the Go module proxy"},
	} {
		_, err := Bump(t.Context(), tc.name, tc.version, s.Options)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Bump(%s, %s) = %v, want %q", tc.name, tc.version, err, tc.want)
		}
	}
	if _, err := Bump(t.Context(), kubernetes, "v9", s.Options); !errors.As(err, new(*UnknownVersionError)) {
		t.Errorf("the error is %v", err)
	}
	s.write(files{"new.txt": "mine"})
	var dirty *DirtyError
	if _, err := Bump(t.Context(), kubernetes, Newest, s.Options); !errors.As(err, &dirty) || !slices.Equal(dirty.Files, []string{"new.txt"}) {
		t.Errorf("Bump() in a tree with changes = %v", err)
	}
	if status := s.git("status", "--porcelain"); status != "?? new.txt\n" {
		t.Errorf("changed %s", status)
	}
}

// TestBumpThatFails: the error says how to undo the changes that were made.
func TestBumpThatFails(t *testing.T) {
	t.Parallel()
	p := upstream()
	p.add("sigs.k8s.io/cluster-api", "v1.14.5") // the module …/api is missing
	s := newScene(t, p)
	if _, err := Bump(t.Context(), clusterAPI, Newest, s.Options); err == nil || !strings.Contains(err.Error(), "change ./go.mod") || !strings.Contains(err.Error(), "checkout .") {
		t.Errorf("Bump() = %v", err)
	}
}

func TestReplaceVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"1.36.1": "1.37.0", "v1.36.1": "v1.36.1", "1.36.10 and 1.36.1, 1.36.1-rc.1": "1.36.10 and 1.37.0, 1.36.1-rc.1",
		"it is 1.36.1. Or `1.36.1`": "it is 1.37.0. Or `1.37.0`", "11.36.1 1.36.1.2": "11.36.1 1.36.1.2",
	} {
		if got := replaceVersion(text, "1.36.1", "1.37.0"); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
