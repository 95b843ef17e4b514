package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
)

// serveFlags are the flags of `prober serve`.
type serveFlags struct {
	http, https, udp, name, ca string
	certNames                  []string
	linger, within             time.Duration
	receipts                   bool
	also                       portRange
}

// portRange is the numbers from first to last; the zero value is empty.
type portRange struct{ first, last int }

// Set implements flag.Value: "20000-20099".
func (r *portRange) Set(text string) error {
	_, err := fmt.Sscanf(text, "%d-%d", &r.first, &r.last)
	if err != nil || r.first < 1 || r.last < r.first || r.last > 65535 || r.last-r.first >= mostPorts {
		return fmt.Errorf("want FIRST-LAST, at most %d ports", mostPorts)
	}
	return nil
}

// String implements flag.Value.
func (r *portRange) String() string { return fmt.Sprintf("%d-%d", r.first, r.last) }

// mostPorts bounds the sockets of one server.
const mostPorts = 256

func parseServe(args []string, stderr io.Writer) (serveFlags, error) {
	var (
		f     serveFlags
		names string
		set   = flag.NewFlagSet("prober serve", flag.ContinueOnError)
	)
	set.SetOutput(stderr)
	set.StringVar(&f.http, "http", "", "address to serve HTTP on, such as :80")
	set.StringVar(&f.https, "https", "", "address to serve HTTPS on, such as :443")
	set.StringVar(&f.udp, "udp", "", "address to answer the datagrams hostname, clientip and echo TEXT on")
	set.StringVar(&f.name, "name", "", "name to answer with (default: the host name)")
	set.StringVar(&names, "cert-names", "", "comma-separated names and addresses for the certificate that is issued at start")
	set.StringVar(&f.ca, "ca", "", "file for the certificate of the authority that signs it")
	set.DurationVar(&f.linger, "linger", 0, "how long to serve on after SIGTERM")
	set.DurationVar(&f.within, "for", 0, "how long to serve at most (default: no bound)")
	set.BoolVar(&f.receipts, "receipts", false, "report datagrams of one-way flows to the address that they name; for a cluster of svclab's own only")
	set.Var(&f.also, "also", "more ports to serve HTTP on, such as 20000-20099")
	if err := set.Parse(args); err != nil {
		return f, badInput{err}
	}
	if set.NArg() > 0 {
		return f, badf("serve takes flags only, got %q", set.Args())
	}
	if f.http == "" && f.https == "" && f.udp == "" {
		return f, badf("nothing to serve: set --http, --https or --udp")
	}
	if names != "" {
		f.certNames = strings.Split(names, ",")
	}
	if f.linger < 0 || f.within < 0 {
		return f, badf("--linger and --for want times of 0 or more")
	}
	if f.https != "" && len(f.certNames) == 0 {
		return f, badf("--https needs --cert-names")
	}
	if f.name == "" {
		host, err := os.Hostname()
		if err != nil {
			return f, fmt.Errorf("find the host's name: %w", err)
		}
		f.name = host
	}
	return f, nil
}

// serve runs the servers until ctx ends, or for the time that a flag says. It prints a wire.Listening when all listeners are
// open.
func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f, err := parseServe(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	var (
		said    = wire.Listening{Name: f.name}
		failed  = make(chan error, 3+mostPorts)
		server  = &http.Server{Handler: answers(f.name), ReadHeaderTimeout: 10 * time.Second}
		closers []io.Closer
	)
	defer func() {
		for _, c := range closers {
			_ = c.Close()
		}
	}()
	if f.http != "" {
		l, err := net.Listen("tcp", f.http)
		if err != nil {
			return err
		}
		closers, said.HTTP = append(closers, l), l.Addr().String()
		go func() { failed <- server.Serve(l) }()
	}
	for port := f.also.first; port > 0 && port <= f.also.last; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		closers = append(closers, l)
		go func() { failed <- server.Serve(l) }()
	}
	if f.https != "" {
		l, err := listenTLS(f)
		if err != nil {
			return err
		}
		closers, said.HTTPS = append(closers, l), l.Addr().String()
		go func() { failed <- server.Serve(l) }()
	}
	if f.udp != "" {
		c, err := net.ListenPacket("udp", f.udp)
		if err != nil {
			return err
		}
		closers, said.UDP = append(closers, c), c.LocalAddr().String()
		go func() { failed <- answerDatagrams(c, f.name, f.receipts) }()
	}
	if err := json.NewEncoder(stdout).Encode(said); err != nil {
		return err
	}
	serving, end := lifetime(ctx, f.linger, f.within)
	defer end()
	select {
	case err := <-failed:
		return err
	case <-serving.Done():
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		return server.Shutdown(last)
	}
}

