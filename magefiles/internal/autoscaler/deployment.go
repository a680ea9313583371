package autoscaler

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/google/go-containerregistry/pkg/name"

	"caslab/manifests"
)

// Name is the name of the lab's Deployment, of its service account and, with a
// suffix, of its roles. It differs from upstream's, so that the lab never takes
// over an autoscaler that it did not deploy.
const Name = "caslab-autoscaler"

// Component is upstream's name: that of the program, of its image and of its
// Deployment, and the source of its events.
const Component = "cluster-autoscaler"

// Lease is the default name of the lease for the autoscaler's leader election.
const Lease = "cluster-autoscaler"

// Container is a container of a Deployment or a Pod.
type Container struct {
	Image   string
	Command []string
}

// Runs reports whether a container of the Deployment or Pod with the name object runs a
// cluster autoscaler. It knows the lab's autoscaler by the object's name, and others by
// the name of the object, of the image or of the program. A longer name, such as
// cluster-autoscaler-operator, is another program.
func Runs(object string, c Container) bool {
	return named.MatchString(object) || isImage(c.Image) || len(c.Command) > 0 && path.Base(c.Command[0]) == Component
}

// named matches the names of Deployments and Pods of the lab, of upstream's examples
// and of its Helm chart, which puts the name of the Helm release first. The suffixes
// that Kubernetes generates have no vowels.
var named = regexp.MustCompile(`^(?:` + Name + `|(?:.+-)?` + Component + `)(?:(?:-[bcdfghjklmnpqrstvwxz2456789]{1,10})?-[bcdfghjklmnpqrstvwxz2456789]{5})?$`)

// architectures are the suffixes of upstream's images for one architecture.
var architectures = []string{"", "-amd64", "-arm", "-arm64", "-ppc64le", "-s390x"}

// isImage reports whether the last part of an image's repository is upstream's
// name.
func isImage(ref string) bool {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return false
	}
	suffix, found := strings.CutPrefix(path.Base(parsed.Context().RepositoryStr()), Component)
	return found && slices.Contains(architectures, suffix)
}

// Deployment describes the lab's autoscaler in the cluster.
type Deployment struct {
	Namespace string
	// Image is a reference that its node has, or can pull.
	Image string
	Flags []Flag
	// Env has the variables of the container.
	Env []EnvVar
	// Role, if not empty, restricts the pod to nodes with that role, such as control-plane.
	// Tolerated has the roles whose taints the pod tolerates.
	Role      string
	Tolerated []string
	// Rules are what the autoscaler may do; nil means the lab's own rules.
	Rules *Rules
}

// EnvVar is a variable of the container.
type EnvVar struct{ Name, Value string }

// Manifest returns the YAML of the Deployment, its service account and its roles.
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
