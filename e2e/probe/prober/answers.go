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

// askApp asks the sample app (agnhost netexec) who it is and whom it sees.
func (p *probe) askApp(talk *conversation) error {
	if err := p.askName(talk); err != nil {
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

// askName asks the sample app who it is, over a connection that stays open.
func (p *probe) askName(talk *conversation) error {
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

// talkUDP asks the app by two datagrams, and where the cell has a length by a long one. Each of the two is sent once:
// the kernel connects the socket, so an ICMP error comes back as an errno, and a lost datagram is what a probe is to
// notice. Sending it again would be another probe, and would hide the moment in which a stale conntrack entry swallows
// traffic.
func (p *probe) talkUDP(conn net.Conn) {
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

// exchange sends one datagram and waits for one. A send that the vantage's own packet filter stops fails with
// EPERM whether the filter drops or rejects; what a reject sends back, if anything, is read a moment later.
func exchange(conn net.Conn, question string) ([]byte, error) {
	_, filtered := conn.Write([]byte(question))
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

func wrongDatagram(question string, body []byte) string {
	return fmt.Sprintf("%s was answered %q", question, body[:min(len(body), excerptSize)])
}

// askOutside asks the outside world's web server.
func (p *probe) askOutside(talk *conversation) error {
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

// askHealth asks a healthCheckNodePort. An answer of either kind is Reached; the backend is "localEndpoints=N",
// with " serviceProxyHealthy=false" behind it where endpoints are there and the node answers 503 all the same.
// https://kubernetes.io/docs/reference/networking/virtual-ips/#external-traffic-policy
func (p *probe) askHealth(talk *conversation) error {
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

// hostname returns the pod's name that an answer is, if it is one: at most 253 letters, digits, dashes, dots.
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

// clientIP returns the address of an "address:port" answer, IPv6 in brackets.
func clientIP(body []byte) (netip.Addr, bool) {
	source, err := netip.ParseAddrPort(strings.TrimSpace(string(body)))
	if err != nil {
		return netip.Addr{}, false
	}
	return source.Addr().Unmap().WithZone(""), true
}
