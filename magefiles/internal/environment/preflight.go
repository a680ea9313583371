package environment

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/machine"
	"caslab/magefiles/internal/state"
)

// machine is what the environment comes up on.
func (e *Environment) machine() machine.Machine {
	return machine.Machine{
		Environment: e.Config.ClusterName, Root: e.Config.Root, State: e.State,
		Engine: e.engine, Runner: e.Runner, FreeDisk: e.freeDisk, ReadLimit: machine.ReadLimit,
		ClusterAPI: release.Of(e.Config.ClusterAPI.Version), Kubernetes: release.OfKubernetes(e.Config.Kubernetes),
	}
}

// askEngine returns what the engine says about itself. It refuses an engine that
// cannot run nodes.
func (e *Environment) askEngine(ctx context.Context) (info engine.Info, err error) {
	step := e.Log.Start("ask the Docker engine", 0)
	defer func() { step.Done(info.ServerVersion, err) }()
	if info, err = e.engine.Info(ctx); err != nil {
		return info, err
	}
	return info, machine.Suitable(info)
}

// preflight refuses what cannot work, before anything is created.
func (e *Environment) preflight(ctx context.Context, info engine.Info) (err error) {
	step := e.Log.Start("check the machine", 5*time.Second)
	defer func() { step.Done("", err) }()
	if err := e.machine().CheckVersions(ctx, info); err != nil {
		return err
	}
	step.Progress("disk")
	if err := e.machine().CheckDisk(info); err != nil {
		return err
	}
	step.Progress("the source of Cluster API")
	if err := e.tools.check(ctx, component.ClusterAPI(e.Config)); err != nil {
		return err
	}
	if err := e.checkToolchain(e.machine(), ctx, step.Progress); err != nil {
		return fmt.Errorf("CAPI_VERSION=%s: %w", e.Config.ClusterAPI.Tag(), err)
	}
	step.Progress("tools for the node image")
	if err := e.checkNodeImage(e.machine(), ctx, e.nodeOptions(info.Arch(), step.Progress)); err != nil {
		return fmt.Errorf("NODE_IMAGE=%s: %w", e.Config.NodeImage, err)
	}
	step.Progress("a privileged container")
	return e.machine().CheckPrivileged(ctx, info, machine.ProbeUp)
}

// Doctor checks the machine and prints each finding with a verdict and what to do. It
// returns an error if no environment can come up here. It creates the probe image,
// if the engine does not have it, and runs it for a moment.
func (e *Environment) Doctor(ctx context.Context) error {
	m := e.machine()
	var findings []machine.Finding
	step := e.Log.Start("ask the Docker engine, and start a privileged container", 5*time.Second)
	info, err := e.engine.Info(ctx)
	if err != nil {
		findings = append(findings, machine.Judge("engine", "", err, machine.Failure, "start Docker; on Debian and Ubuntu: scripts/docker-engine.sh as root"))
	} else {
		findings = append(findings, m.EngineFindings(ctx, info)...)
		versions := errors.Join(e.Config.CheckEnvironment(), m.CheckVersions(ctx, info))
		findings = append(findings, machine.Judge("versions", fmt.Sprintf("Cluster API %s on Kubernetes %s can run here", e.Config.ClusterAPI.Tag(), config.Tag(e.Config.Kubernetes)), versions, machine.Failure, "set CAPI_VERSION or KUBERNETES_VERSION"))
		doubts := e.Config.Warnings()
		if versions != nil {
			doubts = nil // the refusal says more
		}
		for _, doubt := range doubts {
			findings = append(findings, machine.Judge("versions", "", errors.New(doubt), machine.Warning, "env:up tries it; if it fails, take versions that config:matrix lists"))
		}
	}
	step.Done("", err)
	findings = append(findings, m.HostFindings(ctx)...)
	step = e.Log.Start("ask the network", 10*time.Second)
	findings = append(findings, e.reachFindings(ctx, info)...)
	step.Done("", nil)
	next := "An environment can come up on this machine; type: go tool mage env:up"
	if ready, err := state.Exists(e.readyFile()); err == nil && ready {
		next = fmt.Sprintf("Environment %q is there; to look at it, type: go tool mage env:status", e.Config.ClusterName)
	}
	return machine.Print(e.Out, findings, next)
}

// reachFindings asks the network. If only the Go module proxy and a Debian mirror
// answer, everything is built on this machine.
func (e *Environment) reachFindings(ctx context.Context, info engine.Info) []machine.Finding {
	var api, as error
	var asked sync.WaitGroup
	asked.Go(func() { api = e.tools.check(ctx, component.ClusterAPI(e.Config)) })
	asked.Go(func() { as = e.tools.check(ctx, component.Autoscaler(e.Config)) })
	asked.Wait()
	findings := []machine.Finding{
		machine.Judge("Cluster API "+e.Config.ClusterAPI.Tag(), "can be fetched", api, machine.Failure, "set CAPI_SOURCE, CAPI_GIT or CAPI_DIR to where it is"),
		machine.Judge("autoscaler "+e.Config.Autoscaler.Tag(), "can be fetched", as, machine.Warning, "export AUTOSCALER_DIR=/path/to/your/checkout, or AUTOSCALER_GIT=URL: autoscaler:run needs the source, and env:up does not"),
		machine.NodeImageFinding(ctx, e.nodeOptions(info.Arch(), nil)),
	}
	if m := e.machine(); m.ClusterAPI.Toolchain != "" {
		findings = append(findings, machine.Judge(m.ClusterAPI.Toolchain, "can compile Cluster API", e.checkToolchain(m, ctx, nil), machine.Failure, "check GOPROXY and GOSUMDB, or set CAPI_VERSION"))
	}
	return findings
}
