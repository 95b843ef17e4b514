package main

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/svclab/svclab/e2e/probe/wire"
)

// ourTables are the tables of package main's tracers in this network namespace.
func ourTables(t *testing.T) (names []string) {
	t.Helper()
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	messages, err := conn.Execute(nftMessage(unix.NFPROTO_UNSPEC, unix.NFT_MSG_GETTABLE, netlink.Request|netlink.Dump, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if _, after, found := strings.Cut(string(m.Data), "svclab-trace-"); found {
			number, _, _ := strings.Cut(after, "\x00")
			names = append(names, number)
		}
	}
	return names
}

// A connection of the class is traced in both directions, another one is not, and nothing is left behind.
func TestKernelTracesOneConnection(t *testing.T) {
	if !isolated(t) {
		return
	}
	sh(t, "", "ip", "link", "set", "lo", "up")
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		server, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = server.Close() }()
		const class = 43
		tr, err := startTracer(class)
		if err != nil {
			t.Fatal(err)
		}
		if len(ourTables(t)) != 1 {
			t.Errorf("tables %v while a tracer runs", ourTables(t))
		}
		connect := func(class uint8) string {
			conn, err := dial(t.Context(), "tcp", server.Addr().String(), class)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			return conn.LocalAddr().String()
		}
		if _, err := startTracer(class); !errors.Is(err, errTaken) {
			t.Errorf("a second tracer of the class: %v", err)
		}
		if connect(0); true {
			if seen, err := tr.Collect(); err != nil || len(seen.Events) > 0 {
				t.Errorf("a connection without the class: %v, %+v", err, seen)
			}
		}
		from := connect(class)
		seen, err := tr.Collect()
		if err != nil {
			t.Fatal(err)
		}
		passes := func(hook, src, flags string) bool {
			return slices.ContainsFunc(seen.Events, func(e wire.TraceEvent) bool {
				return e.Hook == hook && e.Header != nil && e.Header.Src.String() == src && e.Header.Flags == flags && e.Own
			})
		}
		for _, hook := range []string{"output", "postrouting", "prerouting", "input"} {
			if !passes(hook, from, "S") {
				t.Errorf("the SYN was not seen in %s: %+v", hook, seen.Events)
			}
			if !passes(hook, server.Addr().String(), "SA") {
				t.Errorf("the answer was not seen in %s: %+v", hook, seen.Events)
			}
		}
		if len(seen.Flows) == 0 || seen.Flows[0].From.String() != from || !seen.Flows[0].Answered {
			t.Errorf("conntrack has %+v of %s", seen.Flows, from)
		}
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
		if left := ourTables(t); len(left) > 0 {
			t.Errorf("tables %v are left", left)
		}
	}
}
