//go:build !linux

package main

import (
	"net"
	"syscall"
)

// prepareSocket has nothing to set on systems other than Linux.
func prepareSocket(string, string, syscall.RawConn) error { return nil }

// resent is not known on systems other than Linux.
func resent(net.Conn) int { return 0 }
