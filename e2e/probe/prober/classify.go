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

// classify says what an error of a dial, a read or a write means. It goes by errno, which is how the kernel
// hands on a TCP reset or an ICMP message (Linux: net/ipv4/icmp.c icmp_err_convert, net/ipv6/icmp.c
// tab_unreach). ok is false for an error that says nothing about the target: the probe itself failed.
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
//   - EPERM is not an ICMP error: it is what a send gets when the vantage's own packet filter drops the
//     packet (UDP; a TCP SYN dropped there just gets no answer). Dropped is dropped: TimedOut for both.
//     What a filter that rejects sends back comes as an error of its own, see exchange.
//   - EACCES is IPv6's "administratively prohibited" or a prohibit route; IPv4's arrives as EHOSTUNREACH.
//   - EINVAL from a connect to a well-formed address is a blackhole route.
//   - ECONNRESET and EPIPE come only once a connection is open: something answered, and not as it should.
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

// dialOutcome turns an error of before a connection was open into an outcome and a detail.
func dialOutcome(err error) (reach.Outcome, string) {
	outcome, _ := classify(err)
	if errors.Is(err, syscall.EPERM) {
		return outcome, fmt.Sprintf("the vantage's own packet filter dropped it: %v", err)
	}
	return outcome, err.Error()
}

// talkOutcome turns an error of after a TCP connection was open into an outcome and a detail. Silence is
// TimedOut; a connection closed or reset before the whole answer came, and an answer of another form, are
// WrongAnswer: the handshake proves that something is there.
func talkOutcome(err error, heard []byte) (reach.Outcome, string) {
	outcome, known := classify(err)
	switch {
	case outcome == reach.TimedOut && len(heard) > 0:
		return reach.TimedOut, fmt.Sprintf("connected, but the answer stopped after %q", heard)
	case outcome == reach.TimedOut:
		return reach.TimedOut, "connected, but no answer came"
	case known && outcome != reach.WrongAnswer:
		return outcome, fmt.Sprintf("connected, then: %v", err)
	case len(heard) > 0:
		return reach.WrongAnswer, fmt.Sprintf("%v; it answered %q", err, heard)
	default:
		return reach.WrongAnswer, fmt.Sprintf("connected, but no answer came: %v", err)
	}
}
