package repository

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	version "github.com/hashicorp/go-version"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apimachinery/pkg/util/yaml"
	clusterctlv1 "sigs.k8s.io/cluster-api/cmd/clusterctl/api/v1alpha3"
	"sigs.k8s.io/cluster-api/cmd/clusterctl/client"
	"sigs.k8s.io/cluster-api/cmd/clusterctl/client/config"
	ctlrepository "sigs.k8s.io/cluster-api/cmd/clusterctl/client/repository"

	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/capi/release"
)

const realRelease = "v1.14.2"

// realTree copies the modules of the release from the module cache into the
// layout of the repository.
func realTree(t *testing.T) string {
	t.Helper()
	tree := t.TempDir()
	for module, folder := range map[string]string{"sigs.k8s.io/cluster-api": "", "sigs.k8s.io/cluster-api/test": "test"} {
		cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module+"@"+realRelease)
		cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "GOFLAGS=-mod=mod")
		out, err := cmd.Output()
		if err != nil {
			// go prints the reason on standard output, in JSON.
			t.Skipf("%s %s is neither in the module cache nor to be had: %v: %s", module, realRelease, err, out)
		}
		var info struct{ Dir string }
		if err := json.Unmarshal(out, &info); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(filepath.Join(tree, folder), os.DirFS(info.Dir)); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func writeRelease(t *testing.T, tree, dir string, certManager bool, now time.Time) *Repository {
	t.Helper()
	repo, err := Write(t.Context(), Options{
		Tree: tree, Version: version.Must(version.NewSemver(strings.TrimPrefix(realRelease, "v"))), Dir: dir,
		CertManager: certManager, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func components(t *testing.T, dir string, p Provider) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, p.label, realRelease, p.file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func objects(t *testing.T, data []byte) []map[string]any {
	t.Helper()
	var all []map[string]any
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var object map[string]any
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the components are not YAML after %d objects: %v", len(all), err)
		}
		if object != nil {
			all = append(all, object)
		}
	}
	if len(all) == 0 {
		t.Fatal("no objects")
	}
	return all
}

// podOf returns the specification of a Deployment's pods, of which only the affinity is read.
func podOf(t *testing.T, deployment map[string]any) *corev1.PodSpec {
	t.Helper()
	pod := &corev1.PodSpec{Affinity: &corev1.Affinity{}}
	fields, _ := field(deployment, "spec", "template", "spec", "affinity").(map[string]any)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, pod.Affinity); err != nil {
		t.Fatal(err)
	}
	return pod
}

// TestAffinityStays: a provider that has an affinity keeps it, and its pods also stay off hollow nodes.
func TestAffinityStays(t *testing.T) {
	t.Parallel()
	var deployment map[string]any
	if err := yaml.Unmarshal([]byte(`
spec: {template: {spec: {affinity: {
  podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname}]},
  nodeAffinity: {
    preferredDuringSchedulingIgnoredDuringExecution: [{weight: 10, preference: {matchExpressions: [{key: b, operator: Exists}]}}],
    requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}}}}
`), &deployment); err != nil {
		t.Fatal(err)
	}
	before := podOf(t, deployment).Affinity
	if err := stayAway(field(deployment, "spec", "template", "spec").(map[string]any)); err != nil {
		t.Fatal(err)
	}
	pod := podOf(t, deployment)
	if !hollow.StaysAway(pod) {
		t.Errorf("its pods may come to a hollow node: %v", pod.Affinity)
	}
	terms := pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	terms[0].MatchExpressions = terms[0].MatchExpressions[:1]
	if !reflect.DeepEqual(before, pod.Affinity) {
		t.Errorf("the affinity was %v and is %v", before, pod.Affinity)
	}
}