// lifetime returns a context that ends linger after ctx, and within from now if within is not 0.
func lifetime(ctx context.Context, linger, within time.Duration) (context.Context, context.CancelFunc) {
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(linger, end) })
	if within > 0 {
		time.AfterFunc(within, end)
	}
	return serving, end
}

// listenTLS listens with a certificate for f's names and writes its authority's certificate to f.ca.
func listenTLS(f serveFlags) (net.Listener, error) {
	certificate, authority, err := issue(f.certNames, time.Now())
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %v: %w", f.certNames, err)
	}
	if f.ca != "" {
		if err := os.WriteFile(f.ca, authority, 0o644); err != nil {
			return nil, fmt.Errorf("write the authority's certificate: %w", err)
		}
	}
	l, err := net.Listen("tcp", f.https)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate},
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), nil
}

// answers returns the web server. It answers like the app on those of the app's paths that probes request, and with a
// wire.Served on all others. It runs, opens, dials and stores nothing for a client, because in a cluster that svclab did not
// create anyone who can reach a node can reach it.
func answers(name string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff") // a browser must not take the text for a page
		_, _ = io.WriteString(w, r.URL.Query().Get("msg"))
	})
	mux.HandleFunc("GET /hostname", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	mux.HandleFunc("GET /clientip", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) })
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		served := wire.Served{Name: name, Source: r.RemoteAddr, Host: r.Host, Path: r.URL.Path}
		if r.TLS != nil {
			served.ServerName = r.TLS.ServerName
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(served) // the client notices a truncated answer
	})
	return mux
}

// answerDatagrams answers like the app, and a flow's datagrams, until the socket is closed. Without receipts it sends nothing
// to an address that a client names: anyone who reaches it could have it send to anyone.
func answerDatagrams(conn net.PacketConn, name string, receipts bool) error {
	buffer := make([]byte, 2048)
	for {
		n, client, err := conn.ReadFrom(buffer)
		if err != nil {
			return err
		}
		request := strings.ToLower(strings.TrimSpace(string(buffer[:n])))
		reply := answerTo(request, name, client)
		if d, ok := wire.ParseDatagram(request); ok && d.Receipt.IsValid() {
			if receipts {
				receipt(wire.Datagram{Token: d.Token, Number: d.Number, Name: name}, d.Receipt)
			}
			continue
		}
		if reply != "" {
			// A reply that cannot be sent is a lost datagram, which the client reports.
			_, _ = conn.WriteTo([]byte(reply), client)
		}
	}
}

// answerTo returns the answer to a datagram; "" if there is none.
func answerTo(request, name string, client net.Addr) string {
	text, echo := strings.CutPrefix(request, "echo ")
	d, flow := wire.ParseDatagram(request)
	switch {
	case request == "hostname":
		return name
	case request == "clientip":
		return client.String()
	case echo:
		return text
	case flow && d.Name == "":
		return wire.Datagram{Token: d.Token, Number: d.Number, Name: name}.String()
	}
	return ""
}

// receipt sends a datagram from a socket of its own: from the server's it would be an answer, and the flow not one-way.
func receipt(d wire.Datagram, to netip.AddrPort) {
	socket, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return // a lost datagram, which the client reports
	}
	_, _ = socket.Write([]byte(d.String()))
	_ = socket.Close()
}
