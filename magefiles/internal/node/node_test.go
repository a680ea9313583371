package node

import (
	"archive/tar"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/mod/modfile"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/run/runtest"
)

// mirror serves a node image and a load balancer's image, for amd64, on the
// loopback interface.
func mirror(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(registry.New())
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	for _, ref := range []string{"kindest/node:v1.99.0", balancer.Image()} {
		img, err := random.Image(128, 1)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config.OS, config.Architecture = "linux", "amd64"
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		tag, err := name.NewTag(host + "/" + ref)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(tag, img); err != nil {
			t.Fatal(err)
		}
	}
	return host
}

var balancer = release.LoadBalancer{Repository: "kindest", Tag: "v1"}

func opts(t *testing.T, fake *runtest.Fake) Options {
	t.Helper()
	return Options{LoadBalancer: balancer, Kubernetes: "v1.99.0", Arch: "amd64", StateDir: t.TempDir(), Engine: engine.New(fake), Runner: fake}
}

func TestRegistryThroughAMirror(t *testing.T) {
	t.Parallel()
	fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker image ls"}, {Prefix: "docker load"}}}
	o := opts(t, fake)
	o.Origin, o.Mirror = Registry, mirror(t)
	said := ""
	o.Progress = func(text string) { said += text + "\n" }
	images, err := Base(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said, "no digest of kindest/node:v1.99.0 is pinned") {
		t.Errorf("it said %q, and not that the version is not pinned", said)
	}
	if images.Origin != Registry || images.Node != "caslab.local/node-pulled:v1.99.0-amd64" || images.LoadBalancer != balancer || images.OwnNetwork {
		t.Errorf("Base() = %+v", images)
	}
	loads := 0
	for _, call := range fake.Calls() {
		if call == "docker load --quiet" {
			loads++
		}
	}
	if loads != 2 {
		t.Errorf("%d images were loaded, want 2: %q", loads, fake.Calls())
	}
}

func TestRegistryOfWhatIsThere(t *testing.T) {
	t.Parallel()
	fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker image ls", Stdout: "sha256:aa\n"}}}
	o := opts(t, fake)
	o.Origin, o.Mirror = Registry, "127.0.0.1:1" // nobody answers there
	if _, err := Base(t.Context(), o); err != nil {
		t.Errorf("images that are there were asked of the registry: %v", err)
	}
}

func TestRegistryThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker image ls"}}}
	o := opts(t, fake)
	o.Origin, o.Mirror = Registry, "127.0.0.1:1"
	if _, err := Base(t.Context(), o); err == nil || !strings.Contains(err.Error(), "kindest/node:v1.99.0") {
		t.Errorf("Base() = %v; want the image in it", err)
	}
}

// TestPinnedByDigest: a pinned version is pulled by its digest, and not at all if the
// engine has the image, for example from kind.
func TestPinnedByDigest(t *testing.T) {
	t.Parallel()
	pin := "kindest/node@" + nodeDigests["v1.36.1"]
	for there, want := range map[bool]string{true: "kindest/haproxy/manifests/", false: "kindest/node/manifests/" + nodeDigests["v1.36.1"]} {
		var asked []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				asked = append(asked, r.URL.Path)
				w.WriteHeader(http.StatusNotFound)
			}
		}))
		fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker image ls"}}}
		if there {
			fake.Answers = append(fake.Answers, runtest.Answer{Prefix: "docker image tag " + pin + " caslab.local/node-pulled:v1.36.1-amd64-"})
		}
		o := opts(t, fake)
		o.Kubernetes, o.Origin, o.Mirror = "v1.36.1", Registry, strings.TrimPrefix(server.URL, "http://")
		if _, err := Base(t.Context(), o); err == nil {
			t.Error("an image came of a registry that has none")
		}
		server.Close()
		if len(asked) == 0 || !strings.Contains(asked[0], want) {
			t.Errorf("with the image there: %t, the registry was asked for %q; want %s first", there, asked, want)
		}
	}
}

