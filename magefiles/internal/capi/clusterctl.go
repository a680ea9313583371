package capi

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	clusterctlv1 "sigs.k8s.io/cluster-api/cmd/clusterctl/api/v1alpha3"
	"sigs.k8s.io/cluster-api/cmd/clusterctl/client"
	"sigs.k8s.io/cluster-api/cmd/clusterctl/client/config"
	logf "sigs.k8s.io/cluster-api/cmd/clusterctl/log"
	ctrl "sigs.k8s.io/controller-runtime/pkg/log"

	"caslab/magefiles/internal/kube"
)

// Clusterctl installs providers, moves objects and describes them. Releases whose
// contract the library no longer speaks will need another implementation.
type Clusterctl interface {
	// Init installs the missing ones of the four providers, at version, and does
	// not wait for them to be available.
	Init(ctx context.Context, kubeconfig, version string) error
	// Move moves the Cluster API objects of a namespace to another cluster.
	Move(ctx context.Context, from, to, namespace string) error
	// Describe returns the tree of a cluster, root first.
	Describe(ctx context.Context, kubeconfig, namespace, name string) ([]Described, error)
}

// library implements Clusterctl with the Go library.
type library struct{ client client.Client }

// NewClusterctl returns clusterctl with the configuration at path. The library
// has one logger for the process, which is set here: progress, if not nil, gets
// what it logs.
func NewClusterctl(ctx context.Context, path string, progress func(string)) (Clusterctl, error) {
	logf.SetLogger(logr.New(&sink{report: progress}))
	// controller-runtime, which clusterctl uses, prints a long warning if no logger is set.
	ctrl.SetLogger(logr.Discard())
	c, err := client.New(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("read the clusterctl configuration %s: %w", path, err)
	}
	return &library{client: c}, nil
}

func (l *library) Init(ctx context.Context, kubeconfig, version string) error {
	have, err := installed(ctx, kubeconfig)
	if err != nil {
		return err
	}
	options := client.InitOptions{Kubeconfig: client.Kubeconfig{Path: kubeconfig}}
	missing := false
	for _, p := range []struct {
		kind clusterctlv1.ProviderType
		name string
		set  func(string)
	}{
		{clusterctlv1.CoreProviderType, config.ClusterAPIProviderName, func(p string) { options.CoreProvider = p }},
		{clusterctlv1.BootstrapProviderType, config.KubeadmBootstrapProviderName, func(p string) { options.BootstrapProviders = []string{p} }},
		{clusterctlv1.ControlPlaneProviderType, config.KubeadmControlPlaneProviderName, func(p string) { options.ControlPlaneProviders = []string{p} }},
		{clusterctlv1.InfrastructureProviderType, config.DockerProviderName, func(p string) { options.InfrastructureProviders = []string{p} }},
	} {
		if !have[string(p.kind)] {
			p.set(p.name + ":" + version)
			missing = true
		}
	}
	if !missing {
		return nil
	}
	if _, err := l.client.Init(ctx, options); err != nil {
		return fmt.Errorf("clusterctl init: %w", err)
	}
	return nil
}

// installed returns the types of the providers in clusterctl's inventory.
// clusterctl adds a provider to it once all components exist.
func installed(ctx context.Context, kubeconfig string) (map[string]bool, error) {
	c, err := kube.Open(kubeconfig)
	if err != nil {
		return nil, err
	}
	providers, err := c.List(ctx, kube.Providers, "")
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for installed providers: %w", err)
	}
	have := map[string]bool{}
	for i := range providers {
		have[kube.Field(&providers[i], "type")] = true
	}
	return have, nil
}

func (l *library) Move(ctx context.Context, from, to, namespace string) error {
	err := l.client.Move(ctx, client.MoveOptions{
		FromKubeconfig: client.Kubeconfig{Path: from},
		ToKubeconfig:   client.Kubeconfig{Path: to},
		Namespace:      namespace,
	})
	if err != nil {
		return fmt.Errorf("clusterctl move: %w", err)
	}
	return nil
}

// sink is a logr.LogSink that passes messages on, without levels and names.
type sink struct{ report func(string) }

func (s *sink) Init(logr.RuntimeInfo)          {}
func (s *sink) Enabled(level int) bool         { return level == 0 }
func (s *sink) WithValues(...any) logr.LogSink { return s }
func (s *sink) WithName(string) logr.LogSink   { return s }
func (s *sink) Error(err error, message string, _ ...any) {
	s.Info(0, fmt.Sprintf("%s: %v", message, err))
}

func (s *sink) Info(_ int, message string, values ...any) {
	if s.report == nil {
		return
	}
	var b strings.Builder
	b.WriteString(message)
	for i := 0; i+1 < len(values); i += 2 {
		fmt.Fprintf(&b, " %v=%v", values[i], values[i+1])
	}
	s.report(b.String())
}
