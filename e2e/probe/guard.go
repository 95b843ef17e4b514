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

// RouteGuard keeps the host's probes on the host: an address is asked only if the kernel's route to it is the
// machine itself or a bridge of Docker's, with no gateway. Everything else, such as a ClusterIP, would leave
// by the default route. Where routes cannot be read (not Linux, no ip command) only loopback is asked. The
// zero value is ready to use.
type RouteGuard struct {
	// Bridges are more devices that are known to be bridges on this machine alone, such as that of a Docker
	// network which was given a name of its own. Docker's names (docker0, br- and twelve hexadecimal digits)
	// need not be listed; other bridges may have a network card in them, so they are not taken for local.
	Bridges []string
	// RouteTo returns what `ip route get addr` prints on both streams; nil: run it. Its error says that it
	// could not be run at all.
	RouteTo func(ctx context.Context, addr netip.Addr) (string, error)
}

// Check returns why addr must not be asked, or "".
func (g *RouteGuard) Check(ctx context.Context, _ reach.Vantage, addr netip.Addr) string {
	addr = addr.Unmap()
	if addr.IsLoopback() {
		return ""
	}
	routeTo := g.RouteTo
	if routeTo == nil {
		if runtime.GOOS != "linux" {
			return fmt.Sprintf("from the host only loopback addresses are asked on %s; %s is none", runtime.GOOS, addr)
		}
		routeTo = ipRouteGet
	}
	text, err := routeTo(ctx, addr)
	if err != nil {
		return fmt.Sprintf("the host's route to %s cannot be read, so it is not asked: %v", addr, err)
	}
	r, err := parseRoute(text)
	if err != nil {
		return fmt.Sprintf("the host's route to %s cannot be read, so it is not asked: %v", addr, err)
	}
	if g.local(r) {
		return ""
	}
	way := r.device
	if r.gateway != "" {
		way = r.gateway + " on " + r.device
	}
	return fmt.Sprintf("the host has no local route to %s; the packet would leave the machine by %s", addr, way)
}

// ipRouteGet asks the kernel. That it has no route is an answer, with exit code 2.
func ipRouteGet(ctx context.Context, addr netip.Addr) (string, error) {
	output, err := exec.CommandContext(ctx, "ip", "-o", "route", "get", addr.String()).CombinedOutput()
	if err != nil && len(bytes.TrimSpace(output)) == 0 {
		return "", fmt.Errorf("run ip route get: %w", err)
	}
	return string(output), nil
}

// route is what matters of a route to one address.
type route struct {
	// kind is "unicast", "local", "none" when the kernel would refuse the packet, or another of ip-route's types.
	kind    string
	device  string
	gateway string
}

// parseRoute reads the output of `ip -o route get ADDR`.
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

// local says whether a packet on this route stays on the machine: it is for the machine itself, crosses a
// bridge of Docker's to whoever is on it, or is refused by the kernel: no route, unreachable, prohibited.
func (g *RouteGuard) local(r route) bool {
	switch {
	case r.kind == "local" || r.kind == "none":
		return true
	case r.kind != "unicast" || r.gateway != "":
		return false
	default:
		return r.device == "lo" || dockerBridge(r.device) || slices.Contains(g.Bridges, r.device)
	}
}

func dockerBridge(device string) bool {
	return device == "docker0" || regexp.MustCompile(`^br-[0-9a-f]{12}$`).MatchString(device)
}
