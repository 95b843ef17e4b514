package collect

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/explain"
	"github.com/svclab/svclab/e2e/reach"
)

// lookIn bounds the look into one pod.
const lookIn = 10 * time.Second

// sockets reads, in the pods that refuse, what they listen on. A pod without a shell's tools, or one that may not be
// entered, is left out: then what it declares is used.
func sockets(ctx context.Context, c Cluster, found explain.Case) map[string][]explain.Socket {
	namespace, _, _ := strings.Cut(found.Service, "/")
	seen := map[string][]explain.Socket{}
	for _, pod := range found.Unread {
		all := []explain.Socket{} // not nil: a pod may listen on nothing
		ok := false
		for _, file := range []string{"tcp", "tcp6", "udp", "udp6"} { // a pod without IPv6 has no tcp6
			var out, diagnostics bytes.Buffer
			bounded, cancel := context.WithTimeout(ctx, lookIn)
			at := reach.Vantage{Name: "pod " + pod, Kind: reach.Pod, Namespace: namespace, PodName: pod}
			err := c.Exec(bounded, at, []string{"cat", "/proc/net/" + file}, nil, &out, &diagnostics)
			cancel()
			if err != nil && file == "tcp" {
				break
			}
			if err == nil {
				ok = true
				all = append(all, parseSockets(out.String(), protocolOf(file))...)
			}
		}
		if ok {
			seen[pod] = all
		}
	}
	return seen
}

func protocolOf(file string) corev1.Protocol {
	if strings.HasPrefix(file, "udp") {
		return corev1.ProtocolUDP
	}
	return corev1.ProtocolTCP
}

// The states of proc(5)'s /proc/net/tcp and /proc/net/udp in which a socket waits for anybody.
const (
	tcpListen = "0A"
	udpOpen   = "07"
)

// parseSockets reads /proc/net/tcp and its like: the second column is the local address, in hexadecimal words of the
// machine's byte order, the fourth the state.
func parseSockets(text string, protocol corev1.Protocol) []explain.Socket {
	wanted := tcpListen
	if protocol == corev1.ProtocolUDP {
		wanted = udpOpen
	}
	var list []explain.Socket
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != wanted {
			continue
		}
		host, number, _ := strings.Cut(fields[1], ":")
		port, err := strconv.ParseUint(number, 16, 16)
		addr, ok := parseHexAddr(host)
		if err != nil || !ok {
			continue
		}
		list = append(list, explain.Socket{Addr: addr, Port: uint16(port), Protocol: protocol})
	}
	return list
}

// parseHexAddr reads an address as the kernel prints it: words of four bytes, each the wrong way round (on machines
// whose byte order is little-endian, which all that Kubernetes has images for are but one).
func parseHexAddr(text string) (netip.Addr, bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw)%4 != 0 {
		return netip.Addr{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	addr, ok := netip.AddrFromSlice(raw)
	return addr.Unmap(), ok
}
