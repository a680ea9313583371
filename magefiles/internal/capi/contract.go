package capi

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi/release"
)

// contract is how the lab writes and reads the objects of one version of
// Cluster API's API. Each contract has a file here and a template in
// manifests/cluster.
type contract struct {
	// template is the manifest of a workload cluster.
	template string
	// provisioned reports whether a Cluster has its infrastructure, and
	// initialized whether it has a control plane, by the conditions that
	// `clusterctl move` checks.
	provisioned, initialized func(cluster *unstructured.Unstructured) bool
}

// contracts has the contracts that the lab can generate and read, by the version of the
// API. Every supported release has one of them.
var contracts = map[string]contract{
	release.V1Alpha3: v1alpha3, release.V1Alpha4: v1alpha4, release.V1Beta1: v1beta1, release.V1Beta2: v1beta2,
}

func contractOf(api string) (contract, error) {
	c, ok := contracts[api]
	if !ok {
		return contract{}, fmt.Errorf("version %q of Cluster API's API: want one of %s", api, strings.Join(slices.Sorted(maps.Keys(contracts)), ", "))
	}
	return c, nil
}
