package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// maxNoReplies is how many connections in a row may fail before a cell stops waiting for the remaining backends of Until.
// Without it a blocked cell would cost Max timeouts.
const maxNoReplies = 3

// answersGather is how long an answer may wait until it is written.
const answersGather = 50 * time.Millisecond

// errRunEnded is the cause of a context that the batch's deadline ended.
var errRunEnded = errors.New("the run's deadline passed")

// probeBatch reads a Batch with its cells and writes an Answer for each of them, even after the deadline.
func probeBatch(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	out := &lineWriter{out: stdout}
	head, cells, err := readBatch(stdin)
	out.write(wire.Line{Hello: &wire.Hello{Version: wire.Version, Nonce: head.Nonce}})
	out.gather = answersGather
	if err != nil {
		return err
	}
	if head.Deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, head.Deadline, errRunEnded)
		defer cancel()
	}
	var (
		turns  = &turns{free: head.Concurrency}
		firsts []<-chan struct{}
		probed sync.WaitGroup
	)
	// Every cell is in the queue before the first connection is made.
	for range cells {
		firsts = append(firsts, turns.queue())
	}
	for i, cell := range cells {
		probed.Go(func() {
			answer := probeCell(ctx, cell, turns, firsts[i])
			out.write(wire.Line{Answer: &answer})
		})
	}
	probed.Wait()
	out.write(wire.Line{Done: &wire.Done{Count: len(cells)}})
	return out.failed()
}

func readBatch(stdin io.Reader) (wire.Batch, []wire.Cell, error) {
	var (
		in   = newLineReader(stdin)
		head wire.Batch
	)
	if err := in.next("the head of a batch", &head); err != nil {
		return head, nil, err
	}
	switch {
	case head.Version != wire.Version:
		return head, nil, badf("the batch has protocol %d, this prober %d; rebuild the older of the two", head.Version, wire.Version)
	case head.Cells < 0 || head.Concurrency < 0 || head.Deadline < 0:
		return head, nil, badf("cells, concurrency and deadline must not be negative")
	}
	if head.Concurrency == 0 {
		head.Concurrency = wire.DefaultConcurrency
	}
	head.Concurrency = min(head.Concurrency, wire.MaxConcurrency)
	var (
		cells []wire.Cell
		ids   = map[int]bool{}
	)
	for range head.Cells {
		var cell wire.Cell
		if err := in.next("a cell", &cell); err != nil {
			return head, nil, err
		}
		if err := checkCell(&cell); err != nil {
			return head, nil, badf("cell %d: %w", cell.ID, err)
		}
		if ids[cell.ID] {
			return head, nil, badf("two cells have the ID %d", cell.ID)
		}
		ids[cell.ID] = true
		cells = append(cells, cell)
	}
	return head, cells, nil
}

// checkCell fills in defaults and validates a cell.
func checkCell(cell *wire.Cell) error {
	cell.Min = max(cell.Min, 1)
	cell.Max = max(cell.Max, cell.Min)
	return cell.Check()
}

// probeCell makes the connections of one cell, one after the other. It stops at Max, or after Min as soon as each backend
// of Until has answered (and with Even, as often as the others or not), or maxNoReplies connections in a row had no answer. A cell
// that is to be answered also stops before Min, when it is hopeless. If ctx ends, the last
// observation is ProbeFailed, so an answer is never empty.
//
// Each connection needs a turn, the first one the turn given. So a fault that comes and goes cannot fall between the connections
// of a cell, as it could if they were made in one burst.
func probeCell(ctx context.Context, cell wire.Cell, turns *turns, turn <-chan struct{}) wire.Answer {
	var (
		began   = time.Now()
		answer  = wire.Answer{ID: cell.ID}
		missing = slices.Clone(cell.Until)
		chosen  = make([]int, len(cell.Until))
		noReply = 0
	)
	for n := range cell.Max {
		if n > 0 && pause(ctx, max(cell.Interval, time.Until(began.Add(begins(cell, n))))) {
			turn = turns.queue()
		}
		if !take(ctx, turn) {
			answer.Observations = append(answer.Observations, cutShort(ctx))
			break
		}
		p := newProbe(cell)
		o := p.run(ctx)
		turns.pass()
		answer.Observations = append(answer.Observations, o)
		answer.Services, answer.Names, answer.Chain = p.services, p.names, p.chain
		answer.Texts, answer.NoData = p.texts, p.noData
		if o.Outcome == reach.ProbeFailed && ctx.Err() != nil {
			break
		}
		if o.Outcome == reach.Reached {
			noReply = 0
			missing = slices.DeleteFunc(missing, func(name string) bool { return name == o.Backend })
			if i := slices.Index(cell.Until, o.Backend); i >= 0 {
				chosen[i]++
			}
		} else {
			noReply++
		}
		known := len(missing) == 0
		if known && cell.Even {
			skewed, even := reach.Skewed(chosen)
			known = skewed || even
		}
		if n+1 >= cell.Min && (known || noReply >= maxNoReplies && !cell.Patient) || cell.Hopeless(answer.Observations) {
			break
		}
	}
	return answer
}

// begins is how long after its first connection the n-th of a cell begins at the earliest.
func begins(cell wire.Cell, n int) time.Duration {
	if n >= cell.Min || cell.Min < 2 {
		return 0
	}
	return cell.Spread * time.Duration(n) / time.Duration(cell.Min-1)
}

// turns are the connections that may be made at the same time. Cells get one in the order in which they ask.
type turns struct {
	mu      sync.Mutex
	free    int
	waiting []chan struct{}
}

// queue asks for a turn. The channel is closed when the turn comes.
func (t *turns) queue() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	turn := make(chan struct{})
	if t.free > 0 {
		t.free--
		close(turn)
	} else {
		t.waiting = append(t.waiting, turn)
	}
	return turn
}

// pass gives a turn to the one that has waited longest.
func (t *turns) pass() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.free++
		return
	}
	close(t.waiting[0])
	t.waiting = t.waiting[1:]
}

// take waits for a turn. It reports whether it came before ctx ended, which ends all cells: turns are not passed on then.
func take(ctx context.Context, turn <-chan struct{}) bool {
	select {
	case <-turn:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// pause waits for d or the end of ctx. It reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

// cutShort returns the observation of a probe that the end of ctx prevented or interrupted.
func cutShort(ctx context.Context) reach.Observation {
	return reach.Observation{Outcome: reach.ProbeFailed, At: time.Now(),
		Detail: fmt.Sprintf("the run ended before this probe did: %v", context.Cause(ctx))}
}
