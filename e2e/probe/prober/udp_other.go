//go:build !linux

package main

import "syscall"

// hearICMP has nothing to set on systems other than Linux.
func hearICMP(string, string, syscall.RawConn) error { return nil }
