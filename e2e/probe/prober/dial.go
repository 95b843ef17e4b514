package main

import (
	"context"
	"net"
	"sync"
	"time"
)

const (
	// flowLife is how long a node remembers a flow of datagrams, at least: twice Linux's
	// net.netfilter.nf_conntrack_udp_timeout of 30 s, which a question and its answer are kept for. Source:
	// Documentation/networking/nf_conntrack-sysctl.rst of Linux.
	flowLife = time.Minute
	// portTries is how many ports may turn out to be used before any is taken: of 28,232 that Linux chooses from, a run
	// uses some hundred.
	portTries = 32
)

// ports has the ports that datagrams were sent from.
var ports portMemory

// dial opens a connection from a port that the kernel chooses. A datagram from a port that one went to the same address
// from a moment ago would belong to that one's flow: the node sends it where the first one went, whatever its rules say
// by now, and kube-proxy forgets flows of endpoints that are gone, but not those of a Service's port that is gone. So
// such a port is not taken. TCP needs no such care, as its SYN begins a flow anew.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1, Control: hearICMP}
	for try := 1; ; try++ {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil || network != "udp" || try == portTries {
			return conn, err
		}
		if ports.take(conn.LocalAddr().String(), conn.RemoteAddr().String(), time.Now()) {
			return conn, nil
		}
		_ = conn.Close() // nothing was sent
	}
}

// portMemory remembers when a flow from one address and port to another was begun, as long as a node may.
type portMemory struct {
	mu    sync.Mutex
	begun map[[2]string]time.Time
	swept time.Time
}

// take reports whether no flow from that address to the other was begun within flowLife, and then begins one.
func (m *portMemory) take(from, to string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.begun == nil {
		m.begun = map[[2]string]time.Time{}
	}
	if now.Sub(m.swept) > flowLife {
		for flow, begun := range m.begun {
			if now.Sub(begun) > flowLife {
				delete(m.begun, flow)
			}
		}
		m.swept = now
	}
	flow := [2]string{from, to}
	if begun, there := m.begun[flow]; there && now.Sub(begun) <= flowLife {
		return false
	}
	m.begun[flow] = now
	return true
}
