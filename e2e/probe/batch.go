package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// askVantage asks one vantage's questions with one prober and returns one answer per question. The prober
// knows a question by its place among those sent.
func (c *Client) askVantage(ctx context.Context, batch []question) []wire.Answer {
	var (
		answers = make([]wire.Answer, len(batch))
		sent    []wire.Cell
		places  []int // of what was sent, in the batch
		checked = map[netip.Addr]string{}
	)
	for i, q := range batch {
		if q.refusal == "" {
			q.refusal = c.forbidden(ctx, q, checked)
		}
		if q.refusal != "" {
			answers[i] = single(reach.Unprobed, q.refusal)
			continue
		}
		q.cell.ID = len(sent)
		sent, places = append(sent, q.cell), append(places, i)
	}
	if len(sent) == 0 {
		return answers
	}
	reply := c.converse(ctx, batch[0].vantage, sent)
	for id, place := range places {
		answer, ok := reply.answers[id]
		if !ok {
			answer = single(reach.ProbeFailed, reply.trouble)
		}
		answers[place] = answer
	}
	return answers
}

func single(outcome reach.Outcome, detail string) wire.Answer {
	return wire.Answer{Observations: []reach.Observation{{Outcome: outcome, Detail: detail, At: time.Now()}}}
}

// forbidden says why a question must not be asked from the host, whose packets could leave the machine.
// checked remembers the guard's word on each address within one batch; routes may change between two.
func (c *Client) forbidden(ctx context.Context, q question, checked map[netip.Addr]string) string {
	if q.vantage.Kind != reach.Host {
		return ""
	}
	look := func(addr netip.Addr) string {
		reason, known := checked[addr]
		if !known {
			reason = c.guard.Check(ctx, q.vantage, addr)
			checked[addr] = reason
		}
		return reason
	}
	if q.cell.Form != wire.Lookup {
		if addr, err := netip.ParseAddr(q.cell.Host); err == nil {
			return look(addr)
		}
		if q.cell.Host == "localhost" {
			return ""
		}
		return "the host asks no names: what they resolve to cannot be known to stay on this machine"
	}
	server, err := netip.ParseAddrPort(q.cell.DNSServer)
	if err != nil {
		return "the host asks no DNS server but a named one: its own would pass the name on"
	}
	return look(server.Addr())
}

// converse runs the prober for cells until it has said something, a few times at most.
func (c *Client) converse(ctx context.Context, v reach.Vantage, cells []wire.Cell) reply {
	var last reply
	for try := range c.tries {
		if try > 0 && !sleep(ctx, time.Duration(try)*c.retryPause) {
			break
		}
		last = c.converseOnce(ctx, v, cells)
		if last.spoke || ctx.Err() != nil {
			break
		}
	}
	if last.trouble == "" {
		last.trouble = fmt.Sprintf("the prober at %s did not answer", v.Name)
	}
	return last
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *Client) converseOnce(ctx context.Context, v reach.Vantage, cells []wire.Cell) reply {
	path, err := c.exec.Prober(ctx, v)
	if err != nil {
		return reply{trouble: fmt.Sprintf("put the prober at %s: %v", v.Name, err)}
	}
	deadline := c.deadline(ctx, cells)
	nonce := rand.Text()
	input, err := encode(wire.Ask{Version: wire.Version, Cells: len(cells), Concurrency: c.concurrency, Deadline: deadline, Nonce: nonce}, cells)
	if err != nil {
		return reply{trouble: fmt.Sprintf("encode the questions: %v", err)}
	}
	// The prober ends by itself; the bound is for a transport that hangs.
	bounded, cancel := context.WithTimeoutCause(ctx, deadline+c.grace,
		fmt.Errorf("the prober did not end within %v", (deadline+c.grace).Round(time.Second)))
	defer cancel()
	var (
		stdout bytes.Buffer
		stderr tail
	)
	err = c.exec.Exec(bounded, v, []string{path, "ask"}, input, &stdout, &stderr)
	if err != nil && bounded.Err() != nil {
		err = context.Cause(bounded)
	}
	reply := parseReply(stdout.Bytes(), nonce, cells)
	if reply.trouble != "" {
		reply.trouble = explain(v, reply.trouble, err, stderr.String())
	}
	return reply
}

