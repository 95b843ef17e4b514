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

// keyboard reads what a learner types while something else goes on: single keys on a terminal, else lines of one letter.
// While it is open nothing else may read the input but by its Read.
type keyboard struct {
	// chunks is what was typed; nil after the end of the input.
	chunks chan []byte
	rest   []byte
	line   strings.Builder // of a line, what is there so far

	// terminal is the file descriptor of one that gives single keys; negative: there is none.
	terminal int
	mu       sync.Mutex
	cooked   *term.State // the terminal as it was; nil while it is so
}

// newKeyboard reads from in until it ends. single asks for single keys: in is then a terminal.
func newKeyboard(in io.Reader, file *os.File, single bool) *keyboard {
	k := &keyboard{chunks: make(chan []byte), terminal: -1}
	if single {
		k.terminal = int(file.Fd())
	}
	go forward(in, k.chunks)
	return k
}

// forward sends what it reads until there is no more, and closes chunks then.
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

// open makes the terminal give single keys, which it does not show. Lines that are printed meanwhile need a carriage
// return of their own, so close it before.
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

// close makes the terminal what it was. It may be called at any time, and more than once.
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

// rescue, deferred, makes the terminal what it was when a goroutine panics: that ends the program, and nothing else is done.
func (k *keyboard) rescue() {
	if r := recover(); r != nil {
		k.close()
		panic(r)
	}
}

// Read reads what is typed while the keyboard is closed.
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

// The keys of a terminal that is open which are no letters.
const (
	ctrlC = '\x03'
	ctrlD = '\x04'
)

// keys are those in a chunk of input. On a terminal every character is one, and what begins with an escape is none: an
// arrow, or an answer of the terminal's. Else a line is one: its first character if it has no other, 0 if it has. An empty
// chunk is the end of the input.
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

// plainKey is the key that is meant: a small letter, also where an input method made it a wide one.
func plainKey(r rune) rune {
	if r >= '！' && r <= '～' {
		r -= '！' - '!'
	}
	return unicode.ToLower(r)
}

// keyboard takes over the input; the end of ctx makes the terminal what it was.
func (s *session) keyboard(ctx context.Context) *keyboard {
	file, _ := s.In.(*os.File)
	k := newKeyboard(s.input, file, s.interactive)
	context.AfterFunc(ctx, k.close)
	s.input = bufio.NewReader(k)
	return k
}
