package pins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/format"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	version "github.com/hashicorp/go-version"
	"golang.org/x/mod/semver"

	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
)

// kubernetes changes the modules of Kubernetes and the versions of etcd and
// CoreDNS, which its kubeadm names. It also raises crictl to the same minor, and
// pins the digest of kindest/node.
func (b *bump) kubernetes(ctx context.Context, p Pin, to string) error {
	dir, err := b.download(ctx, p.module+"@"+to)
	if err != nil {
		return fmt.Errorf("read Kubernetes %s: %w", to, err)
	}
	for _, folder := range p.folders {
		if err := b.staging(dir, folder, to); err != nil {
			return fmt.Errorf("change %s/go.mod: %w", folder, err)
		}
		b.progress("%s/go.mod: the modules of Kubernetes %s", folder, to)
		if err := b.goCommand(ctx, folder, "mod", "tidy"); err != nil {
			return err
		}
	}
	named, err := named(dir)
	if err != nil {
		return err
	}
	for _, f := range []struct{ name, want string }{{etcd, named.etcd}, {coreDNS, named.coreDNS}} {
		name, want := f.name, f.want
		follower, err := find(b.all, name)
		if err != nil {
			return err
		}
		switch {
		case want == "":
			b.note("the version of %s that kubeadm of Kubernetes %s uses was not found; look for it in cmd/kubeadm/app/constants/constants.go", name, to)
		case want != follower.Version:
			if err := b.apply(ctx, follower, want); err != nil {
				return err
			}
		}
	}
	if err := b.crictl(ctx, to); err != nil {
		return err
	}
	capi, err := find(b.all, clusterAPI)
	if err != nil {
		return err
	}
	if err := b.digests(ctx, capi.Version, to); err != nil {
		return err
	}
	if minors, ok := supported(b.all); ok && !minors.Has(version.Must(version.NewSemver(to))) {
		b.note("Cluster API %s manages itself on v1.%d to v1.%d, so env:up refuses the default settings; bump cluster-api too, or add what is new to the table in magefiles/internal/capi/release",
			capi.Version, minors.Min, minors.Max)
	}
	data, err := os.ReadFile(filepath.Join(b.Root, digestsFile))
	if err != nil || !strings.Contains(string(data), `"`+to+`"`) {
		b.note("Cluster API %s knows no digest of kindest/node:%s; if there is such an image, add it to %s from kind's release notes", capi.Version, to, digestsFile)
	}
	return nil
}

// staging requires Kubernetes at a version, and replaces each of its staging modules,
// which its own go.mod replaces by folders, with the published one.
func (b *bump) staging(upstream, folder, to string) error {
	theirs, err := readMod(upstream, ".")
	if err != nil {
		return err
	}
	mod, err := readMod(b.Root, folder)
	if err != nil {
		return err
	}
	published := "v0" + strings.TrimPrefix(to, "v1")
	staged := map[string]bool{}
	for _, r := range theirs.Replace {
		if strings.HasPrefix(r.New.Path, "./staging/") {
			staged[r.Old.Path] = true
			// This changes the line of a module that is replaced already.
			if err := mod.AddReplace(r.Old.Path, "", r.Old.Path, published); err != nil {
				return err
			}
		}
	}
	for _, r := range slices.Clone(mod.Replace) {
		if r.Old.Path == r.New.Path && !staged[r.Old.Path] { // Kubernetes has it no more
			if err := mod.DropReplace(r.Old.Path, r.Old.Version); err != nil {
				return err
			}
		}
	}
	for _, r := range mod.Require {
		if staged[r.Mod.Path] && r.Mod.Version != "v0.0.0" { // because Kubernetes requires some of them
			if err := mod.AddRequire(r.Mod.Path, published); err != nil {
				return err
			}
		}
	}
	if err := mod.AddRequire("k8s.io/kubernetes", to); err != nil {
		return err
	}
	mod.Cleanup()
	data, err := mod.Format()
	if err != nil {
		return err
	}
	return state.WriteFile(filepath.Join(b.Root, folder, "go.mod"), data, 0o644)
}

// kubeadm has the versions of etcd and CoreDNS that a release of kubeadm names,
// written as the modules' tags. A version that it does not name is empty.
type kubeadm struct{ etcd, coreDNS string }

var (
	namesEtcd    = regexp.MustCompile(`DefaultEtcdVersion\s*=\s*"v?([0-9]+\.[0-9]+\.[0-9]+)`)
	namesCoreDNS = regexp.MustCompile(`CoreDNSVersion\s*=\s*"v?([0-9]+\.[0-9]+\.[0-9]+)`)
)

