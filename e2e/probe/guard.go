package probe

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// RouteGuard keeps the host's probes on the host. It allows an address only if the kernel's route to it is local or leads to
// a Docker bridge, without a gateway or by one of Gateways. Packets to any other address, such as a ClusterIP, would leave by the
// default route. If routes cannot be read (not Linux, no ip command), it allows only loopback. The zero value is ready to use.
type RouteGuard struct {
	// Bridges are more devices that are bridges within this machine, such as a Docker network's bridge with a custom name.
	// Docker's default names (docker0, br- and twelve hexadecimal digits) are always allowed. Other bridges are not, because
	// they may contain a network card.
	Bridges []string
	// Gateways, where set, returns the addresses of machines on these bridges that send nothing on which leaves this machine: the
	// nodes of a cluster of svclab's own drop it (see Facts.DropsStrays). A host that has a route to the Service range by such a
	// node reaches ClusterIPs, and a probe must see it.
	Gateways func(ctx context.Context) ([]netip.Addr, error)
	// RouteTo returns the output of `ip route get addr` on both streams; nil: run it. It returns an error if the command
	// could not be run.
	RouteTo func(ctx context.Context, addr netip.Addr) (string, error)
}

// Check returns why the host must not send packets to addr, or "".
func (g *RouteGuard) Check(ctx context.Context, _ reach.Vantage, addr netip.Addr) string {
	addr = addr.Unmap()
	if addr.IsLoopback() {
		return ""
	}
	routeTo := g.RouteTo
	if routeTo == nil {
		if runtime.GOOS != "linux" {
			return fmt.Sprintf("on %s the host probes loopback addresses only; %s is not one", runtime.GOOS, addr)
		}
		routeTo = ipRouteGet
	}
	text, err := routeTo(ctx, addr)
	if err != nil {
		return fmt.Sprintf("the host's route to %s cannot be read, so it is not probed: %v", addr, err)
	}
	r, err := parseRoute(text)
	if err != nil {
		return fmt.Sprintf("the host's route to %s cannot be read, so it is not probed: %v", addr, err)
	}
	if g.local(r) {
		return ""
	}
	if inside, err := g.byNode(ctx, r); err != nil {
		return fmt.Sprintf("whether %s, by which the host has a route to %s, is a node of the cluster cannot be read, so it is not probed: %v", r.gateway, addr, err)
	} else if inside {
		return ""
	}
	way := r.device
	if r.gateway != "" {
		way = r.gateway + " on " + r.device
	}
	return fmt.Sprintf("the host has no local route to %s; packets would leave the machine by %s", addr, way)
}

// ipRouteGet gets the kernel's route. Without a route, ip exits with code 2 and prints the kernel's error.
func ipRouteGet(ctx context.Context, addr netip.Addr) (string, error) {
	output, err := exec.CommandContext(ctx, "ip", "-o", "route", "get", addr.String()).CombinedOutput()
	if err != nil && len(bytes.TrimSpace(output)) == 0 {
		return "", fmt.Errorf("run ip route get: %w", err)
	}
	return string(output), nil
}

// route is the parsed route to one address.
type route struct {
	// kind is "unicast", "local", "none" if the kernel would reject the packet, or another type of ip-route.
	kind    string
	device  string
	gateway string
}

// parseRoute parses the output of `ip -o route get ADDR`.
func parseRoute(text string) (route, error) {
	if strings.Contains(text, "RTNETLINK answers:") {
		for _, refusal := range []string{"Network is unreachable", "No route to host", "Permission denied"} {
			if strings.Contains(text, refusal) {
				return route{kind: "none"}, nil
			}
		}
		return route{}, fmt.Errorf("ip route get: %s", strings.TrimSpace(text))
	}
	fields := strings.Fields(text)
	r := route{kind: "unicast"}
	if len(fields) > 1 && !isAddr(fields[0]) {
		r.kind, fields = fields[0], fields[1:]
	}
	if len(fields) == 0 || !isAddr(fields[0]) {
		return route{}, fmt.Errorf("ip route get: unknown output %.100q", text)
	}
	for i, field := range fields[:len(fields)-1] {
		switch field {
		case "dev":
			r.device = fields[i+1]
		case "via":
			r.gateway = fields[i+1]
			if r.gateway == "inet6" && i+2 < len(fields) { // an IPv4 route through an IPv6 neighbour
				r.gateway = fields[i+2]
			}
		}
	}
	if r.device == "" && (r.kind == "unicast" || r.kind == "local") {
		return route{}, fmt.Errorf("ip route get: no device in %.100q", text)
	}
	return r, nil
}

// local reports whether a packet on this route stays on the machine: the machine itself is the destination, the route leads
// to a Docker bridge, or the kernel rejects the packet (no route, unreachable, prohibited).
func (g *RouteGuard) local(r route) bool {
	switch {
	case r.kind == "local" || r.kind == "none":
		return true
	case r.kind != "unicast" || r.gateway != "":
		return false
	default:
		return r.device == "lo" || g.bridge(r.device)
	}
}

func (g *RouteGuard) bridge(device string) bool {
	return dockerBridge(device) || slices.Contains(g.Bridges, device)
}

// byNode reports whether a route leads over a bridge within this machine to one of Gateways.
func (g *RouteGuard) byNode(ctx context.Context, r route) (bool, error) {
	gateway, err := netip.ParseAddr(r.gateway)
	if err != nil || r.kind != "unicast" || !g.bridge(r.device) || g.Gateways == nil {
		return false, nil //nolint:nilerr // a route without a gateway
	}
	known, err := g.Gateways(ctx)
	return slices.Contains(known, gateway.Unmap()), err
}

func dockerBridge(device string) bool {
	return device == "docker0" || regexp.MustCompile(`^br-[0-9a-f]{12}$`).MatchString(device)
}
