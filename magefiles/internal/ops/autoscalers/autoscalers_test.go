package autoscalers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/target"
)

// TestProgramsOfTwoTrees: programs that are built from different repositories do
// not replace each other.
func TestProgramsOfTwoTrees(t *testing.T) {
	t.Parallel()
	output := func(env map[string]string) string {
		cfg, err := config.Load(t.TempDir(), func(key string) (string, bool) { v, ok := env[key]; return v, ok })
		if err != nil {
			t.Fatal(err)
		}
		cfg.Root = "/lab"
		return (&Autoscalers{Lab: &lab.Lab{Config: cfg}}).autoscalerProgram(&source.Tree{Origin: config.OriginGit}, false).Output()
	}
	one, same, other := output(nil), output(nil), output(map[string]string{"AUTOSCALER_GIT": "file:///other"})
	if one != same || one == other {
		t.Errorf("programs are %s, %s and, of another repository, %s", one, same, other)
	}
	// A URL with another token is still the same repository.
	before, after := output(map[string]string{"AUTOSCALER_GIT": "https://user:old@host/a"}), output(map[string]string{"AUTOSCALER_GIT": "https://user:new@host/a"})
	if before != after {
		t.Errorf("programs are %s, and with another token %s", before, after)
	}
}

// TestReleasesThatCannotBeBuilt: such releases are refused before their source
// is fetched. Otherwise the fake runner would fail.
func TestReleasesThatCannotBeBuilt(t *testing.T) {
	t.Parallel()
	old := t.TempDir()
	if err := os.MkdirAll(filepath.Join(old, "cluster-autoscaler", "version"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "cluster-autoscaler", "version", "version.go"), []byte("package version\n\nconst ClusterAutoscalerVersion = \"1.17.4\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string][]string{
		"AUTOSCALER_DIR=" + old:     {"AUTOSCALER_DIR=" + old, "1.17.4 has no provider for Cluster API; want 1.18.0 or later"},
		"AUTOSCALER_VERSION=1.22.3": {"go1.16.15, which compiles this tree", "no route to host", "check GOPROXY", "AUTOSCALER_VERSION=1.23.0"},
	} {
		variable, value, _ := strings.Cut(setting, "=")
		l := labtest.New(t, map[string]string{variable: value})
		l.Processes.Answers = []runtest.Answer{{Prefix: "go env ", Stdout: "{}"}, {Prefix: "go version", Stderr: "no route to host\n", Err: errors.New("exit status 1")}}
		a := &Autoscalers{Lab: l.Lab}
		_, err := a.Compile(t.Context(), false)
		if refusal := a.Flags(t.Context(), ""); value == old && (refusal == nil || refusal.Error() != err.Error()) {
			t.Errorf("Flags() = %v, Compile() = %v", refusal, err)
		}
		for _, text := range want {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v, want %q", setting, err, text)
			}
		}
	}
}

// TestToolchainOfTheRelease: the Go toolchain that compiles a release is the one
// in the table of releases.
func TestToolchainOfTheRelease(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{"1.18.3": "go1.13.15", "1.22.3": "go1.16.15", "1.23.0": "", "1.36.1": ""} {
		l := labtest.New(t, map[string]string{"AUTOSCALER_VERSION": tag})
		if got := (&Autoscalers{Lab: l.Lab}).autoscalerProgram(&source.Tree{Origin: config.OriginGit}, false).Toolchain; got != want {
			t.Errorf("autoscaler %s is compiled by %q, want %q", tag, got, want)
		}
	}
}

// TestReleaseOfACheckout: the name and the facts of a checkout are those of the
// release that it states, not those of the release in the settings.
func TestReleaseOfACheckout(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ version, kubernetes, state, program, skipped string }{
		"master":    {"dev", "v1.36.2", "master, after 1.36 from ", "1.37.0-dev", ""},
		"a release": {"1.25.3", "v1.25.5", "1.25.3 from ", "1.25.3-dev", "needs autoscaler 1.37.0 or later, and 1.25.3 runs"},
		"no word":   {"dev", "", "a checkout that does not name its release, treated as 1.36.1, from ", "1.36.1-dev", "and 1.36.1 runs"},
	} {
		dir := t.TempDir()
		module := filepath.Join(dir, "cluster-autoscaler")
		mod := "module " + build.AutoscalerModule + "\n\ngo 1.26.0\n"
		if tc.kubernetes != "" {
			mod += "\nrequire k8s.io/kubernetes " + tc.kubernetes + "\n"
		}
		err := errors.Join(os.MkdirAll(filepath.Join(module, "version"), 0o755), os.WriteFile(filepath.Join(module, "go.mod"), []byte(mod), 0o600),
			os.WriteFile(filepath.Join(module, "version", "version.go"), []byte("package version\n\nvar ClusterAutoscalerVersion = \""+tc.version+"\"\n"), 0o600))
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(t.TempDir(), func(key string) (string, bool) { v, ok := map[string]string{"AUTOSCALER_DIR": dir}[key]; return v, ok })
		if err != nil {
			t.Fatal(err)
		}
		lab := &Autoscalers{Lab: &lab.Lab{Config: cfg}}
		tree := &source.Tree{Origin: source.Dir, Dir: dir}
		if state, err := lab.autoscalerState(t.Context(), tree); err != nil || state != tc.state+dir {
			t.Errorf("%s: it is %q, %v; want %q", name, state, err, tc.state+dir)
		}
		if got := lab.autoscalerProgram(tree, false).Version; got != tc.program {
			t.Errorf("%s: the program says %q, want %q", name, got, tc.program)
		}
		newest := &scenario.Scenario{Autoscaler: scenario.Needs{Since: "1.37.0"}}
		if why := newest.WhySkipped(scenario.Means{Release: component.AutoscalerRelease(lab.Config), Controlled: true}); !strings.Contains(why, tc.skipped) || (why == "") != (tc.skipped == "") {
			t.Errorf("%s: a scenario since 1.37.0 is skipped because %q, want %q", name, why, tc.skipped)
		}
	}
}

