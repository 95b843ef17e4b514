package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// isolated runs the calling test again in a network and a mount namespace of its own, where it may filter
// packets and replace /etc/resolv.conf, and nothing it sends can leave. It returns true in there.
func isolated(t *testing.T) bool {
	t.Helper()
	const env = "SVCLAB_TEST_ISOLATED"
	if os.Getenv(env) == t.Name() {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make a network namespace")
	}
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	again.Env = append(os.Environ(), env+"="+t.Name())
	again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	output, err := again.CombinedOutput()
	switch text := string(output); {
	case strings.Contains(text, "operation not permitted") && !strings.Contains(text, "=== RUN"):
		t.Skip("this machine's root may not make a network namespace")
	case err != nil:
		t.Errorf("in its own namespace: %v\n%s", err, text)
	case strings.Contains(text, "--- SKIP"):
		t.Skip(text)
	}
	return false
}

// sh runs a command inside, and skips the test when this machine has no such tool.
func sh(t *testing.T, stdin string, argv ...string) {
	t.Helper()
	path, err := exec.LookPath(argv[0])
	if err != nil {
		t.Skipf("no %s on this machine", argv[0])
	}
	command := exec.CommandContext(t.Context(), path, argv[1:]...)
	command.Stdin = strings.NewReader(stdin)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", argv, err, output)
	}
}

func observe(t *testing.T, cell wire.Cell) (reach.Observation, *probe) {
	t.Helper()
	if cell.Timeout == 0 {
		cell.Timeout = 5 * time.Second
	}
	if err := checkCell(&cell); err != nil {
		t.Fatal(err)
	}
	p := newProbe(cell)
	return p.run(t.Context()), p
}

