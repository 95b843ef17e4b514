//go:build !linux

package main

import "syscall"

// prepareSocket has nothing to set on systems other than Linux.
func prepareSocket(string, string, syscall.RawConn) error { return nil }
