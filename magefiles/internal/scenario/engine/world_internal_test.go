package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube/kubetest"
)

// TestAWatchThatDoesNotBegin: a cluster that does not serve a kind is an error, and
// nothing goes on after the end of the context. The bubble fails if a goroutine does.
func TestAWatchThatDoesNotBegin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := kubetest.New(t, []schema.GroupVersionKind{{Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "Node"}}, "").Client()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		late := errors.New("too late")
		limited, stop := context.WithTimeoutCause(ctx, time.Minute, late)
		defer stop()
		err := newWorld("", time.Now).follow(ctx, limited, Options{Workload: client, Management: client}, nil, nil)
		if !errors.Is(err, late) || !strings.Contains(err.Error(), "Machine") {
			t.Errorf("follow() = %v, want why and the kind that is not served", err)
		}
	})
}
