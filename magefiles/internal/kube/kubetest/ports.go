package kubetest

import (
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Answers makes a pod answer requests at a port.
func (s *Server) Answers(namespace, pod, port string, answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pods == nil {
		s.pods = map[string]http.HandlerFunc{}
	}
	s.pods[namespace+"/"+pod+":"+port] = answer
}

// proxy passes a request on to a pod, whose Name is with its port.
func (s *Server) proxy(w http.ResponseWriter, q Request) error {
	s.mu.Lock()
	answer := s.pods[q.Namespace+"/"+q.Name]
	s.mu.Unlock()
	if answer == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, q.Name)
	}
	_, path, _ := strings.Cut(q.Path, "/proxy")
	r, err := http.NewRequestWithContext(q.Context, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	answer(w, r)
	return nil
}
