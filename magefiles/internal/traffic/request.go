package traffic

import (
	"net/http"
	"strings"
)

// Request is a kind of request to an API server.
type Request struct {
	// Verb is what is done: get, list, watch, create, update, patch, delete or deletecollection,
	// as in Kubernetes' audit log.
	Verb string `json:"verb"`
	// Path is the path in which the names of objects and namespaces are replaced:
	// /apis/GROUP/VERSION/namespaces/{namespace}/RESOURCE/{name}/SUBRESOURCE.
	Path string `json:"path"`
}

// verbs has the verbs of requests that change something, by their methods.
var verbs = map[string]string{
	http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
}

// parse returns the kind of a request. It reads paths as the API server does
// (k8s.io/apiserver, pkg/endpoints/request/requestinfo.go).
func parse(r *http.Request) Request {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	rest := len(parts) // of the path without its group and version
	switch parts[0] {
	case "api":
		rest = 2
	case "apis":
		rest = 3
	}
	if len(parts) <= rest { // discovery, or no path of an object
		return Request{Verb: verb(r, true), Path: r.URL.Path}
	}
	at := rest
	if parts[at] == "namespaces" && len(parts) > at+2 {
		parts[at+1] = "{namespace}"
		at += 2
	}
	named := len(parts) > at+1
	if named {
		parts[at+1] = "{name}"
	}
	return Request{Verb: verb(r, named), Path: "/" + strings.Join(parts, "/")}
}

func verb(r *http.Request, named bool) string {
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodDelete && !named:
		return "deletecollection"
	case verbs[r.Method] != "":
		return verbs[r.Method]
	case query.Get("watch") == "true" || query.Get("watch") == "1":
		return "watch"
	case named:
		return "get"
	}
	return "list"
}