func TestRealRelease(t *testing.T) {
	t.Parallel()
	tree, dir, now := realTree(t), t.TempDir(), time.Now()
	repo := writeRelease(t, tree, dir, false, now)
	images := map[string]string{}
	for _, p := range repo.Providers {
		data := components(t, dir, p)
		images[p.Program] = p.Image
		all := objects(t, data)
		if bytes.Contains(data, []byte("cert-manager.io")) {
			t.Errorf("%s still speaks of cert-manager", p.label)
		}
		if webhooks := verifyWebhooks(t, all, now); webhooks == 0 {
			t.Errorf("%s has no webhook that was verified", p.label)
		}
		for _, o := range all {
			if kind(o) != "Deployment" {
				continue
			}
			c := field(o, "spec", "template", "spec", "containers").([]any)[0].(map[string]any)
			if c["image"] != p.Image || c["imagePullPolicy"] != "IfNotPresent" {
				t.Errorf("%s runs %v with pull policy %v", p.label, c["image"], c["imagePullPolicy"])
			}
			if strategy := text(o, "spec", "strategy", "type"); strategy != "Recreate" {
				t.Errorf("%s has the strategy %q", p.label, strategy)
			}
			if period := field(c, "readinessProbe", "periodSeconds"); period != float64(1) {
				t.Errorf("the kubelet asks every %v s whether %s is ready", period, p.label)
			}
			for _, probe := range []string{"readinessProbe", "livenessProbe"} {
				if limit := field(c, probe, "timeoutSeconds"); limit != float64(10) {
					t.Errorf("%s has %v s to answer its %s", p.label, limit, probe)
				}
			}
			if cpu := text(c, "resources", "requests", "cpu"); cpu != "50m" {
				t.Errorf("%s requests the processor time %q", p.label, cpu)
			}
			if pod := podOf(t, o); !hollow.StaysAway(pod) {
				t.Errorf("%s may come to a hollow node: %v", p.label, pod.Affinity)
			}
			if args := fmt.Sprint(c["args"]); !strings.Contains(args, "--diagnostics-address") || strings.Contains(args, "leader") {
				t.Errorf("%s has the arguments %s", p.label, args)
			}
			if often := strings.Contains(fmt.Sprint(c["args"]), "--sync-period=10s"); often != (p.Program == dockerManager) {
				t.Errorf("%s looks at everything every ten seconds: %t", p.label, often)
			}
		}
		if p.Namespace == "" {
			t.Errorf("%s has no namespace", p.label)
		}
		// clusterctl replaces these variables later, so they must not be
		// changed.
		if p.Program == "capd-manager" && !bytes.Contains(data, []byte(`${EXP_MACHINE_POOL:=true}`)) {
			t.Error("a variable of the Docker provider is gone")
		}
	}
	for program, want := range map[string]string{
		"cluster-api-controller": "gcr.io/k8s-staging-cluster-api/cluster-api-controller:v1.14.2",
		"capd-manager":           "gcr.io/k8s-staging-cluster-api/capd-manager:v1.14.2",
	} {
		if images[program] != want {
			t.Errorf("%s is %s, want %s", program, images[program], want)
		}
	}

	t.Run("again, the same bytes", func(t *testing.T) {
		before := snapshot(t, dir)
		writeRelease(t, tree, dir, false, now.Add(time.Hour))
		if after := snapshot(t, dir); after != before {
			t.Error("a second Write changed the repository")
		}
	})
	t.Run("nobody else can read keys", func(t *testing.T) {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				if info, _ := d.Info(); info.Mode().Perm() != 0o600 {
					t.Errorf("%s has mode %o", path, info.Mode().Perm())
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("certificates near their end are issued anew", func(t *testing.T) {
		later := now.Add(lifetime - renewal + time.Hour)
		writeRelease(t, tree, dir, false, later)
		if verifyWebhooks(t, objects(t, components(t, dir, repo.Providers[0])), now.Add(lifetime+24*time.Hour)) == 0 {
			t.Error("no webhook was verified")
		}
	})
	t.Run("cert-manager is left alone when asked for", func(t *testing.T) {
		other := t.TempDir()
		with := writeRelease(t, tree, other, true, now)
		if data := components(t, other, with.Providers[0]); !bytes.Contains(data, []byte("kind: Certificate")) {
			t.Error("no Certificate")
		}
		if config, _ := os.ReadFile(with.ConfigPath); bytes.Contains(config, []byte("externallyProvisioned")) {
			t.Error("clusterctl would not install cert-manager")
		}
	})
}

// clusterctl stores its configuration in a global variable. Tests that load it
// therefore do not run in parallel.
func loadConfig(t *testing.T, path string) config.Client {
	t.Helper()
	c, err := config.New(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func releaseSeries(t *testing.T, repo *Repository, p Provider) *clusterctlv1.ReleaseSeries {
	t.Helper()
	c := loadConfig(t, repo.ConfigPath)
	provider, err := c.Providers().Get(p.Name, clusterctlv1.ProviderType(p.Type))
	if err != nil {
		t.Fatal(err)
	}
	local, err := ctlrepository.New(t.Context(), provider, c)
	if err != nil {
		t.Fatal(err)
	}
	metadata, err := local.Metadata(repo.Version).Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return metadata.GetReleaseSeriesForVersion(utilversion.MustParseSemantic(repo.Version))
}

func TestClusterctlReadsIt(t *testing.T) {
	t.Setenv("EXP_MACHINE_POOL", "false")
	dir := t.TempDir()
	repo := writeRelease(t, realTree(t), dir, false, time.Now())
	ctl, err := client.New(t.Context(), repo.ConfigPath)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range repo.Providers {
		if series := releaseSeries(t, repo, p); series == nil || series.Contract != "v1beta2" {
			t.Errorf("%s is of the release series %v", p.label, series)
		}
		c, err := ctl.GetProviderComponents(t.Context(), p.Name, clusterctlv1.ProviderType(p.Type), client.ComponentsOptions{Version: repo.Version})
		if err != nil {
			t.Fatal(err)
		}
		if images := c.Images(); len(images) != 1 || images[0] != p.Image {
			t.Errorf("%s runs %v, want %s alone", p.label, images, p.Image)
		}
		if c.TargetNamespace() != p.Namespace {
			t.Errorf("%s goes to the namespace %s, not %s", p.label, c.TargetNamespace(), p.Namespace)
		}
		// clusterctl creates objects in this order.
		created := map[string]bool{}
		for _, o := range c.Objs() {
			switch o.GetKind() {
			case "Secret":
				created[o.GetNamespace()+"/"+o.GetName()] = true
				if _, moves := o.GetLabels()[clusterctlv1.ClusterctlMoveLabel]; moves || len(o.GetOwnerReferences()) > 0 {
					t.Errorf("clusterctl would move the Secret %s", o.GetName())
				}
			case "Deployment":
				volumes, _ := field(o.Object, "spec", "template", "spec", "volumes").([]any)
				if len(volumes) == 0 {
					t.Errorf("%s mounts nothing", p.label)
				}
				for _, v := range volumes {
					volume, _ := v.(map[string]any)
					if secret := text(volume, "secret", "secretName"); secret != "" && !created[o.GetNamespace()+"/"+secret] {
						t.Errorf("%s mounts %s, which does not exist yet", p.label, secret)
					}
				}
				data, err := json.Marshal(o.Object)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Contains(data, []byte("MachinePool=false")) || bytes.Contains(data, []byte("${")) {
					t.Errorf("%s: variables are not filled in", p.label)
				}
			}
		}
	}
	certManager, err := loadConfig(t, repo.ConfigPath).CertManager().Get()
	if err != nil {
		t.Fatal(err)
	}
	if !certManager.ExternallyProvisioned() {
		t.Error("clusterctl would install cert-manager")
	}
}

func TestTreesWithoutMetadata(t *testing.T) {
	write := func(v string) (*Repository, error) {
		tree := smallTree(t, v, "example.com/PROGRAM:dev")
		if err := os.Remove(filepath.Join(tree, "metadata.yaml")); err != nil {
			t.Fatal(err)
		}
		return Write(t.Context(), Options{Tree: tree, Version: version.Must(version.NewSemver(v)), Dir: t.TempDir()})
	}
	repo, err := write("0.3.16")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range repo.Providers {
		if series := releaseSeries(t, repo, p); series == nil || series.Contract != "v1alpha3" {
			t.Errorf("%s is of the release series %v", p.label, series)
		}
	}
	if _, err := write("0.3.17"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("v0.3.17, whose tree has metadata.yaml, without it: %v", err)
	}
}

func TestCertificatesAreKept(t *testing.T) {
	t.Parallel()
	const name, host = "serving", "a.b.svc"
	start := time.Now()
	for what, tc := range map[string]struct {
		spoil   func(dir string) error
		after   time.Duration
		host    string
		renewed bool
	}{
		"nothing changed": {after: time.Hour, host: host},
		"another name":    {host: "c.b.svc", renewed: true},
		"near its end":    {after: lifetime - renewal + time.Hour, host: host, renewed: true},
		"not valid yet":   {after: -2 * time.Hour, host: host, renewed: true},
		"its key is gone": {spoil: func(dir string) error { return os.Remove(filepath.Join(dir, name+".key")) }, host: host, renewed: true},
		"cut short":       {spoil: func(dir string) error { return os.Truncate(filepath.Join(dir, name+".crt"), 100) }, host: host, renewed: true},
		"the key of another one": {spoil: func(dir string) error {
			return os.Rename(filepath.Join(dir, "ca.key"), filepath.Join(dir, name+".key"))
		}, host: host, renewed: true},
		"its authority is gone": {spoil: func(dir string) error { return os.Remove(filepath.Join(dir, "ca.crt")) }, host: host, renewed: true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			open := func(now time.Time, host string) (*authority, pair) {
				a, err := openAuthority(dir, func() time.Time { return now })
				if err != nil {
					t.Fatal(err)
				}
				p, err := a.certificate(name, []string{host}, nil)
				if err != nil {
					t.Fatal(err)
				}
				return a, p
			}
			_, before := open(start, host)
			if tc.spoil != nil {
				if err := tc.spoil(dir); err != nil {
					t.Fatal(err)
				}
			}
			a, after := open(start.Add(tc.after), tc.host)
			if renewed := !bytes.Equal(before.cert, after.cert); renewed != tc.renewed {
				t.Errorf("renewed: %t, want %t", renewed, tc.renewed)
			}
			cert, _, err := after.parse()
			if err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(a.cert)
			if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: tc.host, CurrentTime: start.Add(tc.after)}); err != nil {
				t.Error(err)
			}
		})
	}
}

// verifyWebhooks checks every webhook: the certificate in the Secret that its
// service uses must be valid for the service's name and signed by the CA in the
// webhook's caBundle. It returns the number of webhooks.
func verifyWebhooks(t *testing.T, all []map[string]any, now time.Time) int {
	t.Helper()
	var serving []*x509.Certificate
	for _, o := range all {
		if kind(o) != "Secret" {
			continue
		}
		cert := decode64(t, text(o, "data", "tls.crt"))
		pair, err := tls.X509KeyPair(cert, decode64(t, text(o, "data", "tls.key")))
		if err != nil {
			t.Fatalf("Secret %s: %v", text(o, "metadata", "name"), err)
		}
		serving = append(serving, pair.Leaf)
	}
	count := 0
	verify := func(name string, config any) {
		client, ok := config.(map[string]any)
		if !ok {
			return
		}
		count++
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(decode64(t, text(client, "caBundle"))) {
			t.Errorf("%s: no certificate in its bundle", name)
		}
		host := text(client, "service", "name") + "." + text(client, "service", "namespace") + ".svc"
		for _, cert := range serving {
			if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: now}); err == nil {
				return
			}
		}
		t.Errorf("%s: no Secret verifies for %s", name, host)
	}
	for _, o := range all {
		name := kind(o) + " " + text(o, "metadata", "name")
		if webhooks, ok := o["webhooks"].([]any); ok {
			for _, w := range webhooks {
				verify(name, w.(map[string]any)["clientConfig"])
			}
		}
		verify(name, field(o, "spec", "conversion", "webhook", "clientConfig"))
	}
	return count
}

