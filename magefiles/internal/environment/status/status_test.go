package status

import (
	"strings"
	"testing"

	"caslab/magefiles/internal/capi"
)

func TestDoubts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		have capi.Versions
		want string
	}{
		{capi.Versions{ClusterAPI: "v1.14.2", Kubernetes: "v1.36.1"}, ""},
		{capi.Versions{ClusterAPI: "v1.14.2"}, ""},
		{capi.Versions{Kubernetes: "v1.38.0"}, ""},
		{capi.Versions{ClusterAPI: "v1.14.2", Kubernetes: "v1.38.0"}, "Kubernetes v1.38.0 is newer"},
		{capi.Versions{ClusterAPI: "v1.14.2", Kubernetes: "v1.32.11"}, "upstream supports Cluster API v1.14.2 on Kubernetes v1.33 to v1.37, but not on v1.32.11"},
	} {
		if got := strings.Join(doubts(tc.have), "\n"); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%+v: %q, want %q", tc.have, got, tc.want)
		}
	}
}
