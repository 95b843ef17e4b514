package main

import (
	"errors"
	"syscall"
)

// hearICMP is a net.Dialer's Control that has a UDP socket told of every ICMP error. Without it Linux reports
// port-unreachable and prohibited only, and keeps host- and network-unreachable to itself (udp(7), IP_RECVERR).
func hearICMP(network, _ string, socket syscall.RawConn) error {
	level, option := syscall.IPPROTO_IP, syscall.IP_RECVERR
	switch network {
	case "udp4":
	case "udp6":
		level, option = syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR
	default:
		return nil
	}
	var failed error
	err := socket.Control(func(fd uintptr) { failed = syscall.SetsockoptInt(int(fd), level, option, 1) })
	return errors.Join(err, failed)
}
