package environment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/state"
)

func answers(context.Context) error { return nil }

func silent(context.Context) error { return errors.New("connection refused") }

// guest is a command that works on an environment. Its clean-up never ends by itself.
type guest struct {
	ctx, clean context.Context
	leave      func() error
}

// visit makes a guest of the environment, which leaves at its end if it is obedient.
func (s *fixture) visit(t *testing.T, answers func(context.Context) error, obedient bool) *guest {
	t.Helper()
	s.write(t, s.EnvironmentKubeconfig(), string(s.workload.Kubeconfig("127.0.0.1:"+s.workload.Port()))) // as env:up writes it
	g := new(guest)
	g.ctx, _, _ = interrupt.With(t.Context())
	var cancel context.CancelFunc
	g.clean, cancel = interrupt.Cleanup(g.ctx, 24*time.Hour)
	var err error
	if g.leave, err = s.Visit(g.ctx, "autoscaler:run", answers); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if obedient {
			<-g.clean.Done()
			if err := g.leave(); err != nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if !obedient {
			if err := g.leave(); err != nil {
				t.Error(err)
			}
		}
	})
	return g
}

// why returns why the guest's command has ended; empty if it has not.
func (g *guest) why() string {
	if gone := interrupt.Gone(g.ctx); gone != nil && errors.Is(context.Cause(g.ctx), gone) && errors.Is(context.Cause(g.clean), gone) {
		return gone.Error()
	}
	return ""
}

func TestDownEndsGuests(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		obedient bool
		shown    string
	}{
		"that end":  {true, "✓ wait for the end of autoscaler:run (process %d, since "},
		"that stay": {false, "! not ended within 15s: autoscaler:run (process %d, since "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFixture(t, nil)
				shown := s.logs(t)
				s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux"}`}, {Prefix: "docker image ls"}}
				s.up(t, selfManaged())
				g := s.visit(t, answers, tc.obedient)
				time.Sleep(time.Hour)
				synctest.Wait()
				if g.ctx.Err() != nil {
					t.Fatalf("it ends while the environment is there: %v", context.Cause(g.ctx))
				}
				if err := s.Down(t.Context()); err != nil {
					t.Fatal(err)
				}
				if want := fmt.Sprintf(`the environment "work-cluster" is gone: env:down (process %d) began to remove it at `, os.Getpid()); !strings.HasPrefix(g.why(), want) {
					t.Errorf("it ends for %q", g.why())
				}
				if want := fmt.Sprintf(tc.shown, os.Getpid()); !strings.Contains(shown.String(), want) {
					t.Errorf("env:down shows\n%s\nwant %s", shown, want)
				}
				if len(s.docker.containers) > 0 {
					t.Errorf("containers left: %+v", s.docker.containers)
				}
				if guests, err := s.State.Guests("work-cluster"); err != nil || (len(guests) == 0) != tc.obedient {
					t.Errorf("guests: %q, %v", guests, err)
				}
			})
		})
	}
}

// TestGuestsOfTheNextEnvironment: the removal of an earlier environment does not end the
// guests of the next one.
func TestGuestsOfTheNextEnvironment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(t, nil)
		s.touch(t, s.home().LogFile())
		s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux"}`}, {Prefix: "docker image ls"}}
		if err := s.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.up(t, selfManaged())
		g := s.visit(t, answers, true)
		time.Sleep(time.Hour)
		synctest.Wait()
		if g.ctx.Err() != nil {
			t.Errorf("it ends for %v", context.Cause(g.ctx))
		}
	})
}

