package main

import (
	"errors"
	"syscall"
)

// prepareSocket is a net.Dialer's Control. It has a UDP socket told of every ICMP error: without it Linux reports
// port-unreachable and prohibited only, and keeps host- and network-unreachable to itself (udp(7), IP_RECVERR). And it
// lets TCP sockets that go to different addresses leave from one port (socket(7), SO_REUSEADDR).
func prepareSocket(network, _ string, socket syscall.RawConn) error {
	level, option := syscall.SOL_SOCKET, syscall.SO_REUSEADDR
	switch network {
	case "udp4":
		level, option = syscall.IPPROTO_IP, syscall.IP_RECVERR
	case "udp6":
		level, option = syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR
	}
	var failed error
	err := socket.Control(func(fd uintptr) { failed = syscall.SetsockoptInt(int(fd), level, option, 1) })
	return errors.Join(err, failed)
}
