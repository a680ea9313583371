package hollow

import (
	"bytes"
	"fmt"
	"strconv"
	"text/template"

	"caslab/manifests"
)

// Name is the name of the controller's namespace, of its Deployment and service account, and of
// its roles.
const Name = "caslab-hollow"

// Deployment is the controller in a cluster that manages itself.
type Deployment struct {
	// Image is a reference that the nodes of the control plane have.
	Image string
	// Role is the role of these nodes, such as control-plane. Tolerated has the roles whose
	// taints they may have.
	Role      string
	Tolerated []string
}

// Manifest returns the YAML of the Deployment and of what it needs.
func (d Deployment) Manifest() ([]byte, error) {
	role, err := manifests.FS.ReadFile("hollow/role.yaml")
	if err != nil {
		return nil, fmt.Errorf("read the rights of the controller of hollow machines: %w", err)
	}
	t, err := template.New("").Option("missingkey=error").Funcs(template.FuncMap{"quote": strconv.Quote}).
		ParseFS(manifests.FS, "hollow/deployment.yaml.tmpl")
	if err != nil {
		return nil, fmt.Errorf("read the deployment of the controller of hollow machines: %w", err)
	}
	out := bytes.NewBuffer(append(role, "---\n"...))
	err = t.ExecuteTemplate(out, "deployment.yaml.tmpl", struct {
		Deployment
		Name string
	}{d, Name})
	if err != nil {
		return nil, fmt.Errorf("fill in the deployment of the controller of hollow machines: %w", err)
	}
	return out.Bytes(), nil
}

// Definitions returns the YAML of the definitions of the kinds.
func Definitions() ([]byte, error) {
	data, err := manifests.FS.ReadFile("hollow/crds.yaml")
	if err != nil {
		return nil, fmt.Errorf("read the kinds of hollow machines: %w", err)
	}
	return data, nil
}
