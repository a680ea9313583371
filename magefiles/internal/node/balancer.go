package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/state"
)

// boundDir is the folder in the image for the command haproxy of
// magefiles/components/balancer. It comes first in the image's PATH.
const boundDir = "/caslab/bin"

// BoundBalancer returns an image like base whose HAProxy ignores the maxconn of its
// configuration. Docker providers without a configurable template write maxconn 100000,
// or none: test/infrastructure/docker/internal/loadbalancer/config.go at Cluster API
// v1.5.8. HAProxy reserves memory for two file descriptors for each connection, and does
// not start if the engine's limit is lower than that. Of o, it needs Arch, Root, StateDir,
// Engine and Runner.
func BoundBalancer(ctx context.Context, base release.LoadBalancer, o Options) (_ release.LoadBalancer, err error) {
	dir := filepath.Join(componentsDir(o), "balancer")
	id, err := componentID(dir)
	if err != nil {
		return release.LoadBalancer{}, err
	}
	bounded := release.LoadBalancer{Repository: repository + "/bounded", Tag: base.Tag + "-" + id[:8]}
	if there, err := o.has(ctx, bounded.Image()); err != nil || there {
		return bounded, err
	}
	program := filepath.Join(o.StateDir, "node", o.Arch, "balancer", "haproxy")
	_, err = build.Build(ctx, build.Request{Dir: dir, Packages: []string{"."}, ID: id, Arch: o.Arch, Output: program}, build.Options{Runner: o.Runner, Warn: o.Warn})
	if err != nil {
		return bounded, fmt.Errorf("build the component balancer: %w", err)
	}
	layer, err := image.Layer([]image.File{{Path: boundDir + "/haproxy", Source: program, Mode: 0o755}})
	if err != nil {
		return bounded, fmt.Errorf("make %s: %w", bounded.Image(), err)
	}
	archive, err := layer.Uncompressed()
	if err != nil {
		return bounded, fmt.Errorf("make %s: %w", bounded.Image(), err)
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	prefix, err := buildPrefix(o.StateDir)
	if err != nil {
		return bounded, fmt.Errorf("make %s: %w", bounded.Image(), err)
	}
	// The container runs HAProxy itself, because its image may have no other
	// program.
	container, err := o.Engine.Run(ctx, prefix+state.ShortSum(bounded.Image()), "--network=none", base.Image())
	if err != nil {
		return bounded, fmt.Errorf("make %s: %w", bounded.Image(), err)
	}
	defer func() { err = errors.Join(err, o.Engine.CleanUp(ctx, container)) }()
	if err := o.Engine.Unpack(ctx, container, archive); err != nil {
		return bounded, fmt.Errorf("make %s: %w", bounded.Image(), err)
	}
	// The Docker provider starts the same command itself since v1.3.8 and v1.4.3.
	entrypoint := []string{"haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"}
	err = o.Engine.Commit(ctx, container, bounded.Image(),
		"ENV PATH="+boundDir+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		`ENTRYPOINT ["`+strings.Join(entrypoint, `", "`)+`"]`, "CMD []")
	if err != nil {
		return bounded, err
	}
	return bounded, o.keep(ctx, bounded.Image())
}