func decode64(t *testing.T, s string) []byte {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		b.WriteString(path + "\n")
		b.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// smallTree returns a tree with one manager, of the given image, for every
// provider. Before v0.4 there is a second manager for webhooks, as in the
// releases of that time.
func smallTree(t *testing.T, v, image string) string {
	t.Helper()
	tree := t.TempDir()
	files := map[string]string{"metadata.yaml": "kind: Metadata\n"}
	for _, p := range providers(release.Of(version.Must(version.NewSemver(v))).Layout) {
		name := strings.ReplaceAll(image, "PROGRAM", p.Program)
		files[filepath.Join(p.root, "kustomization.yaml")] = "resources: [manager.yaml]\n"
		manager := `apiVersion: apps/v1
kind: Deployment
metadata: {name: manager, namespace: system}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec:
      containers:
      - {name: kube-rbac-proxy, image: example.com/kube-rbac-proxy:v0.4.1, imagePullPolicy: Always}
      - {name: other, image: example.com/other:v0.4.1, imagePullPolicy: Always}
      - {name: manager, image: "` + name + `", imagePullPolicy: Always}
`
		if strings.HasPrefix(v, "0.3.") {
			manager += "---\n" + strings.Replace(manager, "namespace: system", "namespace: capi-webhook-system", 1)
		}
		files[filepath.Join(p.root, "manager.yaml")] = manager
	}
	for name, content := range files {
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func TestImagesByLayoutAndTag(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ version, image, want string }{
		"oldest, its tag stays":           {"0.3.5", "gcr.io/k8s-staging-capi-docker/PROGRAM:dev", "gcr.io/k8s-staging-capi-docker/capd-manager:dev"},
		"after upstream's make, the seed": {"0.3.5", "gcr.io/k8s-staging-capi-docker/PROGRAM-amd64:dev", "gcr.io/k8s-staging-capi-docker/capd-manager-amd64:dev"},
		"a first beta, new layout":        {"0.4.0-beta.0", "gcr.io/k8s-staging-cluster-api/PROGRAM:master", "gcr.io/k8s-staging-cluster-api/capd-manager:v0.4.0-beta.0"},
		"one root for all":                {"1.13.5", "gcr.io/k8s-staging-cluster-api/PROGRAM:main", "gcr.io/k8s-staging-cluster-api/capd-manager:v1.13.5"},
		"a registry with a port":          {"1.14.2", "localhost:5000/PROGRAM", "localhost:5000/capd-manager:v1.14.2"},
		"a digest":                        {"1.14.2", "example.com/PROGRAM@sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5", "example.com/capd-manager:v1.14.2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			repo, err := Write(t.Context(), Options{Tree: smallTree(t, tc.version, tc.image), Version: version.Must(version.NewSemver(tc.version)), Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if got := repo.Providers[3].Image; got != tc.want {
				t.Errorf("the Docker provider runs %s, want %s", got, tc.want)
			}
			if got := repo.Providers[3].Namespace; got != "system" {
				t.Errorf("the Docker provider's controllers are in %s", got)
			}
			want := []string{"system"}
			if strings.HasPrefix(tc.version, "0.3.") {
				want = append(want, "capi-webhook-system")
			}
			if got := repo.Namespaces(); !slices.Equal(got, want) {
				t.Errorf("the providers run in %q, want %q", got, want)
			}
			data, err := os.ReadFile(filepath.Join(dir, "infrastructure-docker", repo.Version, repo.Providers[3].file))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(data, []byte("other:v0.4.1")) || bytes.Contains(data, []byte("kube-rbac-proxy")) || bytes.Contains(data, []byte("Always")) {
				t.Errorf("another container's image changed, the proxy is there, or something is always pulled:\n%s", data)
			}
		})
	}
}

