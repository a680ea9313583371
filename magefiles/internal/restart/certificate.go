package restart

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"caslab/magefiles/internal/engine"
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
