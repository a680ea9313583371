package restart

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
	"time"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/kube"
)

// Server describes the API server's certificate.
type Server struct {
	// Names are additional names and addresses at which clients reach the API server.
	Names []string
	// ServiceCIDR is the range of the Services. Kubernetes is the version with a leading v.
	ServiceCIDR, Kubernetes string
}

// renew waits until a node has started, and renews the certificate of its API server if
// that is missing.
//
//go:embed renew.sh
var renew string

// Renew renews the certificate of the API server on a control-plane node, from the
// cluster's CA, if it is missing. kind's entrypoint removes it when the node's address has
// changed, and fails to renew it if the node has no configuration of kubeadm. Renew waits
// until the entrypoint has ended and systemd runs.
func (c Cluster) Renew(ctx context.Context, node engine.Container, s Server) (renewed bool, err error) {
	res, err := c.Engine.Exec(ctx, node.ID, nil, "sh", "-c", renew, "renew", strings.Join(s.Names, ","), s.ServiceCIDR, s.Kubernetes)
	if err != nil {
		return false, fmt.Errorf("look at the API server's certificate: %w", err)
	}
	return strings.Contains(string(res.Stdout), "renewed"), nil
}

// RenewAll renews the certificates of the API servers on the control-plane nodes that have
// none. It asks for the nodes again until it succeeds or ctx is done, and starts a node
// again that has stopped meanwhile: kind's entrypoint fails at the node's first start at
// another address if it cannot renew the certificate.
func (c Cluster) RenewAll(ctx context.Context, nodes func(context.Context) ([]engine.Container, error), s Server, progress func(string)) error {
	return kube.Retry(ctx, "the control plane's nodes to start", time.Second, func(ctx context.Context) error {
		there, err := nodes(ctx)
		if err != nil {
			return err
		}
		for _, node := range there {
			if !node.Running {
				if err := c.Engine.Start(ctx, node.ID); err != nil {
					return err
				}
			}
			renewed, err := c.Renew(ctx, node, s)
			if err != nil {
				return err
			}
			if renewed {
				progress("renewed the API server's certificate of " + node.Name)
			}
		}
		return nil
	})
}
