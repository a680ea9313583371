package environment

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/steps"
)

func TestManagementStartsWithoutWaitingForACompiler(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		compiled, baked time.Duration
		want            string
		within          time.Duration
	}{
		"everything is built":        {time.Second, 2 * time.Second, "baked", 2 * time.Second},
		"built, and baked with care": {time.Second, 20 * time.Second, "baked", 20 * time.Second},
		"there is much to compile":   {4 * time.Minute, 5 * time.Minute, "base", bakedWithin},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := bare().newBringUp(engine.Info{})
			c.base = node.Images{Node: "base"}
			time.AfterFunc(tc.compiled, func() { close(c.compiled) })
			time.AfterFunc(tc.baked, func() { c.image = "baked"; close(c.baked) })
			start := time.Now()
			got, err := c.imageSoon(t.Context())
			if err != nil || got != tc.want || time.Since(start) != tc.within {
				t.Errorf("%s: %s after %s, %v; want %s after %s", name, got, time.Since(start), err, tc.want, tc.within)
			}
			time.Sleep(tc.baked) // let the timers end
		})
	}
}

// made is a bringUp whose steps before the management cluster are done.
func made(s *scene) *bringUp {
	c := s.newBringUp(engine.Info{})
	c.base, c.image = node.Images{Node: "base"}, "baked"
	close(c.compiled)
	close(c.baked)
	return c
}

func TestKeepsWhatHasTheImagesOfThisRun(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		management, loaded, worker string
		want                       bool
	}{
		"baked":                              {"baked", "", "", true},
		"baked, nodes too":                   {"baked", "", "baked", true},
		"base":                               {"base", "", "", true},
		"base, managers loaded":              {"base", "baked\n", "", true},
		"base, other managers loaded":        {"base", "baked-before\n", "", false},
		"baked otherwise":                    {"baked-before", "", "", false},
		"nodes of other images":              {"baked", "", "baked-before", false},
		"base, managers, nodes of before":    {"base", "baked\n", "baked-before", false},
		"the management cluster of no image": {"", "", "", false},
	} {
		s := newScene(t, nil)
		s.docker.Answers = []runtest.Answer{{Prefix: "docker exec mgmt sh -c cat /kind/caslab-managers", Stdout: tc.loaded}}
		workload := []engine.Container{{Image: "haproxy", Labels: map[string]string{"io.x-k8s.kind.role": "external-load-balancer"}}}
		if tc.worker != "" {
			workload = append(workload, engine.Container{Image: tc.worker})
		}
		got, err := made(s).keeps(t.Context(), workload, engine.Container{ID: "mgmt", Image: tc.management})
		if err != nil || got != tc.want {
			t.Errorf("%s: keeps() = %v, %v; want %v", name, got, err, tc.want)
		}
	}
}

func TestManagersAreLoadedWhereTheyAreNotBakedIn(t *testing.T) {
	t.Parallel()
	manager, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		image, loaded string
		loads         bool
	}{
		"baked in": {"baked", "", false},
		"base":     {"base", "", true},
		"loaded":   {"base", "baked", false},
	} {
		s := newScene(t, nil)
		s.managed(t, selfManaged())
		s.docker.containers[0].image = tc.image
		s.docker.Answers = []runtest.Answer{
			{Prefix: "docker exec mgmt sh -c cat", Stdout: tc.loaded},
			{Prefix: "docker exec --interactive mgmt ctr"},
			{Prefix: "docker exec --interactive mgmt tee /kind/caslab-managers"},
		}
		c := made(s)
		c.managers = map[string]v1.Image{"example.com/manager:v1": manager}
		if err := c.loadManagers(t.Context(), func(string) {}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := len(s.docker.ran("docker exec --interactive mgmt")) == 2; got != tc.loads {
			t.Errorf("%s: loaded and recorded %v, want %v: %q", name, got, tc.loads, s.docker.ran("docker exec"))
		}
	}
}

// TestOrder: the steps come after what they need, and nothing is deleted that
// was not seen to work elsewhere.
func TestOrder(t *testing.T) {
	t.Parallel()
	all := bare().newBringUp(engine.Info{}).steps(0)
	seen := map[string]bool{}
	for _, s := range all {
		for _, n := range s.Needs {
			if !seen[n] {
				t.Errorf("%q comes before %q, which it needs", s.Name, n)
			}
		}
		seen[s.Name] = true
	}
	needs := func(target string) []string {
		var names []string
		needed, err := steps.UpTo(all, target)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range needed {
			names = append(names, s.Name)
		}
		return names
	}
	if !slices.Contains(needs(stepDelete), stepVerify) {
		t.Error("the management cluster is deleted before the workload cluster was seen to manage itself")
	}
	if got := strings.Join(needs(stepManagement), ", "); got != stepNode+", "+stepManagement {
		t.Errorf("the management cluster waits for %s", got)
	}
	if got := needs(stepInit); !slices.Contains(got, stepImages) || slices.Contains(got, stepControl) {
		t.Errorf("the providers wait for %v", got)
	}
}

// bare is an environment that can do nothing.
func bare() *Environment {
	return New(&lab.Lab{}, func(*lab.Lab) Recorder { return new(recorder) })
}
