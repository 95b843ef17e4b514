package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svclab/svclab/e2e/probe/wire"
	"github.com/svclab/svclab/e2e/reach"
)

// runSession runs `prober session` with an input and returns its exit code and output.
func runSession(t *testing.T, stdin io.Reader, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, said bytes.Buffer
	code = run(t.Context(), append([]string{"session"}, args...), stdin, &out, &said)
	return code, out.String(), said.String()
}

func TestSessionRunsOneCommandAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		input := `{"args":["probe"],"input":"{\"version\":6,\"cells\":0,\"nonce\":\"n\"}\n"}
{"args":["probe"],"input":"nonsense"}
{"args":["serve"]}
{"args":["probe"],"input":"{\"version\":6,\"cells\":0,\"nonce\":\"n\"}\n"}
`
		// The end of stdin would cancel the commands, so it stays open until the session ends.
		reader, writer := io.Pipe()
		defer writer.Close()
		go func() { _, _ = io.WriteString(writer, input) }()
		began := time.Now()
		code, stdout, stderr := runSession(t, reader, "--idle", "5m")
		if code != 0 || stderr != "" {
			t.Fatalf("exit code %d, %s", code, stderr)
		}
		if idle := time.Since(began); idle != 5*time.Minute {
			t.Errorf("the session was idle for %s", idle)
		}
		const answered = `{"sessionBegun":{}}
{"hello":{"version":6,"nonce":"n"}}
{"done":{"count":0}}
{"sessionEnded":{"code":0}}
`
		if !strings.HasPrefix(stdout, answered) || !strings.HasSuffix(stdout, answered) {
			t.Errorf("the first and the last command did not run:\n%s", stdout)
		}
		for _, want := range []string{`{"sessionEnded":{"code":2,"said":"prober: stdin line 1 is not the head of a batch`, `session runs only probe and synced`} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s is missing:\n%s", want, stdout)
			}
		}
	})
}

// instant is a cell whose probes end at once and without network traffic. With an interval its connections take a known time.
const instant = `{"id":%d,"form":"appHTTP","host":"127.0.0.1","port":80,"family":6,"min":3,"max":3,"timeoutNs":1000,"intervalNs":3600000000000}`

func TestSessionEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, writer := io.Pipe()
		began := time.Now()
		go func() {
			_, _ = io.WriteString(writer, `{"args":["probe"],"input":`+strconv.Quote(`{"version":6,"cells":1}`+"\n"+fmt.Sprintf(instant, 0)+"\n")+"}\n")
			time.Sleep(time.Minute)
			writer.Close()
		}()
		code, stdout, stderr := runSession(t, reader)
		if took := time.Since(began); code != 0 || took != time.Minute || !strings.Contains(stdout, errClientGone.Error()) {
			t.Errorf("exit code %d after %s: %s\n%s", code, took, stdout, stderr)
		}
	})
	if code, _, stderr := runSession(t, strings.NewReader("{")); code != 2 || !strings.Contains(stderr, "is not a command") {
		t.Errorf("an input that is cut off: exit code %d: %s", code, stderr)
	}
	if code, _, _ := runSession(t, strings.NewReader(""), "--idle", "0s"); code != 2 {
		t.Errorf("no time to wait: exit code %d", code)
	}
}

// Cells of a batch are probed at the same time, up to the concurrency, and a cell's connections keep its interval.
func TestBatchIsConcurrentAndKeepsIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		input := `{"version":6,"cells":6,"concurrency":3}` + "\n"
		for i := range 6 {
			input += fmt.Sprintf(instant, i) + "\n"
		}
		var stdout, stderr bytes.Buffer
		began := time.Now()
		if code := run(t.Context(), []string{"probe"}, strings.NewReader(input), &stdout, &stderr); code != 0 {
			t.Fatalf("exit code %d: %s", code, stderr.String())
		}
		// 3 connections have 2 intervals of an hour between them, in which other cells have their turn.
		if took := time.Since(began); took != 2*time.Hour {
			t.Errorf("it took %s, want 2h", took)
		}
	})
}

