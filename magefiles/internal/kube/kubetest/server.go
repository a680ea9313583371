// Package kubetest has an API server for tests. It speaks Kubernetes' REST protocol over
// HTTP, so that tests use the same client as the lab, and has its objects in memory.
package kubetest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/kube"
)

// Server is an API server. It has discovery, lists, watches, single objects,
// server-side apply, merge patches, finalizers, the logs and ports of pods, and readyz. It
// has no controllers, no garbage collection, no admission and no schemas: lists
// in objects are atomic, as in custom resources without a schema. Between
// versions of a kind it converts only the apiVersion.
//
// It uses the time package, so that it can run in a bubble of testing/synctest.
type Server struct {
	t testing.TB

	mu        sync.Mutex
	resources []*resource
	// version is the last resource version that was assigned.
	version int64
	// history has the events for watches, oldest first. Events up to the resource
	// version forgotten were removed.
	history   []event
	forgotten int64
	// changed is closed when the history grows, and replaced by a new channel.
	changed chan struct{}
	// cut is closed to end all watches, and replaced by a new channel.
	cut  chan struct{}
	logs map[string]*podLog
	// pods has what pods answer to requests, by namespace, name and port.
	pods       map[string]http.HandlerFunc
	intercepts []func(Request) error
	counts     map[string]int

	listener *listener
	network  network
}

// resource is a kind with its objects.
type resource struct {
	group, kind, plural string
	namespaced          bool
	// versions that are served, the preferred one first.
	versions []string
	objects  map[types.NamespacedName]*unstructured.Unstructured
}

type event struct {
	version  int64
	what     watch.EventType
	resource *resource
	object   *unstructured.Unstructured
}

// Request is what a client asks for.
type Request struct {
	// Context ends when the client leaves.
	Context context.Context
	// Verb is the verb of RBAC, such as get or list; apply for a server-side apply; or
	// discover, readyz or log, for which RBAC has no verb.
	Verb string
	// Path of the URL, such as /apis/apps/v1.
	Path  string
	Query url.Values
	// The object that the client asks for; fields that do not apply are empty.
	Group, Version, Resource, Namespace, Name string
	// Body is what the client sends.
	Body []byte
}

// ErrHangUp, returned by a function that Intercept was given, cuts the connection.
var ErrHangUp = errors.New("the API server hangs up")

// New starts a server of a cluster that knows the kinds and holds the objects of
// a YAML stream. The first version of a kind is the preferred one. It ends with
// the test.
func New(t testing.TB, kinds []schema.GroupVersionKind, objects string) *Server {
	t.Helper()
	s := &Server{
		t: t, changed: make(chan struct{}), cut: make(chan struct{}),
		logs: map[string]*podLog{}, counts: map[string]int{}, listener: newListener(),
	}
	s.Define(kinds...)
	s.PutYAML(objects)
	server := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(s.listener) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return s
}

// Define makes the server serve kinds from now on.
func (s *Server) Define(kinds ...schema.GroupVersionKind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range kinds {
		if r := s.resource(k.GroupKind()); r != nil {
			r.versions = append(r.versions, k.Version)
			continue
		}
		plural, _ := meta.UnsafeGuessKindToResource(k)
		s.resources = append(s.resources, &resource{
			group: k.Group, kind: k.Kind, plural: plural.Resource, versions: []string{k.Version},
			namespaced: !clusterScoped(k.GroupKind()), objects: map[types.NamespacedName]*unstructured.Unstructured{},
		})
	}
}

// Undefine makes the server stop serving a kind, and removes its objects.
func (s *Server) Undefine(kind schema.GroupKind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resources = slices.DeleteFunc(s.resources, func(r *resource) bool { return r.group == kind.Group && r.kind == kind.Kind })
}

func clusterScoped(k schema.GroupKind) bool {
	return k == kube.Nodes || k == kube.Namespaces || k == kube.Definitions || k.Kind == "PriorityClass" || k == kube.DeviceClasses || k == kube.ResourceSlices ||
		k == kube.Volumes || k == kube.StorageClasses || k == kube.CSINodes || k == kube.CSIDrivers || k == kube.VolumeAttachments ||
		strings.HasPrefix(k.Kind, "Cluster") && k.Group != kube.Clusters.Group
}

