package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
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

// TestChangedAt: the time of a change is that of the write that made it. A write through the
// subresource scale leaves no time, so the times of earlier writes do not count.
func TestChangedAt(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)
	object := func(writes ...time.Duration) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: map[string]any{}}
		fields := []metav1.ManagedFieldsEntry{{Manager: "cluster-autoscaler", Subresource: "scale"}}
		for _, w := range writes {
			at := metav1.NewTime(start.Add(w))
			fields = append(fields, metav1.ManagedFieldsEntry{Manager: "manager", Time: &at})
		}
		o.SetManagedFields(fields)
		return o
	}
	deleted := object(5 * time.Second)
	deleted.SetDeletionTimestamp(&metav1.Time{Time: start})
	w := newWorld("", func() time.Time { return start.Add(time.Minute) })
	for name, tc := range map[string]struct {
		change kube.Change
		want   time.Duration
	}{
		"a new object":                    {kube.Change{After: object(5 * time.Second)}, 5 * time.Second},
		"a write with a time":             {kube.Change{Before: object(5 * time.Second), After: object(5*time.Second, 9*time.Second)}, 9 * time.Second},
		"a write without a time":          {kube.Change{Before: object(5 * time.Second), After: object(5 * time.Second)}, time.Minute},
		"an object that has no time":      {kube.Change{After: object()}, time.Minute},
		"a clock that is ahead of ours":   {kube.Change{After: object(2 * time.Minute)}, time.Minute},
		"an object that is being deleted": {kube.Change{After: deleted}, time.Minute},
		"an object that is gone":          {kube.Change{Before: object(5 * time.Second)}, time.Minute},
	} {
		if got := w.changedAt(tc.change).Sub(start); got != tc.want {
			t.Errorf("%s: changed after %s, want %s", name, got, tc.want)
		}
	}
}
