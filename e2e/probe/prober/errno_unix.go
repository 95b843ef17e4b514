//go:build unix

package main

import "syscall"

// The errors of a socket by the names classify uses.
const (
	errRefused         = syscall.ECONNREFUSED
	errTimedOut        = syscall.ETIMEDOUT
	errHostUnreachable = syscall.EHOSTUNREACH
	errNetUnreachable  = syscall.ENETUNREACH
	errNetDown         = syscall.ENETDOWN
	errHostDown        = syscall.EHOSTDOWN
	errNoProtocol      = syscall.ENOPROTOOPT
	errReset           = syscall.ECONNRESET
	errAborted         = syscall.ECONNABORTED
)
