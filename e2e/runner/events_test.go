package runner

import (
	"bytes"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// What is written as events and replayed is printed as if it had been reported here. Tables do not travel.
func TestEventsAreReplayed(t *testing.T) {
	report := func(r Reporter) {
		r.Planned([]string{"a", "b"}, []Skip{{"c", "no IPv6"}})
		r.Begin("a", "look")
		r.Waiting("a", "look", time.Minute, "")
		r.End("a", "look", reach.Fail, time.Second, "from pod/worker: refused\x1b[2J")
		r.Finished(reach.Verdict{Scenario: "a", Result: reach.Fail, Elapsed: time.Second, Steps: []reach.Step{{Name: "look", Tables: []reach.Table{{Title: "secret"}}}}})
	}
	var want, got, wire bytes.Buffer
	report(Lines(&want))
	report(Events(&wire))
	if bytes.Contains(wire.Bytes(), []byte("secret")) {
		t.Errorf("a table is in %s", wire.Bytes())
	}
	for line := range bytes.Lines(wire.Bytes()) {
		if !Replay(line, Lines(&got)) {
			t.Errorf("no event: %s", line)
		}
	}
	if got.String() != want.String() {
		t.Errorf("got\n%swant\n%s", got.String(), want.String())
	}
	for _, line := range []string{"", "creating cluster svclab", `{"svclab":"moon"}`, `{"svclab":"finished"}`, `{}`, `[1]`, `{"svclab":`} {
		if Replay([]byte(line), Lines(&got)) {
			t.Errorf("an event: %q", line)
		}
	}
}