// Intercept calls f for every request from now on, before the functions that were given
// earlier. If f returns an error, that is the answer: an API status, ErrHangUp, or any
// other error, which becomes an internal error. f may wait, but must not change the
// test's state without a lock.
func (s *Server) Intercept(f func(Request) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercepts = slices.Insert(s.intercepts, 0, f)
}

// Count returns how many requests with that verb there were for a resource, such
// as pods; with the verb discover, for a path, such as /apis.
func (s *Server) Count(verb, resource string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[verb+" "+resource]
}

// Put creates or replaces objects. It sets the resource version, and, where the object
// has none, the UID and the time of creation: the stored object's or new ones.
func (s *Server) Put(objects ...*unstructured.Unstructured) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range objects {
		r := s.must(o.GroupVersionKind().GroupKind())
		s.store(r, o.DeepCopy())
	}
}

// PutYAML is Put of a YAML stream.
func (s *Server) PutYAML(stream string) {
	s.t.Helper()
	objects, err := kube.Decode([]byte(stream))
	if err != nil {
		s.t.Fatalf("an object of the test: %v\n%s", err, stream)
	}
	s.Put(objects...)
}

// Edit changes an object. It fails the test if the object does not exist.
func (s *Server) Edit(kind schema.GroupKind, namespace, name string, change func(*unstructured.Unstructured)) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.must(kind)
	o := r.objects[types.NamespacedName{Namespace: namespace, Name: name}]
	if o == nil {
		s.t.Fatalf("the test changes %s %s/%s, which does not exist", kind.Kind, namespace, name)
	}
	o = o.DeepCopy()
	change(o)
	s.store(r, o)
}

// Merge merges a patch into an object as the field manager manager, and reports whether
// the object exists.
func (s *Server) Merge(manager string, kind schema.GroupKind, namespace, name string, patch map[string]any) bool {
	s.t.Helper()
	data, err := json.Marshal(patch)
	if err != nil {
		s.t.Fatal(err)
	}
	var changes map[string]any
	if err := yaml.Unmarshal(data, &changes); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.must(kind)
	o := r.objects[types.NamespacedName{Namespace: namespace, Name: name}]
	if o == nil {
		return false
	}
	after := &unstructured.Unstructured{Object: merged(o.DeepCopy().Object, changes).(map[string]any)}
	s.store(r, s.fields(r, r.versions[0], manager, false).update(o, after))
	return true
}

// Remove deletes an object at once, in spite of its finalizers, and reports whether it
// existed.
func (s *Server) Remove(kind schema.GroupKind, namespace, name string) bool {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.must(kind)
	o := r.objects[types.NamespacedName{Namespace: namespace, Name: name}]
	if o != nil {
		s.drop(r, o)
	}
	return o != nil
}

// Get returns a copy of an object, or nil.
func (s *Server) Get(kind schema.GroupKind, namespace, name string) *unstructured.Unstructured {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.must(kind).objects[types.NamespacedName{Namespace: namespace, Name: name}]
	if o == nil {
		return nil
	}
	return o.DeepCopy()
}

// List returns copies of the objects of a kind, by namespace and name.
func (s *Server) List(kind schema.GroupKind) []*unstructured.Unstructured {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*unstructured.Unstructured
	for _, o := range s.must(kind).sorted("") {
		all = append(all, o.DeepCopy())
	}
	return all
}

// CutWatches ends all watches, as an API server does every few minutes.
func (s *Server) CutWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.cut)
	s.cut = make(chan struct{})
}

// Forget makes the server forget its history: clients that watch from an older resource
// version have to list again.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++ // so that clients that have seen everything have to list, too
	s.forgotten, s.history = s.version, nil
}

// must returns the resource of a kind that the test defined.
func (s *Server) must(kind schema.GroupKind) *resource {
	s.t.Helper()
	r := s.resource(kind)
	if r == nil {
		s.t.Fatalf("the test's API server does not know the kind %s", kind)
	}
	return r
}

func (s *Server) resource(kind schema.GroupKind) *resource {
	for _, r := range s.resources {
		if r.group == kind.Group && r.kind == kind.Kind {
			return r
		}
	}
	return nil
}

