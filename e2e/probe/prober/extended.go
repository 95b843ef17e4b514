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

// probeAppExtended uses one connection for as many bytes and as long as the cell says. It requests the host name and a long
// echo, leaves the connection idle, and requests the host name again. It closes the prober's side after the last request
// and before the answer. A proxy must forward that half-close: the other direction stays open.
func (p *probe) probeAppExtended(ctx context.Context, talk *conversation) error {
	if err := p.getHostname(talk); err != nil {
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
			return fmt.Errorf("%s echoed %d bytes that differ from the %d sent", name, len(body), len(sent))
		}
	}
	if !pause(ctx, p.cell.Hold) {
		return fmt.Errorf("the idle connection to %s was interrupted: %w", name, ctx.Err())
	}
	half, ok := talk.conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("a connection of type %T cannot be closed on one side", talk.conn)
	}
	talk.sent = half.CloseWrite
	status, body, err := talk.get("/hostname", true)
	if err != nil {
		return fmt.Errorf("%s did not answer again after %v: %w", name, p.cell.Hold, err)
	}
	if again, _ := hostname(body); status != http.StatusOK || again != name {
		return fmt.Errorf("%s answered at first, %q on the same connection later", name, again)
	}
	return nil
}

// echoSends is how often a long datagram is sent until its echo counts as missing. A fragmented datagram is lost with any of
// its fragments, and a busy kernel drops fragments that it cannot reassemble in time. A network that does not forward
// fragments drops all of them.
const echoSends = 3

// echoUDP makes the app echo one long datagram, which the app converts to lower case. It must be the last exchange of a
// socket, because a late echo stays unread.
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
		p.o.Outcome, p.o.Detail = outcome, fmt.Sprintf("hostname was answered by %s, the echo of %d bytes is missing: %s", p.o.Backend, len(sent), detail)
		return false
	}
	if strings.TrimSpace(string(body)) != sent {
		p.o.Outcome, p.o.Detail = reach.WrongAnswer, fmt.Sprintf("%s echoed %d bytes that differ from the %d sent", p.o.Backend, len(body), len(sent))
		return false
	}
	return true
}

// filler returns length random lower-case letters and digits.
func filler(length int) string {
	own := strings.ToLower(rand.Text())
	return strings.Repeat(own, length/len(own)+1)[:length]
}
