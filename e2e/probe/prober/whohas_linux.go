package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// neighbours resolves an address on a link by ARP or by NDP.
type neighbours struct {
	socket  int
	request func() error
	// answer parses a packet. ok is false if the packet does not answer the request.
	answer func(packet []byte) (mac net.HardwareAddr, ok bool)
}

// solicit sends whoHasTries requests and collects the answers that arrive within wait.
func solicit(link net.Interface, source, target netip.Addr, wait time.Duration) ([]string, error) {
	open := openARP
	if target.Is6() {
		open = openNDP
	}
	n, err := open(link, source, target)
	if err != nil {
		return nil, err
	}
	defer func() { _ = syscall.Close(n.socket) }()
	var (
		owners []string
		packet = make([]byte, 2048)
	)
	for range whoHasTries {
		if err := n.request(); err != nil {
			return nil, fmt.Errorf("send: %w", err)
		}
		for until := time.Now().Add(wait / whoHasTries); ; {
			left := time.Until(until)
			if left <= 0 {
				break
			}
			limit := syscall.NsecToTimeval(max(left, time.Millisecond).Nanoseconds())
			if err := syscall.SetsockoptTimeval(n.socket, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &limit); err != nil {
				return nil, fmt.Errorf("set the time to listen: %w", err)
			}
			size, _, err := syscall.Recvfrom(n.socket, packet, 0)
			if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("receive: %w", err)
			}
			if mac, ok := n.answer(packet[:size]); ok {
				owners = append(owners, mac.String())
			}
		}
	}
	return owners, nil
}

const (
	arpRequest, arpReply = 1, 2
	arpLength            = 28
)

// openARP prepares ARP (RFC 826): each owner answers a broadcast.
func openARP(link net.Interface, source, target netip.Addr) (neighbours, error) {
	protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, syscall.ETH_P_ARP))
	socket, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, int(protocol))
	if err != nil {
		return neighbours{}, fmt.Errorf("open a packet socket: %w", err)
	}
	if err := syscall.Bind(socket, &syscall.SockaddrLinklayer{Protocol: protocol, Ifindex: link.Index}); err != nil {
		_ = syscall.Close(socket)
		return neighbours{}, fmt.Errorf("bind the packet socket: %w", err)
	}
	everyone := &syscall.SockaddrLinklayer{Protocol: protocol, Ifindex: link.Index, Halen: 6,
		Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	packet := arpPacket(link.HardwareAddr, source, target)
	return neighbours{socket: socket,
		request: func() error { return syscall.Sendto(socket, packet, 0, everyone) },
		answer:  func(packet []byte) (net.HardwareAddr, bool) { return arpAnswer(packet, target) },
	}, nil
}

func arpPacket(mac net.HardwareAddr, source, target netip.Addr) []byte {
	packet := []byte{0, 1, 8, 0, 6, 4, 0, arpRequest} // Ethernet, IPv4, their lengths, the operation
	packet = append(packet, mac...)
	packet = append(packet, source.AsSlice()...)
	packet = append(packet, make([]byte, 6)...)
	return append(packet, target.AsSlice()...)
}

func arpAnswer(packet []byte, target netip.Addr) (net.HardwareAddr, bool) {
	if len(packet) < arpLength || packet[7] != arpReply || !bytes.Equal(packet[14:18], target.AsSlice()) {
		return nil, false
	}
	return bytes.Clone(packet[8:14]), true
}

const (
	neighbourSolicitation, neighbourAdvertisement = 135, 136
	sourceLinkAddress, targetLinkAddress          = 1, 2
)

// openNDP prepares neighbour discovery (RFC 4861, section 7.2): each owner answers a multicast to the address's
// solicited-node group. The kernel computes the checksum.
func openNDP(link net.Interface, _, target netip.Addr) (neighbours, error) {
	socket, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.IPPROTO_ICMPV6)
	if err != nil {
		return neighbours{}, fmt.Errorf("open a raw socket: %w", err)
	}
	for option, value := range map[int]int{syscall.IPV6_MULTICAST_HOPS: 255, syscall.IPV6_MULTICAST_IF: link.Index} {
		if err := syscall.SetsockoptInt(socket, syscall.IPPROTO_IPV6, option, value); err != nil {
			_ = syscall.Close(socket)
			return neighbours{}, fmt.Errorf("set up the raw socket: %w", err)
		}
	}
	group := &syscall.SockaddrInet6{ZoneId: uint32(link.Index), Addr: [16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff}}
	copy(group.Addr[13:], target.AsSlice()[13:])
	packet := append([]byte{neighbourSolicitation, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice()...)
	packet = append(append(packet, sourceLinkAddress, 1), link.HardwareAddr...)
	return neighbours{socket: socket,
		request: func() error { return syscall.Sendto(socket, packet, 0, group) },
		answer:  func(packet []byte) (net.HardwareAddr, bool) { return ndpAnswer(packet, target) },
	}, nil
}

// ndpAnswer parses an advertisement: a header, the address, and options. An option is a type, a length in units of 8 bytes,
// and a value.
func ndpAnswer(packet []byte, target netip.Addr) (net.HardwareAddr, bool) {
	if len(packet) < 24 || packet[0] != neighbourAdvertisement || !bytes.Equal(packet[8:24], target.AsSlice()) {
		return nil, false
	}
	for options := packet[24:]; len(options) >= 8 && options[1] > 0 && len(options) >= int(options[1])*8; options = options[int(options[1])*8:] {
		if options[0] == targetLinkAddress {
			return bytes.Clone(options[2:8]), true
		}
	}
	return nil, false
}
