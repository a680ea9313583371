package release

import (
	"slices"
	"strings"
	"testing"
)

// TestKubernetes has the releases on both sides of every boundary in the table.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		release, toolchain, cri, driver, roles, taints string
		moved, openAPI, cgroupV2, bound, slices, dns   bool
		packages                                       int
		refuses                                        bool
	}{
		{"1.16.15", "go1.13.15", "v1alpha2", "cgroupfs", "master", "master", true, false, false, false, false, false, 2, false},
		{"1.17.2", "go1.13.15", "v1alpha2", "cgroupfs", "master", "master", true, false, false, false, false, false, 2, false},
		{"1.18.20", "go1.13.15", "v1alpha2", "cgroupfs", "master", "master", true, false, false, false, false, false, 2, false},
		{"1.19.0", "go1.15.15", "v1alpha2", "cgroupfs", "master", "master", true, false, true, false, false, false, 2, false},
		{"1.19.16", "go1.15.15", "v1alpha2", "cgroupfs", "master", "master", true, false, true, false, false, false, 2, false},
		{"1.20.0", "go1.15.15", "v1alpha2", "cgroupfs", "master control-plane", "master", false, false, true, false, false, false, 2, false},
		{"1.20.15", "go1.15.15", "v1alpha2", "cgroupfs", "master control-plane", "master", false, false, true, false, false, false, 2, false},
		{"1.21.0", "go1.16.15", "v1alpha2", "cgroupfs", "master control-plane", "master", false, false, true, true, true, false, 2, false},
		{"1.21.14", "go1.16.15", "v1alpha2", "cgroupfs", "master control-plane", "master", false, false, true, true, true, false, 2, false},
		{"1.22.0", "go1.16.15", "v1alpha2", "cgroupfs", "master control-plane", "master", false, false, true, true, true, true, 2, false},
		{"1.22.17", "go1.16.15", "v1alpha2", "cgroupfs", "master control-plane", "master", false, false, true, true, true, true, 2, false},
		{"1.23.0", "go1.19.13", "v1", "cgroupfs", "master control-plane", "master", false, false, true, true, true, true, 2, false},
		{"1.23.17", "go1.19.13", "v1", "cgroupfs", "master control-plane", "master", false, false, true, true, true, true, 2, false},
		{"1.24.0", "go1.24.7", "v1", "systemd", "control-plane", "master control-plane", false, true, true, true, true, true, 2, false},
		{"1.24.17", "go1.24.7", "v1", "systemd", "control-plane", "master control-plane", false, true, true, true, true, true, 2, false},
		{"1.25.0", "go1.24.7", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 2, false},
		{"1.27.16", "go1.24.7", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 2, false},
		{"1.28.0-rc.1", "go1.24.7", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 1, false},
		{"1.30.14", "go1.24.7", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 1, false},
		{"1.31.13", "go1.24.7", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 1, false},
		{"1.31.14", "", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 1, false},
		{"1.32.9", "go1.24.7", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 1, false},
		{"1.32.10", "", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 1, false},
		{"1.33.5", "go1.24.7", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 1, false},
		{"1.33.6", "", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 1, false},
		{"1.34.1", "go1.24.7", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 1, false},
		{"1.34.2", "", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 1, false},
		{"1.34.9", "", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 1, false},
		{"1.35.0", "", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 1, true},
		{"1.37.2", "", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 1, true},
		{"1.99.0", "", "v1", "systemd", "control-plane", "control-plane", false, true, true, true, true, true, 1, true},
	} {
		k := OfKubernetes(v(tc.release))
		if k.Version.String() != tc.release || k.Toolchain != tc.toolchain || k.CRI != tc.cri || k.CgroupDriver != tc.driver {
			t.Errorf("%s: toolchain %q, CRI %s, cgroup driver %s", k.Version, k.Toolchain, k.CRI, k.CgroupDriver)
		}
		if got := strings.Join(k.Roles, " "); got != tc.roles {
			t.Errorf("%s: roles %q, want %q", tc.release, got, tc.roles)
		}
		if got := strings.Join(k.Taints, " "); got != tc.taints {
			t.Errorf("%s: taints %q, want %q", tc.release, got, tc.taints)
		}
		if (len(k.Moved) > 0) != tc.moved || k.OpenAPI != tc.openAPI || k.CgroupV2 != tc.cgroupV2 || k.BoundCgroups != tc.bound {
			t.Errorf("%s: moved %v, openapi %t, cgroup v2 %t, bound cgroups %t", tc.release, k.Moved, k.OpenAPI, k.CgroupV2, k.BoundCgroups)
		}
		if k.EndpointSlices != tc.slices || k.DNSSlices != tc.dns || len(k.VersionPackages) != tc.packages || k.RefusesCgroupV1 != tc.refuses {
			t.Errorf("%s: slices %t, DNS %t, version in %q, refuses cgroup v1 %t", tc.release, k.EndpointSlices, k.DNSSlices, k.VersionPackages, k.RefusesCgroupV1)
		}
		// Kubernetes supports cgroup v2 since 1.19, and since then the API
		// server no longer ignores that a watch is to begin with a list.
		if k.IgnoresWatchList == k.CgroupV2 {
			t.Errorf("%s: ignores lists in watches: %t", tc.release, k.IgnoresWatchList)
		}
		// Without this package, no program of Kubernetes states its version.
		if !slices.Contains(k.VersionPackages, componentBase) {
			t.Errorf("%s: version in %q", tc.release, k.VersionPackages)
		}
	}
	if got := FirstKubernetes(func(k Kubernetes) bool { return k.CgroupV2 }); got != "1.19.0" {
		t.Errorf("the first with cgroup v2 is %s", got)
	}
}
