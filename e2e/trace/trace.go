// Package trace follows one packet through the kernels of all nodes that it meets, and compares its path with the one that the
// oracle predicts, hop by hop. It predicts nothing itself: package oracle gives the hops of a prediction (Walk).
//
// A Tracer runs `prober trace` on the nodes. That marks the packets of one connection, whose socket gives them a DSCP for local
// use, and answers to them, in a table which the kernel removes with the prober. It changes nothing of kube-proxy's.
package trace

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// Version is that of the JSON form of a Trace.
const Version = 1

// Trace is the path of one packet, as predicted and as seen.
type Trace struct {
	Version int           `json:"version"`
	From    reach.Vantage `json:"from"`
	To      reach.Target  `json:"to"`
	Mode    string        `json:"mode"`
	// Way is the predicted path that is compared: of several, the one that fits best. Of is how many there are.
	Way oracle.Way `json:"way"`
	Of  int        `json:"of"`
	// Open: the objects do not say whether the packet takes one of these ways.
	Open bool `json:"open,omitempty"`
	// Observation is what the client saw; its zero value: nothing was sent.
	Observation reach.Observation `json:"observation,omitzero"`
	Steps       []Step            `json:"steps"`
	// Visits are the packets that the nodes saw, in the order of the path.
	Visits []Visit `json:"visits,omitempty"`
	// Watched are the nodes whose kernels were read.
	Watched []string `json:"watched,omitempty"`
	// Lost says in a sentence where the path first differs from the prediction; empty if it does not.
	Lost   string       `json:"lost,omitempty"`
	Result reach.Result `json:"result"`
	// Why says why there is no verdict.
	Why string `json:"why,omitempty"`
	// Took is how long the trace took, without the probe.
	Took time.Duration `json:"tookNs,omitempty"`
}

// Predicted is the trace of a walk when nothing is sent.
func Predicted(w oracle.Walk) Trace {
	t := Trace{Version: Version, From: w.Vantage, To: w.Target, Mode: w.Mode, Of: len(w.Ways), Open: w.Open, Result: reach.Skipped,
		Why: "only the prediction was asked for"}
	if len(w.Ways) > 0 {
		t.Way = w.Ways[0]
		for _, h := range t.Way.Hops {
			t.Steps = append(t.Steps, Step{Hop: h, Mark: Unwatched})
		}
	}
	return t
}

// Compared is the trace of a walk and what was seen of it.
func Compared(w oracle.Walk, seen reach.Observation, visits []Visit, watched []string) Trace {
	t := Predicted(w)
	t.Observation, t.Watched, t.Result, t.Why = seen, watched, reach.Pass, ""
	watch := map[string]bool{}
	for _, name := range watched {
		watch[name] = true
	}
	best := -1
	for _, way := range w.Ways {
		c := comparison{way: way, seen: seen, visits: visits, watched: watch, protocol: w.Target.Protocol}
		steps, lost := c.compare()
		fits := slices.IndexFunc(steps, func(s Step) bool { return s.Mark == Differs })
		if lost == "" {
			fits = len(steps) + 1
		}
		if fits > best {
			best, t.Way, t.Steps, t.Lost = fits, way, steps, lost
		}
	}
	t.Visits = inOrder(visits, t.Way)
	switch {
	case seen.Outcome == reach.ProbeFailed || seen.Outcome == reach.Unprobed:
		t.Result, t.Why, t.Lost = reach.Inconclusive, "nothing was sent: "+seen.Detail, ""
		for i := range t.Steps {
			t.Steps[i].Mark, t.Steps[i].Seen = Unseen, ""
		}
	case len(w.Ways) == 0 || t.Lost != "" && w.Open:
		t.Result, t.Why = reach.Inconclusive, "the objects do not say which way the packet takes: "+w.Prediction.Reason
	case t.Lost != "":
		t.Result = reach.Fail
	}
	return t
}

// Undecided makes no verdict of a datagram that was delivered and not answered: of an endpoint that is not the lab's app it is not
// known whether it answers what the prober sends.
func (t Trace) Undecided() Trace {
	i := slices.IndexFunc(t.Steps, func(s Step) bool { return s.Mark == Differs })
	if t.Result == reach.Fail && t.To.Protocol == reach.UDP && i >= 0 && t.Steps[i].Kind == oracle.HopPod && t.Observation.Outcome == reach.TimedOut {
		t.Result = reach.Inconclusive
		t.Why = "the datagram was delivered as predicted, and what listens there need not answer what the prober sends"
	}
	return t
}

