package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/capi/release"
)

// load returns the settings with file as caslab.yaml and env as the environment.
func load(t *testing.T, file string, env map[string]string) (*Config, error) {
	t.Helper()
	root := t.TempDir()
	if file != "" {
		if err := os.WriteFile(filepath.Join(root, fileName), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load(root, func(key string) (string, bool) { v, ok := env[key]; return v, ok })
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, err := load(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.ClusterAPI.Tag(); got != "v1.14.2" {
		t.Errorf("Cluster API %s, want v1.14.2", got)
	}
	if got := Tag(c.Kubernetes); got != "v1.36.1" {
		t.Errorf("Kubernetes %s, want v1.36.1", got)
	}
	if got := c.Autoscaler.Version.String(); got != "1.36.1" {
		t.Errorf("autoscaler %s, want 1.36.1", got)
	}
	if c.ClusterName != "work-cluster" || c.ManagementName() != "work-cluster-management" {
		t.Errorf("clusters %q and %q", c.ClusterName, c.ManagementName())
	}
	for _, v := range c.Values() {
		if v.Origin != "default" {
			t.Errorf("%s comes from %q, want default", v.Key, v.Origin)
		}
	}
}

func TestFileThenEnvironment(t *testing.T) {
	t.Parallel()
	c, err := load(t, `
clusterName: from-file
workers: 3
certManager: true
clusterAPI: {version: v1.13.5, source: git}
`, map[string]string{"CLUSTER_NAME": "from-env", "CAPI_GIT": ""})
	if err != nil {
		t.Fatal(err)
	}
	if c.ClusterName != "from-env" || c.Workers != 3 || !c.CertManager || c.ClusterAPI.Origin != OriginGit {
		t.Errorf("got %q, %d workers, cert-manager %v, source %s", c.ClusterName, c.Workers, c.CertManager, c.ClusterAPI.Origin)
	}
	origin := map[string]string{}
	for _, v := range c.Values() {
		origin[v.Key] = v.Origin
	}
	for key, want := range map[string]string{
		"clusterName": "environment", "workers": fileName, "clusterAPI.version": fileName, "clusterAPI.git": "default",
	} {
		if origin[key] != want {
			t.Errorf("%s comes from %q, want %q", key, origin[key], want)
		}
	}
}

// TestVersionsAreShownAlike: versions are shown with a v, whether the user wrote it or
// not.
func TestVersionsAreShownAlike(t *testing.T) {
	t.Parallel()
	versions := func(env map[string]string) (shown []string) {
		c, err := load(t, "", env)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range c.Values() {
			if strings.HasSuffix(strings.ToLower(v.Key), "version") {
				shown = append(shown, v.Env+"="+v.Value)
			}
		}
		return shown
	}
	want := []string{"KUBERNETES_VERSION=v1.36.1", "CAPI_VERSION=v1.14.2", "AUTOSCALER_VERSION=v1.36.1"}
	with, without := map[string]string{}, map[string]string{}
	for _, w := range want {
		name, value, _ := strings.Cut(w, "=")
		with[name], without[name] = value, strings.TrimPrefix(value, "v")
	}
	for name, env := range map[string]map[string]string{"the defaults": nil, "with a v": with, "without it": without} {
		if got := versions(env); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, err := load(t, "", map[string]string{"CAPI_VERSION": "1.14"}); err == nil || !strings.Contains(err.Error(), `"1.14"`) {
		t.Errorf("a refused version is not shown as it was given: %v", err)
	}
}

// TestCommand: a command to type names the environment only if the user's shell may lack the
// name.
func TestCommand(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		file string
		env  map[string]string
		want string
	}{
		"default":  {want: "go tool mage env:up"},
		"file":     {file: "clusterName: mine", want: "go tool mage env:up"},
		"variable": {env: map[string]string{"CLUSTER_NAME": "mine"}, want: "CLUSTER_NAME=mine go tool mage env:up"},
		"versions": {env: map[string]string{"CAPI_VERSION": "v1.13.5", "KUBERNETES_VERSION": "1.20.0", "FORCE": "true", "WORKERS": "2"},
			want: "KUBERNETES_VERSION=v1.20.0 FORCE=true CAPI_VERSION=v1.13.5 go tool mage env:up"},
	} {
		c, err := load(t, tc.file, tc.env)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Command("env:up"); got != tc.want {
			t.Errorf("%s: Command() = %s, want %s", name, got, tc.want)
		}
	}
	if got := CommandFor("my cluster", "env:down"); got != "CLUSTER_NAME='my cluster' go tool mage env:down" {
		t.Errorf("CommandFor() = %s", got)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		file string
		env  map[string]string
		want []string // all in the error
	}{
		"too old":            {env: map[string]string{"CAPI_VERSION": "v0.3.4"}, want: []string{`CAPI_VERSION="v0.3.4"`, "the lab supports v0.3.5 and later", "extraMounts"}},
		"an old autoscaler":  {env: map[string]string{"AUTOSCALER_VERSION": "1.17.4"}, want: []string{`AUTOSCALER_VERSION="v1.17.4"`, "no provider for Cluster API; want v1.18.0 or later"}},
		"no version":         {env: map[string]string{"CAPI_VERSION": "banana"}, want: []string{`CAPI_VERSION="banana"`, "major.minor.patch"}},
		"the autoscaler's":   {env: map[string]string{"CAPI_VERSION": "v1beta1"}, want: []string{`CAPI_VERSION="v1beta1"`, "version of an API", "the autoscaler reads a variable of the same name", "unset yours"}},
		"a branch":           {env: map[string]string{"CAPI_VERSION": "main"}, want: []string{`CAPI_VERSION="main"`, "set CAPI_COMMIT", "git ls-remote " + clusterAPIGit, "CAPI_DIR"}},
		"a release branch":   {env: map[string]string{"CAPI_VERSION": "release-1.14"}, want: []string{"set CAPI_COMMIT"}},
		"another's branch":   {env: map[string]string{"AUTOSCALER_VERSION": "master"}, want: []string{"set AUTOSCALER_COMMIT", "git ls-remote " + autoscalerGit, "AUTOSCALER_DIR"}},
		"a commit":           {env: map[string]string{"CAPI_VERSION": "ae7ff047db49"}, want: []string{"set CAPI_COMMIT"}},
		"half a version":     {env: map[string]string{"CAPI_VERSION": "v1.14"}, want: []string{"major.minor.patch"}},
		"no Kubernetes":      {env: map[string]string{"KUBERNETES_VERSION": "banana"}, want: []string{"such as v1.36.1"}},
		"a build":            {env: map[string]string{"KUBERNETES_VERSION": "v1.36.1+k3s1"}, want: []string{"such as v1.36.1"}},
		"unknown source":     {env: map[string]string{"CAPI_SOURCE": "svn"}, want: []string{`CAPI_SOURCE="svn"`, "auto, git, module, dir"}},
		"no module":          {env: map[string]string{"AUTOSCALER_SOURCE": "module"}, want: []string{`AUTOSCALER_SOURCE="module"`, "want one of auto, git, dir"}},
		"dir without dir":    {env: map[string]string{"CAPI_SOURCE": "dir"}, want: []string{"CAPI_DIR=/path"}},
		"git and dir":        {env: map[string]string{"CAPI_SOURCE": "git", "CAPI_DIR": "/x"}, want: []string{"unset one"}},
		"module at a commit": {env: map[string]string{"CAPI_SOURCE": "module", "CAPI_COMMIT": strings.Repeat("a", 40)}, want: []string{"CAPI_SOURCE=git"}},
		"short commit":       {env: map[string]string{"CAPI_COMMIT": "abc123"}, want: []string{"40 hexadecimal"}},
		"capitals":           {env: map[string]string{"CLUSTER_NAME": "Mine"}, want: []string{`CLUSTER_NAME="Mine" (environment): want at most 38`, "try CLUSTER_NAME=mine"}},
		"not a label":        {env: map[string]string{"CLUSTER_NAME": "Work_Cluster"}, want: []string{`CLUSTER_NAME="Work_Cluster"`, "at most 38 lower case letters"}},
		"set but empty":      {env: map[string]string{"CLUSTER_NAME": ""}, want: []string{"CLUSTER_NAME is set but empty", "unset it"}},
		"no ASCII":           {env: map[string]string{"CLUSTER_NAME": "ünï"}, want: []string{"at most 38 lower case letters"}},
		"a plain path":       {env: map[string]string{"AUTOSCALER_GIT": "/srv/x"}, want: []string{"file:///srv/x", "AUTOSCALER_DIR"}},
		"a path":             {env: map[string]string{"CLUSTER_NAME": "../etc"}, want: []string{"at most 38 lower case letters"}},
		"too long":           {env: map[string]string{"CLUSTER_NAME": strings.Repeat("a", 39)}, want: []string{"at most 38 lower case letters", "39"}},
		"another's own":      {env: map[string]string{"CLUSTER_NAME": "work-management"}, want: []string{`"work"`, "must not end with -management"}},
		"another's log":      {env: map[string]string{"CLUSTER_NAME": "work-autoscaler"}, want: []string{"must not end with -autoscaler"}},
		"no workers":         {env: map[string]string{"WORKERS": "0"}, want: []string{"from 1 to 20"}},
		"an option as git":   {env: map[string]string{"CAPI_GIT": "--upload-pack=x"}, want: []string{"https, http, ssh or file"}},
		"mirror with scheme": {env: map[string]string{"REGISTRY_MIRROR": "http://x"}, want: []string{"without a scheme"}},
		"not a bool":         {env: map[string]string{"CERT_MANAGER": "maybe"}, want: []string{"true or false"}},
		"unknown key":        {file: "clusterAPI: {verzion: v1.14.2}", want: []string{fileName, `unknown key "clusterAPI.verzion"; want one of clusterName, workers, `, "clusterNamespace"}},
		"near key":           {file: "version: v1.14.2", want: []string{"did you mean", "clusterAPI.version"}},
		"wrong type":         {file: "certManager: 'yes'", want: []string{"certManager: yes has the wrong type", "true or false"}},
		"list":               {file: "clusterName: [a]", want: []string{"wrong type", "a string"}},
		"section":            {file: "clusterAPI: v1.14.2", want: []string{"clusterAPI: v1.14.2 has the wrong type", "clusterAPI.version"}},
		"twice":              {file: "workers: 1\nworkers: 2", want: []string{fileName, "workers"}},
		"broken":             {file: "a: [", want: []string{fileName}},
		"two at once":        {env: map[string]string{"WORKERS": "x", "CAPI_SOURCE": "y"}, want: []string{"WORKERS", "CAPI_SOURCE"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, tc.file, tc.env)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]map[string]string{
		"oldest":              {"CAPI_VERSION": "v0.3.5"},
		"patch opens 1.36":    {"CAPI_VERSION": "v1.12.8"},
		"pre-release":         {"CAPI_VERSION": "v1.14.0-rc.1"},
		"unknown next series": {"CAPI_VERSION": "v1.99.0", "KUBERNETES_VERSION": "v1.40.0"},
		"modules":             {"CAPI_SOURCE": "module"},
		"file URL":            {"CAPI_GIT": "file:///srv/git/cluster-api"},
		"scp-like":            {"CAPI_GIT": "git@example.com:me/cluster-api.git"},
		"mirror":              {"REGISTRY_MIRROR": "127.0.0.1:5000"},
	} {
		if _, err := load(t, "", env); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCheckEnvironment: versions that do not work together are refused, and the error
// names the nearest ones that do. Versions that are newer than the table are accepted.
func TestCheckEnvironment(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env  map[string]string
		want []string // all in the error; none if it is accepted
	}{
		"defaults":           {nil, nil},
		"newest Kubernetes":  {map[string]string{"KUBERNETES_VERSION": "v1.37.2"}, nil},
		"newer Kubernetes":   {map[string]string{"KUBERNETES_VERSION": "v1.38.0"}, nil},
		"newer Cluster API":  {map[string]string{"CAPI_VERSION": "v1.15.0", "KUBERNETES_VERSION": "v1.37.2"}, nil},
		"both newer":         {map[string]string{"CAPI_VERSION": "v1.99.0", "KUBERNETES_VERSION": "v1.40.0"}, nil},
		"too new":            {map[string]string{"CAPI_VERSION": "v1.13.5", "KUBERNETES_VERSION": "v1.37.2"}, []string{"KUBERNETES_VERSION=v1.37.2 (environment)", "v1.32 to v1.36", "KUBERNETES_VERSION=v1.36.1 or CAPI_VERSION=v1.13.6"}},
		"too old":            {map[string]string{"KUBERNETES_VERSION": "v1.32.11"}, []string{"v1.33 to v1.37", "KUBERNETES_VERSION=v1.33.4 or CAPI_VERSION=v1.13.6"}},
		"much too old":       {map[string]string{"KUBERNETES_VERSION": "v1.18.19"}, []string{"set KUBERNETES_VERSION=v1.33.4 or CAPI_VERSION=v0.3.25, or FORCE=true"}},
		"before all":         {map[string]string{"KUBERNETES_VERSION": "v1.15.0"}, []string{"set KUBERNETES_VERSION=v1.33.4, or FORCE=true"}},
		"newer, too old":     {map[string]string{"CAPI_VERSION": "v1.15.0", "KUBERNETES_VERSION": "v1.30.4"}, []string{"v1.33 to v1.37", "CAPI_VERSION=v1.11.11"}},
		"old, much too new":  {map[string]string{"CAPI_VERSION": "v1.11.0", "KUBERNETES_VERSION": "v1.38.0"}, []string{"KUBERNETES_VERSION=v1.33.4, or FORCE=true"}},
		"too new, forced":    {map[string]string{"CAPI_VERSION": "v1.13.5", "KUBERNETES_VERSION": "v1.37.2", "FORCE": "true"}, nil},
		"next major of both": {map[string]string{"CAPI_VERSION": "v2.0.0"}, nil},
	} {
		c, err := load(t, "", tc.env)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		err = c.CheckEnvironment()
		if (err != nil) != (tc.want != nil) {
			t.Errorf("%s: CheckEnvironment() = %v, want %q", name, err, tc.want)
		}
		for _, want := range tc.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error does not say %q:\n%v", name, want, err)
			}
		}
	}
}

// TestEverySeriesComesUp: with its default versions, env:up refuses no series of the table.
func TestEverySeriesComesUp(t *testing.T) {
	t.Parallel()
	for _, r := range release.All() {
		c, err := load(t, "", map[string]string{"CAPI_VERSION": "v" + r.Version.String()})
		if err != nil {
			t.Errorf("%s: %v", r.Version, err)
			continue
		}
		if err := c.CheckEnvironment(); err != nil {
			t.Errorf("%s: %v", r.Version, err)
		}
	}
}

// TestWarnings: there is a warning for a version that is newer than the table or was
// forced.
func TestWarnings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"defaults":          {nil, nil},
		"old":               {map[string]string{"CAPI_VERSION": "v1.10.10"}, nil},
		"newer Kubernetes":  {map[string]string{"KUBERNETES_VERSION": "v1.38.0"}, []string{"Kubernetes v1.38.0 is newer than this lab knows: it is treated as v1.37"}},
		"newer Cluster API": {map[string]string{"CAPI_VERSION": "v1.15.0"}, []string{"Cluster API v1.15.0 is newer than this lab knows: it is treated as v1.14"}},
		"forced":            {map[string]string{"KUBERNETES_VERSION": "v1.32.11", "FORCE": "true"}, []string{"upstream supports Cluster API v1.14.2 on Kubernetes v1.33 to v1.37, but not on v1.32.11"}},
	} {
		c, err := load(t, "", tc.env)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := c.Warnings(); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// TestDefaultsFollowClusterAPI: if only the release of Cluster API is set, the other
// versions work with it.
func TestDefaultsFollowClusterAPI(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		file                   string
		env                    map[string]string
		kubernetes, autoscaler string // value and origin
	}{
		"pinned":       {"", map[string]string{"CAPI_VERSION": "v1.14.2"}, "v1.36.1 default", "v1.36.1 default"},
		"variable":     {"", map[string]string{"CAPI_VERSION": "v1.8.12"}, "v1.31.4 default of Cluster API v1.8", "v1.31.5 default of Cluster API v1.8"},
		"file":         {"clusterAPI: {version: v0.3.5}", nil, "v1.18.19 default of Cluster API v0.3", "v1.18.3 default of Cluster API v0.3"},
		"both set":     {"kubernetesVersion: v1.30.4", map[string]string{"CAPI_VERSION": "v1.8.12", "AUTOSCALER_VERSION": "1.30.7"}, "v1.30.4 " + fileName, "v1.30.7 environment"},
		"newer":        {"", map[string]string{"CAPI_VERSION": "v1.15.0"}, "v1.36.1 default of Cluster API v1.15", "v1.36.1 default of Cluster API v1.15"},
		"the same row": {"", map[string]string{"CAPI_VERSION": "v1.14.0"}, "v1.36.1 default of Cluster API v1.14", "v1.36.1 default of Cluster API v1.14"},
	} {
		c, err := load(t, tc.file, tc.env)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := map[string]string{}
		for _, v := range c.Values() {
			got[v.Key] = v.Value + " " + v.Origin
		}
		if got["kubernetesVersion"] != tc.kubernetes || got["autoscaler.version"] != tc.autoscaler {
			t.Errorf("%s: Kubernetes %s, autoscaler %s", name, got["kubernetesVersion"], got["autoscaler.version"])
		}
		if Tag(c.Kubernetes)+" "+c.Autoscaler.Tag() != strings.Fields(tc.kubernetes)[0]+" "+strings.Fields(tc.autoscaler)[0] {
			t.Errorf("%s: the settings have %s and %s", name, c.Kubernetes, c.Autoscaler.Version)
		}
	}
	if _, err := load(t, "", map[string]string{"CAPI_VERSION": "banana"}); err == nil || strings.Contains(err.Error(), "kubernetesVersion") {
		t.Errorf("an unreadable release: %v", err)
	}
}

// TestReleaseOfACheckout: a checkout's own files say on which release it is based, unless
// the settings do.
func TestReleaseOfACheckout(t *testing.T) {
	t.Parallel()
	const origin = "metadata.yaml of the checkout"
	for name, tc := range map[string]struct {
		minor int // of the checkout's series; 0: not told
		env   map[string]string
		want  string // release, its origin, and Kubernetes
	}{
		"main":              {15, nil, "v1.15.0-alpha.0 " + origin + " v1.36.1"},
		"the pinned series": {14, nil, "v1.14.2 " + origin + " v1.36.1"},
		"an older series":   {10, nil, "v1.10.10 " + origin + " v1.33.4"},
		"given":             {10, map[string]string{"CAPI_VERSION": "v1.10.4"}, "v1.10.4 environment v1.33.4"},
		"not told":          {0, nil, "v1.14.2 default v1.36.1"},
	} {
		tree := t.TempDir()
		if err := os.Mkdir(filepath.Join(tree, "test"), 0o755); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{"test/go.mod": "module example.com/test\n"}
		if tc.minor > 0 {
			files["metadata.yaml"] = fmt.Sprintf("releaseSeries:\n- {major: 1, minor: %d, contract: v1beta2}\n- {major: 1, minor: 9, contract: v1beta1}\n", tc.minor)
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		env := map[string]string{"CAPI_DIR": tree}
		maps.Copy(env, tc.env)
		c, err := load(t, "", env)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join([]string{c.ClusterAPI.Tag(), c.origin("clusterAPI.version"), Tag(c.Kubernetes)}, " "); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// TestSeed: manifests/seed.yaml is a caslab.yaml with versions that the table has
// together, and nothing about them is uncertain.
func TestSeed(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "manifests", "seed.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := load(t, string(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := []string{c.ClusterAPI.Tag(), Tag(c.Kubernetes), c.Autoscaler.Tag()}; !slices.Equal(got, []string{"v0.3.5", "v1.17.2", "v1.18.3"}) {
		t.Errorf("versions %q", got)
	}
	facts := release.Of(c.ClusterAPI.Version)
	if facts.With(c.Kubernetes) != release.InTable || facts.DefaultAutoscaler != c.Autoscaler.Version.String() {
		t.Errorf("Cluster API %s is paired with Kubernetes %s and autoscaler %s", c.ClusterAPI.Tag(), facts.Kubernetes, facts.DefaultAutoscaler)
	}
	if err := c.CheckEnvironment(); err != nil {
		t.Error(err)
	}
	if w := c.Warnings(); len(w) > 0 {
		t.Errorf("warnings %q", w)
	}
	taken := map[string]string{}
	for _, v := range c.Values() {
		if v.Origin == fileName {
			taken[v.Key] = v.Value
		}
	}
	if want := map[string]string{
		"clusterName": "work-cluster", "workers": "1", "kubernetesVersion": "v1.17.2",
		"clusterAPI.version": "v0.3.5", "autoscaler.version": "v1.18.3", "autoscaler.flags": c.AutoscalerFlags,
	}; !maps.Equal(taken, want) {
		t.Errorf("settings %q, want %q", taken, want)
	}
}

// TestUnmountableCheckout: a checkout that Docker cannot mount is refused before anything
// is created.
func TestUnmountableCheckout(t *testing.T) {
	t.Parallel()
	for folder, refused := range map[string]bool{"a:b": true, "a: b #c": true, "a b #c": false} {
		c, err := Load(filepath.Join(t.TempDir(), folder), func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CheckEnvironment(); (err != nil) != refused || err != nil && !strings.Contains(err.Error(), folder) {
			t.Errorf("CheckEnvironment() in %q = %v", folder, err)
		}
	}
}

// TestClashConcernsClusterAPIOnly: the autoscaler has no variable AUTOSCALER_VERSION.
func TestClashConcernsClusterAPIOnly(t *testing.T) {
	t.Parallel()
	_, err := load(t, "", map[string]string{"AUTOSCALER_VERSION": "v1beta1"})
	if err == nil || !strings.Contains(err.Error(), "major.minor.patch") {
		t.Errorf("AUTOSCALER_VERSION=v1beta1: %v", err)
	}
}

// TestNamesOfForeignClusters: a foreign cluster may have every name that Cluster API
// allows. The lab cannot create clusters with all of these names.
func TestNamesOfForeignClusters(t *testing.T) {
	t.Parallel()
	for _, name := range []string{strings.Repeat("a", 63), "1st.of_many"} {
		c, err := load(t, "", map[string]string{"CLUSTER_NAME": name, "WORKLOAD_KUBECONFIG": "theirs.kubeconfig"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := c.CheckEnvironment(); err == nil || !strings.Contains(err.Error(), "cannot name an environment") {
			t.Errorf("CheckEnvironment() = %v for %s", err, name)
		}
	}
	if _, err := load(t, "", map[string]string{"CLUSTER_NAME": strings.Repeat("a", 64), "WORKLOAD_KUBECONFIG": "theirs.kubeconfig"}); err == nil {
		t.Error("a name of 64 characters is accepted")
	}
}

func TestDirImpliesItsSource(t *testing.T) {
	t.Parallel()
	c, err := load(t, "", map[string]string{"CAPI_DIR": "checkout"})
	if err != nil {
		t.Fatal(err)
	}
	if c.ClusterAPI.Origin != OriginDir || c.ClusterAPI.Dir != filepath.Join(c.Root, "checkout") {
		t.Errorf("got source %s of %s", c.ClusterAPI.Origin, c.ClusterAPI.Dir)
	}
}

// TestCredentialsAreHidden: credentials appear neither in the error for a refused value
// nor in config:show. The settings still have them.
func TestCredentialsAreHidden(t *testing.T) {
	t.Parallel()
	const url = "https://user:token@host/a"
	c, err := load(t, "", map[string]string{"AUTOSCALER_GIT": url, "AUTOSCALER_FLAGS": "--x=" + url + " --y=b@c"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Autoscaler.Git != url {
		t.Errorf("the URL to fetch from is %s", c.Autoscaler.Git)
	}
	for _, v := range c.Values() {
		if strings.Contains(v.Value, "token") {
			t.Errorf("%s shows %s", v.Key, v.Value)
		}
		if want := "--x=https://xxxxx@host/a --y=b@c"; v.Key == "autoscaler.flags" && v.Value != want {
			t.Errorf("flags are shown as %s, want %s", v.Value, want)
		}
	}
	for _, url := range []string{"gopher://user:token@host/a", "https://user:%zz-token@host", "https://user:to/token@host"} {
		for file, env := range map[string]map[string]string{"": {"CAPI_GIT": url}, "clusterAPI:\n  git: " + url + "\n": nil} {
			if _, err := load(t, file, env); err == nil || strings.Contains(err.Error(), "token") || !strings.Contains(err.Error(), "xxxxx@host") {
				t.Errorf("%s is refused with %v", url, err)
			}
		}
	}
}

// FuzzParse: for any caslab.yaml, only known keys come out and nothing panics.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "workers: 2", "clusterAPI: {git: x}", "a: [", "workers: 1e3", "? {}\n: x", "<<: *a"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		values, err := parse(data)
		if err != nil {
			return
		}
		for key := range values {
			if !slices.ContainsFunc(settings, func(s setting) bool { return s.key == key }) {
				t.Errorf("unknown key %q accepted", key)
			}
		}
	})
}

// FuzzVersion: an accepted version has three numbers, and its tag can be read again.
func FuzzVersion(f *testing.F) {
	for _, seed := range []string{"v1.14.2", "1.36.1", "vv1.2.3", "1.2.3.4", "v1.14.0-rc.1", "", "9999999999999999999999.0.0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		v, err := parseVersion(raw, defaultClusterAPI)
		if err != nil {
			return
		}
		if _, err := parseVersion(Tag(v), defaultClusterAPI); err != nil || len(v.Segments()) != 3 {
			t.Errorf("%q gives %q, which is not accepted: %v", raw, Tag(v), err)
		}
	})
}
