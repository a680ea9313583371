package capi

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	clusterctlv1 "sigs.k8s.io/cluster-api/cmd/clusterctl/api/v1alpha3"
	"sigs.k8s.io/cluster-api/cmd/clusterctl/client"
	logf "sigs.k8s.io/cluster-api/cmd/clusterctl/log"
	ctrl "sigs.k8s.io/controller-runtime/pkg/log"
)

// library implements Clusterctl with the Go library.
type library struct{ client client.Client }

// newLibrary returns clusterctl with the configuration at path. The library
// has one logger for the process, which is set here: progress, if not nil, gets
// what it logs.
func newLibrary(ctx context.Context, path string, progress func(string)) (Clusterctl, error) {
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
	left, err := missing(ctx, kubeconfig)
	if err != nil || len(left) == 0 {
		return err
	}
	options := client.InitOptions{Kubeconfig: client.Kubeconfig{Path: kubeconfig}}
	for _, p := range left {
		provider := p.name + ":" + version
		switch p.kind {
		case clusterctlv1.CoreProviderType:
			options.CoreProvider = provider
		case clusterctlv1.BootstrapProviderType:
			options.BootstrapProviders = []string{provider}
		case clusterctlv1.ControlPlaneProviderType:
			options.ControlPlaneProviders = []string{provider}
		case clusterctlv1.InfrastructureProviderType:
			options.InfrastructureProviders = []string{provider}
		}
	}
	if _, err := l.client.Init(ctx, options); err != nil {
		return fmt.Errorf("clusterctl init: %w", err)
	}
	return nil
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