// inOrder sorts visits as the way goes: there, and back.
func inOrder(visits []Visit, way oracle.Way) []Visit {
	rank := func(v Visit) int {
		i := slices.IndexFunc(way.Hops, func(h oracle.Hop) bool { return h.At == v.Node && h.Reply == v.Reply })
		switch {
		case i < 0 && v.Reply:
			return 2 * len(way.Hops)
		case i < 0:
			return len(way.Hops)
		case v.Reply:
			return len(way.Hops) + i
		}
		return i
	}
	list := slices.Clone(visits)
	slices.SortStableFunc(list, func(a, b Visit) int { return cmp.Compare(rank(a), rank(b)) })
	return list
}

// Tracer traces connections, one after the other. It must be closed.
type Tracer struct {
	exec    probe.Exec
	client  *probe.Client
	class   uint8
	readers []*reader
	stop    context.CancelFunc
	mu      sync.Mutex
}

// Start begins to trace on nodes, each a vantage of kind Node. It returns when all of them are ready. From then on, packets
// of no other connection than those of Trace are marked, until Close, or the end of this process.
func Start(ctx context.Context, exec probe.Exec, nodes []reach.Vantage) (*Tracer, error) {
	const classes = (wire.MaxClass-wire.MinClass)/wire.ClassStep + 1
	for try, first := 0, rand.IntN(classes); ; try++ {
		t, err := start(ctx, exec, nodes, uint8(wire.MinClass+wire.ClassStep*((first+try)%classes)))
		if !errors.Is(err, errTaken) || try == classes-1 {
			return t, err
		}
	}
}

// errTaken: another process traces packets of the class on a node.
var errTaken = errors.New("as many others trace packets here as can at once")

