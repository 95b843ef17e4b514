package probe

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// command returns argv as a shell command line, prefixed with the way to the vantage if the Exec knows it.
func (c *Client) command(v reach.Vantage, argv []string) string {
	if prefixer, ok := c.exec.(Prefixer); ok {
		return prefixer.Command(v, argv)
	}
	return shellescape.QuoteCommand(argv)
}

// repeat returns a command that repeats a probe by hand, with tools that a vantage of its kind has: curl everywhere; for UDP
// nc in the client image, bash's own sockets on nodes and hosts; for names dig, or the C library's lookup.
func repeat(q plannedCell) []string {
	cell := q.cell
	bare := q.vantage.Kind == reach.Node || q.vantage.Kind == reach.Host
	switch cell.Form {
	case wire.Lookup:
		return repeatLookup(cell, bare)
	case wire.AppUDP:
		host, port, wait := cell.Host, strconv.Itoa(int(cell.Port)), seconds(cell.Timeout)
		if bare {
			return []string{"timeout", wait, "bash", "-c",
				fmt.Sprintf("exec 3<>/dev/udp/%s/%s && printf hostname >&3 && dd bs=253 count=1 status=none <&3", host, port)}
		}
		whole := max(1, int(cell.Timeout.Round(time.Second)/time.Second)) // busybox's nc accepts whole seconds only
		return []string{"sh", "-c", fmt.Sprintf("printf hostname | nc -u -w %d %s %s", whole, host, port)}
	default:
		return repeatHTTP(cell)
	}
}

func repeatHTTP(cell wire.Cell) []string {
	wait := seconds(cell.Timeout)
	argv := []string{"curl", "--silent", "--show-error", "--globoff", "--noproxy", "*", "--connect-timeout", wait, "--max-time", wait}
	switch cell.Family {
	case 4:
		argv = append(argv, "--ipv4")
	case 6:
		argv = append(argv, "--ipv6")
	}
	if cell.HostHeader != "" {
		argv = append(argv, "--header", "Host: "+cell.HostHeader)
	}
	scheme := "http"
	name, address := strings.TrimSuffix(cell.Host, "."), cell.Host
	port := strconv.Itoa(int(cell.Port))
	if cell.Form == wire.OutsideHTTPS {
		scheme = "https"
		if cell.Roots == "" {
			argv = append(argv, "--insecure")
		}
		if cell.ServerName != "" && cell.ServerName != name {
			name = cell.ServerName
			argv = append(argv, "--connect-to", net.JoinHostPort(name, port)+":"+net.JoinHostPort(address, port))
		}
	}
	base := scheme + "://" + net.JoinHostPort(name, port)
	switch cell.Form {
	case wire.AppHTTP:
		return append(argv, "--write-out", `\n`, base+"/hostname", base+"/clientip")
	case wire.HealthCheck:
		return append(argv, "--include", base+"/")
	default:
		return append(argv, base+"/")
	}
}

func repeatLookup(cell wire.Cell, bare bool) []string {
	if bare && cell.DNSServer == "" && (cell.Record == wire.AnyAddress || cell.Record == wire.A || cell.Record == wire.AAAA) {
		database := map[wire.Record]string{wire.AnyAddress: "ahosts", wire.A: "ahostsv4", wire.AAAA: "ahostsv6"}
		return []string{"getent", database[cell.Record], cell.Host}
	}
	argv := []string{"dig", "+search", "+short"}
	if server, port, err := net.SplitHostPort(cell.DNSServer); err == nil {
		argv = append(argv, "@"+server, "-p", port)
	}
	switch cell.Record {
	case wire.PTR:
		return append(argv, "-x", cell.Host)
	case wire.AnyAddress:
		return append(argv, cell.Host, "A", cell.Host, "AAAA")
	default:
		return append(argv, cell.Host, string(cell.Record))
	}
}

// seconds formats a duration for curl and timeout.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }
