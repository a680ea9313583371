package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/run"
)

// hand does what a person without the lab does: it runs the commands of kind, kubectl and
// clusterctl one after the other. The programs, the managers and the versions are those of
// env:up. A person has no node image with the managers in it, so the hand loads them.
type hand struct {
	lab         *lab.Lab
	environment Environment
	// folder has the programs and files that Environment.Export writes: kind, kubectl,
	// clusterctl, kind.yaml, cert-manager.yaml, clusterctl.yaml, cluster.yaml, network.yaml
	// and managers.tar.
	folder string
}

func (b Bench) hand() hand {
	l := b.quiet(handName)
	return hand{lab: l, environment: b.Open(l), folder: l.State.Path("hand")}
}

// step is one step of the sequence. A step of env:up that does the same has the same name.
type step struct {
	name string
	// commands have a program of the folder first.
	commands [][]string
}

// waiting is how long kubectl and kind wait for something.
const waiting = "5m"

// steps returns the sequence.
func (h hand) steps() []step {
	cfg := h.lab.Config
	cluster, management := cfg.ClusterName, cfg.ManagementName()
	file := func(name string) string { return filepath.Join(h.folder, name) }
	here, there := h.kubeconfig(management), h.kubeconfig(cluster)
	install := func(kubeconfig string) [][]string {
		version := ":" + cfg.ClusterAPI.Tag()
		all := [][]string{
			{"clusterctl", "init", "--kubeconfig", kubeconfig, "--config", file("clusterctl.yaml"), "--core", "cluster-api" + version,
				"--bootstrap", "kubeadm" + version, "--control-plane", "kubeadm" + version, "--infrastructure", "docker" + version},
			{"kubectl", "--kubeconfig", kubeconfig, "wait", "deployments", "--all-namespaces", "--selector=cluster.x-k8s.io/provider",
				"--for=condition=Available", "--timeout=" + waiting},
		}
		if cfg.CertManager {
			return all
		}
		return append([][]string{
			{"kubectl", "--kubeconfig", kubeconfig, "apply", "--filename", file("cert-manager.yaml")},
			{"kubectl", "--kubeconfig", kubeconfig, "wait", "--filename", file("cert-manager.yaml"), "--for=condition=Established", "--timeout=" + waiting},
		}, all...)
	}
	load := func(cluster string) [][]string {
		return [][]string{{"kind", "load", "image-archive", file("managers.tar"), "--name", cluster}}
	}
	return []step{
		{"management cluster", [][]string{
			{"kind", "create", "cluster", "--name", management, "--config", file("kind.yaml"), "--kubeconfig", here, "--wait", waiting}}},
		{"images into its node", load(management)},
		{"providers in it", install(here)},
		{"workload control plane", [][]string{
			{"kubectl", "--kubeconfig", here, "apply", "--filename", file("cluster.yaml")},
			{"kubectl", "--kubeconfig", here, "wait", "clusters.cluster.x-k8s.io/" + cluster, "--for=condition=ControlPlaneInitialized", "--timeout=" + waiting},
			{"kind", "export", "kubeconfig", "--name", cluster, "--kubeconfig", there}}},
		{"workload network and nodes", [][]string{
			{"kubectl", "--kubeconfig", there, "apply", "--filename", file("network.yaml")},
			{"kubectl", "--kubeconfig", here, "wait", "machinedeployments", "--all", "--for=condition=Available", "--timeout=" + waiting},
			{"kubectl", "--kubeconfig", there, "wait", "nodes", "--all", "--for=condition=Ready", "--timeout=" + waiting}}},
		{"images into the workload nodes", load(cluster)},
		{"providers in the workload cluster", install(there)},
		{"move", [][]string{
			{"clusterctl", "move", "--kubeconfig", here, "--to-kubeconfig", there, "--config", file("clusterctl.yaml")}}},
		{"delete the management cluster", [][]string{
			{"kind", "delete", "cluster", "--name", management, "--kubeconfig", here}}},
	}
}

// session is the folder of the files that the commands write.
func (h hand) session() string { return filepath.Join(h.folder, "session") }

func (h hand) kubeconfig(cluster string) string {
	return filepath.Join(h.session(), cluster+".kubeconfig")
}

// check refuses releases whose objects kubectl would have to wait for in other ways.
func (h hand) check() error {
	v := h.lab.Config.ClusterAPI
	if release.Of(v.Version).API == release.V1Beta2 {
		return nil
	}
	first := release.First(func(r release.Release) bool { return r.API == release.V1Beta2 })
	return fmt.Errorf("env:up can be compared with the commands by hand from Cluster API v%s on, and CAPI_VERSION is %s; to measure env:up alone, type: %s", first, v.Tag(), h.lab.Config.Command("bench:run -alone"))
}

// prepare builds everything, so that later measurements find it.
func (h hand) prepare(ctx context.Context) error {
	return between(ctx, h.environment, func() error { return h.environment.Export(ctx, h.folder) })
}

// measure runs the sequence, and returns the seconds of each step and of the whole.
func (h hand) measure(ctx context.Context) (seconds map[string]float64, err error) {
	seconds = map[string]float64{}
	err = between(ctx, h.environment, func() error {
		if err := h.environment.Export(ctx, h.folder); err != nil {
			return err
		}
		if err := errors.Join(os.RemoveAll(h.session()), os.MkdirAll(h.session(), 0o700)); err != nil {
			return err
		}
		start := h.lab.Now()
		for _, s := range h.steps() {
			began, shown := h.lab.Now(), h.lab.Log.Start("by hand: "+s.name, 0)
			err := h.run(ctx, s.commands)
			shown.Done("", err)
			if err != nil {
				return err
			}
			seconds[s.name] = h.lab.Now().Sub(began).Seconds()
		}
		seconds[whole] = h.lab.Now().Sub(start).Seconds()
		return nil
	})
	return seconds, err
}

func (h hand) run(ctx context.Context, commands [][]string) error {
	for _, c := range commands {
		// None of them may write the user's own kubeconfig.
		env := []string{"KUBECONFIG=" + h.kubeconfig(h.lab.Config.ManagementName())}
		if c[0] != "kind" { // kind starts docker, which needs the user's own settings
			home := h.session()
			env = append(env, "HOME="+home, "XDG_CONFIG_HOME="+filepath.Join(home, ".config"), "CLUSTERCTL_DISABLE_VERSIONCHECK=true")
		}
		if _, err := h.lab.Runner.Run(ctx, run.Cmd{Name: filepath.Join(h.folder, c[0]), Args: c[1:], Env: env}); err != nil {
			return err
		}
	}
	return nil
}
