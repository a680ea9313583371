package recorder

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
)

// logAgain is how long to wait before a log that ended is asked for again.
const logAgain = time.Second

// logQuiet is how long nothing comes before a log counts as read. What a log has
// comes at once; the API server does not say where that ends.
const logQuiet = 2 * time.Second

// autoscalerContainers returns the names of a pod's containers that may be an
// autoscaler by the image or by the pod's name.
func autoscalerContainers(pod *unstructured.Unstructured) []string {
	var names []string
	all, _, _ := unstructured.NestedSlice(pod.Object, "spec", "containers")
	for _, c := range all {
		m, _ := c.(map[string]any)
		name, _ := m["name"].(string)
		image, _ := m["image"].(string)
		command, _, _ := unstructured.NestedStringSlice(m, "command")
		if name != "" && autoscaler.Runs(pod.GetName(), autoscaler.Container{Image: image, Command: command}) {
			names = append(names, name)
		}
	}
	return names
}

// processFacts returns the fact that the first of an autoscaler's containers runs or
// has stopped, nil if neither is known.
func processFacts(o *unstructured.Unstructured, containers []string, now time.Time) []timeline.Fact {
	f := about(timeline.Autoscaler, o, "")
	f.Name = o.GetNamespace() + "/" + o.GetName()
	for _, m := range kube.ContainerStatuses(o) {
		if name, _ := m["name"].(string); name != containers[0] {
			continue
		}
		text := func(path ...string) string { s, _, _ := unstructured.NestedString(m, path...); return s }
		running, _, _ := unstructured.NestedMap(m, "state", "running")
		if running != nil {
			return []timeline.Fact{with(f, timeline.Started, cmp.Or(parsed(text("state", "running", "startedAt")), now), text("image"))}
		}
		for _, state := range []string{"state", "lastState"} {
			if ended, found, _ := unstructured.NestedMap(m, state, "terminated"); found {
				reason := sentence(text(state, "terminated", "reason"), text(state, "terminated", "message"))
				return []timeline.Fact{with(f, timeline.Stopped, cmp.Or(parsed(fmt.Sprint(ended["finishedAt"])), now), reason)}
			}
		}
	}
	return nil
}

// instance is what runs in a container: it has another ID after a restart.
type instance struct {
	id      string
	running bool
	// over is set when nothing will run there any more.
	over bool
}

// instanceOf returns what a pod says of a container.
func instanceOf(pod *unstructured.Unstructured, container string) instance {
	phase := kube.Field(pod, "status", "phase")
	i := instance{over: phase == "Succeeded" || phase == "Failed"}
	for _, m := range kube.ContainerStatuses(pod) {
		if m["name"] == container {
			i.id, _ = m["containerID"].(string)
			_, i.running, _ = unstructured.NestedMap(m, "state", "running")
		}
	}
	return i
}

// awaitLog waits until a container's log may have more lines: the instance asked,
// whose log was read, still runs, or another does. It returns false if no more lines
// will come.
func (r *recorder) awaitLog(ctx context.Context, id string, asked instance) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(logAgain):
		}
		r.mu.Lock()
		now, known := r.instances[id]
		r.mu.Unlock()
		switch {
		case !known || now.running || now.id != asked.id:
			return true
		case now.over:
			return false
		}
	}
}

// podLog reads the log of a pod's container through the API server until ctx is
// done, or the pod is over or gone. It calls read, once or more often, when the log
// is read up to its present end.
func (r *recorder) podLog(ctx context.Context, c *kube.Client, pod *unstructured.Unstructured, container string, read func()) {
	defer read()
	id := logOf(pod, container)
	for {
		r.mu.Lock()
		since, asked := r.bookmark.Pods[id], r.instances[id]
		r.mu.Unlock()
		err := r.stream(ctx, c, pod, container, since, read)
		read()
		switch {
		case ctx.Err() != nil, apierrors.IsNotFound(err):
			return
		case err != nil && !apierrors.IsBadRequest(err): // that one has not started yet
			r.failed(fmt.Errorf("read the log of the pod %s: %w", pod.GetName(), err))
			asked = instance{id: "unread"}
		}
		if !r.awaitLog(ctx, id, asked) {
			return
		}
	}
}

// logOf returns the name of a container's log in the bookmark.
func logOf(pod *unstructured.Unstructured, container string) string {
	return string(pod.GetUID()) + "/" + container
}

// stream reads the log from since on until it ends. It calls read when a line is
// later than the request, or no line comes.
func (r *recorder) stream(ctx context.Context, c *kube.Client, pod *unstructured.Unstructured, container string, since time.Time, read func()) (err error) {
	asked := time.Now()
	quiet := time.AfterFunc(logQuiet, read)
	defer quiet.Stop()
	log, err := c.Logs(ctx, pod.GetNamespace(), pod.GetName(), container, since)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	reader := bufio.NewReaderSize(log, 64<<10)
	for {
		text, err := reader.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		quiet.Reset(logQuiet)
		stamp, message, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
		at := parsed(stamp)
		if at.IsZero() || !at.After(since) {
			continue // it was asked for by the second
		}
		// An autoscaler in a container has the time zone of its image.
		if _, ok := r.logLine(message, at.UTC()); !ok {
			return errUnrecorded
		}
		r.mu.Lock()
		r.bookmark.Pods[logOf(pod, container)] = at
		r.mu.Unlock()
		if at.After(asked) {
			read()
		}
	}
}
