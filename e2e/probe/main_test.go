package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// TestMain builds the real prober once and names it by BinaryEnv, where Local finds it.
func TestMain(m *testing.M) {
	os.Exit(withProber(m))
}

func withProber(m *testing.M) int {
	dir, err := os.MkdirTemp("", "svclab-probe-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	root, err := checkout(mustGetwd())
	if err != nil {
		panic(err)
	}
	path := filepath.Join(dir, "prober")
	if err := build(context.Background(), root, path, runtime.GOOS, runtime.GOARCH); err != nil {
		panic(err)
	}
	if err := os.Setenv(BinaryEnv, path); err != nil {
		panic(err)
	}
	return m.Run()
}

func mustGetwd() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir
}

// here is the vantage of the tests: this machine, which probes loopback only.
func here() reach.Vantage { return reach.Vantage{Name: "host", Kind: reach.Host} }

func target(address netip.AddrPort, protocol reach.Protocol) reach.Target {
	return reach.Target{Kind: reach.ClusterIP, Service: "default/my-service", Host: address.Addr().String(),
		Port: address.Port(), Protocol: protocol}
}

// observeOne probes one cell with the real prober.
func observeOne(t *testing.T, r Request) reach.Cell {
	t.Helper()
	if r.Vantage.Name == "" {
		r.Vantage = here()
	}
	if r.Timeout == 0 {
		r.Timeout = 2 * time.Second
	}
	cells, err := New(&Local{}).Observe(t.Context(), []Request{r})
	if err != nil {
		t.Fatal(err)
	}
	return cells[0]
}

func listen(t testing.TB, network string) net.Listener {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "tcp6" {
		address = "[::1]:0"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Skipf("cannot listen at %s: %v", address, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func addrPort(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }

// app answers like the sample app. Each new connection gets the next replica, as behind a Service.
type app struct {
	address     netip.AddrPort
	connections atomic.Int64
	abort       atomic.Bool // the next request breaks its connection
}

type replicaKey struct{}

func newApp(t testing.TB, network string, replicas int) *app {
	t.Helper()
	var (
		a   = &app{}
		l   = listen(t, network)
		mux = http.NewServeMux()
	)
	mux.HandleFunc("/hostname", func(w http.ResponseWriter, r *http.Request) {
		if a.abort.CompareAndSwap(true, false) {
			panic(http.ErrAbortHandler)
		}
		_, _ = fmt.Fprintf(w, "my-app-%d", r.Context().Value(replicaKey{}))
	})
	mux.HandleFunc("/clientip", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.FormValue("msg")) })
	server := &http.Server{Handler: mux, ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, replicaKey{}, (a.connections.Add(1)-1)%int64(replicas))
	}}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	a.address = addrPort(l.Addr())
	return a
}

// accept calls a function for every connection, each in its own goroutine.
func accept(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l := listen(t, "tcp4")
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			go serve(conn)
		}
	}()
	return addrPort(l.Addr())
}

// datagrams answers each datagram with the result of a function; "" is no answer.
func datagrams(t *testing.T, answer func(request string, client net.Addr) string) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, client, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply := answer(string(buffer[:n]), client); reply != "" {
				_, _ = conn.WriteTo([]byte(reply), client)
			}
		}
	}()
	return addrPort(conn.LocalAddr())
}

// closedPort returns a port without a listener.
func closedPort(t testing.TB) netip.AddrPort {
	t.Helper()
	for l := listen(t, "tcp4"); ; {
		conn, err := net.Dial("tcp4", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		address := addrPort(conn.LocalAddr())
		// It gets datagrams of its peer only, and none comes.
		if taken, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(address), net.UDPAddrFromAddrPort(addrPort(l.Addr()))); err == nil {
			t.Cleanup(func() { _ = taken.Close() })
			return address
		}
	}
}

// unresponsiveServer accepts connections and does not answer. It returns its address.
func unresponsiveServer(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}
