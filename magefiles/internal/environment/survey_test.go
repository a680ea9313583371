package environment

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"caslab/magefiles/internal/environment/settings"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

func TestTakeSurvey(t *testing.T) {
	t.Parallel()
	type world = map[string][]map[string]any
	before := func() world { // a management cluster before the move
		w := selfManaged()
		w[clusterObjects] = []map[string]any{}
		return w
	}
	with := func(path string, items ...map[string]any) world {
		w := selfManaged()
		w[path] = items
		return w
	}
	for name, tc := range map[string]struct {
		arrange func(t *testing.T, s *fixture)
		// Each case expects one of these: nothing exists, the environment can be
		// continued, it is ready, it must be replaced, or it is refused.
		text, replace string
		ready         bool
		refused       string
		removed       []string
		marked        bool
		check         func(t *testing.T, s *fixture)
	}{
		"nothing is there": {
			arrange: func(t *testing.T, s *fixture) {
				s.touch(t, s.home().ReadyFile())
				s.touch(t, s.home().MovingFile())
				s.touch(t, s.home().ManagementKubeconfig())
			},
			check: func(t *testing.T, s *fixture) {
				for _, path := range []string{s.home().MovingFile(), s.home().ManagementKubeconfig()} {
					if there, _ := state.Exists(path); there {
						t.Errorf("%s is left", path)
					}
				}
			},
		},
		"interrupted before the move": {
			arrange: func(t *testing.T, s *fixture) { s.managed(t, before()); s.up(t, world{}) },
			text:    "continuing with the management cluster",
		},
		"interrupted before the move, other version": {
			arrange: func(t *testing.T, s *fixture) { s.managed(t, with(providerObjects, fakeProvider("v1.13.5"))) },
			refused: "has Cluster API v1.13.5 and the settings want v1.14.2",
		},
		"interrupted before the move, does not answer": {
			arrange: func(t *testing.T, s *fixture) { s.managed(t, before()); s.management.Close() },
			replace: "the API server to be ready",
		},
		"interrupted before the move, lists fail": {
			arrange: func(t *testing.T, s *fixture) { s.managed(t, before()); s.management.fail.Store(-1) },
			refused: "go tool mage env:down",
		},
		"a list that fails twice": {
			arrange: func(t *testing.T, s *fixture) { s.managed(t, before()); s.management.fail.Store(2) },
			text:    "continuing",
		},
		"cut off in the move, paused": {
			arrange: func(t *testing.T, s *fixture) {
				s.managed(t, before())
				s.up(t, with(clusterObjects, fakeCluster(true)))
				s.touch(t, s.home().MovingFile())
			},
			replace: "paused",
		},
		"cut off in the move, nothing there yet": {
			arrange: func(t *testing.T, s *fixture) {
				s.managed(t, before())
				s.up(t, before())
				s.touch(t, s.home().MovingFile())
			},
			replace: "the cluster's own objects",
		},
		"cut off after the move": {
			arrange: func(t *testing.T, s *fixture) {
				s.managed(t, before())
				s.up(t, selfManaged())
				s.touch(t, s.home().MovingFile())
			},
			text: "it manages itself", ready: true, marked: true, removed: []string{"mgmt"},
		},
		"cut off after the move, not well": {
			arrange: func(t *testing.T, s *fixture) {
				s.managed(t, before())
				s.up(t, with(deployedObjects, fakeDeployment(false)))
				s.touch(t, s.home().MovingFile())
			},
			refused: "capi-controller-manager",
		},
		"marked, and cut off before the management cluster was gone": {
			arrange: func(t *testing.T, s *fixture) {
				s.managed(t, before())
				s.up(t, selfManaged())
				s.touch(t, s.home().ReadyFile())
			},
			text: "it manages itself", ready: true, marked: true, removed: []string{"mgmt"},
		},
		"ready": {
			arrange: func(t *testing.T, s *fixture) { s.up(t, selfManaged()); s.touch(t, s.home().ReadyFile()) },
			text:    "it manages itself", ready: true, marked: true,
		},
		"ready, and not known to be": {
			arrange: func(t *testing.T, s *fixture) { s.up(t, selfManaged()) },
			text:    "it manages itself", ready: true, marked: true,
		},
		"ready, other version": {
			arrange: func(t *testing.T, s *fixture) {
				s.up(t, with(providerObjects, fakeProvider("v1.13.5")))
				s.touch(t, s.home().ReadyFile())
			},
			refused: "type `CLUSTER_NAME=work-cluster go tool mage env:down` first", marked: true,
		},
		"ready, paused, and its machines not looked after": {
			arrange: func(t *testing.T, s *fixture) {
				w := with(machineObjects, fakeMachine("cp", "Provisioned", true))
				w[clusterObjects] = []map[string]any{fakeCluster(true)}
				s.up(t, w)
			},
			text: "is paused", ready: true, marked: true,
		},
		"ready, a worker on its way": {
			arrange: func(t *testing.T, s *fixture) {
				w := with(machineObjects, fakeMachine("cp", "Running", true), fakeMachine("md", "Provisioning", false))
				w[nodeObjects] = []map[string]any{fakeNode("cp", true, true), fakeNode("md", false, false)}
				s.up(t, w)
			},
			text: "it manages itself", ready: true, marked: true,
		},
		"a manager is not available": {
			arrange: func(t *testing.T, s *fixture) { s.up(t, with(deployedObjects, fakeDeployment(false))) },
			refused: "capi-controller-manager",
		},
		"the control plane's node is not Ready": {
			arrange: func(t *testing.T, s *fixture) { s.up(t, with(nodeObjects, fakeNode("cp", false, true))) },
			refused: "the control plane's node cp to be Ready",
		},
		"the control plane's machine is not Running": {
			arrange: func(t *testing.T, s *fixture) { s.up(t, with(machineObjects, fakeMachine("cp", "Failed", true))) },
			refused: "the control plane's machine cp to be Running",
		},
		"was ready and does not answer": {
			arrange: func(t *testing.T, s *fixture) {
				s.up(t, selfManaged())
				s.touch(t, s.home().ReadyFile())
				s.workload.Close()
			},
			refused: "go tool mage env:down", marked: true,
		},
		"was ready and its load balancer is gone": {
			arrange: func(t *testing.T, s *fixture) {
				s.up(t, selfManaged())
				s.touch(t, s.home().ReadyFile())
				s.docker.containers = s.docker.containers[1:]
			},
			refused: "nothing of it was removed", marked: true,
		},
		"was ready and lost its objects": {
			arrange: func(t *testing.T, s *fixture) {
				s.up(t, before())
				s.touch(t, s.home().ReadyFile())
			},
			refused: "nothing of it was removed", marked: true,
		},
		"was never ready and does not answer": {
			arrange: func(t *testing.T, s *fixture) { s.up(t, selfManaged()); s.workload.Close() },
			replace: "the API server to be ready",
		},
		"the kubeconfig is lost": {
			arrange: func(t *testing.T, s *fixture) {
				s.up(t, selfManaged())
				s.docker.Answers = append(s.docker.Answers, runtest.Answer{
					Prefix: "docker exec cp cat /etc/kubernetes/admin.conf", Stdout: string(s.workload.Kubeconfig("work-cluster-cp:6443")),
				})
				if err := os.Remove(s.EnvironmentKubeconfig()); err != nil {
					t.Fatal(err)
				}
			},
			text: "it manages itself", ready: true, marked: true,
			check: func(t *testing.T, s *fixture) {
				if data, err := os.ReadFile(s.EnvironmentKubeconfig()); err != nil || !strings.Contains(string(data), "https://127.0.0.1:"+s.workload.Port()) {
					t.Errorf("the kubeconfig is %s, %v", data, err)
				}
			},
		},
		"stopped containers": {
			arrange: func(t *testing.T, s *fixture) {
				s.up(t, selfManaged())
				s.touch(t, s.home().ReadyFile())
				for i := range s.docker.containers {
					s.docker.containers[i].stopped = true
				}
				slices.Reverse(s.docker.containers)
			},
			text: "it manages itself", ready: true, marked: true,
			check: func(t *testing.T, s *fixture) {
				if want := []string{"docker start lb", "docker start cp", "docker start md"}; !slices.Equal(s.docker.ran("docker start"), want) {
					t.Errorf("started %q, want %q", s.docker.ran("docker start"), want)
				}
			},
		},
		"stopped containers that do not start": {
			arrange: func(t *testing.T, s *fixture) {
				s.managed(t, before())
				s.docker.containers[0].stopped, s.docker.startErr = true, errors.New("no such mount")
			},
			replace: "no such mount",
		},
		"stopped containers that do not start, of what was ready": {
			arrange: func(t *testing.T, s *fixture) {
				s.up(t, selfManaged())
				s.touch(t, s.home().ReadyFile())
				s.docker.containers[0].stopped, s.docker.startErr = true, errors.New("no such mount")
			},
			refused: "go tool mage env:down", marked: true,
		},
		"foreign": {
			arrange: func(t *testing.T, s *fixture) {
				s.up(t, selfManaged())
				s.docker.containers[1].owner = ""
			},
			refused: "was not made by this lab",
		},
		"another checkout's": {
			arrange: func(t *testing.T, s *fixture) {
				s.up(t, selfManaged())
				mark := filepath.Join(t.TempDir(), "other/.caslab/owner/work-cluster-0123456789abcdef")
				s.write(t, mark, "")
				s.docker.containers[1].owner = mark
			},
			refused: "/other; type there: CLUSTER_NAME=work-cluster go tool mage env:down;",
		},
		"a checkout's that lost .caslab": {
			arrange: func(t *testing.T, s *fixture) {
				s.up(t, selfManaged())
				s.docker.containers[1].owner = "/other/.caslab/owner/work-cluster-0123456789abcdef"
			},
			refused: "by the lab in /other, whose .caslab this command does not see; if that checkout is elsewhere, type there: CLUSTER_NAME=work-cluster go tool mage env:down; if it is gone: docker rm -f -v $(",
		},
		"a foreign load balancer": {
			arrange: func(t *testing.T, s *fixture) {
				s.docker.containers = []fakeContainer{{id: "lb", name: "work-cluster-lb", cluster: "work-cluster", role: "external-load-balancer"}}
			},
			refused: "was not made by this lab",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFixture(t, nil)
				tc.arrange(t, s)
				found, err := s.takeSurvey(t.Context())
				if (err != nil) != (tc.refused != "") || err != nil && !strings.Contains(err.Error(), tc.refused) {
					t.Fatalf("takeSurvey() = %v; want %q in it", err, tc.refused)
				}
				if (found.replace != nil) != (tc.replace != "") || found.replace != nil && !strings.Contains(found.replace.Error(), tc.replace) {
					t.Errorf("replace %v; want %q in it", found.replace, tc.replace)
				}
				if found.ready != tc.ready || !strings.Contains(found.text, tc.text) || (found.text == "") != (tc.text == "") {
					t.Errorf("found %+v; want ready %v and %q", found, tc.ready, tc.text)
				}
				var removed []string
				for _, line := range s.docker.ran("docker rm") {
					removed = append(removed, strings.Fields(line)[4:]...)
				}
				if !slices.Equal(removed, tc.removed) {
					t.Errorf("removed %v, want %v", removed, tc.removed)
				}
				if marked, _ := state.Exists(s.home().ReadyFile()); marked != tc.marked {
					t.Errorf("marked as ready: %v, want %v", marked, tc.marked)
				}
				if moving, _ := state.Exists(s.home().MovingFile()); moving && tc.ready {
					t.Error("it is ready and its move is still recorded as going on")
				}
				if tc.check != nil {
					tc.check(t, s)
				}
			})
		})
	}
}

func TestTakeSurveyCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(t, nil)
		s.up(t, selfManaged())
		s.workload.Close()
		ctx, cancel := context.WithTimeout(t.Context(), s.bounds.answer/2)
		defer cancel()
		if found, err := s.takeSurvey(ctx); !errors.Is(err, context.DeadlineExceeded) || found.replace != nil {
			t.Errorf("takeSurvey() when interrupted = %+v, %v", found, err)
		}
	})
}

// TestRefusalRemovesNothing: unusable clusters are not removed before the checks have
// shown that this machine can create them again.
func TestRefusalRemovesNothing(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"CAPI_GIT": "https://127.0.0.1:1/nowhere.git"})
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux", "Architecture": "x86_64"}`}}
	s.managed(t, selfManaged())
	s.management.Close()
	s.bounds.answer = 0
	// The programs are built already, so that less free disk is needed.
	s.touch(t, s.State.Path("bin", "cluster-api", "x"))
	if err := s.Up(t.Context(), Ready); err == nil || !strings.Contains(err.Error(), "check CAPI_GIT") {
		t.Errorf("Up() = %v; want the setting that is wrong", err)
	}
	if lines := s.docker.ran("docker rm"); len(lines) > 0 {
		t.Errorf("removed: %q", lines)
	}
}

