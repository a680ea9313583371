package release

// Versions of Cluster API's API.
const (
	V1Alpha3 = "v1alpha3"
	V1Alpha4 = "v1alpha4"
	V1Beta1  = "v1beta1"
	V1Beta2  = "v1beta2"
)

// API is what objects of one version of Cluster API's API look like. In a cluster that
// the lab did not create, objects may have any version that the cluster serves.
type API struct {
	Version string
	// ArgsAreList reports whether kubeletExtraArgs are a list of names and
	// values, and not a mapping.
	ArgsAreList bool
	// RolloutTimes are the paths of fields of a MachineDeployment. When all of them get
	// the current time, the machines that are older are replaced.
	RolloutTimes [][]string
}

// APIOf returns what is known about a version such as v1beta2. An unknown version is
// treated as the newest one.
func APIOf(version string) API {
	// bootstrap/kubeadm/api/v1beta1/kubeadm_types.go at v1.10.10.
	api := API{Version: version, RolloutTimes: [][]string{
		// api/v1beta1/machinedeployment_types.go since v1.4.0-rc.0.
		{"spec", "rolloutAfter"},
		// Before v1.4, machines are replaced if their template changes,
		// including its annotations: EqualMachineTemplate in
		// internal/controllers/machinedeployment/mdutil/util.go at v1.1.6. Later
		// releases apply a change of the annotations in place.
		{"spec", "template", "metadata", "annotations", "cluster.x-k8s.io/restartedAt"},
	}}
	switch version {
	case V1Alpha3, V1Alpha4, V1Beta1:
		return api
	}
	// api/core/v1beta2/machinedeployment_types.go and
	// api/bootstrap/kubeadm/v1beta2/kubeadm_types.go at v1.11.0.
	api.ArgsAreList = true
	api.RolloutTimes = [][]string{{"spec", "rollout", "after"}}
	return api
}
