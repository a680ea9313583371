package release

// V1Beta2 is the version of Cluster API's API that the lab's templates speak.
const V1Beta2 = "v1beta2"

// API is what objects of one version of Cluster API's API look like. An object
// of another's cluster may have any version that the cluster serves.
type API struct {
	Version string
	// ArgsAreList reports whether kubeletExtraArgs are a list of names and
	// values, and not a mapping.
	ArgsAreList bool
	// RolloutAfter is the path of the time at which a MachineDeployment has all
	// machines replaced that are older.
	RolloutAfter []string
}

// APIOf returns what is known of a version such as v1beta2. One that the lab
// does not know is taken to be like the newest.
func APIOf(version string) API {
	// api/v1beta1/machinedeployment_types.go and
	// bootstrap/kubeadm/api/v1beta1/kubeadm_types.go at v1.10.10.
	api := API{Version: version, RolloutAfter: []string{"spec", "rolloutAfter"}}
	switch version {
	case "v1alpha3", "v1alpha4", "v1beta1":
		return api
	}
	// api/core/v1beta2/machinedeployment_types.go and
	// api/bootstrap/kubeadm/v1beta2/kubeadm_types.go at v1.11.0.
	api.ArgsAreList = true
	api.RolloutAfter = []string{"spec", "rollout", "after"}
	return api
}
