package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
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
}

// write prints a wire.Line or a wire.Frame immediately, so that the reader sees each as it happens.
func (w *lineWriter) write(line any) {
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

// failed returns the first error of any write.
func (w *lineWriter) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return fmt.Errorf("write stdout: %w", w.err)
	}
	return nil
}
