package probe

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// Outputs of iproute2 6.1's `ip -o route get`, both streams.
func TestRouteGuard(t *testing.T) {
	for name, test := range map[string]struct {
		output string
		reason string // empty: may be probed
	}{
		"the machine itself":     {`local 172.30.0.1 dev lo src 172.30.0.1 uid 0 \    cache <local> `, ""},
		"Docker's default":       {`172.17.0.2 dev docker0 src 172.17.0.1 uid 0 \    cache `, ""},
		"a Docker network":       {`172.30.0.7 dev br-0123456789ab src 172.30.0.1 uid 0 \    cache `, ""},
		"a Docker network, IPv6": {`fd00:30::7 from :: dev br-0123456789ab proto kernel src ::1 metric 256 pref medium`, ""},
		"a named bridge":         {`172.31.0.2 dev svclab0 src 172.31.0.1 uid 0 \    cache `, ""},
		"no route at all":        {"RTNETLINK answers: Network is unreachable\n", ""},
		"an unreachable route":   {"RTNETLINK answers: No route to host\n", ""},
		"a prohibit route":       {"RTNETLINK answers: Permission denied\n", ""},
		"the default route":      {`10.96.0.1 via 192.0.2.1 dev eth0 src 192.0.2.2 uid 0 \    cache `, "no local route to 10.96.0.1; packets would leave the machine by 192.0.2.1 on eth0"},
		"the local network":      {`192.0.2.9 dev eth0 src 192.0.2.2 uid 0 \    cache `, "by eth0"},
		"IPv6 on a card":         {`fd00::1 from :: dev eth0 proto kernel src fd00::2 metric 256 pref medium`, "by eth0"},
		"a bridge with a card":   {`192.168.1.9 dev br-lan src 192.168.1.1 uid 0 \    cache `, "by br-lan"},
		"another's bridge":       {`192.168.122.9 dev virbr0 src 192.168.122.1 uid 0 \    cache `, "by virbr0"},
		"gateway on a bridge":    {`10.9.0.1 via 172.30.0.9 dev br-0123456789ab src 172.30.0.1 uid 0 \    cache `, "by 172.30.0.9 on br-0123456789ab"},
		"gateway of IPv6":        {`10.13.0.1 via inet6 fd00:30::9 dev br-0123456789ab src 172.30.0.1 uid 0 \    cache `, "by fd00:30::9"},
		"broadcast":              {`broadcast 172.30.0.255 dev br-0123456789ab src 172.30.0.1 uid 0 \    cache <local,brd> `, "leave the machine"},
		"multicast":              {`multicast 224.0.0.1 dev eth0 src 192.0.2.2 uid 0 \    cache <local,mc> `, "leave the machine"},
		"a blackhole route":      {"RTNETLINK answers: Invalid argument\n", "cannot be read"},
		"nothing":                {"", "cannot be read"},
		"another program's":      {"ip: command was replaced", "cannot be read"},
		"cut off":                {"10.96.0.1", "cannot be read"},
	} {
		guard := &RouteGuard{Bridges: []string{"svclab0"}, RouteTo: func(context.Context, netip.Addr) (string, error) { return test.output, nil }}
		got := guard.Check(t.Context(), here(), netip.MustParseAddr("10.96.0.1"))
		if (got == "") != (test.reason == "") || !strings.Contains(got, test.reason) {
			t.Errorf("%s: got %q, want %q", name, got, test.reason)
		}
	}
}

// A route by a node of the cluster, over a bridge, stays on the machine; one by anything else does not.
func TestRouteGuardByANode(t *testing.T) {
	for name, test := range map[string]struct {
		output, reason string
		err            error
	}{
		"a node":                 {output: `10.96.0.1 via 172.30.0.3 dev br-0123456789ab src 172.30.0.1 uid 0 \    cache `},
		"a node, IPv6":           {output: `fd00:10:96::1 from :: via fd00:30::3 dev br-0123456789ab src fd00:30::1 metric 1024 pref medium`},
		"another container":      {output: `10.96.0.1 via 172.30.0.9 dev br-0123456789ab src 172.30.0.1 uid 0 \    cache `, reason: "by 172.30.0.9 on br-"},
		"its address, no bridge": {output: `10.96.0.1 via 172.30.0.3 dev eth0 src 192.0.2.2 uid 0 \    cache `, reason: "by 172.30.0.3 on eth0"},
		"nodes are not known":    {output: `10.96.0.1 via 172.30.0.3 dev br-0123456789ab src 172.30.0.1 uid 0 \    cache `, err: errors.New("no API server"), reason: "no API server"},
	} {
		guard := &RouteGuard{RouteTo: func(context.Context, netip.Addr) (string, error) { return test.output, nil },
			Gateways: func(context.Context) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("172.30.0.3"), netip.MustParseAddr("fd00:30::3")}, test.err
			}}
		got := guard.Check(t.Context(), here(), netip.MustParseAddr("10.96.0.1"))
		if (got == "") != (test.reason == "") || !strings.Contains(got, test.reason) {
			t.Errorf("%s: got %q, want %q", name, got, test.reason)
		}
	}
}