// named reads cmd/kubeadm/app/constants/constants.go of a tree of Kubernetes.
func named(dir string) (kubeadm, error) {
	data, err := os.ReadFile(filepath.Join(dir, "cmd", "kubeadm", "app", "constants", "constants.go"))
	if err != nil {
		return kubeadm{}, fmt.Errorf("read what kubeadm names: %w", err)
	}
	tag := func(pattern *regexp.Regexp) string {
		if m := pattern.FindSubmatch(data); m != nil {
			return "v" + string(m[1])
		}
		return ""
	}
	return kubeadm{etcd: tag(namesEtcd), coreDNS: tag(namesCoreDNS)}, nil
}

// crictl raises crictl to the newest release of Kubernetes' minor, unless it is
// as new already.
func (b *bump) crictl(ctx context.Context, to string) error {
	p, err := find(b.all, crictl)
	if err != nil || semver.Compare(semver.MajorMinor(p.Version), semver.MajorMinor(to)) >= 0 {
		return err
	}
	versions, err := source.ModuleVersions(ctx, p.module, source.Options{Runner: b.Runner})
	if err != nil {
		return err
	}
	want := newest(versions, series(to))
	if want == "" {
		b.note("crictl has no release %sx; it stays at %s", series(to), p.Version)
		return nil
	}
	return b.apply(ctx, p, want)
}

var (
	// mapped matches a digest in test/infrastructure/kind/mapper.go of Cluster
	// API.
	mapped = regexp.MustCompile(`kindest/node:(v[0-9]+\.[0-9]+\.[0-9]+)@(sha256:[0-9a-f]{64})`)
	// digestTable matches the lab's table of digests, digestRow one of its rows, and
	// digestsOf the release from which the table was read.
	digestTable = regexp.MustCompile(`(?s)var nodeDigests = map\[string\]string\{\n(.*?)\n\}`)
	digestRow   = regexp.MustCompile(`"(v[0-9]+\.[0-9]+\.[0-9]+)":\s*"(sha256:[0-9a-f]{64})"`)
	digestsOf   = regexp.MustCompile(`(mapper\.go at Cluster API )v[0-9]+\.[0-9]+\.[0-9]+`)
)

// digests adds to the lab's table the digests of kindest/node that a release of
// Cluster API pins. If only is not empty, it is the version of Kubernetes whose
// digest is added.
func (b *bump) digests(ctx context.Context, capi, only string) error {
	const mapper = "test/infrastructure/kind/mapper.go"
	dir, err := b.download(ctx, "sigs.k8s.io/cluster-api/test@"+capi)
	var data []byte
	if err == nil {
		data, err = os.ReadFile(filepath.Join(dir, strings.TrimPrefix(mapper, "test/")))
	}
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b.note("the digests of kindest/node are unchanged: %s of Cluster API %s was not found: %v", mapper, capi, err)
		return nil
	}
	known := false
	err = b.edit(digestsFile, func(text string) string {
		table := digestTable.FindStringSubmatch(text)
		if table == nil {
			return text
		}
		known = true
		digests := map[string]string{}
		if only != "" && strings.Contains(table[1], `"`+only+`"`) {
			return text
		}
		for _, source := range []struct {
			pattern *regexp.Regexp
			text    string
		}{{digestRow, table[1]}, {mapped, string(data)}} {
			for _, m := range source.pattern.FindAllStringSubmatch(source.text, -1) {
				wanted := only == "" || only == m[1] || source.pattern == digestRow
				if wanted && digests[m[1]] == "" { // the first is the newest image
					digests[m[1]] = m[2]
				}
			}
		}
		var rows strings.Builder
		for _, v := range slices.SortedFunc(maps.Keys(digests), func(a, b string) int { return semver.Compare(b, a) }) {
			fmt.Fprintf(&rows, "\t%q: %q,\n", v, digests[v])
		}
		text = strings.Replace(text, table[1]+"\n", rows.String(), 1)
		if only == "" {
			text = digestsOf.ReplaceAllString(text, "${1}"+capi)
		}
		formatted, err := format.Source([]byte(text))
		if err != nil {
			return text
		}
		return string(formatted)
	})
	if err == nil && !known {
		b.note("the digests of kindest/node are unchanged: their table was not found in %s", digestsFile)
	}
	return err
}

// download returns the folder of a module, given as path@version, in the module cache.
func (b *bump) download(ctx context.Context, module string) (string, error) {
	b.progress("downloading %s", module)
	res, err := b.Runner.Run(ctx, run.Cmd{
		Name: "go", Args: []string{"mod", "download", "-json", module}, Dir: os.TempDir(), Env: []string{"GOFLAGS=-mod=mod", "GOWORK=off"},
	})
	var d struct{ Dir, Error string }
	if len(res.Stdout) > 0 {
		if jsonErr := json.Unmarshal(res.Stdout, &d); jsonErr == nil && d.Error != "" {
			return "", errors.New(d.Error)
		}
	}
	if err != nil {
		return "", err
	}
	return d.Dir, nil
}
