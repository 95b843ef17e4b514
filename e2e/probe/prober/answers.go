package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// probeApp requests the sample app's (agnhost netexec) host name and the client address that it sees.
func (p *probe) probeApp(talk *conversation) error {
	if err := p.getHostname(talk); err != nil {
		return err
	}
	status, body, err := talk.get("/clientip", true)
	if err != nil {
		return fmt.Errorf("/hostname said %s, /clientip: %w", p.o.Backend, err)
	}
	source, ok := clientIP(body)
	if status != http.StatusOK || !ok {
		return fmt.Errorf("/clientip answered with status %d and no address", status)
	}
	p.o.Source = source
	return nil
}

// getHostname requests the sample app's host name and keeps the connection open.
func (p *probe) getHostname(talk *conversation) error {
	status, body, err := talk.get("/hostname", false)
	if err != nil {
		return err
	}
	name, ok := hostname(body)
	if status != http.StatusOK || !ok {
		return fmt.Errorf("/hostname answered with status %d and no host name", status)
	}
	p.o.Backend = name
	return nil
}

// probeUDP sends the app two datagrams, and a long one if the cell has a length. It sends each of the two once. The socket is
// connected, so the kernel returns an ICMP error as an errno. A lost datagram is something that a probe must notice: a
// retransmission would be another probe, and would hide that a stale conntrack entry drops traffic.
func (p *probe) probeUDP(conn net.Conn) {
	body, err := exchange(conn, "hostname")
	if err != nil {
		p.o.Outcome, p.o.Detail = dialOutcome(err)
		return
	}
	name, ok := hostname(body)
	if !ok {
		p.o.Outcome, p.o.Detail = reach.WrongAnswer, wrongDatagram("hostname", body)
		return
	}
	p.o.Backend = name
	if body, err = exchange(conn, "clientip"); err != nil {
		outcome, detail := dialOutcome(err)
		p.o.Outcome, p.o.Detail = outcome, fmt.Sprintf("hostname was answered by %s, clientip was not: %s", name, detail)
		return
	}
	if p.o.Source, ok = clientIP(body); !ok {
		p.o.Outcome, p.o.Detail = reach.WrongAnswer, wrongDatagram("clientip", body)
		return
	}
	if p.cell.Length > 0 && !p.echoUDP(conn) {
		return
	}
	p.o.Outcome = reach.Reached
}

// exchange sends one datagram and waits for one. A send fails with EPERM both when the vantage's own packet filter drops
// the datagram and when it rejects it. Only the following read tells the two apart: it returns the ICMP error of a reject.
func exchange(conn net.Conn, request string) ([]byte, error) {
	_, filtered := conn.Write([]byte(request))
	if filtered != nil && !errors.Is(filtered, syscall.EPERM) {
		return nil, filtered
	}
	buffer := make([]byte, 2048)
	n, err := conn.Read(buffer)
	if outcome, _ := classify(err); filtered != nil && outcome == reach.TimedOut {
		err = filtered
	}
	return buffer[:n], err
}

func wrongDatagram(request string, body []byte) string {
	return fmt.Sprintf("%s was answered %q", request, body[:min(len(body), excerptSize)])
}

// probeOutside sends a request to the outside world's web server.
func (p *probe) probeOutside(talk *conversation) error {
	status, body, err := talk.get("/", true)
	if err != nil {
		return err
	}
	var served wire.Served
	if status != http.StatusOK || json.Unmarshal(body, &served) != nil || served.Name == "" {
		return fmt.Errorf("/ answered with status %d, not as the outside world's server does", status)
	}
	source, ok := clientIP([]byte(served.Source))
	if !ok {
		return fmt.Errorf("/ named the source %q, which is no address", served.Source)
	}
	p.o.Backend, p.o.Source, p.o.HostSeen, p.o.ServerName = served.Name, source, served.Host, served.ServerName
	return nil
}

// probeHealth sends a request to a healthCheckNodePort. Status 200 and status 503 are both Reached. The backend is
// "localEndpoints=N", followed by " serviceProxyHealthy=false" if the node answers 503 although it has endpoints.
// https://kubernetes.io/docs/reference/networking/virtual-ips/#external-traffic-policy
func (p *probe) probeHealth(talk *conversation) error {
	status, body, err := talk.get("/", true)
	if err != nil {
		return err
	}
	p.o.Backend, err = health(status, body)
	p.o.Detail = fmt.Sprintf("%d %s", status, http.StatusText(status))
	return err
}

func health(status int, body []byte) (string, error) {
	var answer struct {
		Service        *struct{ Namespace, Name string }
		LocalEndpoints *int
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.LocalEndpoints == nil || answer.Service == nil {
		return "", fmt.Errorf("/ answered with status %d, not as a health check does", status)
	}
	backend := fmt.Sprintf("localEndpoints=%d", *answer.LocalEndpoints)
	switch {
	case status == http.StatusOK && *answer.LocalEndpoints > 0:
		return backend, nil
	case status == http.StatusServiceUnavailable && *answer.LocalEndpoints == 0:
		return backend, nil
	case status == http.StatusServiceUnavailable:
		return backend + " serviceProxyHealthy=false", nil
	default:
		return "", fmt.Errorf("status %d contradicts %s", status, backend)
	}
}

// hostname parses an answer that is a pod's name: at most 253 letters, digits, dashes and dots.
func hostname(body []byte) (string, bool) {
	name := strings.TrimSpace(string(body))
	if name == "" || len(name) > 253 {
		return "", false
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' {
			return "", false
		}
	}
	return name, true
}

// clientIP parses the address of an "address:port" answer, with IPv6 in brackets.
func clientIP(body []byte) (netip.Addr, bool) {
	source, err := netip.ParseAddrPort(strings.TrimSpace(string(body)))
	if err != nil {
		return netip.Addr{}, false
	}
	return source.Addr().Unmap().WithZone(""), true
}
