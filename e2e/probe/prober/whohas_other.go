//go:build !linux

package main

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// solicit needs packet sockets, which only Linux has in this form.
func solicit(net.Interface, netip.Addr, netip.Addr, time.Duration) ([]string, error) {
	return nil, errors.New("only a prober on Linux can send ARP and NDP requests")
}