// A SYN that is lost is sent again after a second, which the connection does not show otherwise.
func TestKernelCountsLostSYNs(t *testing.T) {
	if !isolated(t) {
		return
	}
	sh(t, "", "ip", "link", "set", "lo", "up")
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	for want, rule := range []string{"", "tcp flags syn / syn,ack numgen inc mod 2 0 drop"} {
		sh(t, "table inet lab {\nchain input {\ntype filter hook input priority 0\n"+rule+"\n}\n}\n", "nft", "-f", "-")
		conn, err := dial(t.Context(), "tcp", server.Addr().String(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := resent(conn); got != want {
			t.Errorf("%d SYNs were lost, %d counted", want, got)
		}
		_ = conn.Close()
	}
}

// What each of the kernel's ways to say no looks like to a socket, and so what outcome it is.
func TestKernelRefusals(t *testing.T) {
	if !isolated(t) {
		return
	}
	if o, _ := observe(t, wire.Cell{Form: wire.AppHTTP, Host: "127.0.0.1", Port: 80}); o.Outcome != reach.Unreachable {
		t.Errorf("no route at all: got %s (%s)", o.Outcome, o.Detail)
	}
	sh(t, "", "ip", "link", "set", "lo", "up")
	sh(t, `table inet lab {
		chain output {
			type filter hook output priority 0
			ip daddr 127.0.0.2 reject with icmp type admin-prohibited
			ip daddr 127.0.0.3 reject with icmp type host-unreachable
			ip daddr 127.0.0.4 reject with icmp type net-unreachable
			ip daddr 127.0.0.5 reject with icmp type port-unreachable
			ip daddr 127.0.0.6 drop
			ip6 daddr ::1 tcp dport 81 reject with icmpv6 type admin-prohibited
			ip6 daddr ::1 udp dport 81 reject with icmpv6 type admin-prohibited
			ip6 daddr ::1 tcp dport 82 reject with icmpv6 type addr-unreachable
			ip6 daddr ::1 tcp dport 83 reject with icmpv6 type no-route
		}
		chain input {
			type filter hook input priority 0
			ip daddr 127.0.0.7 drop
			ip daddr 127.0.0.8 meta l4proto tcp reject with tcp reset
		}
	}`, "nft", "-f", "-")
	sh(t, "", "ip", "route", "add", "prohibit", "127.0.0.9", "table", "local")
	sh(t, "", "ip", "route", "add", "unreachable", "127.0.0.10", "table", "local")
	sh(t, "", "ip", "route", "add", "blackhole", "127.0.0.11", "table", "local")
	refusals := []struct {
		what, host string
		port       uint16
		tcp, udp   reach.Outcome // empty: not probed
	}{
		{"closed port", "127.0.0.1", 80, reach.Refused, reach.Refused},
		{"administratively prohibited", "127.0.0.2", 80, reach.Unreachable, reach.Unreachable},
		{"host unreachable", "127.0.0.3", 80, reach.Unreachable, reach.Unreachable},
		{"network unreachable", "127.0.0.4", 80, reach.Unreachable, reach.Unreachable},
		{"port unreachable, as kube-proxy rejects", "127.0.0.5", 80, reach.Refused, reach.Refused},
		{"dropped on the way out", "127.0.0.6", 80, reach.TimedOut, reach.TimedOut},
		{"dropped on the way in", "127.0.0.7", 80, reach.TimedOut, reach.TimedOut},
		{"reset", "127.0.0.8", 80, reach.Refused, ""},
		{"prohibit route", "127.0.0.9", 80, reach.Unreachable, reach.Unreachable},
		{"unreachable route", "127.0.0.10", 80, reach.Unreachable, reach.Unreachable},
		{"blackhole route", "127.0.0.11", 80, reach.Unreachable, reach.Unreachable},
		{"IPv6 closed port", "::1", 80, reach.Refused, reach.Refused},
		{"IPv6 administratively prohibited", "::1", 81, reach.Unreachable, reach.Unreachable},
		{"IPv6 address unreachable", "::1", 82, reach.Unreachable, ""},
		{"IPv6 no route", "::1", 83, reach.Unreachable, ""},
	}
	var probing sync.WaitGroup
	for _, test := range refusals {
		for form, want := range map[wire.Form]reach.Outcome{wire.AppHTTP: test.tcp, wire.AppUDP: test.udp} {
			if want == "" {
				continue
			}
			probing.Go(func() {
				// Over IPv6 the kernel heeds a rejection of a SYN only when it has sent it again, after a
				// second: the first comes back while connect still holds the socket.
				o, _ := observe(t, wire.Cell{Form: form, Host: test.host, Port: test.port, Timeout: 2500 * time.Millisecond})
				if o.Outcome != want {
					t.Errorf("%s, %s: got %s (%s), want %s", test.what, form, o.Outcome, o.Detail, want)
				}
			})
		}
	}
	probing.Wait()
}

// A short name is found by the vantage's own search path, and every way a DNS server fails is told apart.
func TestVantageResolver(t *testing.T) {
	if !isolated(t) {
		return
	}
	sh(t, "", "ip", "link", "set", "lo", "up")
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	text := "nameserver 127.0.0.1\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(conf, "/etc/resolv.conf", "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("bind-mount a resolv.conf: %v", err)
	}
	server := httpApp(t, "127.0.0.20:80")
	if o, _ := observe(t, wire.Cell{Form: wire.AppHTTP, Host: "my-service", Port: 80}); o.Outcome != reach.Refused || !strings.HasPrefix(o.Detail, "look up my-service") {
		t.Errorf("the DNS server's port is closed: got %s (%s)", o.Outcome, o.Detail)
	}
	sh(t, `table inet lab {
		chain output {
			type filter hook output priority 0
			ip daddr 127.0.0.53 udp dport 53 reject
			ip daddr 127.0.0.54 udp dport 53 drop
		}
	}`, "nft", "-f", "-")
	for server, want := range map[string]reach.Outcome{"127.0.0.53:53": reach.Refused, "127.0.0.54:53": reach.TimedOut} {
		o, _ := observe(t, wire.Cell{Form: wire.AppHTTP, Host: "my-service", Port: 80, DNSServer: server, Timeout: 300 * time.Millisecond})
		if o.Outcome != want || !strings.HasPrefix(o.Detail, "look up my-service") {
			t.Errorf("the vantage's own filter keeps questions to %s back: got %s (%s), want %s", server, o.Outcome, o.Detail, want)
		}
	}
	zone(t, "127.0.0.1:53")
	o, p := observe(t, wire.Cell{Form: wire.AppHTTP, Host: "my-service", Port: 80})
	if o.Outcome != reach.Reached || o.Backend != server || o.CNAME != "my-service.default.svc.cluster.local" ||
		!slices.Equal(o.Addresses, []netip.Addr{netip.MustParseAddr("127.0.0.20")}) || len(p.chain) != 0 {
		t.Errorf("short name: %+v, chain %v", o, p.chain)
	}
	for _, test := range []struct {
		name string
		want reach.Outcome
		text string
	}{
		{"my-service.other", reach.NoSuchHost, "NXDOMAIN"},
		{"broken.", reach.WrongAnswer, "SERVFAIL"},
		{"shy.", reach.WrongAnswer, "REFUSED"},
		{"silent.", reach.TimedOut, "look up silent."},
		{"text.", reach.NoSuchHost, "text exists, but has no such record"},
	} {
		timeout := 5 * time.Second
		if test.want == reach.TimedOut {
			timeout = 300 * time.Millisecond
		}
		o, _ := observe(t, wire.Cell{Form: wire.AppHTTP, Host: test.name, Port: 80, Timeout: timeout})
		if o.Outcome != test.want || !strings.Contains(o.Detail, test.text) || len(o.Addresses) > 0 {
			t.Errorf("%s: got %s (%s), want %s (%s)", test.name, o.Outcome, o.Detail, test.want, test.text)
		}
	}
}

// httpApp answers as the sample app does, and returns its name.
func httpApp(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	const name = "my-app-0"
	mux := http.NewServeMux()
	mux.HandleFunc("/hostname", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	mux.HandleFunc("/clientip", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })
	go func() { _ = http.Serve(l, mux) }()
	return name
}

// zone is a DNS server with one Service and several ways to fail.
func zone(t *testing.T, address string) {
	t.Helper()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.Authoritative = true
		switch name := q.Question[0].Name; name {
		case "my-service.default.svc.cluster.local.":
			if q.Question[0].Qtype == dns.TypeA {
				m.Answer = append(m.Answer, record(t, name+" 5 IN A 127.0.0.20"))
			}
		case "broken.":
			m.Rcode = dns.RcodeServerFailure
		case "shy.":
			m.Rcode = dns.RcodeRefused
		case "text.":
		case "silent.":
			return
		default:
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})
	started := make(chan struct{})
	server := &dns.Server{Addr: address, Net: "udp", Handler: handler, NotifyStartedFunc: func() { close(started) }}
	go func() { _ = server.ListenAndServe() }()
	t.Cleanup(func() { _ = server.ShutdownContext(context.WithoutCancel(t.Context())) })
	select {
	case <-started:
	case <-time.After(5 * time.Second):
		t.Fatal("the DNS server did not start")
	}
}

func record(t *testing.T, text string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil {
		t.Error(err)
	}
	return rr
}
