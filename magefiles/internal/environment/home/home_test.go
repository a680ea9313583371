package home

import (
	"net/netip"
	"testing"
)

// TestRanges: each node gets a /24 for its pods, also the thousandth, and no address is both a pod's
// and a service's.
func TestRanges(t *testing.T) {
	t.Parallel()
	pods, services := netip.MustParsePrefix(PodCIDR), netip.MustParsePrefix(ServiceCIDR)
	if pods.Bits() > 14 {
		t.Errorf("%s has ranges for %d nodes", pods, 1<<max(24-pods.Bits(), 0))
	}
	if pods.Overlaps(services) {
		t.Errorf("%s and %s overlap", pods, services)
	}
	for _, p := range []netip.Prefix{pods, services} {
		if p != p.Masked() {
			t.Errorf("%s does not begin at its first address, %s", p, p.Masked())
		}
	}
}
