package matrix

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caslab/magefiles/internal/capi/release/proof"
)

// TestMatrixInReadme: README.md has the short matrix.
func TestMatrixInReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	proofs, err := proof.All()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := inReadme(string(readme), proofs); err != nil || got != string(readme) {
		t.Errorf("README.md does not have the matrix as config:matrix prints it (%v); in its section on other versions it must be\n%s", err, markdown(proofs))
	}
}

// TestMatrix: the short matrix has one row for each series. The whole one has a row for
// each change, for main and for each proof.
func TestMatrix(t *testing.T) {
	t.Parallel()
	proofs := []proof.Record{{
		ClusterAPI: "v1.10.10", Kubernetes: "v1.33.4", Autoscaler: "v1.33.6", Built: "2026-01-02",
		Seconds: proof.Seconds{Build: 192}, Failed: "no template",
	}}
	for _, tc := range []struct {
		write func(*strings.Builder) error
		want  []string
	}{
		{
			func(out *strings.Builder) error { return writeMatrix(out, proofs) },
			[]string{
				"v1.14.2 v1.33 to v1.37 v1.36.1 v1.36.1 v1beta2 today's Go library - - -",
				"v1.10.10 v1.29 to v1.33 v1.33.4 v1.33.6 v1beta1 today's Go its own 2026-01-02 - -",
				"v0.3.25 v1.16 to v1.21 v1.18.19 v1.18.3 v1alpha3 go1.13.15 its own - - -",
			},
		},
		{
			func(out *strings.Builder) error { return writeWholeMatrix(out, proofs) },
			[]string{
				"main v1.33 to v1.37 v1.36.1 v1.36.1 v1beta2 today's Go library Dev* kind 1.55 kindest/haproxy:v20230606-42a2262b -",
				"v1.13.6 v1.32 to v1.37 v1.36.1 v1.36.1 v1beta2 today's Go library Docker*, Dev* kind 1.54 kindest/haproxy:v20230606-42a2262b -",
				"v0.3.5 v1.16 to v1.19 v1.18.19 v1.18.3 v1alpha3 go1.13.15 its own Docker* bridge 1.42 kindest/haproxy:2.1.1-alpine docker, kube-rbac-proxy, webhook Deployments",
				"v1.36.1 today's Go cluster.x-k8s.io v1alpha3 to v1beta2 auto-discovery, CAPI_VERSION, from zero, labels and taints of empty groups, skips paused groups, taints of templates -",
				`v1.36.0 today's Go cluster.x-k8s.io v1alpha3 to v1beta2 auto-discovery, CAPI_VERSION, from zero, labels and taints of empty groups, skips paused groups, taints of templates its version file says "dev"`,
				"v1.25.0 today's Go cluster.x-k8s.io v1alpha3 to v1beta1 auto-discovery, CAPI_VERSION, from zero -",
				"v1.10.10 v1.33.4 v1.33.6 2026-01-02 - - build 192 no template",
			},
		},
	} {
		var out strings.Builder
		if err := tc.write(&out); err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(out.String()) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		for _, want := range tc.want {
			if !strings.Contains("\n"+strings.Join(lines, "\n")+"\n", "\n"+want+"\n") {
				t.Errorf("there is no line %q in\n%s", want, &out)
			}
		}
	}
}
