package home

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/kube"
)

// RefreshKubeconfig rewrites the kubeconfig if the cluster is published at another
// port now, as after a restart.
func (h Home) RefreshKubeconfig(workload []engine.Container) error {
	server := h.server(workload)
	data, err := os.ReadFile(h.Kubeconfig())
	if server == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the environment's kubeconfig: %w", err)
	}
	fresh, err := kube.WithServer(data, server)
	if err != nil || bytes.Equal(fresh, data) {
		return err
	}
	return kube.WriteKubeconfig(h.Kubeconfig(), fresh)
}

// WriteKubeconfig waits until the load balancer has a published port, and then
// writes the workload cluster's kubeconfig with it.
func (h Home) WriteKubeconfig(ctx context.Context, data []byte) error {
	server := ""
	err := wait.PollUntilContextCancel(ctx, 500*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		workload, _, err := h.Containers(ctx)
		if err == nil {
			server = h.server(workload)
		}
		return server != "", err
	})
	if wait.Interrupted(err) {
		return fmt.Errorf("waited for the container %s-lb: %w", h.Environment, context.Cause(ctx))
	}
	if err != nil {
		return err
	}
	if data, err = kube.WithServer(data, server); err != nil {
		return err
	}
	return kube.WriteKubeconfig(h.Kubeconfig(), data)
}

// server returns the URL at which this machine reaches the workload cluster, or an
// empty text while there is none. It is the load balancer's published port, because
// this machine may have no route to the containers' addresses.
func (h Home) server(workload []engine.Container) string {
	for _, c := range workload {
		if port := c.Ports["6443/tcp"]; port != "" && c.Name == h.Environment+"-lb" {
			return "https://127.0.0.1:" + port
		}
	}
	return ""
}
