package autoscaler

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"caslab/manifests"
)

// Name is the name of the Deployment, of its service account and, with a
// suffix, of its roles.
//
// It is not upstream's: the lab never takes over another's autoscaler.
const Name = "caslab-autoscaler"

// Component is how the autoscaler signs its events, and part of the name of
// its image.
const Component = "cluster-autoscaler"

// Lease is the lease of the autoscaler that leads, unless a flag says
// otherwise.
const Lease = "cluster-autoscaler"

// Named reports whether one of the names, of an object or of its images, is an
// autoscaler's: the lab's, whatever its image is called, or anybody's.
func Named(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return strings.HasPrefix(name, Name) || strings.Contains(name, Component)
	})
}

// Deployment is an autoscaler in the cluster.
type Deployment struct {
	Namespace string
	// Image is on the node that it will run on, or can be pulled.
	Image string
	Flags []Flag
	// Env is KEY=value each.
	Env []EnvVar
	// OnControlPlane keeps it on control plane nodes, which scale-down never
	// removes.
	OnControlPlane bool
}

// EnvVar is a variable of the container.
type EnvVar struct{ Name, Value string }

// Manifest is the YAML of the Deployment and of what it is allowed to do.
func (d Deployment) Manifest() ([]byte, error) {
	t, err := template.New("").Option("missingkey=error").Funcs(template.FuncMap{"quote": strconv.Quote}).
		ParseFS(manifests.FS, "autoscaler/deployment.yaml.tmpl")
	if err != nil {
		return nil, fmt.Errorf("read the autoscaler's deployment: %w", err)
	}
	var out bytes.Buffer
	err = t.ExecuteTemplate(&out, "deployment.yaml.tmpl", struct {
		Deployment
		Name string
		Args []string
	}{d, Name, Args(d.Flags)})
	if err != nil {
		return nil, fmt.Errorf("fill in the autoscaler's deployment: %w", err)
	}
	return out.Bytes(), nil
}
