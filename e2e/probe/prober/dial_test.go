package main

import (
	"net"
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

// Left to chance, some 70 pairs of that many sockets would leave from one port.
func TestDatagramsLeaveFromFreshPorts(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	seen := map[string]bool{}
	for range 2000 {
		conn, err := dial(t.Context(), "udp", server.LocalAddr().String())
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