// TestDownloadSaysWhy: the go command reports the reason in a field of the JSON
// that it prints.
func TestDownloadSaysWhy(t *testing.T) {
	t.Parallel()
	fake := &runtest.Fake{Answers: []runtest.Answer{{
		Prefix: "go mod download", Stdout: `{"Path": "k8s.io/kubernetes", "Error": "unknown revision v1.36.77"}`, Err: errors.New("exit status 1"),
	}}}
	_, err := download(t.Context(), opts(t, fake), "k8s.io/kubernetes@v1.36.77")
	if err == nil || err.Error() != "download k8s.io/kubernetes@v1.36.77: unknown revision v1.36.77" {
		t.Errorf("download() = %v", err)
	}
}

func TestAPinIsInTheTag(t *testing.T) {
	t.Parallel()
	fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker image ls", Stdout: "sha256:aa\n"}}}
	o := opts(t, fake)
	o.Origin, o.Kubernetes, o.Arch = Registry, "v1.36.1", "arm64"
	images, err := Base(t.Context(), o)
	if want := "caslab.local/node-pulled:v1.36.1-arm64-3489c7674813"; err != nil || images.Node != want {
		t.Errorf("Base() = %+v, %v; want %s", images, err, want)
	}
}

// TestAutoWithoutEither: there is no registry, and the machine cannot build the
// image.
func TestAutoWithoutEither(t *testing.T) {
	t.Parallel()
	// This fake machine has neither apt-get nor debootstrap nor the go command.
	fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker image ls"}}}
	o := opts(t, fake)
	o.Origin, o.Mirror = Auto, "127.0.0.1:1"
	_, err := Base(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "pull kindest/node:v1.99.0") || !errors.As(err, new(*CannotBuildError)) {
		t.Errorf("Base() = %v; want the registry's error and what building takes", err)
	}
}

func TestCanBuild(t *testing.T) {
	t.Parallel()
	all := func(string) bool { return true }
	none := func(string) bool { return false }
	for name, tc := range map[string]struct {
		system string
		user   int
		has    func(string) bool
		want   string
	}{
		"Debian as root":                  {"linux", 0, all, ""},
		"a Mac":                           {"darwin", 0, all, "this is darwin"},
		"not root":                        {"linux", 1000, all, "needs root"},
		"Fedora":                          {"linux", 0, none, "needs debootstrap"},
		"with debootstrap and no apt-get": {"linux", 0, func(p string) bool { return p == "debootstrap" }, ""},
	} {
		err := canBuild(tc.system, tc.user, tc.has)
		if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || !errors.As(err, new(*CannotBuildError))) {
			t.Errorf("%s: canBuild() = %v; want %q in it", name, err, tc.want)
		}
	}
}

func TestTogetherEndsWithTheFirstFailure(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	fails := func(context.Context) error { return boom }
	waits := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for range 2 {
		if err := together(t.Context(), fails, waits); err != boom { //nolint:errorlint // that alone, not joined
			t.Errorf("together() = %v, want boom alone", err)
		}
		fails, waits = waits, fails
	}
	if err := together(t.Context(), func(context.Context) error { return nil }, func(context.Context) error { return nil }); err != nil {
		t.Errorf("together() = %v", err)
	}
}

func TestUsually(t *testing.T) {
	t.Parallel()
	fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker image ls"}}}
	o := opts(t, fake)
	o.Origin = Source
	if got := Usually(t.Context(), o); got < time.Minute {
		t.Errorf("building takes %s", got)
	}
	fake.Answers[0].Stdout = "sha256:aa\n"
	if got := Usually(t.Context(), o); got > 10*time.Second {
		t.Errorf("what is there takes %s", got)
	}
}

// TestHas: an image that kind pulled is one for a registry's origin only.
func TestHas(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]bool{Auto: true, Registry: true, Source: false} {
		o := opts(t, &runtest.Fake{Answers: []runtest.Answer{
			{Prefix: "docker image ls --quiet --no-trunc --filter reference=kindest/node@sha256:", Stdout: "sha256:aa\n"}, {Prefix: "docker image ls"},
		}})
		o.Origin, o.Kubernetes = origin, "v1.18.19"
		if got := Has(t.Context(), o); got != want {
			t.Errorf("with the origin %s: %t", origin, got)
		}
		if o.Kubernetes = "v1.17.2"; Has(t.Context(), o) {
			t.Errorf("with the origin %s, there is an image without a digest", origin)
		}
	}
}

