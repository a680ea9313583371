package capi

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/capi/release"
)

// TestContractsReadTheStatus: each contract reads the status in the same way as
// its `clusterctl move`.
func TestContractsReadTheStatus(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		api, status              string
		provisioned, initialized bool
	}{
		{release.V1Alpha3, `{}`, false, false},
		{release.V1Alpha3, `{infrastructureReady: true, controlPlaneReady: true}`, true, false},
		{release.V1Alpha3, `{infrastructureReady: true, controlPlaneInitialized: true}`, true, false},
		{release.V1Alpha3, `{infrastructureReady: true, controlPlaneInitialized: true, controlPlaneReady: true}`, true, true},
		{release.V1Alpha3, `{controlPlaneInitialized: true, controlPlaneReady: true}`, false, true},
		{release.V1Alpha4, `{infrastructureReady: true, controlPlaneInitialized: true, controlPlaneReady: true}`, true, false},
		{release.V1Alpha4, `{infrastructureReady: true, controlPlaneReady: true, conditions: [{type: ControlPlaneInitialized, status: "True"}]}`, true, true},
		{release.V1Beta1, `{}`, false, false},
		{release.V1Beta1, `{infrastructureReady: true}`, true, false},
		{release.V1Beta1, `{infrastructureReady: true, controlPlaneReady: true}`, true, false},
		{release.V1Beta1, `{infrastructureReady: true, conditions: [{type: ControlPlaneInitialized, status: "True"}]}`, true, false},
		{release.V1Beta1, `{infrastructureReady: true, controlPlaneReady: true, conditions: [{type: ControlPlaneInitialized, status: "False"}]}`, true, false},
		{release.V1Beta1, `{infrastructureReady: true, controlPlaneReady: true, conditions: [{type: ControlPlaneInitialized, status: "True"}]}`, true, true},
		{release.V1Beta1, `{initialization: {infrastructureProvisioned: true, controlPlaneInitialized: true}}`, false, false},
		{release.V1Beta2, `{initialization: {infrastructureProvisioned: true, controlPlaneInitialized: true}}`, true, false},
		{release.V1Beta2, `{initialization: {infrastructureProvisioned: true, controlPlaneInitialized: true}, conditions: [{type: ControlPlaneInitialized, status: "True"}]}`, true, true},
		{release.V1Beta2, `{infrastructureReady: true, controlPlaneReady: true, conditions: [{type: ControlPlaneInitialized, status: "True"}]}`, false, false},
	} {
		var status map[string]any
		if err := yaml.Unmarshal([]byte(tc.status), &status); err != nil {
			t.Fatal(err)
		}
		c, err := contractOf(tc.api)
		if err != nil {
			t.Fatal(err)
		}
		cluster := &unstructured.Unstructured{Object: map[string]any{"status": status}}
		if p, i := c.provisioned(cluster), c.initialized(cluster); p != tc.provisioned || i != tc.initialized {
			t.Errorf("%s, status %s: provisioned %t, initialised %t", tc.api, tc.status, p, i)
		}
	}
}
