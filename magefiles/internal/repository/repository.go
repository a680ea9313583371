// Package repository writes a local repository of providers, which clusterctl
// reads, from a source tree of Cluster API. It renders the kustomize roots, sets
// image names and pull policies, and issues certificates for webhooks.
package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	version "github.com/hashicorp/go-version"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/state"
)

// Provider is one provider of the repository.
type Provider struct {
	// Name and Type are clusterctl's, such as kubeadm and BootstrapProvider.
	Name, Type string
	// Program is the manager in its image, named as package build does.
	Program string
	// Image is the reference of the image that the provider's manager runs.
	Image string
	// Namespace is where the provider's controllers run.
	Namespace string

	// webhooks is the namespace of the provider's webhooks, if it differs.
	webhooks string

	label, root, file string
}

// Options of Write.
type Options struct {
	// Tree is the root of the Cluster API tree; it is only read.
	Tree string
	// Version decides the layout. With a leading v it is also the version of the
	// providers and the tag of the images.
	Version *version.Version
	// Dir is the folder of the repository.
	Dir string
	// CertManager leaves certificates to a cert-manager in the cluster.
	CertManager bool
	// Objects will be created for these providers, whose CRDs must have their kinds and
	// fields. Names and images in them do not matter.
	Objects []*unstructured.Unstructured
	// Now is the clock for certificates. If nil, it is time.Now.
	Now func() time.Time
}

// Repository is what Write wrote.
type Repository struct {
	// ConfigPath is the clusterctl configuration that names the providers.
	ConfigPath string
	// Version of all providers, with a leading v.
	Version   string
	Providers []Provider
}

// Namespaces returns the namespaces in which the providers and their webhooks run.
func (r *Repository) Namespaces() []string {
	var all []string
	for _, p := range r.Providers {
		for _, namespace := range []string{p.Namespace, p.webhooks} {
			if namespace != "" && !slices.Contains(all, namespace) {
				all = append(all, namespace)
			}
		}
	}
	return all
}

// InfrastructureNamespace returns the namespace in which the Docker provider runs.
func (r *Repository) InfrastructureNamespace() string {
	i := slices.IndexFunc(r.Providers, func(p Provider) bool { return p.Type == infrastructure })
	return r.Providers[i].Namespace
}

// devTag is the tag of the Docker provider's image in all releases before v0.4. The
// image keeps it.
const devTag = "dev"

// infrastructure is the type of the Docker provider.
const infrastructure = "InfrastructureProvider"

// metricsProxy is the sidecar that protects the managers' metrics in releases
// before v0.4. The lab removes it, because nothing reads metrics through it and
// every node would need one more image.
const metricsProxy = "kube-rbac-proxy"

// webhookNamespace is the namespace in which releases before v0.4 run the webhooks
// of all providers, in Deployments of their own.
const webhookNamespace = "capi-webhook-system"

// metadataV0_3 stands in for a metadata.yaml that the tree does not have.
const metadataV0_3 = `apiVersion: clusterctl.cluster.x-k8s.io/v1alpha3
kind: Metadata
releaseSeries:
- {major: 0, minor: 3, contract: v1alpha3}
`

// providers lists the four providers with their kustomize roots.
func providers(l release.Layout) []Provider {
	return []Provider{
		{Name: "cluster-api", Type: "CoreProvider", Program: "cluster-api-controller",
			label: "cluster-api", root: l.CoreRoot, file: "core-components.yaml"},
		{Name: "kubeadm", Type: "BootstrapProvider", Program: "kubeadm-bootstrap-controller",
			label: "bootstrap-kubeadm", root: l.BootstrapRoot, file: "bootstrap-components.yaml"},
		{Name: "kubeadm", Type: "ControlPlaneProvider", Program: "kubeadm-control-plane-controller",
			label: "control-plane-kubeadm", root: l.ControlPlaneRoot, file: "control-plane-components.yaml"},
		{Name: "docker", Type: infrastructure, Program: dockerManager,
			label: "infrastructure-docker", root: l.DockerRoot, file: "infrastructure-components-development.yaml"},
	}
}

