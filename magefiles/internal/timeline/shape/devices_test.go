package shape

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestDevicesAreReadByOldAndNewLabs: labs that know only the names of the requests read the records of today,
// and old records have only the names.
func TestDevicesAreReadByOldAndNewLabs(t *testing.T) {
	t.Parallel()
	names, claims := []string{"gpu", "nic"}, []DeviceClaim{{Name: "gpu", Claim: "c"}, {Name: "nic", Template: "t"}}
	claim, template := "c", "t"
	today := Encode(OfPod(&corev1.Pod{Spec: corev1.PodSpec{ResourceClaims: []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimName: &claim}, {Name: "nic", ResourceClaimTemplateName: &template}}}}))
	var old struct{ Devices []string }
	if err := json.Unmarshal(today, &old); err != nil || !slices.Equal(old.Devices, names) {
		t.Errorf("an old lab reads %v of %s: %v", old.Devices, today, err)
	}
	for record, want := range map[string]Pod{string(today): {Devices: names, DeviceClaims: claims}, `{"devices":["gpu","nic"]}`: {Devices: names}} {
		var p Pod
		if err := json.Unmarshal([]byte(record), &p); err != nil || !reflect.DeepEqual(p, want) {
			t.Errorf("%s is read as %+v: %v", record, p, err)
		}
	}
}

// TestOfSchedulingOfDevices: what is for the driver alone is left out, and v1beta1 becomes v1.
func TestOfSchedulingOfDevices(t *testing.T) {
	t.Parallel()
	const claim = `{"metadata":{"name":"c","namespace":"ns","uid":"u"},"spec":{"devices":{"requests":[{"exactly":{"count":2,"deviceClassName":"gpu"},"name":"r"},{"firstAvailable":[{"deviceClassName":"gpu","name":"a"}],"name":"q"}]}},` +
		`"status":{"allocation":{"devices":{"results":[{"device":"gpu-0","driver":"d","pool":"n1","request":"r"}]}},"devices":[{"device":"gpu-0","driver":"d","pool":"n1"}],"reservedFor":[{"name":"p","resource":"pods","uid":"p"}]}}`
	const head = "metadata: {namespace: ns, name: c, uid: u, annotations: {x: z}}\n"
	const status = `
status:
  reservedFor: [{resource: pods, name: p, uid: p}]
  devices: [{driver: d, pool: n1, device: gpu-0, data: {secret: x}, networkData: {ips: [10.0.0.1]}}]
  allocation: {devices: {config: [{opaque: {parameters: {secret: x}}}], results: [{request: r, driver: d, pool: n1, device: gpu-0}]}}`
	for object, want := range map[string]string{
		"apiVersion: resource.k8s.io/v1\nkind: ResourceClaim\n" + head + `
spec: {devices: {config: [{opaque: {parameters: {secret: x}}}], requests: [{name: r, exactly: {deviceClassName: gpu, count: 2}}, {name: q, firstAvailable: [{name: a, deviceClassName: gpu}]}]}}` + status: claim,
		"apiVersion: resource.k8s.io/v1beta1\nkind: ResourceClaim\n" + head + `
spec: {devices: {requests: [{name: r, deviceClassName: gpu, count: 2}, {name: q, firstAvailable: [{name: a, deviceClassName: gpu}]}]}}` + status: claim,
		"apiVersion: resource.k8s.io/v1beta1\nkind: ResourceSlice\nmetadata: {name: s, uid: u}\nspec: {driver: d, nodeName: n1, pool: {name: n1, generation: 1, resourceSliceCount: 1}, devices: [{name: gpu-0, basic: {attributes: {model: {string: a}}}}, {name: gpu-1, basic: {}}]}": `{"metadata":{"name":"s","uid":"u"},"spec":{"devices":[{"attributes":{"model":{"string":"a"}},"name":"gpu-0"},{"name":"gpu-1"}],"driver":"d","nodeName":"n1","pool":{"generation":1,"name":"n1","resourceSliceCount":1}}}`,
		"apiVersion: resource.k8s.io/v1\nkind: DeviceClass\nmetadata: {name: gpu, uid: u}\nspec: {config: [{opaque: {parameters: {secret: x}}}], selectors: [{cel: {expression: \"true\"}}]}":                                                                                           `{"metadata":{"name":"gpu","uid":"u"},"spec":{"selectors":[{"cel":{"expression":"true"}}]}}`,
		"apiVersion: resource.k8s.io/v1\nkind: ResourceClaimTemplate\n" + head + "spec: {spec: {devices: {requests: [{name: r}]}}}":                                                                                                                                                     `{"metadata":{"name":"c","namespace":"ns","uid":"u"}}`,
	} {
		o := &unstructured.Unstructured{Object: *read[map[string]any](t, object)}
		if got := string(OfScheduling(o)); got != want {
			t.Errorf("%s\nthe shape is\n%s\nwant\n%s", object, got, want)
		}
	}
}

// TestCheckDevices: objects of versions before v1beta1 are not those that the scheduler reads today.
func TestCheckDevices(t *testing.T) {
	t.Parallel()
	for version, ok := range map[string]bool{"resource.k8s.io/v1": true, "resource.k8s.io/v1beta2": true, "resource.k8s.io/v1beta1": true, "resource.k8s.io/v1alpha3": false, "v1": true} {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": version, "kind": "ResourceClaim"}}
		if err := CheckDevices(o); (err == nil) != ok || !ok && !strings.Contains(err.Error(), "v1alpha3") {
			t.Errorf("%s: %v", version, err)
		}
	}
}
