package main

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// TestAnswerInTheSocket: an answer that came in time is no loss, though this process did not run when its time was up.
func TestAnswerInTheSocket(t *testing.T) {
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	var text bytes.Buffer
	spec := wire.Flow{Kind: reach.FlowConnected}
	spec.Cell.Timeout = 30 * time.Millisecond
	s, err := openStream(spec, server.LocalAddr().(*net.UDPAddr).AddrPort(), &lineWriter{out: &text})
	if err != nil {
		t.Fatal(err)
	}
	answered := func(n int) { // by the server, and not read yet
		s.send(n)
		buffer := make([]byte, 2048)
		size, client, err := server.ReadFrom(buffer)
		if err != nil {
			t.Fatal(err)
		}
		d, _ := wire.ParseDatagram(string(buffer[:size]))
		if _, err := server.WriteTo([]byte(wire.Datagram{Token: d.Token, Number: d.Number, Name: "a"}.String()), client); err != nil {
			t.Fatal(err)
		}
	}
	s.sweep(s.timeout)
	answered(0)
	time.Sleep(2 * s.timeout)
	s.sweep(s.timeout)
	go s.read(s.conn)
	for deadline := time.Now().Add(10 * time.Second); s.waiting() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if !strings.Contains(text.String(), string(reach.Reached)) || strings.Contains(text.String(), string(reach.TimedOut)) {
		t.Errorf("%s", &text)
	}
	s.send(1) // is not answered
	time.Sleep(2 * s.timeout)
	s.sweep(s.timeout)
	s.sweep(s.timeout)
	if !strings.Contains(text.String(), string(reach.TimedOut)) {
		t.Errorf("a datagram without an answer is not reported: %s", &text)
	}
	s.close()
}