func TestGuestsWhoseEnvironmentChanges(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answers func(context.Context) error
		change  func(t *testing.T, s *fixture)
		// why is why the guest ends; empty if it goes on. said is what it says then.
		why, said string
	}{
		"rm -rf .caslab": {answers, func(t *testing.T, s *fixture) {
			if err := os.RemoveAll(s.Config.StateDir()); err != nil {
				t.Fatal(err)
			}
		}, "was removed while this command ran", ""},
		"containers removed":    {silent, func(_ *testing.T, s *fixture) { s.docker.containers = nil }, "the engine has no container of its control plane", ""},
		"control plane removed": {silent, func(_ *testing.T, s *fixture) { s.docker.containers = s.docker.containers[2:] }, "the engine has no container of its control plane", ""},
		"created anew": {silent, func(t *testing.T, s *fixture) {
			anew := strings.Replace(string(s.workload.Kubeconfig("127.0.0.1:1")), `"server"`, `"certificate-authority-data": "YW5vdGhlcg==", "server"`, 1)
			s.write(t, s.EnvironmentKubeconfig(), anew)
		}, `"work-cluster" was created anew while this command ran; type`, ""},
		"load balancer stopped": {silent, func(_ *testing.T, s *fixture) { s.docker.containers[0].stopped = true }, "",
			"! the environment \"work-cluster\" is stopped; this command waits until it is started again: CLUSTER_NAME=work-cluster go tool mage env:start\n"},
		"worker stopped":             {silent, func(_ *testing.T, s *fixture) { s.docker.containers[2].stopped = true }, "", ""},
		"not answering for a moment": {silent, func(*testing.T, *fixture) {}, "", ""},
		"engine stopped": {silent, func(_ *testing.T, s *fixture) { s.docker.down = errors.New("cannot connect") }, "",
			"! this command waits for the environment \"work-cluster\": no Docker engine answers: docker info --format {{json .}}: cannot connect\nstart Docker, or on Debian and Ubuntu run scripts/docker-engine.sh as root\n"},
		"another engine": {silent, func(t *testing.T, s *fixture) {
			s.write(t, s.home().EngineFile, `"the first"`)
			s.docker.containers = nil
		}, "", "! this command waits for the environment \"work-cluster\": environment \"work-cluster\" was made on another Docker engine, and this one has no container of it; go back to that engine (docker context ls, DOCKER_HOST), choose another name with CLUSTER_NAME, or, if that engine no longer exists, type: rm " + "ENGINE" + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFixture(t, nil)
				s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"ID": "the second", "OSType": "linux"}`}}
				said := s.logs(t)
				s.up(t, selfManaged())
				g := s.visit(t, tc.answers, true)
				s.docker.mu.Lock()
				tc.change(t, s)
				s.docker.mu.Unlock()
				time.Sleep(10 * visitEvery)
				synctest.Wait()
				if why := g.why(); (why == "") != (tc.why == "") || !strings.Contains(why, tc.why) {
					t.Errorf("it ends for %q, want %q", why, tc.why)
				}
				if got := strings.ReplaceAll(said.String(), s.home().EngineFile, "ENGINE"); got != tc.said {
					t.Errorf("it says %q, want %q", got, tc.said)
				}
			})
		})
	}
}

// TestGuestsGoOn: a guest waits while the environment is stopped, finds it at its new port,
// and goes on.
func TestGuestsGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(t, nil)
		said := s.logs(t)
		s.up(t, selfManaged())
		g := s.visit(t, func(context.Context) error {
			kubeconfig, err := os.ReadFile(s.EnvironmentKubeconfig())
			if err == nil && !strings.Contains(string(kubeconfig), "127.0.0.1:32003") {
				err = errors.New("connection refused")
			}
			return err
		}, true)
		for _, stopped := range []bool{true, false} {
			s.docker.mu.Lock()
			s.docker.containers[0].port, s.docker.containers[0].stopped, s.docker.containers[1].stopped = "32003", stopped, stopped
			s.docker.mu.Unlock()
			time.Sleep(10 * visitEvery)
			synctest.Wait()
		}
		if why := g.why(); why != "" {
			t.Errorf("it ends for %s", why)
		}
		want := "! the environment \"work-cluster\" is stopped; this command waits until it is started again: CLUSTER_NAME=work-cluster go tool mage env:start\n" +
			"the environment \"work-cluster\" answers again; autoscaler:run goes on\n"
		if got := said.String(); got != want {
			t.Errorf("it says\n%swant\n%s", got, want)
		}
	})
}

// TestGuestsEndDuringACleanUp: after Ctrl-C, a clean-up of minutes ends with the environment.
func TestGuestsEndDuringACleanUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(t, nil)
		s.up(t, selfManaged())
		s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux"}`}}
		g := s.visit(t, silent, true)
		interrupt.Stop(g.ctx, interrupt.ErrStop)
		s.docker.mu.Lock()
		s.docker.containers = nil
		s.docker.mu.Unlock()
		time.Sleep(2 * visitEvery)
		synctest.Wait()
		if gone := interrupt.Gone(g.ctx); gone == nil || !errors.Is(context.Cause(g.clean), gone) || !errors.Is(gone, context.Canceled) {
			t.Errorf("the clean-up ends for %v", context.Cause(g.clean))
		}
		if there, err := state.Exists(s.removal().File); there || err != nil {
			t.Errorf("it says that a command removed it: %v", err)
		}
	})
}