func TestReadyFetchesNoSource(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"CAPI_GIT": "https://127.0.0.1:1/nowhere.git"})
	s.docker.Answers = []runtest.Answer{
		{Prefix: "docker info", Stdout: `{"OSType": "linux", "Architecture": "x86_64"}`},
		{Prefix: "docker image ls", Stdout: "sha256:0123456789abcdef\n"},
	}
	s.checkSource = func(context.Context, source.Spec) error {
		t.Error("the source is looked for")
		return nil
	}
	s.up(t, selfManaged())
	if err := s.Up(t.Context(), Ready); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.printed.String(), "self-managed") {
		t.Errorf("printed %s", s.printed)
	}
}

// TestReadyReportsChangedSettings: if a setting changed, the environment is not created
// again, and a message says so.
func TestReadyReportsChangedSettings(t *testing.T) {
	t.Parallel()
	before := newFixture(t, nil)
	if err := settings.Record(before.home().SettingsFile(), before.Config.Values()); err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile(before.home().SettingsFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		env  map[string]string
		want string
	}{
		{nil, ""},
		{map[string]string{"WORKERS": "3"}, `WORKERS=1, and the settings want "3"; to create it again, type: CLUSTER_NAME=work-cluster go tool mage env:down`},
		{map[string]string{"CAPI_GIT": "https://127.0.0.1:1/mine.git"}, `the settings want "https://127.0.0.1:1/mine.git"`},
	} {
		s := newFixture(t, tc.env)
		logged := new(strings.Builder)
		s.Log = ui.New(logged, ui.Options{})
		s.docker.Answers = []runtest.Answer{
			{Prefix: "docker info", Stdout: `{"OSType": "linux", "Architecture": "x86_64"}`},
			{Prefix: "docker image ls", Stdout: "sha256:0123456789abcdef\n"},
		}
		s.up(t, selfManaged())
		s.write(t, s.home().SettingsFile(), string(made))
		if err := s.Up(t.Context(), Ready); err != nil {
			t.Fatal(err)
		}
		s.Log.Close()
		got := logged.String()
		if !strings.Contains(got, tc.want) || tc.want == "" && strings.Contains(got, "it was created with") {
			t.Errorf("%v: logged\n%s\nwant %q", tc.env, got, tc.want)
		}
	}
	s := newFixture(t, map[string]string{"CAPI_DIR": "/nowhere"})
	s.up(t, selfManaged())
	if err := s.Up(t.Context(), Ready); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("Up() with a checkout that is not there: %v", err)
	}
}

func TestRootlessIsRefused(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux", "SecurityOptions": ["name=rootless"]}`}}
	if err := s.Up(t.Context(), Ready); err == nil || !strings.Contains(err.Error(), "the engine is rootless") {
		t.Errorf("Up() = %v", err)
	}
}
