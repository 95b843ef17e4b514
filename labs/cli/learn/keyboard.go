package learn

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/term"
)

// keyboard reads what a learner types while checks run: single keys on a terminal, otherwise lines of one letter. While it is
// open, nothing else may read the input except by its Read.
type keyboard struct {
	// chunks delivers what was typed. It is nil after the end of the input.
	chunks chan []byte
	rest   []byte
	line   strings.Builder // the beginning of a line whose end has not come yet

	// terminal is the file descriptor of a terminal that can deliver single keys. Negative: no such terminal.
	terminal int
	mu       sync.Mutex
	cooked   *term.State // the terminal's normal state; nil while it is in that state
}

// newKeyboard reads from in until it ends. With single, file is a terminal and delivers single keys.
func newKeyboard(in io.Reader, file *os.File, single bool) *keyboard {
	k := &keyboard{chunks: make(chan []byte), terminal: -1}
	if single {
		k.terminal = int(file.Fd())
	}
	go forward(in, k.chunks)
	return k
}

// forward sends what it reads until the end of the input, and then closes chunks.
func forward(in io.Reader, chunks chan<- []byte) {
	defer close(chunks)
	for {
		chunk := make([]byte, 256)
		n, err := in.Read(chunk)
		if n > 0 {
			chunks <- chunk[:n]
		}
		if err != nil {
			return
		}
	}
}

// open makes the terminal deliver single keys and not show them. In this state a printed line needs a carriage return too, so
// close the keyboard before printing.
func (k *keyboard) open() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.terminal < 0 || k.cooked != nil {
		return nil
	}
	state, err := term.MakeRaw(k.terminal)
	if err != nil {
		return fmt.Errorf("read single keys: %w; without them: svclab learn watch --plain", err)
	}
	k.cooked = state
	return nil
}

// close restores the terminal's normal state. It may be called at any time, and more than once.
func (k *keyboard) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cooked == nil {
		return
	}
	if term.Restore(k.terminal, k.cooked) == nil {
		k.cooked = nil
	}
}

// rescue must be deferred in every goroutine. It restores the terminal when the goroutine panics: the program then ends without
// running the deferred functions of other goroutines.
func (k *keyboard) rescue() {
	if r := recover(); r != nil {
		k.close()
		panic(r)
	}
}

// Read reads what is typed, while the keyboard is closed.
func (k *keyboard) Read(p []byte) (int, error) {
	if len(k.rest) == 0 && k.chunks != nil {
		k.rest = <-k.chunks
	}
	if len(k.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, k.rest)
	k.rest = k.rest[n:]
	return n, nil
}

// Keys that are no letters.
const (
	ctrlC = '\x03'
	ctrlD = '\x04'
)

// keys returns the keys in a chunk of input. On a terminal every character is a key. A chunk that begins with an escape has no
// key: it is an arrow key, or a reply of the terminal. Otherwise each line is a key: its only character, or 0 if it has several. An
// empty chunk is the end of the input.
func (k *keyboard) keys(chunk []byte) []rune {
	var keys []rune
	if len(chunk) == 0 {
		k.chunks = nil
		return nil
	}
	if k.terminal >= 0 {
		if chunk[0] == '\x1b' {
			return nil
		}
		for _, r := range string(chunk) {
			keys = append(keys, plainKey(r))
		}
		return keys
	}
	for _, b := range chunk {
		if b != '\n' {
			k.line.WriteByte(b)
			continue
		}
		typed := []rune(strings.TrimSpace(k.line.String()))
		k.line.Reset()
		switch len(typed) {
		case 0:
		case 1:
			keys = append(keys, plainKey(typed[0]))
		default:
			keys = append(keys, 0)
		}
	}
	return keys
}

// plainKey returns a key as a lower-case letter. Chinese input methods may produce wide letters.
func plainKey(r rune) rune {
	if r >= '！' && r <= '～' {
		r -= '！' - '!'
	}
	return unicode.ToLower(r)
}

// keyboard returns a keyboard that reads all further input. The end of ctx restores the terminal.
func (s *session) keyboard(ctx context.Context) *keyboard {
	file, _ := s.In.(*os.File)
	k := newKeyboard(s.input, file, s.interactive)
	context.AfterFunc(ctx, k.close)
	s.input = bufio.NewReader(k)
	return k
}
