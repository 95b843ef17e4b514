package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// lineReader reads one JSON document a line.
type lineReader struct {
	in   *bufio.Reader
	line int
	// ended is set when the input has ended between two lines.
	ended bool
}

func newLineReader(r io.Reader) *lineReader { return &lineReader{in: bufio.NewReader(r)} }

// next decodes the next line that is not blank into v. Unknown fields are errors. what names the expected document in
// errors.
func (r *lineReader) next(what string, v any) error {
	for {
		text, err := r.in.ReadBytes('\n')
		r.line++
		if len(bytes.TrimSpace(text)) == 0 {
			if errors.Is(err, io.EOF) {
				r.ended = true
				return badf("stdin ended at line %d where %s was expected", r.line, what)
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

// lineWriter writes lines from many goroutines. It stops writing after an error.
type lineWriter struct {
	mu  sync.Mutex
	out io.Writer
	err error
	// gather is how long a line may wait for others, to be written together with them: on its way through exec each write costs
	// five processes more than the request that it reports. Zero: each line is written immediately.
	gather  time.Duration
	waiting bytes.Buffer
	timed   bool
}

// write prints a wire.Line or a wire.Frame.
func (w *lineWriter) write(line any) {
	text, err := json.Marshal(line)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	if w.err = err; err != nil {
		return
	}
	w.waiting.Write(append(text, '\n'))
	if w.gather == 0 {
		w.flush()
	} else if !w.timed {
		w.timed = true
		time.AfterFunc(w.gather, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.timed = false
			w.flush()
		})
	}
}

func (w *lineWriter) flush() {
	if w.waiting.Len() > 0 && w.err == nil {
		_, w.err = w.waiting.WriteTo(w.out)
	}
}

// failed writes what waits, and returns the first error of any write.
func (w *lineWriter) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flush()
	if w.err != nil {
		return fmt.Errorf("write stdout: %w", w.err)
	}
	return nil
}
