package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/svclab/svclab/e2e/reach"
)

// classify returns the outcome for an error of a dial, a read or a write. It uses the errno, by which the kernel reports a
// TCP reset or an ICMP message (Linux: icmp_err_convert in net/ipv4/icmp.c, tab_unreach in net/ipv6/icmp.c). ok is false
// for an error that proves nothing about the target: the probe itself failed.
func classify(err error) (outcome reach.Outcome, ok bool) {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		var network net.Error
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
			errors.As(err, &network) && network.Timeout() {
			return reach.TimedOut, true
		}
		return reach.ProbeFailed, false
	}
	return classifyErrno(errno)
}

// classifyErrno is classify for an errno.
//
//   - EPERM is not an ICMP error. A UDP send returns it when the vantage's own packet filter drops the datagram. A TCP
//     SYN that is dropped there gets no answer. Both are TimedOut. A filter that rejects causes another error, see
//     exchange.
//   - EACCES is IPv6's "administratively prohibited" or a prohibit route; IPv4's arrives as EHOSTUNREACH.
//   - EINVAL from a connect to a well-formed address is a blackhole route.
//   - ECONNRESET and EPIPE occur only on an open connection: something accepted it and then did not answer as it should.
func classifyErrno(errno syscall.Errno) (reach.Outcome, bool) {
	switch errno {
	case errRefused:
		return reach.Refused, true
	case errTimedOut, syscall.EPERM:
		return reach.TimedOut, true
	case errHostUnreachable, errNetUnreachable, errNetDown, errHostDown, errNoProtocol, syscall.EACCES, syscall.EINVAL:
		return reach.Unreachable, true
	case errReset, errAborted, syscall.EPIPE:
		return reach.WrongAnswer, true
	default:
		return reach.ProbeFailed, false
	}
}

// dialOutcome returns the outcome and the detail of an error before a connection is open.
func dialOutcome(err error) (reach.Outcome, string) {
	outcome, _ := classify(err)
	if errors.Is(err, syscall.EPERM) {
		return outcome, fmt.Sprintf("the vantage's own packet filter dropped it: %v", err)
	}
	return outcome, err.Error()
}

// talkOutcome returns the outcome and the detail of an error after a TCP connection is open. No answer in time is TimedOut.
// A connection that is closed or reset before the answer is complete, and an answer in an unexpected format, are
// WrongAnswer: the handshake proves that something listens.
func talkOutcome(err error, received []byte) (reach.Outcome, string) {
	outcome, known := classify(err)
	switch {
	case outcome == reach.TimedOut && len(received) > 0:
		return reach.TimedOut, fmt.Sprintf("connected, but the answer stopped after %q", received)
	case outcome == reach.TimedOut:
		return reach.TimedOut, "connected, but no answer came"
	case known && outcome != reach.WrongAnswer:
		return outcome, fmt.Sprintf("connected, then: %v", err)
	case len(received) > 0:
		return reach.WrongAnswer, fmt.Sprintf("%v; it answered %q", err, received)
	default:
		return reach.WrongAnswer, fmt.Sprintf("connected, but no answer came: %v", err)
	}
}
