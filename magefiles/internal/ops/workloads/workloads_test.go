package workloads

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/target/targettest"
	"caslab/magefiles/internal/workload"
)

func newWorkloads(t *testing.T) (*Workloads, *labtest.Lab, *kubetest.Server) {
	t.Helper()
	l := labtest.New(t, nil)
	c, server := targettest.New(t)
	return &Workloads{Lab: l.Lab, Open: targettest.Open(c)}, l, server
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestAddScaleDelete(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ given, name, next string }{
		"without a name": {"", workload.DefaultName, "workload:scale N\n"},
		"with a name":    {"web", "web", "workload:scale N -name=web\n"},
		"for no node":    {"web", "web", "! no node has these labels yet, so each pod requests what fills a node of the cluster"},
	} {
		w, l, server := newWorkloads(t)
		if err := w.Add(testContext(t), Options{Name: tc.given, Pods: 2, NodeSelector: "tier=web", Tolerations: "a, b"}); err != nil {
			t.Fatal(err)
		}
		d := server.Get(kube.Deployments, "default", tc.name)
		if d == nil {
			t.Fatalf("%s: no deployment %s", name, tc.name)
		}
		if got := kube.Field(d, "spec", "replicas"); got != "2" {
			t.Errorf("%s: %s pods, want 2", name, got)
		}
		if got := kube.Field(d, "spec", "template", "spec", "nodeSelector", "tier"); got != "web" {
			t.Errorf("%s: the pods select the tier %q", name, got)
		}
		tolerations, _ := d.Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["tolerations"].([]any)
		if len(tolerations) != 2 {
			t.Errorf("%s: the pods tolerate %v, want a and b", name, tolerations)
		}
		if logged := l.Logged.String(); !strings.Contains(logged, tc.next) {
			t.Errorf("%s: said\n%s\nwant %q", name, logged, tc.next)
		}
		if err := w.Scale(testContext(t), tc.given, 5); err != nil {
			t.Fatal(err)
		}
		if got := kube.Field(server.Get(kube.Deployments, "default", tc.name), "spec", "replicas"); got != "5" {
			t.Errorf("%s: %s pods after scaling, want 5", name, got)
		}
		if err := w.Delete(testContext(t), tc.given); err != nil {
			t.Fatal(err)
		}
		if server.Get(kube.Deployments, "default", tc.name) != nil {
			t.Errorf("%s: it is there", name)
		}
	}
}

// TestDeletionOfManyPods: hundreds of pods need more than a minute.
func TestDeletionOfManyPods(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _, server := newWorkloads(t)
		if err := w.Add(t.Context(), Options{Name: "web", Pods: 1000}); err != nil {
			t.Fatal(err)
		}
		server.PutYAML("{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: default, labels: {" + workload.Label + ": web}}}")
		time.AfterFunc(2*time.Minute, func() { server.Remove(kube.Pods, "default", "web-1") })
		if err := w.Delete(t.Context(), "web"); err != nil {
			t.Error(err)
		}
	})
}

func TestScaleOfAMissingWorkload(t *testing.T) {
	t.Parallel()
	w, _, _ := newWorkloads(t)
	if err := w.Scale(testContext(t), "web", 1); !errors.As(err, new(*workload.MissingError)) {
		t.Errorf("Scale() = %v", err)
	}
}

// TestWrongOptionsAreRefusedFirst: wrong options are refused before the first
// request to the cluster.
func TestWrongOptionsAreRefusedFirst(t *testing.T) {
	t.Parallel()
	w := &Workloads{Lab: labtest.New(t, nil).Lab, Open: targettest.Closed(t)}
	for want, o := range map[string]Options{
		`workload "Web"`:              {Name: "Web"},
		"-1 pods":                     {Pods: -1},
		`memory "much"`:               {Memory: "much"},
		"want key=value,key=value":    {NodeSelector: "tier"},
		"-tolerations: part 2":        {Tolerations: "a,"},
		"-devices: part 2":            {Devices: "a.b/c=1,"},
		`-devices: "a.b/c": want`:     {Devices: "a.b/c"},
		"-claims: a.b is there twice": {Claims: "a.b=1,a.b=2"},
		`-claims: "a.b=x": want a`:    {Claims: "a.b=x"},
		`device "gpu": want`:          {Devices: "gpu=1"},
		`toleration "not a key"`:      {Tolerations: "not a key"},
		`image "REGISTRY/Uppercase"`:  {Image: "REGISTRY/Uppercase"},
	} {
		if err := w.Add(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Add(%+v) = %v, want %q in it", o, err, want)
		}
	}
	if err := w.Scale(t.Context(), "", 1001); err == nil || !strings.Contains(err.Error(), "1001 pods") {
		t.Errorf("Scale() to 1001 pods = %v", err)
	}
}

// TestSilentServer: if the API server does not answer, every operation ends with
// an error that says what it waited for.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	for want, do := range map[string]func(*Workloads, context.Context) error{
		"waited for the API server to accept the workload web":                       func(w *Workloads, ctx context.Context) error { return w.Add(ctx, Options{Name: "web", Pods: 1}) },
		"waited for the API server to accept the number of pods of the workload web": func(w *Workloads, ctx context.Context) error { return w.Scale(ctx, "web", 3) },
	} {
		w, _, server := newWorkloads(t)
		w.answerWithin = time.Millisecond
		silence := make(chan struct{})
		t.Cleanup(func() { close(silence) })
		server.Intercept(func(kubetest.Request) error { <-silence; return nil })
		if err := do(w, t.Context()); err == nil || !strings.HasPrefix(err.Error(), want+": ") || !strings.Contains(err.Error(), "not within 1ms") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
