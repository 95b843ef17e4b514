package docker_test

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

func network(t *testing.T, file string) docker.Network {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	networks, err := docker.ParseNetworks(text)
	if err != nil || len(networks) != 1 {
		t.Fatalf("%d networks, %v", len(networks), err)
	}
	return networks[0]
}

func TestParseNetwork(t *testing.T) {
	n := network(t, "network-dual-v6-first.json")
	if n.Name != "kind" || n.Labels["io.svclab.cluster"] != "kind" {
		t.Errorf("%+v", n)
	}
	if want := []string{"kind-control-plane", "kind-worker"}; !slices.Equal(n.Containers, want) {
		t.Errorf("containers %q", n.Containers)
	}
	want := []docker.Subnet{
		{Prefix: netip.MustParsePrefix("fc00:f853:ccd:e793::/64"), Gateway: netip.MustParseAddr("fc00:f853:ccd:e793::1")},
		{Prefix: netip.MustParsePrefix("172.18.0.0/16"), Gateway: netip.MustParseAddr("172.18.0.1")},
	}
	if !slices.Equal(n.Subnets, want) {
		t.Errorf("subnets %v", n.Subnets)
	}
	if len(n.Used) != 4 || n.Used[0] != netip.MustParseAddr("172.18.0.2") {
		t.Errorf("used %v", n.Used)
	}
}

func TestPools(t *testing.T) {
	for _, c := range []struct {
		file string
		ipv6 bool
		size int
		want string // ranges, or the error's beginning
	}{
		{"network-dual-v6-first.json", false, 20, "172.18.255.235-172.18.255.254"},
		{"network-dual-v6-first.json", true, 20, "172.18.255.235-172.18.255.254 fc00:f853:ccd:e793:ffff:ffff:ffff:ffeb-fc00:f853:ccd:e793:ffff:ffff:ffff:fffe"},
		// 20.10 says no IPv6 gateway
		{"network-20.10.json", true, 4, "172.20.255.251-172.20.255.254 fd12:3456:789a:0:ffff:ffff:ffff:fffb-fd12:3456:789a:0:ffff:ffff:ffff:fffe"},
		// containers and the gateway sit at the top
		{"network-small-used.json", false, 20, "192.168.7.229-192.168.7.248"},
		{"network-small-used.json", true, 20, "network lab has no IPv6 subnet"},
		{"network-small-used.json", false, 250, "network lab: subnet 192.168.7.0/24 has no 250 free addresses in a row"},
		{"network-v6-only.json", true, 20, "network six has no IPv4 subnet"},
		{"network-tiny.json", false, 20, "network tiny: subnet 10.9.8.0/28 is too small"},
	} {
		n := network(t, c.file)
		ranges, err := n.Pools(c.size, c.ipv6)
		if err != nil {
			if !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%s: %v, want %s", c.file, err, c.want)
			}
			continue
		}
		var texts []string
		for _, r := range ranges {
			texts = append(texts, r.String())
			for _, s := range n.Subnets {
				for _, used := range append(slices.Clone(n.Used), s.Gateway) {
					if r.First.Compare(used) <= 0 && used.Compare(r.Last) <= 0 && used.BitLen() == r.First.BitLen() {
						t.Errorf("%s: %s holds %s, which is in use", c.file, r, used)
					}
				}
			}
		}
		if got := strings.Join(texts, " "); got != c.want {
			t.Errorf("%s (IPv6 %v): %s, want %s", c.file, c.ipv6, got, c.want)
		}
	}
}

func TestParseNetworkRefusesNonsense(t *testing.T) {
	for _, text := range []string{"", "{}", `[{"IPAM":{"Config":[{"Subnet":"x"}]}}]`} {
		if networks, err := docker.ParseNetworks([]byte(text)); err == nil {
			t.Errorf("%q: %+v", text, networks)
		}
	}
}