func TestKustomizeRootsByRelease(t *testing.T) {
	t.Parallel()
	for v, want := range map[string]string{
		"0.3.25": "config", "0.4.0-beta.0": "config/default", "1.13.5": "config/default",
		"1.14.0-beta.0": "config/default", "1.14.0-beta.1": "core/config/default", "1.14.2": "core/config/default",
	} {
		if got := filepath.ToSlash(providers(release.Of(version.Must(version.NewSemver(v))).Layout)[0].root); got != want {
			t.Errorf("the core provider of v%s is in %s, want %s", v, got, want)
		}
	}
}

func TestBadTrees(t *testing.T) {
	t.Parallel()
	write := func(ctx context.Context, tree string) error {
		_, err := Write(ctx, Options{Tree: tree, Version: version.Must(version.NewSemver("1.14.2")), Dir: t.TempDir()})
		return err
	}
	if err := write(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "metadata.yaml") {
		t.Errorf("an empty tree: %v", err)
	}
	if err := write(t.Context(), smallTree(t, "1.14.2", "example.com/other:x")); err == nil || !strings.Contains(err.Error(), "cluster-api-controller") {
		t.Errorf("a tree without the manager: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := write(ctx, smallTree(t, "1.14.2", "example.com/PROGRAM:x")); err == nil {
		t.Error("a cancelled Write succeeded")
	}
}

// FuzzSetImages: no Deployment makes it panic, and only the manager's image is
// changed.
func FuzzSetImages(f *testing.F) {
	f.Add(`{"spec":{"template":{"spec":{"containers":[{"image":"gcr.io/x/capd-manager-amd64:dev"},{"image":"other:v1"}]}}}}`)
	f.Add(`{"spec":{"template":{"spec":{"containers":[null, 1, {"image": 7}]}}}}`)
	f.Add(`{"spec":{"template":{"spec":{"containers":{}}}}}`)
	f.Add(`{}`)
	f.Add(`{"spec":{"template":{"spec":{"containers":[{"image":"gcr.io/x/capd-manager@sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5"}]}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var deployment map[string]any
		if json.Unmarshal([]byte(text), &deployment) != nil {
			return
		}
		p := &Provider{Program: "capd-manager"}
		// An image that is not a valid reference is refused.
		if adaptManager(deployment, "v9.9.9", p) == nil && p.Image != "" && !strings.HasSuffix(p.Image, ":v9.9.9") && !strings.HasSuffix(p.Image, ":"+devTag) {
			t.Errorf("the manager's image is %q", p.Image)
		}
	})
}

// FuzzPair: files that are not a certificate and its key are refused.
func FuzzPair(f *testing.F) {
	a, err := openAuthority(f.TempDir(), time.Now)
	if err != nil {
		f.Fatal(err)
	}
	good, err := a.issue("x", []string{"x.svc"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	other, err := a.issue("y", []string{"y.svc"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.cert, good.key)
	f.Add(good.cert, other.key)
	f.Add(good.key, good.cert)
	f.Add(good.cert[:len(good.cert)/2], good.key)
	f.Add([]byte(nil), []byte(nil))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		c, k, err := pair{cert: cert, key: key}.parse()
		if err == nil && !k.Public().(*ecdsa.PublicKey).Equal(c.PublicKey) {
			t.Error("a key of another certificate was taken")
		}
	})
}