// The first connections of a cell begin evenly over the time to spread over.
func TestConnectionsBeginEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		input := `{"version":6,"cells":1}` + "\n" + `{"id":1,"form":"appHTTP","host":"127.0.0.1","port":1,"family":6,"min":5,"max":5,"timeoutNs":1000,"spreadNs":4000000000}` + "\n"
		answers := answersOf(t, input)
		for i, o := range answers[1] {
			if at := o.At.Sub(answers[1][0].At); at != time.Duration(i)*time.Second {
				t.Errorf("connection %d begins after %s", i, at)
			}
		}
	})
}

// Cells take turns, so the connections of each are spread over the batch: no fault that comes and goes falls between them.
func TestConnectionsOfACellAreSpread(t *testing.T) {
	const cells, connections = 20, 40
	input := fmt.Sprintf(`{"version":6,"cells":%d,"concurrency":2}`+"\n", cells)
	for i := range cells {
		input += fmt.Sprintf(`{"id":%d,"form":"appHTTP","host":"127.0.0.1","port":1,"min":%d,"max":%[2]d,"timeoutNs":1000000000}`+"\n", i, connections)
	}
	// By the order of the connections, not by the time between them: on a busy machine that is not even.
	type connection struct {
		cell int
		at   time.Time
	}
	var all []connection
	for id, observations := range answersOf(t, input) {
		for _, o := range observations {
			all = append(all, connection{id, o.At})
		}
	}
	slices.SortFunc(all, func(a, b connection) int { return a.at.Compare(b.at) })
	// A cell that the machine does not run has a short stretch, one in a burst has 1/20 of them all: the mean tells.
	first, last := map[int]int{}, map[int]int{}
	for i, c := range all {
		if _, seen := first[c.cell]; !seen {
			first[c.cell] = i
		}
		last[c.cell] = i
	}
	sum := 0
	for id := range last {
		sum += last[id] - first[id]
	}
	if len(last) != cells || len(all) != cells*connections || sum/cells < len(all)*3/4 {
		t.Errorf("%d connections of %d cells: from its first to its last are %d, in the mean", len(all), len(last), sum/max(len(last), 1))
	}
}

// A turn goes to the one that asked first.
func TestTurnsComeInTheOrderAsked(t *testing.T) {
	turns := &turns{free: 1}
	var asked []<-chan struct{}
	for range 3 {
		asked = append(asked, turns.queue())
	}
	for n := range asked {
		for i, turn := range asked {
			select {
			case <-turn:
				if i > n {
					t.Errorf("%d turns were passed, and the %d. came", n, i)
				}
			default:
				if i <= n {
					t.Errorf("%d turns were passed, and the %d. did not come", n, i)
				}
			}
		}
		turns.pass()
	}
	if turns.free != 1 {
		t.Errorf("%d turns are free at the end, want 1", turns.free)
	}
}

// answersOf runs a batch and returns the observations of each cell by its ID.
func answersOf(t *testing.T, input string) map[int][]reach.Observation {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"probe"}, strings.NewReader(input), &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	answers := map[int][]reach.Observation{}
	for text := range strings.Lines(stdout.String()) {
		var line wire.Line
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line.Answer != nil {
			answers[line.Answer.ID] = line.Answer.Observations
		}
	}
	return answers
}

// A cell that is to be answered ends when nothing answers, however many connections it is to make. One that is to be refused goes on.
func TestACellThatNothingAnswersEnds(t *testing.T) {
	cell := `{"id":%d,"form":"appHTTP","host":"127.0.0.1","port":1,"min":40,"max":40,"timeoutNs":1000000000%s}` + "\n"
	answers := answersOf(t, `{"version":6,"cells":3}`+"\n"+fmt.Sprintf(cell, 1, `,"until":["a"]`)+fmt.Sprintf(cell, 2, "")+fmt.Sprintf(cell, 3, `,"until":["a"],"patient":true`))
	for id, want := range map[int]int{1: wire.MostFailures, 2: 40, 3: 40} {
		if got := len(answers[id]); got != want {
			t.Errorf("cell %d: %d connections, want %d", id, got, want)
		}
	}
}
