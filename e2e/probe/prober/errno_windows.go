package main

import "syscall"

// The errors of a socket by the names classify uses: Winsock's numbers, which syscall's E-constants are not.
// https://learn.microsoft.com/windows/win32/winsock/windows-sockets-error-codes-2
const (
	errRefused         = syscall.Errno(10061)
	errTimedOut        = syscall.Errno(10060)
	errHostUnreachable = syscall.Errno(10065)
	errNetUnreachable  = syscall.Errno(10051)
	errNetDown         = syscall.Errno(10050)
	errHostDown        = syscall.Errno(10064)
	errNoProtocol      = syscall.Errno(10042)
	errReset           = syscall.Errno(10054)
	errAborted         = syscall.Errno(10053)
)
