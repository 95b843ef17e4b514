package world

import (
	"net/netip"
	"testing"
)

func TestPoolContains(t *testing.T) {
	for _, c := range []struct {
		block, addr string
		want        bool
	}{{"172.18.255.0/28", "172.18.255.3", true}, {"172.18.255.0/28", "172.18.255.16", false},
		{"172.18.0.10-172.18.0.20", "172.18.0.20", true}, {"172.18.0.10 - 172.18.0.20", "172.18.0.9", false},
		{"fc00::10-fc00::20", "172.18.0.12", false}, {"fc00::10-fc00::20", "fc00::1f", true}, {"nonsense", "172.18.0.1", false},
		{"172.18.0.10-fc00::20", "172.18.0.12", false}} {
		if got := (Pool{Blocks: []string{c.block}}).Contains(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s in %q: %t", c.addr, c.block, got)
		}
	}
}
