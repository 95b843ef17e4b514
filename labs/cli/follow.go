package cli

import (
	"bytes"
	"context"
	"io"
	"os"
	"time"

	"github.com/svclab/svclab/e2e/runner"
)

// replayed has the events among the lines that are written reported to a Reporter, and writes the others to rest.
type replayed struct {
	to   runner.Reporter
	rest io.Writer
	part []byte // of a line that is not complete
}

func (r *replayed) Write(text []byte) (int, error) {
	r.part = append(r.part, text...)
	for {
		end := bytes.IndexByte(r.part, '\n')
		if end < 0 {
			return len(text), nil
		}
		line := r.part[:end+1]
		if !runner.Replay(line, r.to) {
			if _, err := r.rest.Write(line); err != nil {
				return 0, err
			}
		}
		r.part = r.part[end+1:]
	}
}

// follow copies what is appended to the file at path to w until ctx ends, and then what is left. Progress that cannot be
// shown stops no run: errors end the following.
func follow(ctx context.Context, path string, w io.Writer) {
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.Copy(w, file); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			_, _ = io.Copy(w, file)
			return
		case <-tick.C:
		}
	}
}