func start(ctx context.Context, exec probe.Exec, nodes []reach.Vantage, class uint8) (*Tracer, error) {
	t := &Tracer{exec: exec, client: probe.New(exec), class: class}
	running, stop := context.WithCancel(ctx)
	t.stop = stop
	var (
		starts  sync.WaitGroup
		readers = make([]*reader, len(nodes))
		errs    = make([]error, len(nodes))
	)
	for i, v := range nodes {
		starts.Go(func() {
			if readers[i], errs[i] = startReader(running, exec, v, t.class); errs[i] != nil {
				errs[i] = fmt.Errorf("trace packets at %s: %w", v.Name, errs[i])
			}
		})
	}
	starts.Wait()
	for _, r := range readers {
		if r != nil {
			t.readers = append(t.readers, r)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// Close ends the tracing and waits until the nodes' tables are gone.
func (t *Tracer) Close() error {
	var errs []error
	for _, r := range t.readers {
		errs = append(errs, r.close())
	}
	t.stop()
	return errors.Join(errs...)
}

// Request is a connection to trace.
type Request struct {
	Walk oracle.Walk
	// DNSServer replaces the vantage's own DNS servers if set.
	DNSServer netip.AddrPort
	// Timeout of the connection; 0: probe.DefaultTimeout.
	Timeout time.Duration
}

// Trace sends one connection or datagram, reads what the nodes saw of it, and compares both with the walk.
func (t *Tracer) Trace(ctx context.Context, r Request) (Trace, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	began := time.Now()
	if _, err := t.collect(ctx); err != nil { // what a retransmission left
		return Trace{}, err
	}
	sent := time.Now()
	cells, err := t.client.Observe(ctx, []probe.Request{{Vantage: r.Walk.Vantage, Target: r.Walk.Target, Min: 1, Max: 1,
		Timeout: r.Timeout, DNSServer: r.DNSServer, Class: t.class}})
	if err != nil {
		return Trace{}, err
	}
	answered := time.Now()
	seen, err := t.collect(ctx)
	if err != nil {
		return Trace{}, err
	}
	var (
		all     []Visit
		watched []string
		overrun string
	)
	for i, part := range seen {
		node := t.readers[i].node
		watched = append(watched, node)
		all = append(all, visits(node, t.class, part)...)
		if part.Overrun {
			overrun = node
		}
	}
	var observation reach.Observation
	if list := cells[0].Observations; len(list) > 0 {
		observation = list[len(list)-1]
	}
	result := Compared(r.Walk, observation, all, watched)
	if overrun != "" && result.Result == reach.Fail {
		result.Result, result.Why = reach.Inconclusive, fmt.Sprintf("the kernel of %s had more events than could be read", overrun)
	}
	result.Took = time.Since(began) - answered.Sub(sent)
	return result, nil
}

// collect returns what each reader's kernel has seen since the last time.
func (t *Tracer) collect(ctx context.Context) ([]wire.Trace, error) {
	var (
		parts = make([]wire.Trace, len(t.readers))
		errs  = make([]error, len(t.readers))
		reads sync.WaitGroup
	)
	for i, r := range t.readers {
		reads.Go(func() {
			if parts[i], errs[i] = r.collect(ctx); errs[i] != nil {
				errs[i] = fmt.Errorf("read what %s saw: %w", r.node, errs[i])
			}
		})
	}
	reads.Wait()
	return parts, errors.Join(errs...)
}

// reader is a running `prober trace`.
type reader struct {
	node   string
	input  *io.PipeWriter
	lines  chan wire.Tracing
	ended  chan struct{}
	err    error // why it ended, once ended is closed
	stderr bytes.Buffer
}

// readerStarts bounds the start of a reader, which copies the prober to the node first; readerAnswers that of an answer. Both
// are far above what a loaded machine needs.
const readerStarts, readerAnswers = time.Minute, 20 * time.Second

func startReader(ctx context.Context, exec probe.Exec, v reach.Vantage, class uint8) (*reader, error) {
	path, err := exec.Prober(ctx, v)
	if err != nil {
		return nil, err
	}
	var (
		fromClient, input = io.Pipe()
		output, toClient  = io.Pipe()
		r                 = &reader{node: v.Node, input: input, lines: make(chan wire.Tracing, 1), ended: make(chan struct{})}
	)
	go func() {
		err := exec.Exec(ctx, v, []string{path, "trace", "--class", strconv.Itoa(int(class))}, fromClient, toClient, &r.stderr)
		if err != nil && r.stderr.Len() > 0 {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(r.stderr.String()))
		}
		toClient.CloseWithError(cmp.Or(err, io.EOF))
		fromClient.CloseWithError(cmp.Or(err, io.EOF))
		r.err = err
		close(r.ended)
	}()
	go func() {
		in := bufio.NewReader(output)
		for {
			text, err := in.ReadBytes('\n')
			if err != nil {
				return
			}
			var line wire.Tracing
			if json.Unmarshal(text, &line) == nil {
				r.lines <- line
			}
		}
	}()
	line, err := r.next(ctx, readerStarts)
	switch {
	case err == nil && line.Armed != nil && line.Armed.Taken:
		err = errTaken
	case err == nil && line.Armed == nil:
		err = errors.New("the prober did not say that it is ready")
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *reader) next(ctx context.Context, within time.Duration) (wire.Tracing, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("the prober did not answer within %s", within))
	defer cancel()
	select {
	case line := <-r.lines:
		return line, nil
	case <-r.ended:
		select {
		case line := <-r.lines: // it printed this and ended
			return line, nil
		default:
			return wire.Tracing{}, cmp.Or(r.err, errors.New("the prober ended"))
		}
	case <-ctx.Done():
		return wire.Tracing{}, context.Cause(ctx)
	}
}

func (r *reader) collect(ctx context.Context) (wire.Trace, error) {
	if _, err := io.WriteString(r.input, "collect\n"); err != nil {
		return wire.Trace{}, err
	}
	line, err := r.next(ctx, readerAnswers)
	if err == nil && line.Trace == nil {
		err = errors.New("the prober answered something else")
	}
	if err != nil {
		return wire.Trace{}, err
	}
	return *line.Trace, nil
}

func (r *reader) close() error {
	_ = r.input.Close()
	ctx, cancel := context.WithTimeout(context.Background(), readerAnswers)
	defer cancel()
	select {
	case <-r.ended:
		return nil // what is wrong with it has been returned, if it mattered
	case <-ctx.Done():
		return fmt.Errorf("the prober that traces on %s did not end within %s", r.node, readerAnswers)
	}
}
