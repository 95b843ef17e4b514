package main

import (
	"errors"
	"net"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// prepareSocket returns a net.Dialer's Control. It sets the DSCP of the socket's packets, unless class is 0. It has a UDP socket told of every ICMP error: without it Linux reports
// port-unreachable and prohibited only, and keeps host- and network-unreachable to itself (udp(7), IP_RECVERR). And it
// lets TCP sockets that go to different addresses leave from one port (socket(7), SO_REUSEADDR).
func prepareSocket(class uint8) func(network, address string, socket syscall.RawConn) error {
	return func(network, _ string, socket syscall.RawConn) error {
		level, option := syscall.SOL_SOCKET, syscall.SO_REUSEADDR
		switch network {
		case "udp4":
			level, option = syscall.IPPROTO_IP, syscall.IP_RECVERR
		case "udp6":
			level, option = syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR
		}
		var failed error
		err := socket.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), level, option, 1)
			switch {
			case class == 0:
			case strings.HasSuffix(network, "6"):
				failed = errors.Join(failed, syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_TCLASS, int(class)<<2))
			default:
				failed = errors.Join(failed, syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TOS, int(class)<<2))
			}
		})
		return errors.Join(err, failed)
	}
}

// resent is how often the SYN of a TCP connection that has just been opened was sent again; 0 for other connections. (tcp(7), TCP_INFO.)
func resent(conn net.Conn) int {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	var info *unix.TCPInfo
	if controlled := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); controlled != nil || err != nil {
		return 0
	}
	return int(info.Total_retrans)
}