// TestScalesOtherCluster: an autoscaler does not belong to this cluster if its
// flags name another one.
func TestScalesOtherCluster(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]bool{
		"--node-group-auto-discovery=clusterapi:namespace=default,clusterName=work":       false,
		"--node-group-auto-discovery=clusterapi:clusterName=work,namespace=default":       false,
		"--node-group-auto-discovery=clusterapi:namespace=default,clusterName=other":      true,
		"--node-group-auto-discovery=clusterapi:namespace=default,clusterName=work-other": true,
		"--node-group-auto-discovery=clusterapi:namespace=default":                        false,
		"--v=4": false,
	} {
		for _, field := range []string{"args", "command"} {
			d, err := kube.Deployment(&unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
				"containers": []any{map[string]any{"name": "manager", field: []any{"/cluster-autoscaler", flag}}},
			}}}}})
			if err != nil {
				t.Fatal(err)
			}
			if got := scalesOtherCluster(d, "work"); got != want {
				t.Errorf("%s %s: %t, want %t", field, flag, got, want)
			}
		}
	}
}

const deployedAutoscaler = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: caslab-autoscaler, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: caslab-autoscaler-workload}
---
apiVersion: v1
kind: Pod
metadata: {name: caslab-autoscaler-1, namespace: default, labels: {app: caslab-autoscaler}}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: cluster-autoscaler, namespace: default}
spec: {holderIdentity: HOLDER}
`

// TestUndeploy: the rights are deleted after the pod, and the lease only if it belongs to
// the lab.
func TestUndeploy(t *testing.T) {
	t.Parallel()
	kinds := []schema.GroupVersionKind{
		kube.Deployments.WithVersion("v1"), kube.Pods.WithVersion("v1"), kube.Leases.WithVersion("v1"), {Version: "v1", Kind: "ServiceAccount"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"}, {Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}, {Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding"},
	}
	for holder, kept := range map[string]bool{"caslab-autoscaler-1_x": false, "cluster-autoscaler-1_x": true} {
		server := kubetest.New(t, kinds, strings.Replace(deployedAutoscaler, "HOLDER", holder, 1))
		client := server.Client()
		ended := make(chan struct{})
		server.Intercept(func(q kubetest.Request) error {
			switch {
			case q.Verb != "delete" || q.Resource == "pods":
			case q.Resource == "deployments":
				// The pod is removed some time after the Deployment, as in a
				// real cluster.
				time.AfterFunc(100*time.Millisecond, func() {
					close(ended)
					server.Remove(kube.Pods, "default", "caslab-autoscaler-1")
				})
			default:
				select {
				case <-ended:
				default:
					t.Errorf("%s are deleted while the pod is there", q.Resource)
				}
			}
			return nil
		})
		s := &target.Cluster{Workload: client, Management: client, Namespace: "default"}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := undeploy(ctx, s, nil); err != nil {
			t.Fatal(err)
		}
		_, err := client.Get(ctx, kube.Leases, "default", "cluster-autoscaler")
		if (err == nil) != kept {
			t.Errorf("the lease of %s: %v; want it kept: %t", holder, err, kept)
		}
		if _, err := client.Get(ctx, schema.GroupKind{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}, "", "caslab-autoscaler-workload"); !apierrors.IsNotFound(err) {
			t.Errorf("the cluster role: %v, want none", err)
		}
	}
}

// TestDeployed: a Deployment is an autoscaler if its name or the image of any of
// its containers says so, but not if the name is only similar.
func TestDeployed(t *testing.T) {
	t.Parallel()
	const stream = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: system}
spec:
  replicas: REPLICAS
  template:
    spec:
      containers:
      - {name: proxy, image: "example.com/proxy:1"}
      - {name: manager, image: "IMAGE"}
`
	for _, tc := range []struct {
		name, image, replicas string
		want                  string
	}{
		{"cluster-autoscaler", "example.com/mine:1", "1", "system/cluster-autoscaler"},
		{"mine", "example.com/cluster-autoscaler:1", "1", "system/mine"},
		{"mine", "example.com/cluster-autoscaler:1", "0", ""},
		{"cluster-autoscaler-operator", "example.com/cluster-autoscaler-operator:1", "1", ""},
	} {
		client := kubetest.New(t, []schema.GroupVersionKind{kube.Deployments.WithVersion("v1")},
			strings.NewReplacer("NAME", tc.name, "IMAGE", tc.image, "REPLICAS", tc.replicas).Replace(stream)).Client()
		found, err := deployed(t.Context(), &target.Cluster{Workload: client, Management: client, Name: "work", Namespace: "default"})
		got := ""
		if found != nil {
			got = fullName(found)
		}
		if err != nil || got != tc.want {
			t.Errorf("%s with the image %s and %s replicas: %q, %v; want %q", tc.name, tc.image, tc.replicas, got, err, tc.want)
		}
	}
}
