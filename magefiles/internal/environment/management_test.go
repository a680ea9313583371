package environment

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"caslab/magefiles/internal/engine"
)

// TestStepEndsWithTheManagementCluster: a step that needs the management cluster goes on
// while its container runs, or starts again, and ends when the container is gone.
func TestStepEndsWithTheManagementCluster(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		disturb func(context.Context, *fixture) error
		want    error
	}{
		"nothing happens": {func(context.Context, *fixture) error { return nil }, nil},
		"restarted": {func(ctx context.Context, s *fixture) error {
			stopped := s.engine.Stop(ctx, "mgmt")
			time.Sleep(2 * visitEvery)
			return errors.Join(stopped, s.engine.Start(ctx, "mgmt"))
		}, nil},
		"ended":   {func(ctx context.Context, s *fixture) error { return s.engine.Stop(ctx, "mgmt") }, errManagementGone},
		"removed": {func(ctx context.Context, s *fixture) error { return s.engine.Remove(ctx, "mgmt") }, errManagementGone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFixture(t, nil)
				s.docker.add(fakeContainer{id: "mgmt", name: "work-cluster-management-control-plane", cluster: "work-cluster-management", role: "control-plane"})
				c := s.newBringUp(engine.Info{})
				_, err := c.whileManaged(func(ctx context.Context, _ func(string)) (string, error) {
					time.Sleep(time.Minute + visitEvery/2) // between two looks
					if err := tc.disturb(ctx, s); err != nil {
						return "", err
					}
					select {
					case <-ctx.Done():
						return "", context.Cause(ctx)
					case <-time.After(time.Minute):
						return "", nil
					}
				})(t.Context(), nil)
				if !errors.Is(err, tc.want) {
					t.Errorf("the step returned %v, want %v", err, tc.want)
				}
			})
		})
	}
}
