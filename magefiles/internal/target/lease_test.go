package target_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/target/targettest"
	"caslab/magefiles/internal/ui"
)

// leaseFixture is a cluster that several checkouts reserve.
type leaseFixture struct {
	*target.Cluster
	server *kubetest.Server
	shown  *labtest.Text
	log    *ui.Log
}

// inLeaseBubble calls test with a cluster in a bubble of testing/synctest.
func inLeaseBubble(t *testing.T, test func(t *testing.T, f *leaseFixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, server := targettest.New(t)
		f := &leaseFixture{Cluster: c, server: server, shown: new(labtest.Text)}
		f.log = ui.New(f.shown, ui.Options{})
		defer f.log.Close()
		test(t, f)
	})
}

func (f *leaseFixture) reserve(ctx context.Context, checkout string) (release func(), err error) {
	return f.Reserve(ctx, target.Reservation{Name: "autoscaler", Command: "autoscaler:run", Checkout: checkout, Log: f.log})
}

// put makes bob the holder. process is that of the annotation.
func (f *leaseFixture) put(renewed time.Time, process string) {
	f.server.PutYAML(fmt.Sprintf(`
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: caslab-autoscaler, namespace: kube-system, annotations: {caslab.local/process: "%s"}}
spec: {holderIdentity: bob, acquireTime: "2000-01-01T00:00:00.000000Z", renewTime: "%s", leaseDurationSeconds: 30, leaseTransitions: 4}
`, process, renewed.UTC().Format(metav1.RFC3339Micro)))
}

func (f *leaseFixture) holder() string {
	o := f.server.Get(kube.Leases, "kube-system", "caslab-autoscaler")
	if o == nil {
		return ""
	}
	return kube.Field(o, "spec", "holderIdentity")
}

func TestReserve(t *testing.T) {
	t.Parallel()
	inLeaseBubble(t, func(t *testing.T, f *leaseFixture) {
		release, err := f.reserve(t.Context(), "/a")
		if err != nil {
			t.Fatal(err)
		}
		since := time.Now().Local().Format(time.DateTime)
		for range 2 { // at once, and while it is renewed
			_, err := f.reserve(t.Context(), "/b")
			reserved := new(target.ReservedError)
			if !errors.As(err, &reserved) {
				t.Fatalf("a second Reserve() = %v", err)
			}
			host, _ := os.Hostname()
			for _, want := range []string{"@" + host + " in /a: autoscaler:run (process " + fmt.Sprint(os.Getpid()) + "), since " + since + ";", "ends 30s after"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("a second Reserve() = %v, want %q", err, want)
				}
			}
			if seen, err := f.Reserved(t.Context(), "autoscaler"); err != nil || seen == nil || seen.Holder != reserved.Holder {
				t.Errorf("Reserved() = %+v, %v", seen, err)
			}
			time.Sleep(time.Hour)
		}
		release()
		if holder := f.holder(); holder != "" {
			t.Errorf("after its release %s has it", holder)
		}
		if seen, err := f.Reserved(t.Context(), "autoscaler"); err != nil || seen != nil {
			t.Errorf("after its release Reserved() = %+v, %v", seen, err)
		}
		if release, err = f.reserve(t.Context(), "/b"); err != nil {
			t.Fatalf("after its release Reserve() = %v", err)
		}
		release()
		if shown := f.shown.String(); shown != "" {
			t.Errorf("it shows %q", shown)
		}
	})
}

