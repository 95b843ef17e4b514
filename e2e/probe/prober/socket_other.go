//go:build !linux

package main

import (
	"errors"
	"net"
	"syscall"
)

// prepareSocket sets nothing on systems other than Linux; a DSCP (class) cannot be set there.
func prepareSocket(class uint8) func(string, string, syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error {
		if class != 0 {
			return errors.New("packets can be traced from Linux only")
		}
		return nil
	}
}

// resent is not known on systems other than Linux.
func resent(net.Conn) int { return 0 }
