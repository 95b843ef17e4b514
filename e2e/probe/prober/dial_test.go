package main

import (
	"net"
	"runtime"
	"testing"
	"time"
)

func TestFlowIsNotBegunTwice(t *testing.T) {
	var (
		memory portMemory
		now    = time.Now()
	)
	for i, step := range []struct {
		from, to string
		after    time.Duration
		want     bool
	}{
		{"10.0.0.1:40000", "10.96.0.7:80", 0, true},
		{"10.0.0.1:40000", "10.96.0.7:80", flowLife / 2, false},
		{"10.0.0.1:40000", "10.96.0.7:81", flowLife / 2, true},
		{"10.0.0.1:40001", "10.96.0.7:80", flowLife / 2, true},
		{"10.0.0.1:40000", "10.96.0.7:80", flowLife + time.Second, true},
		{"10.0.0.1:40001", "10.96.0.7:80", flowLife + time.Second, false},
		{"10.0.0.1:40000", "10.96.0.7:80", 3 * flowLife, true},
	} {
		if got := memory.take(step.from, step.to, now.Add(step.after)); got != step.want {
			t.Errorf("step %d: %s to %s after %s: got %v, want %v", i, step.from, step.to, step.after, got, step.want)
		}
	}
	if len(memory.begun) != 1 {
		t.Errorf("what is older than %s is forgotten: %d flows are remembered, want 1", flowLife, len(memory.begun))
	}
}

// A port has its next turn when a node has forgotten what was begun from it.
func TestPortsTakeTurns(t *testing.T) {
	const forgotten = 125 // a SYN that is sent again restarts the 120 s
	now := time.Unix(1_700_000_000, 0)
	for n := range portsASlot {
		port := portAt(now, n)
		if port < 32768 || port > 60999 {
			t.Fatalf("port %d is not one that Linux would choose", port)
		}
		for later := 1; later <= forgotten; later++ {
			first := portAt(now.Add(time.Duration(later)*time.Second), 0)
			if port >= first && port < first+portsASlot {
				t.Fatalf("port %d has its turn again after %d s", port, later)
			}
		}
	}
}

func TestConnectionsLeaveFromPortsOfTheSecond(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere the kernel chooses")
	}
	var servers []net.Listener
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		servers = append(servers, l)
	}
	var held []net.Conn // so that ports are shared between the servers, and not between connections to one
	for range 60 {
		for _, server := range servers {
			before := time.Now()
			conn, err := dial(t.Context(), "tcp", server.Addr().String(), 0)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, conn)
			port := conn.LocalAddr().(*net.TCPAddr).Port
			slot := func(at time.Time) bool { first := portAt(at, 0); return port >= first && port < first+portsASlot }
			if !slot(before) && !slot(time.Now()) {
				t.Errorf("port %d is not of this second, %d are", port, portAt(before, 0))
			}
		}
	}
	for _, conn := range held {
		_ = conn.Close()
	}
}

// Left to chance, some 70 pairs of that many sockets would leave from one port.
func TestDatagramsLeaveFromFreshPorts(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	seen := map[string]bool{}
	for range 2000 {
		conn, err := dial(t.Context(), "udp", server.LocalAddr().String(), 0)
		if err != nil {
			t.Fatal(err)
		}
		from := conn.LocalAddr().String()
		_ = conn.Close()
		if seen[from] {
			t.Fatalf("%s was used twice", from)
		}
		seen[from] = true
	}
}