// Write renders the providers of a tree into a repository. The same tree gives the same
// bytes, including certificates until they are renewed. It returns a *MisfitError if the
// CRDs do not fit the Objects.
func Write(ctx context.Context, o Options) (*Repository, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	layout := release.Of(o.Version).Layout
	repo := &Repository{
		ConfigPath: filepath.Join(o.Dir, "clusterctl.yaml"),
		Version:    "v" + o.Version.String(),
		Providers:  providers(layout),
	}
	metadata, err := os.ReadFile(filepath.Join(o.Tree, "metadata.yaml"))
	if errors.Is(err, fs.ErrNotExist) && !layout.Metadata {
		metadata, err = []byte(metadataV0_3), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the release series of Cluster API: %w", err)
	}
	var ca *authority
	if !o.CertManager {
		if ca, err = openAuthority(filepath.Join(o.Dir, "certificates"), o.Now); err != nil {
			return nil, err
		}
	}
	served := definitions{}
	for i := range repo.Providers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p := &repo.Providers[i]
		components, err := render(o.Tree, repo.Version, p, ca, served)
		if err != nil {
			return nil, fmt.Errorf("render the provider %s: %w", p.label, err)
		}
		dir := filepath.Join(o.Dir, p.label, repo.Version)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("write the repository: %w", err)
		}
		for name, data := range map[string][]byte{p.file: components, "metadata.yaml": metadata} {
			if err := writeFile(filepath.Join(dir, name), data); err != nil {
				return nil, err
			}
		}
	}
	if missing := served.missing(o.Objects); len(missing) > 0 {
		return nil, &MisfitError{Tree: o.Tree, Missing: missing}
	}
	config, err := repo.config(o.Dir, o.CertManager)
	if err != nil {
		return nil, err
	}
	return repo, writeFile(repo.ConfigPath, config)
}

// config returns the clusterctl configuration. The repository is in the folders
// that clusterctl expects: label/version/file.
func (r *Repository) config(dir string, certManager bool) ([]byte, error) {
	type entry struct {
		Name string `json:"name"`
		Type string `json:"type"`
		URL  string `json:"url"`
	}
	var entries []entry
	for _, p := range r.Providers {
		entries = append(entries, entry{Name: p.Name, Type: p.Type, URL: filepath.Join(dir, p.label, r.Version, p.file)})
	}
	config := map[string]any{
		"providers":       entries,
		"overridesFolder": filepath.Join(dir, "overrides"),
	}
	if !certManager {
		// With this, clusterctl v1.14 waits for the CustomResourceDefinitions of
		// cert-manager and never installs it.
		config["cert-manager"] = map[string]any{"externallyProvisioned": "true"}
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("write the clusterctl configuration: %w", err)
	}
	return data, nil
}

// render runs kustomize on the provider's root and returns its objects as YAML,
// with the lab's images and pull policy, and with certificates if ca is not nil.
// It sets Image and Namespace of p, and adds the provider's definitions to served.
func render(tree, tag string, p *Provider, ca *authority, served definitions) ([]byte, error) {
	options := krusty.MakeDefaultOptions()
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), filepath.Join(tree, filepath.FromSlash(p.root)))
	if err != nil {
		return nil, fmt.Errorf("kustomize %s: %w", p.root, err)
	}
	objects, err := decode(resources)
	if err != nil {
		return nil, err
	}
	if err := served.add(objects); err != nil {
		return nil, err
	}
	for _, object := range objects {
		if kind(object) == "Deployment" {
			if namespace := text(object, "metadata", "namespace"); namespace != webhookNamespace {
				p.Namespace = namespace
			} else {
				p.webhooks = namespace
			}
			if err := adaptManager(object, tag, p); err != nil {
				return nil, err
			}
			// A manager without leader election must end before the next one begins.
			if spec, ok := object["spec"].(map[string]any); ok {
				spec["strategy"] = map[string]any{"type": "Recreate"}
			}
		}
	}
	if p.Image == "" {
		return nil, fmt.Errorf("no Deployment of %s runs an image named %s", p.root, p.Program)
	}
	if ca != nil {
		if objects, err = ca.replaceCertManager(objects); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	for _, object := range objects {
		data, err := yaml.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("write an object: %w", err)
		}
		fmt.Fprintf(&out, "---\n%s", data)
	}
	return out.Bytes(), nil
}

func decode(resources resmap.ResMap) ([]map[string]any, error) {
	objects := make([]map[string]any, 0, resources.Size())
	for _, r := range resources.Resources() {
		object, err := asMap(r)
		if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	return objects, nil
}

func asMap(r *resource.Resource) (map[string]any, error) {
	object, err := r.Map()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.CurId(), err)
	}
	return object, nil
}

