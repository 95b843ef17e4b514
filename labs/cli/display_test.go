package cli

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
)

// screen is a terminal that knows what the display writes: CR, LF, erase below, erase to the right, and cursor up. A line that
// reaches the last column goes on in the next row, as in any terminal.
type screen struct {
	mu            sync.Mutex
	columns, rows int
	text          []string // rows from the first that was written
	row, column   int
}

func (s *screen) size() (int, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.columns, s.rows
}

func (s *screen) put(r rune) {
	for len(s.text) <= s.row {
		s.text = append(s.text, "")
	}
	line := []rune(s.text[s.row])
	for len(line) <= s.column {
		line = append(line, ' ')
	}
	line[s.column] = r
	s.text[s.row] = string(line)
	if s.column += report.Width(string(r)); s.column >= s.columns {
		s.row, s.column = s.row+1, 0
	}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := []rune(string(p))
	for i := 0; i < len(text); i++ {
		switch r := text[i]; {
		case r == '\r':
			s.column = 0
		case r == '\n':
			s.row, s.column = s.row+1, 0
		case r == 0x1b && text[i+1] == '[':
			end := i + 2
			for text[end] >= '0' && text[end] <= '9' {
				end++
			}
			n, _ := strconv.Atoi(string(text[i+2 : end]))
			switch text[end] {
			case 'J', 'K':
				if s.row < len(s.text) {
					s.text[s.row] = string([]rune(s.text[s.row])[:min(s.column, len([]rune(s.text[s.row])))])
					if text[end] == 'J' {
						s.text = s.text[:s.row+1]
					}
				}
			case 'A':
				s.row -= n
			default:
				panic(fmt.Sprintf("unknown sequence %q", text[i:end+1]))
			}
			i = end
		default:
			s.put(r)
		}
	}
	return len(p), nil
}

// String is what is to be seen.
func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := make([]string, len(s.text))
	for i, line := range s.text {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

var failed = reach.Verdict{Scenario: "udp", Result: reach.Fail, Elapsed: 12 * time.Second, Steps: []reach.Step{{Name: "apply", Result: reach.Pass},
	{Name: "who reaches it", Result: reach.Fail, Why: "from pod/worker to clusterIP: refused\x1b[2J\nand 3 more"}}}

func TestDisplayOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &screen{columns: 80, rows: 24}
		p := newDisplay(s, s.size, nil, map[string]time.Duration{"nodeport": 20 * time.Second, "udp": 20 * time.Second, "dns": 40 * time.Second})
		p.start()
		sees := func(what, want string) {
			t.Helper()
			time.Sleep(redraw)
			synctest.Wait()
			if got := s.String(); got != strings.Trim(want, "\n") {
				t.Errorf("%s: got\n%s\nwant\n%s", what, got, strings.Trim(want, "\n"))
			}
		}
		_, _ = fmt.Fprintln(p, "svclab: cluster svclab is there")
		p.Planned([]string{"nodeport", "udp", "dns"}, []runner.Skip{{Scenario: "dual-stack", Reason: "one IP family"}})
		sees("before the first", "svclab: cluster svclab is there")
		p.Begin("nodeport", "set up the namespace")
		p.Begin("udp", "set up the namespace")
		time.Sleep(10 * time.Second)
		p.Begin("udp", "who reaches it")
		p.Waiting("udp", "who reaches it", 0, "traffic to be as predicted: 3 cells are not, first pod/worker → clusterIP")
		sees("two run", `
svclab: cluster svclab is there
  nodeport                  set up the namespace                           10 s
  udp                       who reaches it: traffic to be as predicted:…   10 s
  ███████░░░░░░░░░░░░░░░░░░░░░░░ 1 of 4, about 30s left
`)
		// Another program writes to the terminal, as the message of an interrupt is written: nothing of it is lost, and nothing stays.
		_, _ = s.Write([]byte("\r\x1b[Jsvclab: interrupted; cleaning up\n"))
		p.Finished(failed)
		sees("one failed", `
svclab: cluster svclab is there
svclab: interrupted; cleaning up
udp: Fail after 12s
  who reaches it: Fail: from pod/worker to clusterIP: refused`+"\ufffd"+`[2J
    and 3 more
  nodeport                  set up the namespace                           10 s
  ███████████░░░░░░░░░░░░░░░░░░░ 2 of 4, 1 not passed, about 17s left
`)
		s.mu.Lock()
		s.columns, s.rows = 40, 4
		s.mu.Unlock()
		for _, name := range []string{"dns", "a", "b"} {
			p.Begin(name, "look")
		}
		sees("a small terminal", `
svclab: cluster svclab is there
svclab: interrupted; cleaning up
udp: Fail after 12s
  who reaches it: Fail: from pod/worker to clusterIP: refused`+"\ufffd"+`[2J
    and 3 more
  nodeport       set up the nam…   11 s
  and 3 more
  2 of 4, 1 not passed, about 17s left
`)
		p.Finished(reach.Verdict{Scenario: "nodeport", Result: reach.Pass})
		p.stop()
		if got := s.String(); !strings.HasSuffix(got, "    and 3 more") || s.row != 5 || s.column != 0 {
			t.Errorf("at the end the cursor is at %d,%d of\n%s", s.row, s.column, got)
		}
	})
}

// Where no line can be rewritten, each scenario has a line when it has ended, and what failed has its steps. A long silence
// says what runs.
func TestDisplayInCI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := newDisplay(&out, nil, []string{"nodeport", "udp", "dual-stack"}, nil)
		p.start()
		p.Planned([]string{"nodeport", "udp"}, []runner.Skip{{Scenario: "dual-stack", Reason: "one IP family"}})
		p.Begin("nodeport", "look")
		p.Begin("udp", "look")
		p.End("udp", "look", reach.Fail, time.Second, "no")
		time.Sleep(logEvery + time.Second)
		p.Finished(failed)
		p.Finished(reach.Verdict{Scenario: "nodeport", Result: reach.Pass, Elapsed: 21400 * time.Millisecond})
		p.stop()
		want := "dual-stack: skipped: one IP family\n" +
			"  … 1 of 3, about 7s left; running: nodeport (look, 60 s), udp (look, 60 s)\n" +
			"udp: Fail after 12s\n  who reaches it: Fail: from pod/worker to clusterIP: refused\ufffd[2J\n    and 3 more\n" +
			"nodeport: Pass after 21.4s\n"
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", out.String(), want)
		}
	})
}

// Lines that arrive in pieces are put together; what is no event is printed.
func TestReplayed(t *testing.T) {
	var events, rest, out strings.Builder
	runner.Events(&events).Begin("a", "look")
	r := &replayed{to: runner.Lines(&out), rest: &rest}
	for _, piece := range strings.SplitAfter("creating cluster x\n"+events.String()+"half", "e") {
		if _, err := r.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if rest.String() != "creating cluster x\n" || out.String() != "a: look …\n" {
		t.Errorf("printed %q, reported %q", rest.String(), out.String())
	}
}
