package recorder

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline/logfacts"
)

// logRetry is how long to wait before a log that ended is requested again.
const logRetry = time.Second

// maxLogRetry bounds the pause after failures, which doubles with each that follows
// another without a line in between.
const maxLogRetry = time.Minute

// errUnrecorded is returned for a line that must be read again.
var errUnrecorded = errors.New("the line could not be recorded")

// logIdle is how long no line comes before a log counts as read. Existing lines
// come at once, but the API server does not mark the last of them.
const logIdle = 2 * time.Second

// instance is one run of a container. After a restart the container has another ID.
type instance struct {
	id      string
	running bool
	// finished is set when the container will not run again.
	finished bool
}

// instanceOf returns the instance of a container, from the pod's status.
func instanceOf(pod *corev1.Pod, container string) instance {
	phase := pod.Status.Phase
	i := instance{finished: phase == corev1.PodSucceeded || phase == corev1.PodFailed}
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == container {
			i.id, i.running = c.ContainerID, c.State.Running != nil
		}
	}
	return i
}

// waitForLog waits until a container's log may have more lines, because the instance
// whose log was read still runs, or another runs. It returns false if no more lines will
// come.
func (r *recorder) waitForLog(ctx context.Context, id string, asked instance) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(logRetry):
		}
		r.mu.Lock()
		now, known := r.instances[id]
		r.mu.Unlock()
		switch {
		case !known || now.running || now.id != asked.id:
			return true
		case now.finished:
			return false
		}
	}
}

// podLog reads the log of a pod's container through the API server until ctx is done, or
// the pod has finished or is gone. It calls read, once or more often, when the log is read
// up to its present end. If the user may not read the log, it says so once and asks again every
// askAgainAfter.
func (r *recorder) podLog(ctx context.Context, c *kube.Client, pod *corev1.Pod, container string, read func()) {
	defer read()
	id, pause, denied := logKey(pod, container), logRetry, false
	for {
		r.mu.Lock()
		since, asked := r.bookmark.Pods[id], r.instances[id]
		r.mu.Unlock()
		err := r.stream(ctx, c, pod, container, since, read)
		read()
		r.mu.Lock()
		if err == nil || r.bookmark.Pods[id].After(since) {
			pause, denied = logRetry, false
		}
		r.mu.Unlock()
		switch {
		case ctx.Err() != nil, apierrors.IsNotFound(err):
			return
		case err != nil && !apierrors.IsBadRequest(err): // the container has not started yet
			// Even of a pod that has finished, the log is not read yet. Its node may be
			// gone for good.
			wait := pause
			pause = min(2*pause, maxLogRetry)
			if apierrors.IsForbidden(err) {
				if !denied {
					r.report(missingRight(kube.Pods, err))
				}
				denied, wait = true, askAgainAfter
			} else {
				r.report(err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			continue
		}
		if !r.waitForLog(ctx, id, asked) {
			return
		}
	}
}

// logKey returns the name of a container's log in the bookmark.
func logKey(pod *corev1.Pod, container string) string {
	return string(pod.UID) + "/" + container
}

// stream reads the log from since on until it ends. It calls read when a line is
// later than the request, or no line comes.
func (r *recorder) stream(ctx context.Context, c *kube.Client, pod *corev1.Pod, container string, since time.Time, read func()) (err error) {
	asked := time.Now()
	idle := time.AfterFunc(logIdle, read)
	defer idle.Stop()
	log, err := c.Logs(ctx, pod.Namespace, pod.Name, container, since)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	var lines logfacts.Reader
	defer r.logRest(&lines)
	reader := bufio.NewReaderSize(log, 64<<10)
	for {
		text, err := reader.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the log of the pod %s: %w", pod.Name, err)
		}
		idle.Reset(logIdle)
		stamp, message, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		if err != nil || !at.After(since) {
			continue // the request has whole seconds
		}
		// An autoscaler in a container has the time zone of its image.
		if _, ok := r.logLine(message, at.UTC(), &lines); !ok {
			return fmt.Errorf("read the log of the pod %s: %w", pod.Name, errUnrecorded)
		}
		r.mu.Lock()
		r.bookmark.Pods[logKey(pod, container)] = at
		r.mu.Unlock()
		if at.After(asked) {
			read()
		}
	}
}
