package release

// Versions of Cluster API's API.
const (
	V1Beta1 = "v1beta1"
	V1Beta2 = "v1beta2"
)

// API is what objects of one version of Cluster API's API look like. In a cluster that
// the lab did not create, objects may have any version that the cluster serves.
type API struct {
	Version string
	// ArgsAreList reports whether kubeletExtraArgs are a list of names and
	// values, and not a mapping.
	ArgsAreList bool
	// RolloutAfter is the path of a time in a MachineDeployment: machines that are
	// older are replaced.
	RolloutAfter []string
}

// APIOf returns what is known about a version such as v1beta2. An unknown version is
// treated as the newest one.
func APIOf(version string) API {
	// api/v1beta1/machinedeployment_types.go and
	// bootstrap/kubeadm/api/v1beta1/kubeadm_types.go at v1.10.10.
	api := API{Version: version, RolloutAfter: []string{"spec", "rolloutAfter"}}
	switch version {
	case "v1alpha3", "v1alpha4", V1Beta1:
		return api
	}
	// api/core/v1beta2/machinedeployment_types.go and
	// api/bootstrap/kubeadm/v1beta2/kubeadm_types.go at v1.11.0.
	api.ArgsAreList = true
	api.RolloutAfter = []string{"spec", "rollout", "after"}
	return api
}