func TestRouteGuardWithoutRoutes(t *testing.T) {
	guard := &RouteGuard{RouteTo: func(context.Context, netip.Addr) (string, error) { return "", errors.New("no such program") }}
	if got := guard.Check(t.Context(), here(), netip.MustParseAddr("10.96.0.1")); !strings.Contains(got, "no such program") {
		t.Errorf("got %q", got)
	}
	for _, loopback := range []string{"127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"} {
		if got := guard.Check(t.Context(), here(), netip.MustParseAddr(loopback)); got != "" {
			t.Errorf("%s: %s", loopback, got)
		}
	}
}

// The parser reads what this machine's own ip prints; only the route is looked up, nothing is sent.
func TestRouteGuardOnThisMachine(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil || runtime.GOOS != "linux" {
		t.Skip("no ip command")
	}
	for _, addr := range []string{"127.0.0.1", "::1"} {
		text, err := ipRouteGet(t.Context(), netip.MustParseAddr(addr))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "Network is unreachable") {
			continue // IPv6 is off
		}
		if r, err := parseRoute(text); err != nil || r.kind != "local" || r.device != "lo" {
			t.Errorf("%q: %+v, %v", text, r, err)
		}
	}
}

// byRoute answers the guard with one text for all addresses and counts the questions.
type byRoute struct {
	reason  string
	checked []netip.Addr
}

func (b *byRoute) Check(_ context.Context, _ reach.Vantage, addr netip.Addr) string {
	b.checked = append(b.checked, addr)
	return b.reason
}

func TestOnlyTheHostIsGuarded(t *testing.T) {
	const reason = "it would leave"
	guard := &byRoute{reason: reason}
	requests := podRequests(2)
	requests[1].Vantage = here()
	requests = append(requests, requests[1])
	requests[2].Target.Host = "my-service.default.svc.cluster.local"
	exec := &script{acts: []func(io.Reader, io.Writer, io.Writer) error{says(nil, "", helloLine, reached(0, "a"), `{"done":{"count":1}}`)}}
	cells, err := New(exec, WithGuard(guard)).Observe(t.Context(), requests)
	if err != nil {
		t.Fatal(err)
	}
	if cells[0].Observations[0].Outcome != reach.Reached {
		t.Errorf("pod: %+v", cells[0].Observations)
	}
	if o := cells[1].Observations[0]; o.Outcome != reach.Unprobed || o.Detail != reason {
		t.Errorf("host: %+v", o)
	}
	if o := cells[2].Observations[0]; o.Outcome != reach.Unprobed || !strings.Contains(o.Detail, "does not probe names") {
		t.Errorf("host, by name: %+v", o)
	}
	if len(guard.checked) != 1 || exec.starts != 1 {
		t.Errorf("guard checked %v, %d starts", guard.checked, exec.starts)
	}
	lookups := []Lookup{
		{Vantage: here(), Name: "example.com"},
		{Vantage: here(), Name: "example.com", Server: netip.MustParseAddrPort("10.96.0.10:53")},
	}
	found, err := New(exec, WithGuard(guard)).Resolve(t.Context(), lookups)
	if err != nil || found[0].Observation.Outcome != reach.Unprobed || found[1].Observation.Detail != reason {
		t.Errorf("got %+v, %v", found, err)
	}
	_, err = New(exec, WithGuard(guard)).Flow(t.Context(), FlowRequest{Vantage: here(), Target: requests[1].Target, PerSecond: 5, Timeout: time.Second})
	if !errors.Is(err, ErrUnprobed) || !strings.Contains(err.Error(), reason) {
		t.Errorf("flow: %v", err)
	}
}
