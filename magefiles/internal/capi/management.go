package capi

import (
	"context"
	"fmt"
	"strings"
	"time"

	kindconfig "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/log"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
)

// Management is the kind cluster in which Cluster API starts.
type Management struct {
	Name      string
	NodeImage string
	// Kubeconfig is the file that kind writes; never the user's own.
	Kubeconfig string
	CgroupV1   bool
	// OwnerFile is mounted at OwnerMount.
	OwnerFile string
	// Progress, if not nil, gets what kind is doing.
	Progress func(string)
}

func (m Management) provider() *cluster.Provider {
	return cluster.NewProvider(cluster.ProviderWithDocker(), cluster.ProviderWithLogger(logger{m.Progress}))
}

// readyWithin is how long the new node may take to be Ready. Compilers may use the
// processors at the same time.
const readyWithin = 4 * time.Minute

// Create creates the cluster and waits until its node is Ready. kind takes no
// context: when ctx is done, Create returns at once while kind continues, and
// Delete or the next run removes what kind created.
func (m Management) Create(ctx context.Context) error {
	config := m.config()
	created := make(chan error, 1)
	go func() {
		created <- m.provider().Create(m.Name,
			cluster.CreateWithV1Alpha4Config(config),
			cluster.CreateWithKubeconfigPath(m.Kubeconfig),
			// When kind's own wait times out, it only warns.
			cluster.CreateWithWaitForReady(0),
			cluster.CreateWithDisplayUsage(false),
			cluster.CreateWithDisplaySalutation(false),
			cluster.CreateWithRetain(true),
		)
	}()
	select {
	case err := <-created:
		if err != nil {
			return fmt.Errorf("create the management cluster %s with kind: %w", m.Name, err)
		}
		return m.waitReady(ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// config returns kind's configuration of the cluster.
func (m Management) config() *kindconfig.Cluster {
	patches := []string{}
	if m.CgroupV1 {
		patches = append(patches, "kind: KubeletConfiguration\nfailCgroupV1: false\n")
	}
	return &kindconfig.Cluster{
		Nodes: []kindconfig.Node{{
			Role:  kindconfig.ControlPlaneRole,
			Image: m.NodeImage,
			ExtraMounts: []kindconfig.Mount{
				{HostPath: "/var/run/docker.sock", ContainerPath: "/var/run/docker.sock"},
				{HostPath: m.OwnerFile, ContainerPath: OwnerMount, Readonly: true},
			},
		}},
		KubeadmConfigPatches: patches,
	}
}

// ConfigFile returns kind's configuration of the cluster as a file for the kind command.
func (m Management) ConfigFile() ([]byte, error) {
	config := m.config()
	config.TypeMeta = kindconfig.TypeMeta{APIVersion: "kind.x-k8s.io/v1alpha4", Kind: "Cluster"}
	data, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("write kind's configuration of the cluster %s: %w", m.Name, err)
	}
	return data, nil
}

func (m Management) waitReady(ctx context.Context) error {
	client, err := kube.Open(m.Kubeconfig)
	if err != nil {
		return err
	}
	ctx, cancel := interrupt.WithTimeout(ctx, readyWithin)
	defer cancel()
	return WaitNodes(ctx, client, 1, m.Progress)
}

// Delete removes the cluster. A cluster that does not exist is no error.
func (m Management) Delete(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.provider().Delete(m.Name, m.Kubeconfig); err != nil {
		return fmt.Errorf("delete the management cluster %s: %w", m.Name, err)
	}
	return nil
}

// ExportKubeconfig writes the kubeconfig of a running cluster.
func (m Management) ExportKubeconfig() error {
	if err := m.provider().ExportKubeConfig(m.Name, m.Kubeconfig, false); err != nil {
		return fmt.Errorf("read the kubeconfig of %s: %w", m.Name, err)
	}
	return nil
}

// logger passes kind's progress on.
type logger struct{ report func(string) }

func (l logger) say(message string) {
	if line := strings.TrimSpace(message); l.report != nil && line != "" {
		l.report(line)
	}
}

func (l logger) Warn(string)                       {}
func (l logger) Warnf(string, ...any)              {}
func (l logger) Error(message string)              { l.say(message) }
func (l logger) Errorf(format string, args ...any) { l.say(fmt.Sprintf(format, args...)) }
func (l logger) V(level log.Level) log.InfoLogger  { return infoLogger{l, level == 0} }

type infoLogger struct {
	logger
	enabled bool
}

func (l infoLogger) Info(message string) {
	if l.enabled {
		l.say(message)
	}
}

func (l infoLogger) Infof(format string, args ...any) { l.Info(fmt.Sprintf(format, args...)) }
func (l infoLogger) Enabled() bool                    { return l.enabled }
