package node

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"caslab/magefiles/internal/image"
)

func recipeOf(t *testing.T, kubernetes string) recipe {
	t.Helper()
	r, err := recipeFor(kubernetes)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRecipes compares the recipes of the releases on both sides of each
// boundary.
func TestRecipes(t *testing.T) {
	t.Parallel()
	for kubernetes, want := range map[string]struct {
		containerd, coredns    string
		cgroupFS, rights, same bool
	}{
		"v1.17.2":  {"containerd-1.7", "coredns-1.10", true, true, false},
		"v1.20.15": {"containerd-1.7", "coredns-1.10", true, true, false},
		"v1.21.0":  {"containerd-1.7", "coredns", true, true, false},
		"v1.21.14": {"containerd-1.7", "coredns", true, true, false},
		"v1.22.17": {"containerd-1.7", "coredns", true, false, false},
		"v1.23.17": {"containerd", "coredns", true, false, false},
		"v1.24.17": {"containerd", "coredns", false, false, false},
		"v1.33.6":  {"containerd", "coredns", false, false, true},
		"v1.36.1":  {"containerd", "coredns", false, false, true},
		"v1.37.2":  {"containerd", "coredns", false, false, true},
	} {
		r := recipeOf(t, kubernetes)
		if r.containerd != want.containerd || r.coredns != want.coredns || (r.script == cgroupFS) != want.cgroupFS {
			t.Errorf("%s: %s and %s, script %q", kubernetes, r.containerd, r.coredns, r.script)
		}
		if !strings.HasPrefix(r.setup(), adaptRuntime+containerSpec) || strings.Contains(r.setup(), "SystemdCgroup = false") != want.cgroupFS {
			t.Errorf("%s: the runtime is set up by %s", kubernetes, r.setup())
		}
		if (len(r.network) > 0) != want.rights {
			t.Errorf("%s: network %q", kubernetes, r.network)
		}
		for _, folder := range []string{want.containerd, want.coredns, "cni", "etcd", "nodetools"} {
			if !slices.Contains(r.components(), folder) {
				t.Errorf("%s: no %s in %q", kubernetes, folder, r.components())
			}
		}
		h := sha256.New()
		before := fmt.Sprintf("%x", h.Sum(nil))
		r.digest(h)
		if same := fmt.Sprintf("%x", h.Sum(nil)) == before; same != want.same {
			t.Errorf("%s: built as today's: %t", kubernetes, same)
		}
	}
	if _, err := recipeFor("banana"); err == nil || !strings.Contains(err.Error(), `"banana"`) {
		t.Errorf("recipeFor(banana) = %v", err)
	}
}

// TestComponentsAreThere: every folder of a recipe is a module that requires what is
// compiled from it.
func TestComponentsAreThere(t *testing.T) {
	t.Parallel()
	for _, kubernetes := range []string{"v1.17.2", "v1.36.1"} {
		for _, p := range recipeOf(t, kubernetes).programs() {
			file := filepath.Join("..", "..", "components", p.folder, "go.mod")
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			mod, err := modfile.Parse(file, data, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, pkg := range p.packages {
				if !strings.HasPrefix(pkg, ".") && !slices.ContainsFunc(mod.Require, func(r *modfile.Require) bool { return strings.HasPrefix(pkg, r.Mod.Path+"/") || pkg == r.Mod.Path }) {
					t.Errorf("%s does not require %s", file, pkg)
				}
			}
		}
	}
}

// TestIdentityOfToday: what an image of another version needs does not change the
// identity of today's, which is a digest of these files in this order.
func TestIdentityOfToday(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "..")
	pinned, err := pinnedKubernetes(filepath.Join(root, "magefiles", "components", kubernetesFolder))
	if err != nil || pinned == "" {
		t.Fatalf("the pinned Kubernetes is %q, %v", pinned, err)
	}
	h := sha256.New()
	fmt.Fprintln(h, revision, pinned, "amd64", "kind@v1")
	files := []string{filepath.Join(root, "scripts", "node-rootfs.sh")}
	for _, folder := range []string{"cni", "containerd", "coredns", "etcd", "kubernetes", "nodetools"} {
		err := filepath.WalkDir(filepath.Join(root, "magefiles", "components", folder), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !strings.HasSuffix(path, "_test.go") {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range files {
		if err := fileDigest(h, file); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"default-cni.yaml", "default-storage.yaml"} {
		data, err := os.ReadFile(filepath.Join(root, "manifests", "node", name))
		if err != nil {
			t.Fatal(err)
		}
		h.Write(data)
	}
	got, err := sourceID(Options{Root: root, Kubernetes: pinned, Arch: "amd64"}, recipeOf(t, pinned), "/mod/kind@v1")
	if want := hex.EncodeToString(h.Sum(nil))[:12]; err != nil || got != want {
		t.Errorf("sourceID() = %s, %v; want %s", got, err, want)
	}
}

// TestPinnedKubernetes: a change of the pinned version does not rebuild the images of others.
func TestPinnedKubernetes(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	id := func(kubernetes string) string {
		got, err := sourceID(Options{Root: root, Kubernetes: kubernetes, Arch: "amd64"}, recipeOf(t, kubernetes), "/mod/kind@v1")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	write := func(path, text string) {
		path = filepath.Join(root, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("scripts/node-rootfs.sh", "")
	for _, p := range append(recipeOf(t, "v1.17.2").components(), recipeOf(t, "v1.36.1").components()...) {
		write("magefiles/components/"+p+"/go.mod", "module "+p+"\n")
	}
	write("magefiles/components/kubernetes/go.mod", "module m\n\nrequire k8s.io/kubernetes v1.36.1\n")
	pinned, other, old := id("v1.36.1"), id("v1.33.13"), id("v1.17.2")
	write("magefiles/components/kubernetes/go.sum", "changed")
	if id("v1.36.1") == pinned || id("v1.33.13") != other {
		t.Error("the sums of the pinned modules belong to the pinned version alone")
	}
	write("magefiles/components/containerd-1.7/go.sum", "changed")
	if id("v1.33.13") != other || id("v1.17.2") == old {
		t.Error("a component belongs to the versions that have it")
	}
	write("magefiles/components/kubernetes/go.mod", "module (")
	if _, err := sourceID(Options{Root: root, Kubernetes: "v1.36.1"}, recipeOf(t, "v1.36.1"), "k"); err == nil {
		t.Error("a go.mod that cannot be read was no error")
	}
}

// TestNodeFiles: each file is in the image once, with kind's files and the network's
// manifest.
func TestNodeFiles(t *testing.T) {
	t.Parallel()
	kind := t.TempDir()
	unit := filepath.Join(kind, "images", "base", "files", "etc", "systemd", "system", "kubelet.service.d", "11-kind.conf")
	if err := errors.Join(os.MkdirAll(filepath.Dir(unit), 0o755), os.WriteFile(unit, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for kubernetes, rights := range map[string]bool{"v1.18.19": true, "v1.21.14": true, "v1.36.1": false} {
		files, err := nodeFiles(Options{Kubernetes: kubernetes}, recipeOf(t, kubernetes), kind, nil)
		if err != nil {
			t.Fatal(err)
		}
		at := map[string]image.File{}
		for _, f := range files {
			if _, twice := at[f.Path]; twice {
				t.Errorf("%s: two files %s", kubernetes, f.Path)
			}
			at[f.Path] = f
		}
		network := string(at["/kind/manifests/default-cni.yaml"].Data)
		if !strings.Contains(network, "kind: DaemonSet") || strings.Contains(network, "endpointslices") != rights {
			t.Errorf("%s: the network is\n%s", kubernetes, network)
		}
		if at["/etc/systemd/system/kubelet.service.d/11-kind.conf"].Source != unit {
			t.Errorf("%s: no file of kind's: %v", kubernetes, files)
		}
	}
}

// TestDifferencesAreInTheIdentity: a change of what an old image has beyond today's gives
// another image.
func TestDifferencesAreInTheIdentity(t *testing.T) {
	t.Parallel()
	id := func(change func(*recipe)) string {
		r := recipeOf(t, "v1.18.19")
		change(&r)
		got, err := sourceID(Options{Root: filepath.Join("..", "..", ".."), Kubernetes: "v1.18.19", Arch: "amd64"}, r, "kind@v1")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	seen := map[string]string{id(func(*recipe) {}): "nothing"}
	for what, change := range map[string]func(*recipe){
		"the toolchain":   func(r *recipe) { r.facts.Toolchain = "go1.14.15" },
		"the script":      func(r *recipe) { r.script += "true" },
		"the network":     func(r *recipe) { r.network = nil },
		"the environment": func(r *recipe) { r.env = nil },
		"the runtime":     func(r *recipe) { r.containerd = "containerd" },
		"the DNS":         func(r *recipe) { r.coredns = "coredns" },
		"a module":        func(r *recipe) { r.facts.Moved = nil },
	} {
		got := id(change)
		if other, same := seen[got]; same {
			t.Errorf("another value of %s gives the same image as a change of %s", what, other)
		}
		seen[got] = what
	}
}
