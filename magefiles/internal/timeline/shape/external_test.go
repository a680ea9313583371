package shape

import (
	"testing"

	"caslab/magefiles/internal/kube/kubetest"
)

// TestExternalReportsProblemsOnly: conditions that are not True and have a message are problems, unless they are
// False when all is well. Such a condition that is Unknown counts if no other one is a problem. Ready repeats the
// others.
func TestExternalReportsProblemsOnly(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ object, want string }{
		"healthy":               {"status: {conditions: [{type: Ready, status: 'True', message: fine}, {type: Paused, status: 'False', message: not paused}, {type: Deleting, status: 'False', message: no}]}", ""},
		"without a message":     {"status: {conditions: [{type: ContainerProvisioned, status: 'False', reason: WaitingForBootstrapData}]}", ""},
		"False and Unknown":     {"status: {conditions: [{type: Ready, status: 'False', message: x}, {type: A, status: 'False', message: no image}, {type: B, status: Unknown, message: asked}]}", `{"machine":"a","problems":["A: no image","B: asked"]}`},
		"only Ready":            {"status: {conditions: [{type: Ready, status: 'False', message: no quota}]}", `{"machine":"a","problems":["Ready: no quota"]}`},
		"conditions of v1beta2": {"status: {v1beta2: {conditions: [{type: A, status: 'False', message: new}]}, conditions: [{type: A, status: 'False', message: old}]}", `{"machine":"a","problems":["A: new"]}`},
		"only Unknown":          {"status: {conditions: [{type: Deleting, status: Unknown, message: asked}, {type: Ready, status: Unknown, message: summary}]}", `{"machine":"a","problems":["Deleting: asked"]}`},
		"Unknown besides":       {"status: {conditions: [{type: Deleting, status: Unknown, message: asked}, {type: A, status: 'False', message: no image}]}", `{"machine":"a","problems":["A: no image"]}`},
		"a failure":             {"status: {failureReason: CreateError, failureMessage: no image}", `{"machine":"a","failure":"CreateError: no image"}`},
		"an older failure":      {"status: {deprecated: {v1beta1: {failureMessage: no image}}}", `{"machine":"a","failure":"no image"}`},
	} {
		o := kubetest.Object(t, "apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: DockerMachine\nmetadata: {name: a, namespace: default}\n"+tc.object)
		external, reports := OfExternal(o)
		if got := string(Encode(external)); reports != (tc.want != "") || reports && got != tc.want {
			t.Errorf("%s: %s, %t, want %s", name, got, reports, tc.want)
		}
	}
	owned := kubetest.Object(t, "apiVersion: bootstrap.cluster.x-k8s.io/v1beta2\nkind: KubeadmConfig\nmetadata: {name: a-config, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, name: a, uid: m}]}")
	if external, _ := OfExternal(owned); external.Machine != "a" {
		t.Errorf("it belongs to %s", external.Machine)
	}
}
