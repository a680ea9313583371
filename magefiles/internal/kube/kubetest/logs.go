package kubetest

import (
	"io"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"caslab/magefiles/internal/kube"
)

// podLog is the log of a container.
type podLog struct {
	lines []logLine
	ended bool
	// changed is closed when something is added, and replaced by a new channel.
	changed chan struct{}
}

type logLine struct {
	at   time.Time
	text string
}

func logKey(namespace, pod, container string) string { return namespace + "/" + pod + "/" + container }

// Log adds a line to the log of a pod's container, which has started by then.
func (s *Server) Log(namespace, pod, container string, at time.Time, line string) {
	s.addLog(namespace, pod, container, func(l *podLog) { l.lines = append(l.lines, logLine{at, line}) })
}

// EndLog ends the container: clients that follow its log get the rest and then its end.
func (s *Server) EndLog(namespace, pod, container string) {
	s.addLog(namespace, pod, container, func(l *podLog) { l.ended = true })
}

func (s *Server) addLog(namespace, pod, container string, add func(*podLog)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := logKey(namespace, pod, container)
	if s.logs[key] == nil {
		s.logs[key] = &podLog{changed: make(chan struct{})}
	}
	l := s.logs[key]
	add(l)
	close(l.changed)
	l.changed = make(chan struct{})
}

// log answers with the log of a pod's container, and with what is added while the
// client follows it.
func (s *Server) log(w http.ResponseWriter, q Request) error {
	s.mu.Lock()
	pods := s.resource(kube.Pods)
	there := pods != nil && pods.objects[types.NamespacedName{Namespace: q.Namespace, Name: q.Name}] != nil
	l := s.logs[logKey(q.Namespace, q.Name, q.Query.Get("container"))]
	cut := s.cut
	s.mu.Unlock()
	if !there {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, q.Name)
	}
	if l == nil {
		return apierrors.NewBadRequest("container \"" + q.Query.Get("container") + "\" in pod \"" + q.Name + "\" is waiting to start: ContainerCreating")
	}
	since := time.Time{}
	if text := q.Query.Get("sinceTime"); text != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, text); err != nil {
			return apierrors.NewBadRequest("sinceTime: " + err.Error())
		}
	}
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w).Flush
	for sent := 0; ; {
		s.mu.Lock()
		lines, changed, over := l.lines[sent:], l.changed, l.ended || q.Query.Get("follow") != "true"
		s.mu.Unlock()
		sent += len(lines)
		var out strings.Builder
		for _, line := range lines {
			if line.at.Before(since) {
				continue
			}
			if q.Query.Get("timestamps") == "true" {
				out.WriteString(line.at.UTC().Format(time.RFC3339Nano) + " ")
			}
			out.WriteString(line.text + "\n")
		}
		if endsWithError(io.WriteString(w, out.String())) || endsWithError(0, flush()) || over {
			return nil
		}
		select {
		case <-changed:
		case <-cut:
			return nil
		case <-q.Context.Done():
			return nil
		}
	}
}

// endsWithError reports whether a client did not get what was written.
func endsWithError(_ int, err error) bool { return err != nil }
