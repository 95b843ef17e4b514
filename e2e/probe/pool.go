package probe

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

const (
	// idleTimeout is when a session without a command ends.
	idleTimeout = time.Minute
	// ackTimeout is how long an idle session has to acknowledge a command. A session that does not, because its node or
	// the connection to it is gone, is replaced.
	ackTimeout = 3 * time.Second
)

// ExecFunc is the function Exec.Exec.
type ExecFunc func(ctx context.Context, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error

// Pool keeps prober sessions running at their vantages between commands, because starting a process there through an engine
// or an API server takes longer than most batches. A session runs one command at a time, so a vantage has as many sessions as
// it had commands at the same time. Sessions end with this process, and after idleTimeout without a command.
//
// A command is never run twice: Pool gives it to a second session only if the first one has not acknowledged it.
//
// The zero value is ready to use.
type Pool struct {
	mu   sync.Mutex
	idle map[string][]*session // by vantage and program; the last one was used last
}

// Supports reports whether a session can run argv: a prober's path, and a command that ends without being stopped.
func (p *Pool) Supports(argv []string) bool {
	return len(argv) > 1 && strings.Contains(path.Base(argv[0]), "prober") && slices.Contains([]string{"probe", "synced"}, argv[1])
}

// Close ends the idle sessions.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.idle {
		for _, s := range list {
			s.stop()
		}
	}
	p.idle = nil
}

// Exec runs argv in a session. If none is idle, it starts one with run. A non-zero exit code is an error.
func (p *Pool) Exec(ctx context.Context, run ExecFunc, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	command := wire.Command{Args: argv[1:]}
	if stdin != nil {
		input, err := io.ReadAll(stdin)
		if err != nil {
			return fmt.Errorf("read the prober's input: %w", err)
		}
		command.Input = string(input)
	}
	text, err := json.Marshal(command)
	if err != nil {
		return fmt.Errorf("encode the prober's command: %w", err)
	}
	text = append(text, '\n')
	key := strings.Join([]string{v.Name, v.Node, v.Namespace, v.PodName, argv[0]}, " ")
	for {
		s, reused := p.take(key)
		if !reused {
			s = startSession(ctx, run, v, argv[0])
		}
		ended, begun, err := s.execute(ctx, text, reused, stdout)
		if err == nil {
			p.put(key, s)
			if ended.Said != "" && stderr != nil {
				_, _ = io.WriteString(stderr, ended.Said) // the returned error matters, not this
			}
			if ended.Code != 0 {
				return fmt.Errorf("it ended with exit code %d", ended.Code)
			}
			return nil
		}
		s.stop()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case reused && !begun:
			continue // the session ended while it was idle
		}
		if stderr != nil {
			_, _ = io.WriteString(stderr, s.stderr.String()) // the returned error matters, not this
		}
		return err
	}
}

// take removes the idle session that was used last from the pool. found is false if none is idle.
func (p *Pool) take(key string) (s *session, found bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for list := p.idle[key]; len(list) > 0; list = p.idle[key] {
		s, p.idle[key] = list[len(list)-1], list[:len(list)-1]
		select {
		case <-s.ended:
		default:
			return s, true
		}
	}
	return nil, false
}

func (p *Pool) put(key string, s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle == nil {
		p.idle = map[string][]*session{}
	}
	p.idle[key] = append(p.idle[key], s)
}

// session is a running `prober session`.
type session struct {
	input  *io.PipeWriter
	output *bufio.Reader
	stderr tail
	ended  chan struct{}
	stop   context.CancelFunc
}

// startSession starts a prober. The first command reports an error of the start.
func startSession(ctx context.Context, run ExecFunc, v reach.Vantage, program string) *session {
	var (
		inputReader, input   = io.Pipe()
		outputReader, output = io.Pipe()
		s                    = &session{input: input, output: bufio.NewReader(outputReader), ended: make(chan struct{})}
	)
	// The session outlives the command that starts it.
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		err := run(ctx, v, []string{program, "session", "--idle", idleTimeout.String()}, inputReader, output, &s.stderr)
		if err == nil {
			err = errors.New("the prober ended")
		}
		close(s.ended)
		output.CloseWithError(err)
		inputReader.CloseWithError(err)
	}()
	// After stop, readers and writers must not wait for the end of run: its transport may hang.
	context.AfterFunc(ctx, func() {
		output.CloseWithError(context.Canceled)
		inputReader.CloseWithError(context.Canceled)
	})
	return s
}

// execute sends a command to the session and copies its output until the command ends. The session must not be used again
// after an error. begun reports whether the session acknowledged the command.
func (s *session) execute(ctx context.Context, command []byte, reused bool, stdout io.Writer) (ended wire.Ended, begun bool, err error) {
	unhook := context.AfterFunc(ctx, s.stop)
	defer unhook()
	if !reused {
		err = s.begin(command) // starting the process may take longer than ackTimeout
	} else {
		timer := time.AfterFunc(ackTimeout, s.stop)
		if err = s.begin(command); err == nil && !timer.Stop() {
			return ended, true, errors.New("the prober acknowledged the command too late")
		}
		timer.Stop()
	}
	if err != nil {
		return ended, false, err
	}
	for {
		line, err := s.output.ReadBytes('\n')
		if err != nil {
			return ended, true, endOf(err)
		}
		if !bytes.HasPrefix(line, []byte(wire.FramePrefix)) {
			if _, err := stdout.Write(line); err != nil {
				return ended, true, fmt.Errorf("copy the prober's output: %w", err)
			}
			continue
		}
		var frame wire.Frame
		if err := json.Unmarshal(line, &frame); err != nil || frame.Ended == nil {
			return ended, true, fmt.Errorf("not the end of a command: %.100q", line)
		}
		return *frame.Ended, true, nil
	}
}

// begin sends a command to the session and waits for its acknowledgement.
func (s *session) begin(command []byte) error {
	if _, err := s.input.Write(command); err != nil {
		return endOf(err)
	}
	line, err := s.output.ReadBytes('\n')
	if err != nil {
		return endOf(err)
	}
	var frame wire.Frame
	if err := json.Unmarshal(line, &frame); err != nil || frame.Begun == nil {
		return fmt.Errorf("not an acknowledgement of a command: %.100q", bytes.TrimSpace(line))
	}
	return nil
}

// endOf returns the error of a stream that ended early.
func endOf(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
		return errors.New("the prober ended")
	}
	return err
}
