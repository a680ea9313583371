package kubetest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/version"
	"sigs.k8s.io/yaml"
)

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, err := parse(r)
	if err == nil {
		s.mu.Lock()
		s.counts[q.Verb+" "+q.countKey()]++
		intercepts := slices.Clone(s.intercepts)
		s.mu.Unlock()
		for _, f := range intercepts {
			if err = f(q); err != nil {
				break
			}
		}
	}
	if err == nil {
		err = s.answer(w, q, r.Header.Get("Content-Type"))
	}
	if err != nil {
		refuse(w, err)
	}
}

func (q Request) countKey() string {
	if q.Resource == "" {
		return q.Path
	}
	return q.Resource
}

func refuse(w http.ResponseWriter, err error) {
	if errors.Is(err, ErrHangUp) {
		panic(http.ErrAbortHandler)
	}
	status := apierrors.NewInternalError(err).Status()
	if known := apierrors.APIStatus(nil); errors.As(err, &known) {
		status = known.Status()
	}
	status.Kind, status.APIVersion = "Status", "v1"
	reply(w, int(status.Code), status)
}

func reply(w http.ResponseWriter, code int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer) // the client may have gone
}

// parse reads what a request asks for from its path:
// /api/v1/namespaces/NAMESPACE/pods/NAME, /apis/GROUP/VERSION/nodes/NAME.
func parse(r *http.Request) (Request, error) {
	q := Request{Context: r.Context(), Path: r.URL.Path, Query: r.URL.Query()}
	var err error
	if q.Body, err = io.ReadAll(r.Body); err != nil {
		return q, err
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case q.Path == "/readyz":
		q.Verb = "readyz"
		return q, nil
	case parts[0] == "api" && len(parts) > 2:
		q.Version, parts = parts[1], parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		q.Group, q.Version, parts = parts[1], parts[2], parts[3:]
	default:
		q.Verb = "discover"
		return q, nil
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		q.Namespace, parts = parts[1], parts[2:]
	}
	q.Resource = parts[0]
	if len(parts) > 1 {
		q.Name = parts[1]
	}
	subresource := ""
	if len(parts) > 2 {
		subresource = path.Join(parts[2:]...)
	}
	switch {
	case subresource == "log":
		q.Verb = "log"
	case strings.HasPrefix(subresource, "proxy/"):
		q.Verb = "proxy"
	case subresource != "" && subresource != "status":
		return q, apierrors.NewGenericServerResponse(http.StatusNotFound, "", schema.GroupResource{}, q.Name, "no such subresource in tests", 0, false)
	case r.Method == http.MethodGet && q.Query.Get("watch") != "":
		q.Verb = "watch"
	case r.Method == http.MethodGet && q.Name == "":
		q.Verb = "list"
	case r.Method == http.MethodGet:
		q.Verb = "get"
	case r.Method == http.MethodPost:
		q.Verb = "create"
	case r.Method == http.MethodPut:
		q.Verb = "update"
	case r.Method == http.MethodPatch && strings.HasPrefix(r.Header.Get("Content-Type"), string(types.ApplyPatchType)):
		q.Verb = "apply"
	case r.Method == http.MethodPatch:
		q.Verb = "patch"
	case r.Method == http.MethodDelete && q.Name != "":
		q.Verb = "delete"
	default:
		return q, apierrors.NewMethodNotSupported(schema.GroupResource{Group: q.Group, Resource: q.Resource}, r.Method)
	}
	return q, nil
}

func (s *Server) answer(w http.ResponseWriter, q Request, contentType string) error {
	switch q.Verb {
	case "readyz":
		_, err := io.WriteString(w, "ok")
		return err
	case "discover":
		answer := s.discover(q.Path)
		if answer == nil {
			return apierrors.NewGenericServerResponse(http.StatusNotFound, "", schema.GroupResource{}, "", "", 0, true)
		}
		reply(w, http.StatusOK, answer)
		return nil
	case "log":
		return s.log(w, q)
	case "proxy":
		return s.proxy(w, q)
	case "watch":
		return s.watch(w, q)
	}
	s.mu.Lock()
	answer, err := s.do(q, contentType)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	code := http.StatusOK
	if q.Verb == "create" {
		code = http.StatusCreated
	}
	reply(w, code, answer)
	return nil
}

