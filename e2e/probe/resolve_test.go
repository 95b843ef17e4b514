package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/svclab/svclab/e2e/reach"
)

// clusterDNS answers as CoreDNS does for a cluster with a Service my-service at the given address, a headless
// one, and an ExternalName Service; UDP answers to "big" are truncated, so that it is looked up over TCP.
func clusterDNS(t *testing.T, service netip.Addr) netip.AddrPort {
	t.Helper()
	zone := map[string][]string{
		"my-service.default.svc.cluster.local.": {"A " + service.String(), "AAAA fd00::7"},
		"headless.default.svc.cluster.local.":   {"A 10.244.1.7", "A 10.244.2.7"},
		"_http._tcp.headless.default.svc.cluster.local.": {
			"SRV 0 50 8080 b.headless.default.svc.cluster.local.", "SRV 0 50 8080 a.headless.default.svc.cluster.local."},
		"my-external.default.svc.cluster.local.": {"CNAME example.com."},
		"my-alias.default.svc.cluster.local.":    {"CNAME www.example.com."},
		"www.example.com.":                       {"CNAME example.com."},
		"example.com.":                           {"A " + service.String()},
		"dangling.default.svc.cluster.local.":    {"CNAME gone.example.com."},
		"7.1.244.10.in-addr.arpa.":               {"PTR 10-244-1-7.my-service.default.svc.cluster.local."},
		"dns-version.cluster.local.":             {"TXT 1.1.0"},
		"big.default.svc.cluster.local.":         {"A " + service.String()},
		"late.default.svc.cluster.local.":        {"A " + service.String()},
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.Authoritative, m.Compress = true, true
		name, kind := q.Question[0].Name, q.Question[0].Qtype
		if strings.HasPrefix(name, "big.") && w.LocalAddr().Network() == "udp" {
			m.Truncated = true
			_ = w.WriteMsg(m)
			return
		}
		if strings.HasPrefix(name, "late.") {
			time.Sleep(300 * time.Millisecond)
		}
		for {
			records, known := zone[name]
			if !known {
				m.Rcode = dns.RcodeNameError
			}
			next := ""
			for _, text := range records {
				rr, err := dns.NewRR(name + " 5 IN " + text)
				if err != nil {
					t.Error(err)
					return
				}
				cname, alias := rr.(*dns.CNAME)
				if alias || rr.Header().Rrtype == kind {
					m.Answer = append(m.Answer, rr)
				}
				if alias && kind != dns.TypeCNAME {
					next = cname.Target
				}
			}
			if next == "" {
				break
			}
			name = next
		}
		_ = w.WriteMsg(m)
	})
	stream := listen(t, "tcp4")
	datagrams, err := net.ListenPacket("udp", stream.Addr().String())
	for err != nil { // somebody has the number for datagrams
		stream = listen(t, "tcp4")
		datagrams, err = net.ListenPacket("udp", stream.Addr().String())
	}
	for _, server := range []*dns.Server{{Listener: stream, Handler: handler}, {PacketConn: datagrams, Handler: handler}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = server.ShutdownContext(context.WithoutCancel(t.Context())) })
	}
	return addrPort(stream.Addr())
}

func TestResolve(t *testing.T) {
	service := netip.MustParseAddr("10.96.118.7")
	server := clusterDNS(t, service)
	for _, test := range []struct {
		name   string
		record Record
		want   reach.Outcome
		got    string // addresses, cname, chain, services, names, and the texts or that the name exists
	}{
		{"my-service.default.svc.cluster.local.", AnyAddress, reach.Reached, "[10.96.118.7 fd00::7] my-service.default.svc.cluster.local [] [] []"},
		{"my-service.default.svc.cluster.local.", A, reach.Reached, "[10.96.118.7] my-service.default.svc.cluster.local [] [] []"},
		{"my-service.default.svc.cluster.local.", AAAA, reach.Reached, "[fd00::7] my-service.default.svc.cluster.local [] [] []"},
		{"headless.default.svc.cluster.local.", A, reach.Reached, "[10.244.1.7 10.244.2.7] headless.default.svc.cluster.local [] [] []"},
		{"headless.default.svc.cluster.local.", AAAA, reach.NoSuchHost, "[]  [] [] [] [] true"},
		{"dns-version.cluster.local.", TXT, reach.Reached, "[]  [] [] [] [1.1.0] false"},
		{"my-external.default.svc.cluster.local.", A, reach.Reached, "[10.96.118.7] example.com [example.com] [] []"},
		{"my-external.default.svc.cluster.local.", CNAME, reach.Reached, "[] example.com [example.com] [] []"},
		// spec.externalName is itself an alias: the Service's word is the first.
		{"my-alias.default.svc.cluster.local.", AnyAddress, reach.Reached, "[10.96.118.7] www.example.com [www.example.com example.com] [] []"},
		{"dangling.default.svc.cluster.local.", A, reach.NoSuchHost, "[] gone.example.com [gone.example.com] [] []"},
		{"nobody.default.svc.cluster.local.", A, reach.NoSuchHost, "[]  [] [] []"},
		{"_http._tcp.headless.default.svc.cluster.local.", SRV, reach.Reached,
			"[]  [] [{a.headless.default.svc.cluster.local 8080 0 50} {b.headless.default.svc.cluster.local 8080 0 50}] []"},
		{"_ftp._tcp.headless.default.svc.cluster.local.", SRV, reach.NoSuchHost, "[]  [] [] []"},
		{"10.244.1.7", PTR, reach.Reached, "[]  [] [] [10-244-1-7.my-service.default.svc.cluster.local]"},
		{"10.244.9.9", PTR, reach.NoSuchHost, "[]  [] [] []"},
		{"big.default.svc.cluster.local.", A, reach.Reached, "[10.96.118.7] big.default.svc.cluster.local [] [] []"},
	} {
		t.Run(string(test.record)+" "+test.name, func(t *testing.T) {
			t.Parallel()
			lookup := Lookup{Vantage: here(), Name: test.name, Record: test.record, Server: server}
			over := lookup
			over.TCP = true
			found, err := New(&Local{}).Resolve(t.Context(), []Lookup{lookup, over})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				addresses := slices.SortedFunc(slices.Values(f.Observation.Addresses), netip.Addr.Compare)
				got := fmt.Sprintf("%v %s %v %v %v", addresses, f.Observation.CNAME, f.Chain, f.Services, f.Names)
				if f.NoData || f.Texts != nil {
					got += fmt.Sprintf(" %v %t", f.Texts, f.NoData)
				}
				if f.Observation.Outcome != test.want || got != test.got {
					t.Errorf("TCP %t: got %s (%s) %s\nwant %s %s", f.TCP, f.Observation.Outcome, f.Observation.Detail, got, test.want, test.got)
				}
			}
		})
	}
}

