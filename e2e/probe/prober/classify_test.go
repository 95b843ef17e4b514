package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/svclab/svclab/e2e/reach"
)

var errTest = errors.New("something else")

// socketError is an error as package net wraps it.
func socketError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(op, err)}
}

func TestClassify(t *testing.T) {
	for _, test := range []struct {
		err  error
		want reach.Outcome
	}{
		{socketError("connect", syscall.ECONNREFUSED), reach.Refused},
		{socketError("read", syscall.ECONNREFUSED), reach.Refused},
		{socketError("connect", syscall.ETIMEDOUT), reach.TimedOut},
		{os.ErrDeadlineExceeded, reach.TimedOut},
		{fmt.Errorf("dial: %w", context.DeadlineExceeded), reach.TimedOut},
		{&net.DNSError{Err: "i/o timeout", IsTimeout: true}, reach.TimedOut},
		{socketError("connect", syscall.EHOSTUNREACH), reach.Unreachable},
		{socketError("connect", syscall.ENETUNREACH), reach.Unreachable},
		{socketError("connect", syscall.EACCES), reach.Unreachable},
		{socketError("write", syscall.EPERM), reach.TimedOut},
		{socketError("read", syscall.ECONNRESET), reach.WrongAnswer},
		{socketError("write", syscall.EPIPE), reach.WrongAnswer},
		// The vantage's own trouble is never the target's.
		{socketError("socket", syscall.EMFILE), reach.ProbeFailed},
		{socketError("connect", syscall.EADDRNOTAVAIL), reach.ProbeFailed},
		{socketError("socket", syscall.EAFNOSUPPORT), reach.ProbeFailed},
		{context.Canceled, reach.ProbeFailed},
		{errTest, reach.ProbeFailed},
	} {
		got, known := classify(test.err)
		if got != test.want || known != (test.want != reach.ProbeFailed) {
			t.Errorf("%v: got %s (known: %v), want %s", test.err, got, known, test.want)
		}
	}
}

func TestTalkOutcome(t *testing.T) {
	for _, test := range []struct {
		err      error
		received string
		want     reach.Outcome
		detail   string
	}{
		{os.ErrDeadlineExceeded, "", reach.TimedOut, "connected, but no answer came"},
		{os.ErrDeadlineExceeded, "HTTP/1.1 2", reach.TimedOut, `stopped after "HTTP/1.1 2"`},
		{io.EOF, "", reach.WrongAnswer, "connected, but no answer came: EOF"},
		{socketError("read", syscall.ECONNRESET), "", reach.WrongAnswer, "connection reset"},
		{errTest, "SSH-2.0", reach.WrongAnswer, `it answered "SSH-2.0"`},
		{socketError("read", syscall.EHOSTUNREACH), "", reach.Unreachable, "connected, then"},
	} {
		got, detail := talkOutcome(test.err, []byte(test.received))
		if got != test.want || !strings.Contains(detail, test.detail) {
			t.Errorf("%v after %q: got %s %q, want %s %q", test.err, test.received, got, detail, test.want, test.detail)
		}
	}
}
