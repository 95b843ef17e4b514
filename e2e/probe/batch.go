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

// probeVantage makes one vantage's probes with one prober and returns one answer per probe. A cell's ID is its index among
// the cells that are sent.
func (c *Client) probeVantage(ctx context.Context, batch []plannedCell) []wire.Answer {
	var (
		answers = make([]wire.Answer, len(batch))
		sent    []wire.Cell
		indexes []int // of the cells that are sent, in the batch
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
		sent, indexes = append(sent, q.cell), append(indexes, i)
	}
	if len(sent) == 0 {
		return answers
	}
	reply := c.run(ctx, batch[indexes[0]].vantage, sent) // the vantage of a refused request may be unusable
	for id, index := range indexes {
		answer, ok := reply.answers[id]
		if !ok {
			answer = single(reach.ProbeFailed, reply.trouble)
		}
		answers[index] = answer
	}
	return answers
}

func single(outcome reach.Outcome, detail string) wire.Answer {
	return wire.Answer{Observations: []reach.Observation{{Outcome: outcome, Detail: detail, At: time.Now()}}}
}

// forbidden returns why the host must not send a probe: its packets could leave the machine. checked caches the guard's
// results for one batch; routes may change between two batches.
func (c *Client) forbidden(ctx context.Context, q plannedCell, checked map[netip.Addr]string) string {
	if q.vantage.Kind != reach.Host {
		return ""
	}
	check := func(addr netip.Addr) string {
		reason, known := checked[addr]
		if !known {
			reason = c.guard.Check(ctx, q.vantage, addr)
			checked[addr] = reason
		}
		return reason
	}
	if q.cell.Form != wire.Lookup {
		if addr, err := netip.ParseAddr(q.cell.Host); err == nil {
			return check(addr)
		}
		if q.cell.Host == "localhost" {
			return ""
		}
		return "the host does not probe names: svclab cannot know whether their addresses are on this machine"
	}
	server, err := netip.ParseAddrPort(q.cell.DNSServer)
	if err != nil {
		return "the host sends no query to its own DNS server, which would forward the name; set a DNS server"
	}
	return check(server.Addr())
}

// run runs the prober for cells. It retries a few times, until the prober has started.
func (c *Client) run(ctx context.Context, v reach.Vantage, cells []wire.Cell) reply {
	var last reply
	for try := range c.tries {
		if try > 0 && !sleep(ctx, time.Duration(try)*c.retryPause) {
			break
		}
		last = c.runOnce(ctx, v, cells)
		if last.started || ctx.Err() != nil {
			break
		}
	}
	if last.trouble == "" {
		last.trouble = fmt.Sprintf("the prober at %s did not start", v.Name)
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

func (c *Client) runOnce(ctx context.Context, v reach.Vantage, cells []wire.Cell) reply {
	path, err := c.exec.Prober(ctx, v)
	if err != nil {
		return reply{trouble: fmt.Sprintf("copy the prober to %s: %v", v.Name, err)}
	}
	deadline := c.deadline(ctx, cells)
	nonce := rand.Text()
	input, err := encode(wire.Batch{Version: wire.Version, Cells: len(cells), Concurrency: c.concurrency, Deadline: deadline, Nonce: nonce}, cells)
	if err != nil {
		return reply{trouble: fmt.Sprintf("encode the batch: %v", err)}
	}
	// The prober ends by its own deadline. This bound is for a transport that hangs.
	bounded, cancel := context.WithTimeoutCause(ctx, deadline+c.grace,
		fmt.Errorf("the prober did not end within %v", (deadline+c.grace).Round(time.Second)))
	defer cancel()
	var (
		stdout bytes.Buffer
		stderr tail
	)
	err = c.exec.Exec(bounded, v, []string{path, "probe"}, input, &stdout, &stderr)
	if err != nil && bounded.Err() != nil {
		err = context.Cause(bounded)
	}
	reply := parseReply(stdout.Bytes(), nonce, cells)
	if reply.trouble != "" {
		reply.trouble = explain(v, reply.trouble, err, stderr.String())
	}
	return reply
}

// explain returns why cells of a vantage have no answer.
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

// deadline returns how long a batch takes at most: the prober makes c.concurrency connections at once, and a cell takes at most
// Max timeouts and intervals. If ctx ends earlier, the deadline leaves the prober time to report.
func (c *Client) deadline(ctx context.Context, cells []wire.Cell) time.Duration {
	var sum, longest time.Duration
	for _, cell := range cells {
		worst := time.Duration(cell.Max)*(cell.Timeout+cell.Interval) + cell.Spread
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

// reply is a prober's parsed output.
type reply struct {
	answers map[int]wire.Answer
	// started: the prober ran, so the batch must not be retried.
	started bool
	// trouble says what is wrong with the output; empty if every cell has its answer.
	trouble string
}

// parseReply parses the output of `prober probe` for a batch with the nonce and with cells whose IDs are their indexes. It
// keeps the answers before the first invalid line: each of them is complete.
func parseReply(output []byte, nonce string, sent []wire.Cell) reply {
	cells := len(sent)
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
			r.started = true
			if parsed.Hello.Nonce != nonce {
				r.trouble = "its answers belong to another batch"
				return r
			}
		case !r.started:
			r.trouble = fmt.Sprintf("a line before its greeting: %.100q", bytes.TrimSpace(line))
			return r
		case parsed.Answer != nil:
			id := parsed.Answer.ID
			if _, twice := r.answers[id]; twice || id < 0 || id >= cells || len(parsed.Answer.Observations) == 0 {
				r.trouble = fmt.Sprintf("its answer for cell %d is empty, duplicate or was not requested", id)
				return r
			}
			if n := len(parsed.Answer.Observations); !complete(sent[id], parsed.Answer.Observations) {
				r.trouble = fmt.Sprintf("it made %d probes of cell %d, which needs %d to %d", n, id, sent[id].Min, sent[id].Max)
				return r
			}
			r.answers[id] = *parsed.Answer
		case parsed.Done != nil:
			if parsed.Done.Count != cells || len(r.answers) != cells {
				r.trouble = fmt.Sprintf("it reports %d cells done; %d were sent and %d answered", parsed.Done.Count, cells, len(r.answers))
			}
			return r
		default:
			r.trouble = fmt.Sprintf("an empty document: %.100q", bytes.TrimSpace(line))
			return r
		}
	}
	r.trouble = "it did not run"
	if r.started {
		r.trouble = fmt.Sprintf("its output ends after %d of %d cells", len(r.answers), cells)
	}
	return r
}

// complete reports whether a cell has as many observations as it needs. An interrupted probe ends a cell early.
func complete(cell wire.Cell, observations []reach.Observation) bool {
	n := len(observations)
	return n >= cell.Min && n <= cell.Max || observations[n-1].Outcome == reach.ProbeFailed || cell.Hopeless(observations)
}

// parseLine parses one line of a prober's output.
func parseLine(line []byte) (wire.Line, error) {
	var parsed wire.Line
	if err := json.Unmarshal(line, &parsed); err != nil {
		return parsed, fmt.Errorf("not a prober's output: %.100q", bytes.TrimSpace(line))
	}
	if parsed.Hello != nil && parsed.Hello.Version != wire.Version {
		return parsed, fmt.Errorf("it has protocol %d, this client %d; rebuild the older of the two", parsed.Hello.Version, wire.Version)
	}
	return parsed, nil
}
