package machine

import (
	"context"
	"errors"
	"fmt"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/node"
)

// CheckToolchain fetches the Go that must compile the release of Cluster API, unless it
// is the installed one. progress, if not nil, is called with what is fetched.
func (m Machine) CheckToolchain(ctx context.Context, progress func(string)) error {
	err := build.CheckToolchain(ctx, m.ClusterAPI.Toolchain, build.Options{Runner: m.Runner, Progress: progress})
	setting := ""
	if near, ok := m.ClusterAPI.Nearest(func(r release.Release) bool { return r.Toolchain == "" }); ok {
		setting = "CAPI_VERSION=v" + near.Version.String()
	}
	return withToolchainAdvice(err, setting)
}

// CheckNodeImage returns an error if this machine has to build the node image and
// cannot. With the origin auto it checks only the image of an old Kubernetes, and only
// if the registry does not answer and the engine has no image.
func (m Machine) CheckNodeImage(ctx context.Context, o node.Options) error {
	switch {
	case o.Origin == node.Source:
	case o.Origin == node.Auto && m.Kubernetes.Toolchain != "" && !node.Has(ctx, o) && node.RegistryAnswers(ctx, o) != nil:
	default:
		return nil
	}
	setting := ""
	if tag, ok := m.ClusterAPI.KubernetesThat(func(k release.Kubernetes) bool { return k.Toolchain == "" }); ok {
		setting = "KUBERNETES_VERSION=" + tag
	}
	return withToolchainAdvice(node.CanBuild(ctx, o), setting)
}

// withToolchainAdvice adds what to do to the error for a toolchain that is missing.
// setting, if not empty, selects a release that the installed Go compiles.
func withToolchainAdvice(err error, setting string) error {
	var missing *build.ToolchainError
	if !errors.As(err, &missing) {
		return err
	}
	advice := fmt.Sprintf("check GOPROXY and GOSUMDB, or put a program %s into PATH", missing.Toolchain)
	if setting != "" {
		advice = fmt.Sprintf("check GOPROXY and GOSUMDB, put a program %s into PATH, or set %s, which the installed Go compiles", missing.Toolchain, setting)
	}
	return fmt.Errorf("%w\n%s", err, advice)
}
