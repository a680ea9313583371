package node

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/state"
)

// maxConnections bounds HAProxy's connections. HAProxy reserves memory for two
// file descriptors for each connection, and does not start if the engine's limit
// is lower than that.
const maxConnections = "4000"

// BoundBalancer returns an image like base whose HAProxy ignores the maxconn of
// its configuration. Docker providers without a configurable template write
// maxconn 100000: test/infrastructure/docker/internal/loadbalancer/config.go at
// Cluster API v1.5.8. Of o, it needs Engine and StateDir.
func BoundBalancer(ctx context.Context, base release.LoadBalancer, o Options) (_ release.LoadBalancer, err error) {
	bounded := release.LoadBalancer{Repository: repository + "/bounded", Tag: base.Tag + "-" + maxConnections}
	if _, there, err := o.Engine.ImageID(ctx, bounded.Image()); err != nil || there {
		return bounded, err
	}
	// The container runs HAProxy itself, because its image may have no other
	// program.
	id, err := o.Engine.Run(ctx, buildPrefix(o.StateDir)+state.ShortSum(bounded.Image()), "--network=none", base.Image())
	if err != nil {
		return bounded, fmt.Errorf("make %s: %w", bounded.Image(), err)
	}
	defer func() { err = errors.Join(err, o.Engine.CleanUp(ctx, id)) }()
	// The command line overrides the file.
	entrypoint := []string{"haproxy", "-W", "-db", "-n", maxConnections, "-f", "/usr/local/etc/haproxy/haproxy.cfg"}
	return bounded, o.Engine.Commit(ctx, id, bounded.Image(), `ENTRYPOINT ["`+strings.Join(entrypoint, `", "`)+`"]`, "CMD []")
}