func (r *resource) sorted(namespace string) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for key, o := range r.objects {
		if namespace == "" || key.Namespace == namespace {
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(strings.Compare(a.GetNamespace(), b.GetNamespace()), strings.Compare(a.GetName(), b.GetName()))
	})
	return all
}

// store creates or replaces an object and notifies the watches. The object belongs to
// the server from now on. If it is being deleted and has no finalizer left, it is
// removed.
func (s *Server) store(r *resource, o *unstructured.Unstructured) {
	if !r.namespaced {
		o.SetNamespace("")
	}
	key := types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
	before := r.objects[key]
	uid, created := uuid.NewUUID(), metav1.Now()
	if before != nil {
		uid, created = before.GetUID(), before.GetCreationTimestamp()
	}
	if o.GetUID() == "" {
		o.SetUID(uid)
	}
	if t := o.GetCreationTimestamp(); t.IsZero() {
		o.SetCreationTimestamp(created)
	}
	if o.GetDeletionTimestamp() != nil && len(o.GetFinalizers()) == 0 && before != nil && len(before.GetFinalizers()) > 0 {
		s.drop(r, o)
		return
	}
	s.version++
	o.SetResourceVersion(strconv.FormatInt(s.version, 10))
	r.objects[key] = o
	switch {
	case before == nil:
		s.notify(watch.Added, r, o)
	case before.GetUID() != o.GetUID():
		s.notify(watch.Deleted, r, before)
		s.notify(watch.Added, r, o)
	default:
		s.notify(watch.Modified, r, o)
	}
}

// drop removes an object and sends its last state to the watches.
func (s *Server) drop(r *resource, o *unstructured.Unstructured) {
	delete(r.objects, types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()})
	s.version++
	last := o.DeepCopy()
	last.SetResourceVersion(strconv.FormatInt(s.version, 10))
	s.notify(watch.Deleted, r, last)
}

func (s *Server) notify(what watch.EventType, r *resource, o *unstructured.Unstructured) {
	s.history = append(s.history, event{s.version, what, r, o})
	close(s.changed)
	s.changed = make(chan struct{})
}

// delete deletes an object for a client. An object with finalizers stays until they are
// removed.
func (s *Server) delete(r *resource, o *unstructured.Unstructured) {
	if len(o.GetFinalizers()) == 0 {
		s.drop(r, o)
		return
	}
	if o.GetDeletionTimestamp() == nil {
		o = o.DeepCopy()
		now := metav1.Now()
		o.SetDeletionTimestamp(&now)
		s.store(r, o)
	}
}

// create creates an object for a client.
func (s *Server) create(r *resource, o *unstructured.Unstructured) error {
	if o.GetName() == "" && o.GetGenerateName() != "" {
		o.SetName(fmt.Sprintf("%s%05d", o.GetGenerateName(), s.version))
	}
	if o.GetName() == "" {
		return apierrors.NewBadRequest("metadata.name: Required value: name or generateName is required")
	}
	if r.objects[types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}] != nil {
		return apierrors.NewAlreadyExists(schema.GroupResource{Group: r.group, Resource: r.plural}, o.GetName())
	}
	o.SetUID("")
	o.SetCreationTimestamp(metav1.Time{})
	o.SetDeletionTimestamp(nil)
	s.store(r, o)
	return nil
}

// update replaces the object before for a client.
func (s *Server) update(r *resource, before, o *unstructured.Unstructured) error {
	if v := o.GetResourceVersion(); v != "" && v != before.GetResourceVersion() {
		return apierrors.NewConflict(schema.GroupResource{Group: r.group, Resource: r.plural}, o.GetName(),
			errors.New("the object has been modified; please apply your changes to the latest version and try again"))
	}
	if uid := o.GetUID(); uid != "" && uid != before.GetUID() {
		return apierrors.NewConflict(schema.GroupResource{Group: r.group, Resource: r.plural}, o.GetName(),
			fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", uid, before.GetUID()))
	}
	o.SetUID(before.GetUID())
	o.SetCreationTimestamp(before.GetCreationTimestamp())
	o.SetDeletionTimestamp(before.GetDeletionTimestamp())
	o.SetResourceVersion(before.GetResourceVersion())
	if same(before, o) {
		return nil
	}
	s.store(r, o)
	return nil
}