func TestResolveNonsense(t *testing.T) {
	for _, l := range []Lookup{
		{Vantage: here(), Name: "10.96.0.1", Record: A}, {Vantage: here(), Name: "example.com", Record: PTR},
		{Vantage: here(), Name: "example.com", Record: "MX"}, {Vantage: here()}, {Name: "example.com"},
	} {
		if _, err := New(failingExec{t}).Resolve(t.Context(), []Lookup{l}); err == nil {
			t.Errorf("%+v: no error", l)
		}
	}
}

// A silent DNS server is TimedOut, one that is not there Refused, and neither is "no such host".
func TestDNSServerThatFails(t *testing.T) {
	silent := datagrams(t, func(string, net.Addr) string { return "" })
	for server, want := range map[netip.AddrPort]reach.Outcome{silent: reach.TimedOut, closedPort(t): reach.Refused} {
		found, err := New(&Local{}).Resolve(t.Context(), []Lookup{{Vantage: here(), Name: "my-service.", Server: server, Timeout: 200 * time.Millisecond}})
		if err != nil {
			t.Fatal(err)
		}
		if o := found[0].Observation; o.Outcome != want || !strings.HasPrefix(o.Detail, "look up my-service.: ") {
			t.Errorf("got %s (%s), want %s", o.Outcome, o.Detail, want)
		}
	}
}

// A lookup that takes long takes nothing from the time for a reply, and a reply that does not come is not awaited longer.
func TestReplyIsBoundedWithoutTheLookup(t *testing.T) {
	silent := target(fullBacklog(t), reach.TCP)
	a := newApp(t, "tcp4", 1)
	server := clusterDNS(t, a.address.Addr())
	for _, c := range []struct {
		port uint16
		want reach.Outcome
	}{{silent.Port, reach.TimedOut}, {a.address.Port(), reach.Reached}} {
		to := reach.Target{Kind: reach.DNSName, Host: "late.default.svc.cluster.local.", Port: c.port, Protocol: reach.TCP, Family: 4}
		o := observeOne(t, Request{Vantage: reach.Vantage{Name: "pod/worker", Kind: reach.Pod}, Target: to, DNSServer: server,
			Timeout: 20 * time.Second, Reply: 250 * time.Millisecond}).Observations[0]
		if o.Outcome != c.want || o.Latency < 300*time.Millisecond || o.Latency > 10*time.Second || len(o.Addresses) != 1 {
			t.Errorf("port %d: %+v, want %s", c.port, o, c.want)
		}
	}
}

// A name is looked up and one of its addresses dialled, within one timeout and of the wanted family.
func TestAskByName(t *testing.T) {
	a := newApp(t, "tcp4", 1)
	server := clusterDNS(t, a.address.Addr())
	pod := reach.Vantage{Name: "pod/worker", Kind: reach.Pod} // the host looks up no names
	byName := target(a.address, reach.TCP)
	byName.Kind, byName.Host = reach.DNSName, "my-service.default.svc.cluster.local."
	o := observeOne(t, Request{Vantage: pod, Target: byName, DNSServer: server, Family: 4}).Observations[0]
	if o.Outcome != reach.Reached || o.Backend != "my-app-0" || o.CNAME != "my-service.default.svc.cluster.local" || !slices.Equal(o.Addresses, []netip.Addr{a.address.Addr()}) {
		t.Errorf("got %+v", o)
	}
	six := byName
	six.Family = 6
	if o := observeOne(t, Request{Vantage: pod, Target: six, DNSServer: server}).Observations[0]; slices.ContainsFunc(o.Addresses, netip.Addr.Is4) || len(o.Addresses) == 0 {
		t.Errorf("a name that is looked up in IPv6: %+v", o)
	}
	missing := byName
	missing.Host = "nobody.default.svc.cluster.local."
	if o := observeOne(t, Request{Vantage: pod, Target: missing, DNSServer: server}).Observations[0]; o.Outcome != reach.NoSuchHost {
		t.Errorf("missing: %+v", o)
	}
	only := byName
	only.Port = 0
	if o := observeOne(t, Request{Vantage: pod, Target: only, DNSServer: server}).Observations[0]; o.Outcome != reach.Reached || len(o.Addresses) != 2 {
		t.Errorf("only looked up: %+v", o)
	}
	if a.connections.Load() != 1 {
		t.Errorf("%d connections, want one", a.connections.Load())
	}
}
