package probe

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// backend answers datagrams of flows as `prober serve --receipts` does, except where bent changes what it sends.
func backend(t *testing.T, bent func(n int, answer string) []string) (address string, silent *atomic.Bool) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	silent = &atomic.Bool{}
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, client, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			d, ok := wire.ParseDatagram(string(buffer[:n]))
			if !ok || silent.Load() {
				continue
			}
			answers := []string{wire.Datagram{Token: d.Token, Number: d.Number, Name: "a"}.String()}
			if bent != nil {
				answers = bent(d.Number, answers[0])
			}
			for _, answer := range answers {
				if d.Receipt.IsValid() {
					client = net.UDPAddrFromAddrPort(d.Receipt)
				}
				_, _ = conn.WriteTo([]byte(answer), client)
			}
		}
	}()
	return conn.LocalAddr().String(), silent
}

func TestFlowsOfDatagrams(t *testing.T) {
	for _, kind := range []reach.FlowKind{reach.FlowConnected, reach.FlowUnconnected, reach.FlowOneWay} {
		t.Run(string(kind), func(t *testing.T) {
			address, silent := backend(t, nil)
			flow, err := New(&Local{}).Flow(t.Context(), FlowRequest{Vantage: here(), Target: target(netip.MustParseAddrPort(address), reach.UDP), PerSecond: 100, Kind: kind, Timeout: 300e6})
			if err != nil {
				t.Fatal(err)
			}
			waitFor(t, "20 answers", func() bool { return flow.Snapshot().Answered >= 20 })
			silent.Store(true)
			waitFor(t, "loss", func() bool { return len(flow.Snapshot().Failed) >= 5 })
			silent.Store(false)
			before := flow.Snapshot().Answered
			waitFor(t, "answers again", func() bool { return flow.Snapshot().Answered >= before+20 })
			report, err := flow.Stop()
			if err != nil || report.Backends["a"] != report.Answered || len(report.Outages) == 0 {
				t.Errorf("%+v, %v", report, err)
			}
			for _, o := range report.Failed {
				if o.Outcome != reach.TimedOut {
					t.Errorf("%+v", o)
				}
			}
			if got := flow.Observed(); len(got) != report.Sent || got[0].At.After(got[len(got)-1].At) {
				t.Errorf("%d observed of %d", len(got), report.Sent)
			}
		})
	}
}

// What must not come is reported: an answer twice, and one that is not of this flow.
func TestFlowsOfDatagramsReportStrays(t *testing.T) {
	address, _ := backend(t, func(n int, answer string) []string {
		switch n {
		case 3:
			return []string{answer, answer}
		case 5:
			return []string{answer, "flow x 1 b"}
		}
		return []string{answer}
	})
	flow, err := New(&Local{}).Flow(t.Context(), FlowRequest{Vantage: here(), Target: target(netip.MustParseAddrPort(address), reach.UDP), PerSecond: 100, Kind: reach.FlowUnconnected})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "20 answers", func() bool { return flow.Snapshot().Answered >= 20 })
	report, err := flow.Stop()
	if err != nil || len(report.Failed) != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	text := fmt.Sprint(report.Failed[0].Outcome, report.Failed[0].Detail, report.Failed[1].Outcome, report.Failed[1].Detail)
	for _, want := range []string{"WrongAnswerdatagram 3 arrived twice: at a, and at a", `sent "flow x 1 b"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
}

// An unconnected socket hears every address, and says when it is not the one that was asked.
func TestUnconnectedFlowNoticesTheSource(t *testing.T) {
	other, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, client, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			d, _ := wire.ParseDatagram(string(buffer[:n]))
			d.Name = "a"
			_, _ = other.WriteTo([]byte(d.String()), client)
		}
	}()
	flow, err := New(&Local{}).Flow(t.Context(), FlowRequest{Vantage: here(), Target: target(netip.MustParseAddrPort(conn.LocalAddr().String()), reach.UDP), PerSecond: 50, Kind: reach.FlowUnconnected})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "5 answers", func() bool { return len(flow.Snapshot().Failed) >= 5 })
	report, err := flow.Stop()
	if err != nil || report.Answered != 0 || report.Failed[0].Outcome != reach.WrongAnswer || report.Failed[0].Backend != "a" {
		t.Errorf("%+v, %v", report, err)
	}
}

// A connected socket learns that nothing listens.
func TestConnectedFlowIsRefused(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := conn.LocalAddr().String()
	_ = conn.Close()
	flow, err := New(&Local{}).Flow(t.Context(), FlowRequest{Vantage: here(), Target: target(netip.MustParseAddrPort(address), reach.UDP), PerSecond: 50, Kind: reach.FlowConnected})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "5 refusals", func() bool { return len(flow.Snapshot().Failed) >= 5 })
	report, err := flow.Stop()
	if err != nil || report.Answered != 0 || report.Failed[0].Outcome != reach.Refused {
		t.Errorf("%+v, %v", report, err)
	}
}