// explain puts together why cells of a vantage have no answer.
func explain(v reach.Vantage, trouble string, err error, stderr string) string {
	parts := []string{fmt.Sprintf("the prober at %s: %s", v.Name, trouble)}
	if err != nil {
		parts = append(parts, err.Error())
	}
	if text := strings.TrimSpace(stderr); text != "" {
		parts = append(parts, "stderr: "+text)
	}
	return strings.Join(parts, "; ")
}

// deadline is how long a batch can take at worst: the prober works off its cells on so many lanes, and no
// cell outlasts Max timeouts and intervals. A ctx that ends earlier leaves the prober time to report.
func (c *Client) deadline(ctx context.Context, cells []wire.Cell) time.Duration {
	var sum, longest time.Duration
	for _, cell := range cells {
		worst := time.Duration(cell.Max) * (cell.Timeout + cell.Interval)
		sum, longest = sum+worst, max(longest, worst)
	}
	bound := sum/time.Duration(max(c.concurrency, 1)) + longest + 5*time.Second
	if end, ok := ctx.Deadline(); ok {
		bound = min(bound, max(time.Until(end)*9/10, time.Millisecond))
	}
	return bound
}

func encode(head any, cells []wire.Cell) (*bytes.Buffer, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	if err := encoder.Encode(head); err != nil {
		return nil, err
	}
	for _, cell := range cells {
		if err := encoder.Encode(cell); err != nil {
			return nil, err
		}
	}
	return &text, nil
}

// reply is what a prober's output says.
type reply struct {
	answers map[int]wire.Answer
	// spoke: the prober ran, so the transport is not to be tried again.
	spoke bool
	// trouble says what is wrong with the output; empty when each of the cells has its answer.
	trouble string
}

// parseReply reads the output of `prober ask` for cells whose IDs are their places, asked with the nonce. Answers before
// the first line that is wrong are kept: each is whole.
func parseReply(output []byte, nonce string, asked []wire.Cell) reply {
	cells := len(asked)
	r := reply{answers: map[int]wire.Answer{}}
	for line := range bytes.Lines(output) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		parsed, err := parseLine(line)
		if err != nil {
			r.trouble = err.Error()
			return r
		}
		switch {
		case parsed.Hello != nil:
			r.spoke = true
			if parsed.Hello.Nonce != nonce {
				r.trouble = "it answers what it was asked another time"
				return r
			}
		case !r.spoke:
			r.trouble = fmt.Sprintf("a line before its first: %.100q", bytes.TrimSpace(line))
			return r
		case parsed.Answer != nil:
			id := parsed.Answer.ID
			if _, twice := r.answers[id]; twice || id < 0 || id >= cells || len(parsed.Answer.Observations) == 0 {
				r.trouble = fmt.Sprintf("it answers cell %d twice, with nothing, or unasked", id)
				return r
			}
			if n := len(parsed.Answer.Observations); !complete(asked[id], parsed.Answer.Observations) {
				r.trouble = fmt.Sprintf("it made %d probes of cell %d, which asks for %d to %d", n, id, asked[id].Min, asked[id].Max)
				return r
			}
			r.answers[id] = *parsed.Answer
		case parsed.Done != nil:
			if parsed.Done.Count != cells || len(r.answers) != cells {
				r.trouble = fmt.Sprintf("it reports %d cells done, %d were asked and %d came", parsed.Done.Count, cells, len(r.answers))
			}
			return r
		default:
			r.trouble = fmt.Sprintf("a line that says nothing: %.100q", bytes.TrimSpace(line))
			return r
		}
	}
	r.trouble = "it did not run"
	if r.spoke {
		r.trouble = fmt.Sprintf("its output breaks off after %d of %d cells", len(r.answers), cells)
	}
	return r
}

// complete says whether a cell has as many observations as it asks for. A probe that was cut short ends a cell early.
func complete(cell wire.Cell, observations []reach.Observation) bool {
	n := len(observations)
	return n >= cell.Min && n <= cell.Max || observations[n-1].Outcome == reach.ProbeFailed
}

// parseLine reads one line of a prober's output.
func parseLine(line []byte) (wire.Line, error) {
	var parsed wire.Line
	if err := json.Unmarshal(line, &parsed); err != nil {
		return parsed, fmt.Errorf("not a prober's output: %.100q", bytes.TrimSpace(line))
	}
	if parsed.Hello != nil && parsed.Hello.Version != wire.Version {
		return parsed, fmt.Errorf("it speaks protocol %d, this client %d; rebuild whichever is older", parsed.Hello.Version, wire.Version)
	}
	return parsed, nil
}
