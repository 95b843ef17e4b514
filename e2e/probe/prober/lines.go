package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/svclab/svclab/e2e/probe/wire"
)

// lineReader reads one JSON document a line.
type lineReader struct {
	in   *bufio.Reader
	line int
	// ended: there is no further line, and none was begun.
	ended bool
}

func newLineReader(r io.Reader) *lineReader { return &lineReader{in: bufio.NewReader(r)} }

// next decodes the next line that is not blank into v; unknown fields are errors. What names the document
// expected, for the message.
func (r *lineReader) next(what string, v any) error {
	for {
		text, err := r.in.ReadBytes('\n')
		r.line++
		if len(bytes.TrimSpace(text)) == 0 {
			if errors.Is(err, io.EOF) {
				r.ended = true
				return badf("stdin ended at line %d where %s was to come", r.line, what)
			}
			if err != nil {
				return fmt.Errorf("read stdin: %w", err)
			}
			continue
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(v); err != nil {
			return badf("stdin line %d is not %s: %w", r.line, what, err)
		}
		if decoder.More() {
			return badf("stdin line %d holds more than %s", r.line, what)
		}
		return nil
	}
}

// lineWriter writes lines from many goroutines; after an error it writes no more.
type lineWriter struct {
	mu  sync.Mutex
	out io.Writer
	err error
}

// write emits one line at once, so that a reader sees each as it happens.
func (w *lineWriter) write(line wire.Line) { w.emit(line) }

// frame emits what stay puts around a command's lines.
func (w *lineWriter) frame(frame wire.Frame) { w.emit(frame) }

func (w *lineWriter) emit(line any) {
	text, err := json.Marshal(line)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	if err == nil {
		_, err = w.out.Write(append(text, '\n'))
	}
	w.err = err
}

// failed is the first error of any write.
func (w *lineWriter) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return fmt.Errorf("write stdout: %w", w.err)
	}
	return nil
}