// discover answers in the form that API servers had before 1.26, which every
// client reads.
func (s *Server) discover(path string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path == "/version" {
		return version.Info{Major: "1", Minor: "36", GitVersion: "v1.36.1"}
	}
	if path == "/api" {
		return metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}
	}
	groups := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{}}
	lists := map[string]*metav1.APIResourceList{"/api/v1": {TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "v1"}}
	for _, r := range s.resources {
		i := slices.IndexFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == r.group })
		if i < 0 && r.group != "" {
			i = len(groups.Groups)
			groups.Groups = append(groups.Groups, metav1.APIGroup{Name: r.group})
		}
		for _, version := range r.versions {
			gv := schema.GroupVersion{Group: r.group, Version: version}
			at := "/api/" + version
			if r.group != "" {
				at = "/apis/" + gv.String()
				v := metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: version}
				if g := &groups.Groups[i]; !slices.Contains(g.Versions, v) {
					g.Versions = append(g.Versions, v)
					g.PreferredVersion = g.Versions[0]
				}
			}
			if lists[at] == nil {
				lists[at] = &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: gv.String()}
			}
			lists[at].APIResources = append(lists[at].APIResources, metav1.APIResource{
				Name: r.plural, SingularName: strings.ToLower(r.kind), Kind: r.kind, Namespaced: r.namespaced,
				Verbs: metav1.Verbs{"create", "delete", "get", "list", "patch", "update", "watch"},
			})
		}
	}
	if path == "/apis" {
		return groups
	}
	if list := lists[path]; list != nil {
		return list
	}
	return nil
}

// requestedResource returns the resource that a request is about, if it is served.
func (s *Server) requestedResource(q Request) (*resource, error) {
	for _, r := range s.resources {
		if r.group == q.Group && r.plural == q.Resource && slices.Contains(r.versions, q.Version) {
			if q.Namespace != "" && !r.namespaced {
				break
			}
			return r, nil
		}
	}
	return nil, apierrors.NewGenericServerResponse(http.StatusNotFound, "", schema.GroupResource{}, "", "", 0, true)
}

// do answers requests for objects. The caller holds the lock.
func (s *Server) do(q Request, contentType string) (any, error) {
	r, err := s.requestedResource(q)
	if err != nil {
		return nil, err
	}
	if q.Verb == "list" {
		return s.list(r, q)
	}
	key := types.NamespacedName{Namespace: q.Namespace, Name: q.Name}
	there := r.objects[key]
	if there == nil && q.Verb != "create" && q.Verb != "apply" {
		return nil, apierrors.NewNotFound(schema.GroupResource{Group: r.group, Resource: r.plural}, q.Name)
	}
	switch q.Verb {
	case "get":
		return as(r, there, q.Version), nil
	case "delete":
		s.delete(r, there)
		return metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess}, nil
	}
	o := new(unstructured.Unstructured)
	if err := yaml.Unmarshal(q.Body, &o.Object); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	fields := s.fields(r, q.Version, q.Query.Get("fieldManager"), q.Query.Get("force") == "true")
	switch q.Verb {
	case "create", "update":
		if gvk := (schema.GroupVersionKind{Group: r.group, Version: q.Version, Kind: r.kind}); o.GroupVersionKind() != gvk {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("the object has the kind %s, want %s", o.GroupVersionKind(), gvk))
		}
		if o.GetNamespace() != q.Namespace && o.GetNamespace() != "" || q.Verb == "update" && o.GetName() != q.Name {
			return nil, apierrors.NewBadRequest("the object has another name or namespace than the URL")
		}
		if r.namespaced {
			o.SetNamespace(q.Namespace)
		}
	case "patch":
		if !strings.HasPrefix(contentType, string(types.MergePatchType)) {
			return nil, apierrors.NewGenericServerResponse(http.StatusUnsupportedMediaType, "", schema.GroupResource{}, q.Name, "this API server knows only merge patches, not "+contentType, 0, false)
		}
		o.Object = merged(there.DeepCopy().Object, o.Object).(map[string]any)
	}
	if q.Verb == "apply" {
		if o, err = fields.apply(there, o); err != nil {
			return nil, err
		}
	} else {
		o = fields.update(there, o)
	}
	if there == nil {
		err = s.create(r, o)
	} else {
		err = s.update(r, there, o)
	}
	if err != nil {
		return nil, err
	}
	return as(r, o, q.Version), nil
}

func (s *Server) list(r *resource, q Request) (any, error) {
	matches, err := selector(q)
	if err != nil {
		return nil, err
	}
	items := []any{}
	for _, o := range r.sorted(q.Namespace) {
		if matches(o) {
			items = append(items, as(r, o, q.Version))
		}
	}
	return map[string]any{
		"kind": r.kind + "List", "apiVersion": schema.GroupVersion{Group: r.group, Version: q.Version}.String(),
		"metadata": map[string]any{"resourceVersion": strconv.FormatInt(s.version, 10)}, "items": items,
	}, nil
}

