package environment

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/home"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/machine"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/state"
)

// machine is what the environment comes up on.
func (e *Environment) machine() machine.Machine {
	return machine.Machine{
		Environment: e.Config.ClusterName, Root: e.Config.Root, State: e.State,
		Engine: e.engine, Runner: e.Runner, Host: e.host,
		ClusterAPI: release.Of(e.Config.ClusterAPI.Version), Kubernetes: release.OfKubernetes(e.Config.Kubernetes),
		Workers: e.Config.Workers, PullsImages: e.Config.CertManager,
		PodRange: netip.MustParsePrefix(home.PodCIDR), ServiceRange: netip.MustParsePrefix(home.ServiceCIDR),
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

// checks returns the table of the checks before an environment comes up, for an engine that
// answers. A release that does not exist is refused first, and the other cheap checks come
// before the expensive ones. who is one of machine's Probe constants.
func (e *Environment) checks(ctx context.Context, info engine.Info, who string, progress func(string)) []machine.Check {
	m := e.machine()
	m.BuildsImage, m.Present = !node.Has(ctx, e.nodeOptions(info.Arch(), nil)), e.present(ctx)
	versions := machine.Check{Name: "versions", Find: func(ctx context.Context) machine.Finding { return e.versions(ctx, info) }}
	releases, others := e.sourceChecks(info.Arch(), who, progress)
	return slices.Concat([]machine.Check{versions}, releases, m.EngineChecks(info), others, []machine.Check{m.PrivilegedCheck(info, who)})
}

// present returns how many nodes of the environment are there: all that env:up creates if it
// is ready, and none if that is not known.
func (e *Environment) present(ctx context.Context) int {
	if ready, err := state.Exists(e.home().ReadyFile()); err == nil && ready {
		return 2 + e.Config.Workers
	}
	workload, management, err := e.containers(ctx)
	if err != nil {
		return 0
	}
	return len(slices.DeleteFunc(slices.Concat(workload, management), owner.IsLoadBalancer))
}

// versions judges whether the settings' versions can run on the engine, and warns of what
// upstream does not support and of what this lab does not know.
func (e *Environment) versions(ctx context.Context, info engine.Info) machine.Finding {
	const check = "versions"
	found := fmt.Sprintf("Cluster API %s on Kubernetes %s can run here", e.Config.ClusterAPI.Tag(), config.Tag(e.Config.Kubernetes))
	if err := errors.Join(e.Config.CheckEnvironment(), e.machine().CheckVersions(ctx, info)); err != nil {
		return machine.Judge(check, "", err, machine.Failure, "set CAPI_VERSION or KUBERNETES_VERSION")
	}
	if doubts := component.Doubts(e.Config); len(doubts) > 0 {
		return machine.Judge(check, "", errors.New(strings.Join(doubts, "; ")), machine.Warning, "if it fails, take versions that config:matrix lists")
	}
	return machine.Judge(check, found, nil, machine.Failure, "")
}

// sourceChecks returns the checks of the sources and images from which the environment is
// built: those that find out whether a release exists, and others. They use the network. arch
// is the engine's architecture, and empty if no engine answers.
func (e *Environment) sourceChecks(arch, who string, progress func(string)) (releases, others []machine.Check) {
	m, o := e.machine(), e.nodeOptions(arch, progress)
	clusterAPI, autoscaler := "Cluster API "+e.Config.ClusterAPI.Tag(), "autoscaler "+config.Tag(component.AutoscalerRelease(e.Config))
	releases = []machine.Check{
		{Name: clusterAPI, Find: func(ctx context.Context) machine.Finding {
			err := e.checkSource(ctx, component.ClusterAPI(e.Config))
			toDo := "check the network, or set CAPI_SOURCE, CAPI_GIT or CAPI_DIR to where it is"
			if advised := new(component.AdvisedError); errors.As(err, &advised) {
				toDo = advised.Advice
			}
			return machine.Judge(clusterAPI, fetched(e.Config.ClusterAPI), err, machine.Failure, toDo)
		}},
	}
	others = []machine.Check{
		{Name: autoscaler, Doctor: true, Find: func(ctx context.Context) machine.Finding {
			err := e.checkSource(ctx, component.Autoscaler(e.Config))
			return machine.Judge(autoscaler, fetched(e.Config.Autoscaler), err, machine.Warning, "export AUTOSCALER_DIR=/path/to/your/checkout, or AUTOSCALER_GIT=URL: autoscaler:run needs the source, and env:up does not")
		}},
		{Name: "node image", Find: func(ctx context.Context) machine.Finding {
			if who == machine.ProbeDoctor {
				return machine.NodeImageFinding(ctx, o)
			}
			// It asks a registry only if it must.
			if err := e.checkNodeImage(m, ctx, o); err != nil {
				return machine.Judge("node image", "", fmt.Errorf("NODE_IMAGE=%s: %w", e.Config.NodeImage, err), machine.Failure, "")
			}
			return machine.Finding{Check: "node image", Verdict: machine.OK}
		}},
	}
	if o.Origin != node.Registry {
		releases = append(releases, machine.KubernetesCheck(o, e.checkSource))
	}
	if m.ClusterAPI.Toolchain != "" {
		others = append(others, machine.Check{Name: m.ClusterAPI.Toolchain, Find: func(ctx context.Context) machine.Finding {
			err := e.checkToolchain(m, ctx, progress)
			if err != nil {
				err = fmt.Errorf("CAPI_VERSION=%s: %w", e.Config.ClusterAPI.Tag(), err)
			}
			return machine.Judge(m.ClusterAPI.Toolchain, "can compile Cluster API", err, machine.Failure, "check GOPROXY and GOSUMDB, or set CAPI_VERSION")
		}})
	}
	return releases, others
}

// fetched says where a source is, or that it can be fetched.
func fetched(s config.Source) string {
	if s.Dir != "" {
		return "is in " + s.Dir
	}
	return "can be fetched"
}

// preflight refuses what cannot work, before anything is created, and prints warnings. It
// makes the checks of Doctor, except those for Doctor alone, and ends at the first failure.
func (e *Environment) preflight(ctx context.Context, info engine.Info) error {
	step := e.Log.Start("check the machine", 5*time.Second)
	warnings, err := machine.Pass(ctx, e.checks(ctx, info, machine.ProbeUp, step.Progress), step.Progress)
	step.Done("", err)
	for _, w := range warnings {
		e.Log.Printf("! %s", w)
	}
	return err
}

// Doctor makes the checks of env:up and some more, and prints each finding with a verdict
// and what to do. It returns an error if no environment can come up here. It creates the
// probe image, if the engine does not have it, and runs it for a moment.
func (e *Environment) Doctor(ctx context.Context) error {
	step := e.Log.Start("check the machine", 10*time.Second)
	info, err := e.engine.Info(ctx)
	checks := []machine.Check{{Name: "go", Doctor: true, Find: e.machine().GoFinding}}
	if err == nil {
		checks = append(checks, e.checks(ctx, info, machine.ProbeDoctor, step.Progress)...)
		checks = append(checks, machine.Check{Name: "published ports", Doctor: true, Find: func(ctx context.Context) machine.Finding {
			return e.publishedPorts(ctx, info)
		}})
	} else {
		checks = append(checks, machine.Check{Name: "engine", Find: func(context.Context) machine.Finding {
			return machine.Judge("engine", "", err, machine.Failure, "start Docker; on Debian and Ubuntu: scripts/docker-engine.sh as root")
		}})
		releases, others := e.sourceChecks("", machine.ProbeDoctor, step.Progress)
		checks = slices.Concat(checks, releases, others)
	}
	findings := machine.FindAll(ctx, checks)
	step.Done("", nil)
	next := "An environment can come up on this machine; type: " + e.Config.Command("env:up")
	if ready, err := state.Exists(e.home().ReadyFile()); err == nil && ready {
		next = fmt.Sprintf("Environment %q is there; to look at it, type: %s", e.Config.ClusterName, e.Config.Command("env:status"))
	}
	return machine.Print(e.Out, findings, next, e.Config.Command("env:doctor"))
}

// publishedPorts judges whether other machines reach the environment.
func (e *Environment) publishedPorts(ctx context.Context, info engine.Info) machine.Finding {
	workload, management, err := e.containers(ctx)
	refuses := info.ShowsSources()
	for _, c := range workload {
		if owner.IsLoadBalancer(c) && refuses { // as it runs: the settings may have changed since
			config, failed := e.engine.ReadFile(ctx, c.ID, capi.BalancerConfig)
			refuses = failed == nil && capi.Refuses(config)
		}
	}
	return machine.PublishedPorts(slices.Concat(workload, management), refuses, err)
}
