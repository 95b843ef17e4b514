package cluster

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"

	"github.com/svclab/svclab/e2e/cluster/docker"
)

// createNetwork creates the cluster's own Docker network. Its labels say whose everything on it is, so it comes first.
// With a network of its own the cluster shares no addresses with others, and Down can remove all.
func (c *Cluster) createNetwork(ctx context.Context, m marker) error {
	var err error
	mtu := c.bridgeMTU(ctx)
	for attempt := range 8 {
		args := networkArgs(m, c.settings.Use.Run, mtu, nil)
		if c.settings.Family == Dual {
			subnet := uniqueLocal(m.Name, attempt)
			args = networkArgs(m, c.settings.Use.Run, mtu, &subnet)
		}
		if err = c.engine.Run(ctx, args...); err == nil {
			return nil
		}
		if c.settings.Family != Dual || !strings.Contains(err.Error(), "verlap") { // "Pool overlaps …", "… have overlapping …"
			break
		}
	}
	return fmt.Errorf("create the Docker network %s: %w", m.Name, err)
}

// networkArgs are the arguments of docker that create the network. A nil subnet leaves IPv6 out; the engine chooses IPv4's.
func networkArgs(m marker, run, mtu string, ipv6 *netip.Prefix) []string {
	args := []string{"network", "create", "--driver", "bridge",
		"--label", ownerLabel + "=" + m.Name, "--label", configLabel + "=" + m.Config, "--label", summaryLabel + "=" + m.Summary,
		"--opt", "com.docker.network.bridge.enable_ip_masquerade=true"}
	if run != "" {
		args = append(args, "--label", runLabel+"="+run)
	}
	if mtu != "" {
		args = append(args, "--opt", "com.docker.network.driver.mtu="+mtu)
	}
	if ipv6 != nil {
		args = append(args, "--ipv6", "--subnet", ipv6.String())
	}
	return append(args, m.Name)
}

// uniqueLocal is an IPv6 subnet for a name (RFC 4193), another one for each attempt.
func uniqueLocal(name string, attempt int) netip.Prefix {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", name, attempt))
	var addr [16]byte
	addr[0] = 0xfd
	copy(addr[1:6], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(addr), 64)
}

// bridgeMTU is what the engine's default network was given, for networks behind a tunnel; "" where none was, or where
// the engine has no such network.
func (c *Cluster) bridgeMTU(ctx context.Context) string {
	mtu, err := c.engine.Output(ctx, "network", "inspect", "bridge", "--format", `{{index .Options "com.docker.network.driver.mtu"}}`)
	if err != nil || strings.Trim(mtu, "0123456789") != "" {
		return ""
	}
	return mtu
}

// dockerNetwork is the cluster's network as it is now.
func (c *Cluster) dockerNetwork(ctx context.Context) (docker.Network, error) {
	networks, err := c.engine.Networks(ctx, c.settings.Name)
	if err != nil {
		return docker.Network{}, fmt.Errorf("find the Docker network %s: %w", c.settings.Name, err)
	}
	network, ours := actual{Networks: networks}.ours(c.settings.Name)
	if !ours {
		return docker.Network{}, fmt.Errorf("the Docker network %s is gone", c.settings.Name)
	}
	return network, nil
}
