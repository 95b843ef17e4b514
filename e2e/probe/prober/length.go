package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// askAppAtLength asks the sample app over one connection that carries as much and lasts as long as the cell says: who
// it is, a long echo, a silence, who it is once more. The last question is sent and the prober's side closed before the
// answer is read, which a proxy must pass on as it is: a connection has two directions.
func (p *probe) askAppAtLength(ctx context.Context, talk *conversation) error {
	if err := p.askName(talk); err != nil {
		return err
	}
	name := p.o.Backend
	if p.cell.Length > 0 {
		sent := filler(p.cell.Length)
		_, body, err := talk.get("/echo?msg="+url.QueryEscape(sent), false)
		if err != nil {
			return fmt.Errorf("%d bytes were not echoed by %s: %w", len(sent), name, err)
		}
		if string(body) != sent {
			return fmt.Errorf("%s echoed %d bytes, and other ones than the %d that were sent", name, len(body), len(sent))
		}
	}
	if !pause(ctx, p.cell.Hold) {
		return fmt.Errorf("the connection to %s was held no longer: %w", name, ctx.Err())
	}
	half, ok := talk.conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("a connection of type %T cannot be closed on one side", talk.conn)
	}
	talk.sent = half.CloseWrite
	status, body, err := talk.get("/hostname", true)
	if err != nil {
		return fmt.Errorf("%s was asked again after %v: %w", name, p.cell.Hold, err)
	}
	if again, _ := hostname(body); status != http.StatusOK || again != name {
		return fmt.Errorf("%s answered at first, %q on the same connection later", name, again)
	}
	return nil
}

// echoSends is how often a long datagram is sent before its echo is missing. Cut in two, one half lost is both, and a
// kernel that is short of time drops halves it cannot put together; a network that takes none drops every one.
const echoSends = 3

// echoUDP has the app send one long datagram back. It answers in lower case. What is answered late is not read any more,
// so it must be the last question.
func (p *probe) echoUDP(conn net.Conn) bool {
	var (
		sent = filler(p.cell.Length)
		body []byte
		err  error
	)
	for send := 1; send <= echoSends; send++ {
		bound := time.Now().Add(p.cell.Timeout / (echoSends + 1))
		if send == echoSends {
			bound = p.o.At.Add(p.cell.Timeout)
		}
		if err = conn.SetReadDeadline(bound); err != nil {
			break
		}
		if body, err = exchange(conn, "echo "+sent); !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	if err != nil {
		outcome, detail := dialOutcome(err)
		p.o.Outcome, p.o.Detail = outcome, fmt.Sprintf("hostname was answered by %s, an echo of %d bytes was not: %s", p.o.Backend, len(sent), detail)
		return false
	}
	if strings.TrimSpace(string(body)) != sent {
		p.o.Outcome, p.o.Detail = reach.WrongAnswer, fmt.Sprintf("%s echoed %d bytes, and other ones than the %d that were sent", p.o.Backend, len(body), len(sent))
		return false
	}
	return true
}

// filler is a text of so many letters and digits, in lower case, that no other probe sends.
func filler(length int) string {
	own := strings.ToLower(rand.Text())
	return strings.Repeat(own, length/len(own)+1)[:length]
}