// selector returns a function that reports whether a list or watch includes an object.
func selector(q Request) (func(*unstructured.Unstructured) bool, error) {
	wanted, err := labels.Parse(q.Query.Get("labelSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	name, named := strings.CutPrefix(q.Query.Get("fieldSelector"), "metadata.name=")
	if !named && name != "" {
		return nil, apierrors.NewBadRequest("this API server knows only the field selector metadata.name, not " + name)
	}
	return func(o *unstructured.Unstructured) bool {
		return wanted.Matches(labels.Set(o.GetLabels())) && (name == "" || o.GetName() == name)
	}, nil
}

// as returns an object in a version of its kind.
func as(r *resource, o *unstructured.Unstructured, version string) map[string]any {
	object := make(map[string]any, len(o.Object))
	for key, value := range o.Object {
		object[key] = value
	}
	object["kind"], object["apiVersion"] = r.kind, schema.GroupVersion{Group: r.group, Version: version}.String()
	return object
}

func same(a, b *unstructured.Unstructured) bool {
	without := func(o *unstructured.Unstructured) map[string]any {
		o = o.DeepCopy()
		o.SetManagedFields(nil)
		return o.Object
	}
	return reflect.DeepEqual(without(a), without(b))
}

// merged is a merge patch of RFC 7386.
func merged(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for key, value := range changes {
		if value == nil {
			delete(object, key)
			continue
		}
		object[key] = merged(object[key], value)
	}
	return object
}

// watch sends the changes after a resource version, until the client leaves or the
// watches are cut.
func (s *Server) watch(w http.ResponseWriter, q Request) error {
	s.mu.Lock()
	r, err := s.requestedResource(q)
	from, cut := s.version, s.cut
	s.mu.Unlock()
	if err != nil {
		return err
	}
	matches, err := selector(q)
	if err != nil {
		return err
	}
	if v := q.Query.Get("resourceVersion"); v != "" {
		if from, err = strconv.ParseInt(v, 10, 64); err != nil {
			return apierrors.NewBadRequest("resourceVersion: " + err.Error())
		}
	}
	var timeout <-chan time.Time
	if seconds, err := strconv.Atoi(q.Query.Get("timeoutSeconds")); err == nil {
		timer := time.NewTimer(time.Duration(seconds) * time.Second)
		defer timer.Stop()
		timeout = timer.C
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	out, flush := json.NewEncoder(w), http.NewResponseController(w).Flush
	for {
		s.mu.Lock()
		changed, expired := s.changed, from < s.forgotten
		i, _ := slices.BinarySearchFunc(s.history, from+1, func(e event, v int64) int { return int(e.version - v) })
		news := slices.Clone(s.history[i:])
		s.mu.Unlock()
		if expired {
			status := apierrors.NewResourceExpired("too old resource version").Status()
			status.Kind, status.APIVersion = "Status", "v1"
			_ = out.Encode(map[string]any{"type": "ERROR", "object": status})
			return nil
		}
		for _, e := range news {
			from = e.version
			if e.resource != r || q.Namespace != "" && e.object.GetNamespace() != q.Namespace || !matches(e.object) {
				continue
			}
			if err := out.Encode(map[string]any{"type": e.what, "object": as(r, e.object, q.Version)}); err != nil {
				return nil // the client has gone
			}
		}
		if err := flush(); err != nil {
			return nil
		}
		select {
		case <-changed:
		case <-cut:
			return nil
		case <-timeout:
			return nil
		case <-q.Context.Done():
			return nil
		}
	}
}

// fields updates managedFields as an API server does.
type fields struct {
	*managedfields.FieldManager
	manager string
	force   bool
}

func (s *Server) fields(r *resource, version, name string, force bool) fields {
	gvk := schema.GroupVersionKind{Group: r.group, Version: version, Kind: r.kind}
	manager, err := managedfields.NewDefaultCRDFieldManager(managedfields.NewDeducedTypeConverter(), untyped{}, untyped{}, untyped{}, gvk, gvk.GroupVersion(), "", nil)
	if err != nil {
		s.t.Errorf("managed fields of %s: %v", gvk, err)
	}
	return fields{manager, cmp.Or(name, "test"), force}
}

func (f fields) update(before, o *unstructured.Unstructured) *unstructured.Unstructured {
	if before == nil {
		before = &unstructured.Unstructured{Object: map[string]any{"apiVersion": o.GetAPIVersion(), "kind": o.GetKind()}}
	}
	return f.UpdateNoErrors(before.DeepCopy(), o, f.manager).(*unstructured.Unstructured)
}

func (f fields) apply(before, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if before == nil {
		before = &unstructured.Unstructured{Object: map[string]any{"apiVersion": o.GetAPIVersion(), "kind": o.GetKind()}}
		before.SetName(o.GetName())
		before.SetNamespace(o.GetNamespace())
	}
	applied, err := f.Apply(before.DeepCopy(), o, f.manager, f.force)
	if err != nil {
		return nil, err
	}
	if accessor, err := meta.Accessor(applied); err == nil {
		accessor.SetResourceVersion("")
	}
	return applied.(*unstructured.Unstructured), nil
}

// untyped has what the library of managed fields needs for objects without types.
type untyped struct{}

func (untyped) Default(runtime.Object) {}

func (untyped) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	o := new(unstructured.Unstructured)
	o.SetGroupVersionKind(kind)
	return o, nil
}

func (untyped) Convert(_, _, _ any) error { return errors.New("nothing is converted") }

func (untyped) ConvertToVersion(o runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	return o, nil
}

func (untyped) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}
