package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Network is what `docker network inspect` says of one network, as far as svclab reads it.
type Network struct {
	ID, Name string
	Labels   map[string]string
	// Subnets in the engine's order, which may put IPv6 first.
	Subnets []Subnet
	// Used are the addresses of the running containers on it.
	Used []netip.Addr
	// Containers are their names.
	Containers []string
}

// Subnet is one range of a network. Gateway is the engine's own address in it; invalid where not said.
type Subnet struct {
	Prefix  netip.Prefix
	Gateway netip.Addr
}

// Networks lists the networks whose name is exactly that; an engine can hold several.
func (e *Engine) Networks(ctx context.Context, name string) ([]Network, error) {
	// the filter matches parts of names
	text, err := e.inspect(ctx, []string{"network", "ls", "--quiet", "--no-trunc", "--filter", "name=^" + name + "$"}, "network", "inspect")
	if err != nil || text == "" {
		return nil, err
	}
	networks, err := ParseNetworks([]byte(text))
	return slices.DeleteFunc(networks, func(n Network) bool { return n.Name != name }), err
}

// ParseNetworks reads the output of `docker network inspect`.
func ParseNetworks(text []byte) ([]Network, error) {
	var raw []struct {
		ID     string `json:"Id"`
		Name   string
		Labels map[string]string
		IPAM   struct {
			Config []struct{ Subnet, Gateway string }
		}
		Containers map[string]struct{ Name, IPv4Address, IPv6Address string }
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("read docker network inspect: %w", err)
	}
	networks := make([]Network, 0, len(raw))
	for _, r := range raw {
		n := Network{ID: r.ID, Name: r.Name, Labels: r.Labels}
		for _, c := range r.IPAM.Config {
			prefix, err := netip.ParsePrefix(c.Subnet)
			if err != nil {
				return nil, fmt.Errorf("read docker network inspect: network %s: %w", n.Name, err)
			}
			n.Subnets = append(n.Subnets, Subnet{Prefix: prefix.Masked(), Gateway: looseAddr(c.Gateway)})
		}
		for _, c := range r.Containers {
			n.Containers = append(n.Containers, c.Name)
			for _, text := range []string{c.IPv4Address, c.IPv6Address} {
				if addr := looseAddr(text); addr.IsValid() {
					n.Used = append(n.Used, addr)
				}
			}
		}
		slices.Sort(n.Containers)
		slices.SortFunc(n.Used, netip.Addr.Compare)
		networks = append(networks, n)
	}
	return networks, nil
}

// looseAddr reads "172.18.0.2", "172.18.0.2/16" or "" (which is invalid).
func looseAddr(text string) netip.Addr {
	text, _, _ = strings.Cut(text, "/")
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}
	}
	return addr
}

// Range is a run of addresses, both ends in it.
type Range struct{ First, Last netip.Addr }

// String prints the range as MetalLB's pools take it: "172.18.255.200-172.18.255.219".
func (r Range) String() string { return r.First.String() + "-" + r.Last.String() }

// Pools carves one range of size addresses out of each subnet that is wanted, IPv4 first: from the top of the subnet,
// where the engine, which hands out the lowest free address, comes last. The network's last address (IPv4: broadcast) and
// every address in use are kept out.
func (n Network) Pools(size int, ipv6 bool) ([]Range, error) {
	var v4, v6 []Range
	for _, s := range n.Subnets {
		if s.Prefix.Addr().Is6() && !ipv6 {
			continue
		}
		r, err := carve(s, n.Used, size)
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", n.Name, err)
		}
		if s.Prefix.Addr().Is6() {
			v6 = append(v6, r)
		} else {
			v4 = append(v4, r)
		}
	}
	switch {
	case len(v4) == 0:
		return nil, fmt.Errorf("network %s has no IPv4 subnet to take load balancer addresses from", n.Name)
	case ipv6 && len(v6) == 0:
		return nil, fmt.Errorf("network %s has no IPv6 subnet to take load balancer addresses from", n.Name)
	case ipv6:
		return []Range{v4[0], v6[0]}, nil
	}
	return v4[:1], nil
}

func carve(s Subnet, used []netip.Addr, size int) (Range, error) {
	if bits := s.Prefix.Addr().BitLen() - s.Prefix.Bits(); bits < 6 {
		return Range{}, fmt.Errorf("subnet %s is too small for %d load balancer addresses", s.Prefix, size)
	}
	last := top(s.Prefix).Prev() // not the broadcast address
	for first, run := last, 1; s.Prefix.Contains(first) && first != s.Prefix.Addr(); first, run = first.Prev(), run+1 {
		if first == s.Gateway || slices.Contains(used, first) {
			last, run = first.Prev(), 0
			continue
		}
		if run == size {
			return Range{First: first, Last: last}, nil
		}
	}
	return Range{}, fmt.Errorf("subnet %s has no %d free addresses in a row", s.Prefix, size)
}

// top is the highest address of a prefix.
func top(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 1 << (7 - bit%8)
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return addr
}
