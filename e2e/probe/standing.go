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
	// standingIdle is how long a prober that nobody asks stays.
	standingIdle = time.Minute
	// standingAck is how long a prober that stood idle has to say that it heard a command. One that does not, because
	// its node or the way to it is gone, is given up for a new one.
	standingAck = 3 * time.Second
)

// ExecFunc is an Exec's Exec.
type ExecFunc func(ctx context.Context, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error

// Standing keeps probers running at their vantages between commands: to start a process there by way of an engine or
// an API server costs more than most questions do. A prober serves one command at a time, so that there are as many
// at a vantage as were asked at the same time. They end with this process, and after a minute without a command.
//
// A command is never carried out twice: it is given to another prober only where the one asked first had not said
// that it heard it.
//
// The zero value is ready to use.
type Standing struct {
	mu   sync.Mutex
	idle map[string][]*stander // by vantage and program, the one used last at the end
}

// Takes says whether a standing prober can carry out argv: a prober's path, and a command that ends by itself.
func (s *Standing) Takes(argv []string) bool {
	return len(argv) > 1 && strings.Contains(path.Base(argv[0]), "prober") && slices.Contains([]string{"ask", "synced"}, argv[1])
}

// Close sends away those that stand idle.
func (s *Standing) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.idle {
		for _, prober := range list {
			prober.dismiss()
		}
	}
	s.idle = nil
}

// Exec carries out argv as run would, by which it starts a prober where none stands idle. A non-zero exit is an error.
func (s *Standing) Exec(ctx context.Context, run ExecFunc, v reach.Vantage, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
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
		prober, used := s.take(key)
		if !used {
			prober = stayAt(ctx, run, v, argv[0])
		}
		ended, begun, err := prober.carryOut(ctx, text, used, stdout)
		if err == nil {
			s.put(key, prober)
			if ended.Said != "" && stderr != nil {
				_, _ = io.WriteString(stderr, ended.Said) // what it says is in the error too
			}
			if ended.Code != 0 {
				return fmt.Errorf("it ended with exit code %d", ended.Code)
			}
			return nil
		}
		prober.dismiss()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case used && !begun:
			continue // it was gone
		}
		if stderr != nil {
			_, _ = io.WriteString(stderr, prober.stderr.String()) // the error below is what counts
		}
		return err
	}
}

// take is an idle prober, the last that was used; used is false where there is none.
func (s *Standing) take(key string) (prober *stander, used bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for list := s.idle[key]; len(list) > 0; list = s.idle[key] {
		prober, s.idle[key] = list[len(list)-1], list[:len(list)-1]
		select {
		case <-prober.ended:
		default:
			return prober, true
		}
	}
	return nil, false
}

func (s *Standing) put(key string, prober *stander) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle == nil {
		s.idle = map[string][]*stander{}
	}
	s.idle[key] = append(s.idle[key], prober)
}

// stayAt runs a prober that stays. That it could not be started is seen by who asks it first.
func stayAt(ctx context.Context, run ExecFunc, v reach.Vantage, program string) *stander {
	var (
		inputReader, input   = io.Pipe()
		outputReader, output = io.Pipe()
		prober               = &stander{input: input, output: bufio.NewReader(outputReader), ended: make(chan struct{})}
	)
	ctx, prober.dismiss = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		err := run(ctx, v, []string{program, "stay", "--idle", standingIdle.String()}, inputReader, output, &prober.stderr)
		if err == nil {
			err = errors.New("the prober ended")
		}
		close(prober.ended)
		output.CloseWithError(err)
		inputReader.CloseWithError(err)
	}()
	// what is dismissed is not waited for: a transport that hangs must not hold up who asks
	context.AfterFunc(ctx, func() {
		output.CloseWithError(context.Canceled)
		inputReader.CloseWithError(context.Canceled)
	})
	return prober
}

// stander is a prober that stays.
type stander struct {
	input   *io.PipeWriter
	output  *bufio.Reader
	stderr  tail
	ended   chan struct{}
	dismiss context.CancelFunc
}

// carryOut gives the prober a command and copies what it prints until the command has ended. After an error the
// prober is not to be used again; begun says whether it had heard the command.
func (p *stander) carryOut(ctx context.Context, command []byte, used bool, stdout io.Writer) (ended wire.Ended, begun bool, err error) {
	stop := context.AfterFunc(ctx, p.dismiss)
	defer stop()
	if used {
		patience := time.AfterFunc(standingAck, p.dismiss)
		defer patience.Stop()
		if begun, err = p.hears(command); err != nil {
			return ended, begun, err
		}
		if !patience.Stop() {
			return ended, begun, errors.New("the prober answered too late")
		}
	} else if begun, err = p.hears(command); err != nil {
		return ended, begun, err
	}
	for {
		line, err := p.output.ReadBytes('\n')
		if err != nil {
			return ended, true, broken(err)
		}
		if !bytes.HasPrefix(line, []byte(wire.FramePrefix)) {
			if _, err := stdout.Write(line); err != nil {
				return ended, true, fmt.Errorf("take the prober's output: %w", err)
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

// hears gives the prober a command and waits until it says that it has it.
func (p *stander) hears(command []byte) (begun bool, err error) {
	if _, err := p.input.Write(command); err != nil {
		return false, broken(err)
	}
	line, err := p.output.ReadBytes('\n')
	if err != nil {
		return false, broken(err)
	}
	var frame wire.Frame
	if err := json.Unmarshal(line, &frame); err != nil || frame.Begun == nil {
		return false, fmt.Errorf("a prober does not begin like this: %.100q", bytes.TrimSpace(line))
	}
	return true, nil
}

// broken is the error of a stream that ended before its time.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
		return errors.New("the prober ended")
	}
	return err
}