func TestPinsAreDigests(t *testing.T) {
	t.Parallel()
	for version, digest := range nodeDigests {
		if _, err := name.NewDigest("kindest/node@" + digest); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
	seen := map[string]string{}
	for version, digest := range nodeDigests {
		if other, ok := seen[digest]; ok {
			t.Errorf("%s and %s have the same digest", version, other)
		}
		seen[digest] = version
	}
}

// TestDefaultsHaveAnImage: where a registry answers, the default Kubernetes of every release
// is pulled by its digest.
func TestDefaultsHaveAnImage(t *testing.T) {
	t.Parallel()
	for _, r := range append(release.Changes(), release.All()...) {
		if nodeDigests[r.DefaultKubernetes] == "" {
			t.Errorf("Cluster API v%s defaults to Kubernetes %s, of which no digest is pinned", r.Version, r.DefaultKubernetes)
		}
	}
}

func TestBake(t *testing.T) {
	t.Parallel()
	manager, err := random.Image(128, 1)
	if err != nil {
		t.Fatal(err)
	}
	managers := map[string]v1.Image{"example.com/manager:v1": manager}
	stateDir := t.TempDir()
	prefix, err := buildPrefix(stateDir)
	if err != nil {
		t.Fatal(err)
	}
	answers := []runtest.Answer{
		{Prefix: "docker image ls --quiet --no-trunc --filter reference=base:x", Stdout: "sha256:aa\n"},
		{Prefix: "docker image ls"},
		{Prefix: "docker run", Stdout: "ccc\n"},
		{Prefix: "docker exec"},
		{Prefix: "docker commit"},
		{Prefix: "docker rm"},
		{Prefix: "docker ps --all --quiet --no-trunc --filter name=^/?" + prefix, Stdout: "old\n"},
		{Prefix: "docker container inspect old", Stdout: `[{"Id": "old"}]`},
	}
	fake := &runtest.Fake{Answers: answers}
	here := func(fake *runtest.Fake) Options {
		o := opts(t, fake)
		o.StateDir = stateDir
		return o
	}
	ref, err := Bake(t.Context(), "base:x", managers, here(fake))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(ref, "caslab.local/node:v1.99.0-") {
		t.Errorf("Bake() = %s", ref)
	}
	calls := fake.Calls()
	if want := "docker exec --interactive ccc ctr --namespace=k8s.io images import"; !slices.ContainsFunc(calls, func(c string) bool { return strings.HasPrefix(c, want) }) {
		t.Errorf("no %q in %q", want, calls)
	}
	if want := "docker exec --interactive ccc install -D -m 0755 /dev/stdin " + prepareCgroups; !slices.Contains(calls, want) {
		t.Errorf("no %q in %q", want, calls)
	}
	if last := calls[len(calls)-1]; last != "docker rm --force --volumes ccc" {
		t.Errorf("the build container was left; last: %s", last)
	}
	if !slices.Contains(calls, "docker rm --force --volumes old") {
		t.Errorf("the build container of a killed run was left: %q", calls)
	}
	for _, c := range calls {
		if strings.HasPrefix(c, "docker run") && (!strings.Contains(c, " --name "+prefix) || strings.Contains(c, " --label")) {
			t.Errorf("%q: want a name by which it is found, and no label, which nodes would have too", c)
		}
	}
	t.Run("what exists is not made again", func(t *testing.T) {
		fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker image ls", Stdout: "sha256:aa\n"}}}
		if again, err := Bake(t.Context(), "base:x", managers, here(fake)); err != nil || again != ref {
			t.Errorf("Bake() = %s, %v; want %s", again, err, ref)
		}
	})
	t.Run("another manager is another image", func(t *testing.T) {
		other, err := random.Image(128, 1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Bake(t.Context(), "base:x", map[string]v1.Image{"example.com/manager:v1": other}, here(&runtest.Fake{Answers: answers}))
		if err != nil || got == ref {
			t.Errorf("Bake() = %s, %v", got, err)
		}
	})
	t.Run("another script of the kubelet is another image", func(t *testing.T) {
		refs := map[string]bool{}
		for _, kubernetes := range []string{"v1.20.0", "v1.21.0"} {
			o := here(&runtest.Fake{Answers: answers})
			o.Kubernetes = kubernetes
			got, err := Bake(t.Context(), "base:x", managers, o)
			if err != nil {
				t.Fatal(err)
			}
			refs[got[strings.LastIndex(got, "-"):]] = true
		}
		if len(refs) != 2 {
			t.Errorf("one digest for two scripts: %v", refs)
		}
	})
	t.Run("without managers", func(t *testing.T) {
		fake := &runtest.Fake{Answers: answers}
		got, err := Bake(t.Context(), "base:x", nil, here(fake))
		if err != nil || got == ref {
			t.Errorf("Bake() = %s, %v", got, err)
		}
		for _, c := range fake.Calls() {
			if strings.Contains(c, "images import") {
				t.Errorf("no manager was imported with %q", c)
			}
		}
	})
	t.Run("a failure leaves no container", func(t *testing.T) {
		broken := slices.Clone(answers)
		broken[3].Err = errors.New("exit status 1")
		fake := &runtest.Fake{Answers: broken}
		if _, err := Bake(t.Context(), "base:x", managers, here(fake)); err == nil {
			t.Fatal("it succeeded")
		}
		calls := fake.Calls()
		if last := calls[len(calls)-1]; last != "docker rm --force --volumes ccc" {
			t.Errorf("the build container was left; last: %s", last)
		}
	})
}

// TestReadFile: the file is read in a container that is removed also if that fails.
func TestReadFile(t *testing.T) {
	t.Parallel()
	archive := new(strings.Builder)
	files := tar.NewWriter(archive)
	if err := files.WriteHeader(&tar.Header{Name: "version", Size: 7, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Write([]byte("v1.36.1")); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{archive.String(): "v1.36.1", "": ""} {
		fake := &runtest.Fake{Answers: []runtest.Answer{
			{Prefix: "docker rm"}, {Prefix: "docker run", Stdout: "ccc\n"}, {Prefix: "docker cp ccc:/kind/version -", Stdout: text},
		}}
		data, err := ReadFile(t.Context(), "node:x", "/kind/version", opts(t, fake))
		if (err == nil) != (want != "") || string(data) != want {
			t.Errorf("ReadFile() = %q, %v; want %q", data, err, want)
		}
		if calls := fake.Calls(); calls[len(calls)-1] != "docker rm --force --volumes ccc" {
			t.Errorf("the container was left: %q", calls)
		}
	}
}

func TestOverlay(t *testing.T) {
	t.Parallel()
	got, err := overlay([]byte(`module k8s.io/kubernetes

go 1.25.0

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/kubelet => ./staging/src/k8s.io/kubelet
	example.com/fork => example.com/theirs v1.0.0
)
`), "v1.35.4", recipeOf(t, "v1.35.4").facts)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"go 1.25.0", "k8s.io/kubernetes v1.35.4", "k8s.io/api => k8s.io/api v0.35.4", "k8s.io/kubelet => k8s.io/kubelet v0.35.4", "k8s.io/kubernetes/cmd/kubelet",
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "staging") || strings.Contains(string(got), "theirs") {
		t.Errorf("a replacement by a folder, or one that is none of the staging modules:\n%s", got)
	}
}

// TestOverlayKeepsUpstreamsPins: without them, tests of dependencies bring the latest
// modules, which go1.24.7 cannot compile. Vendored modules are resolved by today's Go.
func TestOverlayKeepsUpstreamsPins(t *testing.T) {
	t.Parallel()
	const pin = "github.com/rogpeppe/go-internal => github.com/rogpeppe/go-internal v1.6.1"
	for version, pinned := range map[string]bool{"v1.24.17": true, "v1.21.14": false} {
		got, err := overlay([]byte("module k8s.io/kubernetes\n\ngo 1.16\n\nreplace "+pin+"\n"), version, recipeOf(t, version).facts)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(got), pin) != pinned {
			t.Errorf("%s: want the pin: %t\n%s", version, pinned, got)
		}
	}
}

func TestControlPlaneImages(t *testing.T) {
	t.Parallel()
	rootfs := t.TempDir()
	f, err := os.Create(filepath.Join(rootfs, "iptables.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tar.NewWriter(f).Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	bins := map[string]string{}
	for _, bin := range []string{"etcd", "kube-proxy", "pause", "cnid"} {
		bins[bin] = filepath.Join(rootfs, bin)
		if err := os.WriteFile(bins[bin], []byte(bin), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Arch: "amd64"}
	required := []string{"registry.k8s.io/etcd:3.6.8-0", "registry.k8s.io/kube-proxy:v1.36.1", "registry.k8s.io/pause:3.10"}
	images, err := controlPlaneImages(o, recipeOf(t, "v1.36.1"), rootfs, bins, required)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := slices.Sorted(maps.Keys(images)), append([]string{cnidImage}, required...); !slices.Equal(got, want) {
		t.Errorf("images %v, want %v", got, want)
	}
	layers, err := images["registry.k8s.io/kube-proxy:v1.36.1"].Layers()
	if err != nil || len(layers) != 2 {
		t.Errorf("kube-proxy has %d layers, %v; want iptables and itself", len(layers), err)
	}
	config, err := images["registry.k8s.io/etcd:3.6.8-0"].ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	// kubeadm's manifest for etcd starts the program by the name "etcd".
	if len(config.Config.Env) != 1 || !strings.HasPrefix(config.Config.Env[0], "PATH=") || !strings.Contains(config.Config.Env[0], "/usr/local/bin") {
		t.Errorf("etcd's environment is %q", config.Config.Env)
	}
	// The network's daemon must not request streamed lists, because an old API
	// server does not send them.
	images, err = controlPlaneImages(o, recipeOf(t, "v1.18.19"), rootfs, bins, nil)
	if err != nil {
		t.Fatal(err)
	}
	if config, err = images[cnidImage].ConfigFile(); err != nil || !slices.Contains(config.Config.Env, "KUBE_FEATURE_WatchListClient=false") {
		t.Errorf("cnid's environment on Kubernetes 1.18 is %q, %v", config.Config.Env, err)
	}
	if _, err := controlPlaneImages(o, recipeOf(t, "v1.36.1"), rootfs, bins, []string{"registry.k8s.io/new-thing:v1"}); err == nil || !strings.Contains(err.Error(), "new-thing") {
		t.Errorf("an image that nobody builds: %v", err)
	}
}

func TestSourceIDCoversTheInputs(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	script := filepath.Join(root, "scripts", "node-rootfs.sh")
	sum := filepath.Join(root, "magefiles", "components", "etcd", "go.sum")
	paths := []string{script, sum}
	for _, folder := range recipeOf(t, "v1.36.1").components() {
		paths = append(paths, filepath.Join(root, "magefiles", "components", folder, "go.mod"))
	}
	for _, path := range paths {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("one"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	id := func(o Options) string {
		o.Root = root
		if o.Kubernetes == "" {
			o.Kubernetes = "v1.36.1"
		}
		got, err := sourceID(o, recipeOf(t, o.Kubernetes), "/mod/kind@v0.33.0")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := id(Options{Kubernetes: "v1.36.1", Arch: "amd64"})
	if id(Options{Kubernetes: "v1.36.1", Arch: "amd64"}) != first {
		t.Error("the same inputs give two IDs")
	}
	if id(Options{Kubernetes: "v1.35.4", Arch: "amd64"}) == first || id(Options{Kubernetes: "v1.36.1", Arch: "arm64"}) == first {
		t.Error("another version or architecture gives the same ID")
	}
	// Programs that are compiled for this machine, and test programs, are not in
	// the image.
	for _, path := range []string{"delve/go.sum", "etcd/main_test.go"} {
		before := id(Options{})
		path = filepath.Join(root, "magefiles", "components", filepath.FromSlash(path))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("x"), 0o644)); err != nil {
			t.Fatal(err)
		}
		if id(Options{}) != before {
			t.Errorf("%s changes the ID", path)
		}
	}
	for _, path := range []string{script, sum} {
		before := id(Options{})
		if err := os.WriteFile(path, []byte("two"), 0o644); err != nil {
			t.Fatal(err)
		}
		if id(Options{}) == before {
			t.Errorf("%s changed and the ID did not", path)
		}
	}
}

// FuzzOverlay: any go.mod of Kubernetes gives an error, or a go.mod that can be
// read and that replaces no module by a folder.
func FuzzOverlay(f *testing.F) {
	f.Add("module k8s.io/kubernetes\n\ngo 1.25.0\n\nreplace k8s.io/api => ./staging/src/k8s.io/api\n", "v1.35.4")
	f.Add("module k8s.io/kubernetes\n", "v1.35.4") // no go line
	f.Add("module k8s.io/kubernetes\n\ngo 1.25.0\n", "banana")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, upstream, version string) {
		r, err := recipeFor(version)
		if err != nil {
			return
		}
		got, err := overlay([]byte(upstream), version, r.facts)
		if err != nil {
			return
		}
		mod, err := modfile.Parse("go.mod", got, nil)
		if err != nil {
			t.Fatalf("overlay(%q, %q) cannot be read: %v\n%s", upstream, version, err, got)
		}
		for _, r := range mod.Replace {
			if r.New.Version == "" {
				t.Errorf("overlay(%q, %q) replaces %s by the folder %s", upstream, version, r.Old.Path, r.New.Path)
			}
		}
	})
}

// TestVersionFlags: kubectl and the API server compare these numbers.
func TestVersionFlags(t *testing.T) {
	t.Parallel()
	for kubernetes, packages := range map[string][]string{
		"v1.36.1":  {"k8s.io/component-base/version"},
		"v1.28.15": {"k8s.io/component-base/version"},
		"v1.27.16": {"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"},
	} {
		flags := versionFlags(recipeOf(t, kubernetes).facts)
		minor := strings.Split(kubernetes, ".")[1]
		var want []string
		for _, pkg := range packages {
			want = append(want, "-X", pkg+".gitVersion="+kubernetes, "-X", pkg+".gitMajor=1", "-X", pkg+".gitMinor="+minor, "-X", pkg+".gitTreeState=clean")
		}
		if !slices.Equal(flags, want) {
			t.Errorf("%s: %q, want %q", kubernetes, flags, want)
		}
	}
}

// TestImportedImagesArePinned: but containerd 1 has no option for that.
func TestImportedImagesArePinned(t *testing.T) {
	t.Parallel()
	const pin = "--label=io.cri-containerd.pinned=pinned"
	manager, err := random.Image(128, 1)
	if err != nil {
		t.Fatal(err)
	}
	images := map[string]v1.Image{"example.com/manager:v1": manager}
	for help, want := range map[string]bool{"   --label value   Labels\n   --no-unpack": true, "   --local  \n   --no-unpack": false} {
		fake := &runtest.Fake{Answers: []runtest.Answer{
			{Prefix: "docker exec node bash", Stdout: help}, {Prefix: "docker exec --interactive node ctr"},
		}}
		if err := Load(t.Context(), engine.New(fake), "node", images); err != nil {
			t.Fatal(err)
		}
		cmds := fake.Cmds()
		if last := cmds[len(cmds)-1].Args; slices.Contains(last, pin) != want || last[len(last)-1] != "-" || !slices.Contains(last, "--no-unpack") {
			t.Errorf("with the help %q: %q", help, last)
		}
	}
	fake := &runtest.Fake{}
	if err := Load(t.Context(), engine.New(fake), "node", images); err == nil || len(fake.Calls()) != 1 {
		t.Errorf("without ctr: %v after %q", err, fake.Calls())
	}
}