// adaptManager adapts the pod and the containers of a provider's manager to the lab, and sets the
// lab's tag on the manager's image. It finds that image by its name, with any registry and tag.
func adaptManager(deployment map[string]any, tag string, p *Provider) error {
	containers, _ := field(deployment, "spec", "template", "spec", "containers").([]any)
	kept := containers[:0]
	for _, c := range containers {
		if container, ok := c.(map[string]any); !ok || text(container, "name") != metricsProxy {
			kept = append(kept, c)
		}
	}
	if pod, ok := field(deployment, "spec", "template", "spec").(map[string]any); ok {
		if len(kept) < len(containers) {
			pod["containers"] = kept
		}
		if err := stayAway(pod); err != nil {
			return fmt.Errorf("read the affinity of the provider %s: %w", p.label, err)
		}
	}
	for _, c := range kept {
		container, ok := c.(map[string]any)
		if !ok {
			continue
		}
		adapt(container)
		image, err := name.ParseReference(text(container, "image"))
		if err != nil {
			return fmt.Errorf("read an image of the provider %s: %w", p.label, err)
		}
		if !strings.HasPrefix(path.Base(image.Context().RepositoryStr()), p.Program) {
			continue
		}
		if p.Program == dockerManager {
			lookOften(container)
		}
		if image.Identifier() != devTag {
			image = image.Context().Tag(tag)
		}
		p.Image = image.Name()
		container["image"] = p.Image
	}
	return nil
}

// stayAway keeps a pod off hollow nodes, where it would only seem to run. There may be hollow nodes
// when the provider is installed: those that clusterctl moves to its cluster.
func stayAway(pod map[string]any) error {
	var spec corev1.PodSpec
	if fields, ok := pod["affinity"].(map[string]any); ok {
		spec.Affinity = &corev1.Affinity{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(fields, spec.Affinity); err != nil {
			return err
		}
	}
	hollow.KeepAway(&spec)
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(spec.Affinity)
	if err != nil {
		return err
	}
	pod["affinity"] = fields
	return nil
}

// adapt has the kubelet use the image on the node, and a manager begin to work as soon as it
// can. The kubelet asks every second, instead of every 10 s, whether it is ready. There is no
// leader election: there is one manager of each kind, and after a restart it would wait up to
// a minute for the lease that it held before. Its flag has another name since v0.4.0.
//
// On a busy machine, a manager that requests no processor time gets next to none beside pods that
// do. Then it does not answer the kubelet within a second: its webhooks have no endpoint, and the
// kubelet restarts it. So it requests some, and gets more time to answer.
func adapt(container map[string]any) {
	container["imagePullPolicy"] = "IfNotPresent"
	if probe, ok := container["readinessProbe"].(map[string]any); ok {
		probe["periodSeconds"] = 1
	}
	for _, name := range []string{"readinessProbe", "livenessProbe"} {
		if probe, ok := container[name].(map[string]any); ok {
			probe["timeoutSeconds"] = 10
		}
	}
	if field(container, "resources", "requests", "cpu") == nil {
		_ = unstructured.SetNestedField(container, "50m", "resources", "requests", "cpu") // the API server refuses resources that are no map
	}
	if args, ok := container["args"].([]any); ok {
		container["args"] = slices.DeleteFunc(args, func(arg any) bool { return arg == "--leader-elect" || arg == "--enable-leader-election" })
	}
}

// dockerManager is the program of the Docker provider's manager.
const dockerManager = "capd-manager"

// lookOften has the Docker provider look at every machine every ten seconds, instead of every ten
// minutes. Until a kubelet has registered its node, each look at the machine ends with the error
// "failed to get node", and controller-runtime waits twice as long after each: after 16 of them,
// which a slow machine collects in 20 s, it waits for five minutes, and the node keeps its taint. Seen
// with v1.14.2; all releases from v0.3.5 on have the flag.
func lookOften(container map[string]any) {
	args, _ := container["args"].([]any)
	container["args"] = append(args, "--sync-period=10s")
}

func kind(object map[string]any) string { return text(object, "kind") }

func text(object map[string]any, path ...string) string {
	s, _ := field(object, path...).(string)
	return s
}

// field returns the value at path in object, or nil.
func field(object map[string]any, path ...string) any {
	var at any = object
	for _, key := range path {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[key]
	}
	return at
}

// writeFile replaces a file atomically. Only the user can read it, because
// components contain keys.
func writeFile(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := state.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("write the repository: %w", err)
	}
	return nil
}
