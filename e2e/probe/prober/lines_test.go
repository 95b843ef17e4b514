package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// writes counts writes, and keeps what was written.
type writes struct {
	strings.Builder
	n int
}

func (w *writes) Write(b []byte) (int, error) {
	w.n++
	return w.Builder.Write(b)
}

// Lines that are gathered come in one write, no later than they may, and all of them at the end.
func TestLinesAreGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var to writes
		out := &lineWriter{out: &to}
		out.write("first")
		out.gather = time.Second
		for _, line := range []string{"a", "b"} {
			out.write(line)
			time.Sleep(400 * time.Millisecond)
		}
		if to.n != 1 {
			t.Errorf("before the second is over there were %d writes: %q", to.n, to.String())
		}
		time.Sleep(300 * time.Millisecond)
		if to.n != 2 || to.String() != "\"first\"\n\"a\"\n\"b\"\n" {
			t.Errorf("after it there were %d writes: %q", to.n, to.String())
		}
		out.write("last")
		if err := out.failed(); err != nil || to.n != 3 || !strings.HasSuffix(to.String(), "\"last\"\n") {
			t.Errorf("at the end there were %d writes: %q, %v", to.n, to.String(), err)
		}
	})
}