// TestReserveIsBounded: neither an API server that does not answer nor a lease of a year
// holds a command for ever.
func TestReserveIsBounded(t *testing.T) {
	t.Parallel()
	inLeaseBubble(t, func(t *testing.T, f *leaseFixture) {
		f.put(time.Now().Add(-time.Hour), "another")
		f.server.Merge("another", kube.Leases, "kube-system", "caslab-autoscaler", map[string]any{"spec": map[string]any{"leaseDurationSeconds": 31536000}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		release, err := f.reserve(ctx, "/a")
		if err != nil {
			t.Fatalf("of a holder without a sign of life: %v", err)
		}
		release()
		f.server.Intercept(func(q kubetest.Request) error {
			if q.Resource == "leases" {
				<-q.Context.Done()
			}
			return nil
		})
		if _, err := f.reserve(ctx, "/a"); err == nil || !strings.Contains(err.Error(), "waited for the API server to answer: ") || !strings.HasSuffix(err.Error(), "not within 15s") {
			t.Errorf("of an API server that does not answer: %v", err)
		}
	})
}

// TestReserveTakesOver: the reservation of a holder that has ended is taken over, whatever
// its clock showed. A reservation that its holder renews is not taken over.
func TestReserveTakesOver(t *testing.T) {
	t.Parallel()
	const elsewhere = "another-boot/pid:[1] 1"
	for name, tc := range map[string]struct {
		// ago is how long ago the lease was renewed, by its holder's clock.
		ago     time.Duration
		process string
		renews  bool
		taken   bool
		after   time.Duration
	}{
		"its process ended here":            {0, "HERE 2147483646 1", false, true, 0},
		"its process runs here":             {0, "SELF", false, false, 0},
		"another process has its ID here":   {0, fmt.Sprintf("HERE %d 1", os.Getpid()), false, true, 0},
		"renewed lately, elsewhere":         {29 * time.Second, elsewhere, false, false, 0},
		"renewed long ago":                  {31 * time.Second, elsewhere, false, true, 30 * time.Second},
		"its clock is slow":                 {time.Hour, elsewhere, true, false, 10 * time.Second},
		"its clock is fast":                 {-time.Hour, elsewhere, true, false, 10 * time.Second},
		"its clock was fast":                {-time.Hour, elsewhere, false, true, 30 * time.Second},
		"its process is not one of the lab": {time.Hour, "", false, true, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inLeaseBubble(t, func(t *testing.T, f *leaseFixture) {
				release, err := f.reserve(t.Context(), "/a")
				if err != nil {
					t.Fatal(err)
				}
				id := f.server.Get(kube.Leases, "kube-system", "caslab-autoscaler").GetAnnotations()["caslab.local/process"]
				release()
				here, _, _ := strings.Cut(id, " ")
				process := strings.NewReplacer("HERE", here, "SELF", id).Replace(tc.process)
				f.put(time.Now().Add(-tc.ago), process)
				if tc.renews {
					time.AfterFunc(10*time.Second-time.Millisecond, func() { f.put(time.Now().Add(-tc.ago), process) })
				}
				began := time.Now()
				release, err = f.reserve(t.Context(), "/a")
				if took := time.Since(began); took < tc.after || took > tc.after+time.Second {
					t.Errorf("it took %s, want %s", took, tc.after)
				}
				if !tc.taken {
					if reserved := new(target.ReservedError); !errors.As(err, &reserved) || reserved.Holder != "bob" {
						t.Errorf("Reserve() = %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if holder := f.holder(); !strings.Contains(holder, "in /a") {
					t.Errorf("%s has it", holder)
				}
				if n := kube.Field(f.server.Get(kube.Leases, "kube-system", "caslab-autoscaler"), "spec", "leaseTransitions"); n != "5" {
					t.Errorf("it has changed hands %s times", n)
				}
				release()
			})
		})
	}
}

func TestReserveWithoutTheRight(t *testing.T) {
	t.Parallel()
	leases := schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}
	for name, deny := range map[string]func(*kubetest.Server){
		"to read": func(s *kubetest.Server) {
			s.Intercept(func(q kubetest.Request) error {
				if q.Resource == "leases" {
					return apierrors.NewForbidden(leases, q.Name, errors.New("no"))
				}
				return nil
			})
		},
		"to create": func(s *kubetest.Server) {
			s.Intercept(func(q kubetest.Request) error {
				if q.Resource == "leases" && q.Verb == "create" {
					return apierrors.NewForbidden(leases, q.Name, errors.New("no"))
				}
				return nil
			})
		},
		"without leases": func(s *kubetest.Server) { s.Undefine(kube.Leases) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inLeaseBubble(t, func(t *testing.T, f *leaseFixture) {
				deny(f.server)
				release, err := f.reserve(t.Context(), "/a")
				if err != nil {
					t.Fatal(err)
				}
				release()
				if !strings.Contains(f.shown.String(), "! the cluster cannot be reserved, so others who scale it at the same time are not noticed: ") {
					t.Errorf("it shows %q", f.shown)
				}
				if seen, err := f.Reserved(t.Context(), "autoscaler"); err != nil || seen != nil {
					t.Errorf("Reserved() = %+v, %v", seen, err)
				}
			})
		})
	}
}

// TestReservationIsLost: a command that was suspended ends if another one took over.
func TestReservationIsLost(t *testing.T) {
	t.Parallel()
	inLeaseBubble(t, func(t *testing.T, f *leaseFixture) {
		ctx, _, _ := interrupt.With(t.Context())
		release, err := f.reserve(ctx, "/a")
		if err != nil {
			t.Fatal(err)
		}
		f.put(time.Now(), "")
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if cause := context.Cause(ctx); cause == nil || !strings.Contains(cause.Error(), "another command has it now: bob, since ") {
			t.Errorf("the command ends for %v", cause)
		}
		release()
		if holder := f.holder(); holder != "bob" {
			t.Errorf("its release gives back what %q has", holder)
		}
	})
}

// TestReservationOutlivesTheAPIServer: no command ends because the API server does not
// answer or has lost the lease.
func TestReservationOutlivesTheAPIServer(t *testing.T) {
	t.Parallel()
	inLeaseBubble(t, func(t *testing.T, f *leaseFixture) {
		ctx, _, _ := interrupt.With(t.Context())
		release, err := f.reserve(ctx, "/a")
		if err != nil {
			t.Fatal(err)
		}
		var down atomic.Bool
		f.server.Intercept(func(kubetest.Request) error {
			if down.Load() {
				return apierrors.NewGenericServerResponse(http.StatusServiceUnavailable, "", schema.GroupResource{}, "", "", 0, true)
			}
			return nil
		})
		down.Store(true)
		time.Sleep(time.Hour)
		down.Store(false)
		f.server.Remove(kube.Leases, "kube-system", "caslab-autoscaler")
		time.Sleep(time.Minute)
		synctest.Wait()
		if ctx.Err() != nil {
			t.Errorf("the command ends for %v", context.Cause(ctx))
		}
		if holder := f.holder(); !strings.Contains(holder, "in /a") {
			t.Errorf("%q has it", holder)
		}
		down.Store(true)
		began := time.Now()
		release()
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("its release took %s", took)
		}
	})
}
