package learn

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// pseudoTerminal is both ends of a terminal.
func pseudoTerminal(t *testing.T) (keys, screen *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("this machine has no pseudo terminals:", err)
	}
	if err := unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(filepath.Join("/dev/pts", strconv.Itoa(n)), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = keys.Close(), screen.Close() })
	return keys, screen
}

func TestTheTerminalIsWhatItWas(t *testing.T) {
	keys, screen := pseudoTerminal(t)
	fd := int(screen.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		t.Fatal(err)
	}
	same := func() bool {
		now, err := term.GetState(fd)
		if err != nil {
			t.Fatal(err)
		}
		return *now == *before
	}
	k := newKeyboard(screen, screen, true)
	if err := k.open(); err != nil {
		t.Fatal(err)
	}
	if err := k.open(); err != nil || same() {
		t.Errorf("no single keys: %v", err)
	}
	if _, err := io.WriteString(keys, "h"); err != nil {
		t.Fatal(err)
	}
	select {
	case chunk := <-k.chunks:
		if got := k.keys(chunk); !slices.Equal(got, []rune{'h'}) {
			t.Errorf("got %q", got)
		}
	case <-time.After(5 * time.Second):
		t.Error("a key without Enter was not read")
	}
	k.close()
	k.close()
	if !same() {
		t.Error("after close it is another")
	}
	if err := k.open(); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		defer k.rescue()
		panic("a check broke")
	}()
	if !same() {
		t.Error("after a panic it is another")
	}
}
