package steps

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

// fakeFlow has reports that do not change, or that are given one after the other.
type fakeFlow struct {
	report probe.FlowReport
	seen   []probe.FlowReport
}

func (f *fakeFlow) Snapshot() probe.FlowReport {
	r := f.seen[0]
	if len(f.seen) > 1 {
		f.seen = f.seen[1:]
	}
	return r
}

func (f *fakeFlow) Stop() (probe.FlowReport, error) { return f.report, nil }

// reported is a flow's report after so many seconds. The requests that started in the lost ones got no answer.
func reported(seconds int, lost ...int) probe.FlowReport {
	began := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	r := probe.FlowReport{Began: began, Ended: began.Add(time.Duration(seconds) * time.Second), Sent: 10 * seconds, Answered: 10 * (seconds - len(lost))}
	for _, s := range lost {
		r.Failed = append(r.Failed, reach.Observation{Outcome: reach.TimedOut, At: began.Add(time.Duration(s) * time.Second)})
	}
	return r
}

func TestAwaitTraffic(t *testing.T) {
	for name, c := range map[string]struct {
		seen []probe.FlowReport
		want string // "": it is answered
	}{
		// the second report is like the first: what was sent meanwhile hangs
		"an outage":           {[]probe.FlowReport{reported(5), reported(5), reported(7, 6, 7), reported(9, 6, 7)}, ""},
		"no outage":           {[]probe.FlowReport{reported(5), reported(6), reported(7)}, ""},
		"hardly begun":        {[]probe.FlowReport{{}, reported(1), reported(2)}, ""},
		"lost not long since": {[]probe.FlowReport{reported(5), reported(9, 6, 8)}, "gave up waiting for traffic a to be answered for 2s; last seen: 2 of 90 requests lost, the last of them TimedOut"},
		"not long after":      {[]probe.FlowReport{reported(5), reported(6)}, "last seen: nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			env := &Env{flows: map[string]Flow{"a": &fakeFlow{seen: c.seen}}}
			ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, ErrTimeout)
			defer cancel()
			_, err := (Traffic{Await: &TrafficAwait{Name: "a", Answered: scenario.Duration(2 * time.Second)}}).Do(ctx, env)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestStopTraffic(t *testing.T) {
	failed := func(o reach.Outcome) []reach.Observation {
		return []reach.Observation{{Outcome: o, Detail: "no prober"}}
	}
	for name, c := range map[string]struct {
		sent, answered int
		failed         []reach.Observation
		stop           TrafficStop
		want           reach.Result
	}{
		"nothing lost":       {100, 100, nil, TrafficStop{}, reach.Pass},
		"one lost":           {100, 99, failed(reach.TimedOut), TrafficStop{}, reach.Fail},
		"one may be lost":    {100, 99, failed(reach.TimedOut), TrafficStop{MaxLost: 1}, reach.Pass},
		"too few":            {10, 10, nil, TrafficStop{MinAnswered: 50}, reach.Fail},
		"none":               {0, 0, nil, TrafficStop{}, reach.Fail},
		"one could not send": {100, 99, failed(reach.ProbeFailed), TrafficStop{MaxLost: 5}, reach.Inconclusive},
	} {
		flow := &fakeFlow{}
		flow.report.Sent, flow.report.Answered, flow.report.Failed = c.sent, c.answered, c.failed
		env := &Env{flows: map[string]Flow{"": flow}}
		report, err := (Traffic{Stop: &c.stop}).Do(t.Context(), env)
		if got := reach.ResultOf(err); got != c.want {
			t.Errorf("%s: %s (%v), want %s", name, got, err, c.want)
		}
		if want := fmt.Sprintf("%d requests, %d answered", c.sent, c.answered); len(report.Lines) == 0 || !strings.HasPrefix(report.Lines[0], want) {
			t.Errorf("%s: lines %q", name, report.Lines)
		}
	}
}
