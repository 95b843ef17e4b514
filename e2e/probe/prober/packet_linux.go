package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/svclab/svclab/e2e/probe/wire"
)

// Flags of TCP.
const tcpFIN, tcpSYN, tcpRST, tcpACK = 1, 2, 4, 16

// parseHeader reads the headers of a packet, as far as the kernel reports them: 40 bytes and 20 bytes.
func parseHeader(network, transport []byte) *wire.TraceHeader {
	var (
		h        wire.TraceHeader
		src, dst netip.Addr
		protocol byte
	)
	switch {
	case len(network) >= 20 && network[0]>>4 == 4:
		h.Class, protocol = network[1]>>2, network[9]
		src, _ = netip.AddrFromSlice(network[12:16])
		dst, _ = netip.AddrFromSlice(network[16:20])
	case len(network) >= 40 && network[0]>>4 == 6:
		h.Class, protocol = byte(binary.BigEndian.Uint16(network)>>6)&0x3f, network[6]
		src, _ = netip.AddrFromSlice(network[8:24])
		dst, _ = netip.AddrFromSlice(network[24:40])
	}
	var from, to uint16
	if (protocol == unix.IPPROTO_TCP || protocol == unix.IPPROTO_UDP) && len(transport) >= 4 {
		from, to = binary.BigEndian.Uint16(transport), binary.BigEndian.Uint16(transport[2:])
	}
	h.Src, h.Dst = netip.AddrPortFrom(src, from), netip.AddrPortFrom(dst, to)
	switch protocol {
	case unix.IPPROTO_TCP:
		h.Protocol = "TCP"
		if len(transport) >= 14 {
			for _, flag := range []struct {
				bit  byte
				name string
			}{{tcpSYN, "S"}, {tcpACK, "A"}, {tcpRST, "R"}, {tcpFIN, "F"}} {
				if transport[13]&flag.bit != 0 {
					h.Flags += flag.name
				}
			}
		}
	case unix.IPPROTO_UDP:
		h.Protocol = "UDP"
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		h.Protocol = "ICMP"
	default:
		h.Protocol = fmt.Sprint(protocol)
	}
	return &h
}
