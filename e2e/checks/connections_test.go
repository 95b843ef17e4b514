package checks

import (
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

// A connection that failed counts, whatever could not be probed before or after it.
func TestJudgeConnectionsCutShort(t *testing.T) {
	cell := func(outcomes ...reach.Outcome) reach.Cell {
		var c reach.Cell
		for _, o := range outcomes {
			c.Observations = append(c.Observations, reach.Observation{Outcome: o, Detail: "why"})
		}
		return c
	}
	for want, cases := range map[reach.Result][][]reach.Cell{
		reach.Fail:         {{cell(reach.TimedOut, reach.ProbeFailed)}, {cell(reach.ProbeFailed), cell(reach.TimedOut)}, {cell(reach.TimedOut), cell(reach.Unprobed)}},
		reach.Inconclusive: {{cell(reach.Reached, reach.ProbeFailed)}, {cell(reach.ProbeFailed), cell(reach.Reached)}, {cell()}, {cell(reach.Unprobed)}},
		reach.Pass:         {{cell(reach.Reached), cell(reach.Unprobed)}},
	} {
		for i, cells := range cases {
			if _, err := judgeConnections(cells); reach.ResultOf(err) != want {
				t.Errorf("%s, case %d: %v", want, i, err)
			}
		}
	}
}

func TestConnections(t *testing.T) {
	args := connectionsArgs{Service: "my-service", From: scenario.Strings{"pod"}, To: scenario.To{Kind: scenario.Kinds{reach.ClusterIP}},
		Connections: 30, Length: 20_000, Hold: scenario.Duration(2 * time.Second)}
	for name, tc := range map[string]struct {
		last reach.Observation // of all
		all  bool              // or of each
		want reach.Result
		why  string
	}{
		"all answered":     {reach.Observation{Outcome: reach.Reached}, false, reach.Pass, ""},
		"one is lost":      {reach.Observation{Outcome: reach.TimedOut, Detail: "silence"}, false, reach.Fail, "1 of 60 connections failed, first from pod/worker2"},
		"all are":          {reach.Observation{Outcome: reach.WrongAnswer, Detail: "reset"}, true, reach.Fail, "60 of 60 connections failed"},
		"not sent":         {reach.Observation{Outcome: reach.ProbeFailed, Detail: "oh no"}, false, reach.Inconclusive, "oh no"},
		"all are left out": {reach.Observation{Outcome: reach.Unprobed, Detail: "no route"}, true, reach.Inconclusive, "no connection could be made"},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			prober := &forEach{answer: func(probe.Request) []reach.Observation {
				if n++; n == 60 || tc.all {
					return []reach.Observation{tc.last}
				}
				return []reach.Observation{{Outcome: reach.Reached}}
			}}
			_, err := connections(t.Context(), envWith(prober), args)
			if reach.ResultOf(err) != tc.want || err != nil && !strings.Contains(err.Error(), tc.why) {
				t.Fatalf("got %v (%v), want %s: %s", reach.ResultOf(err), err, tc.want, tc.why)
			}
			for _, r := range prober.sent {
				if r.Max != 1 || r.Length != 20_000 || r.Hold != 2*time.Second || r.Timeout != 3*time.Second {
					t.Fatalf("sent %+v", r)
				}
			}
		})
	}
	for name, change := range map[string]func(*connectionsArgs){
		"more than are open at once": func(a *connectionsArgs) { a.Connections = 1000 },
		"none":                       func(a *connectionsArgs) { a.Connections = 0 },
		"from nowhere":               func(a *connectionsArgs) { a.From = scenario.Strings{"node"} },
		"to nothing":                 func(a *connectionsArgs) { a.Service = "nobody" },
	} {
		wrong := args
		change(&wrong)
		if _, err := connections(t.Context(), envWith(&forEach{}), wrong); reach.ResultOf(err) != reach.Inconclusive {
			t.Errorf("%s: %v", name, err)
		}
	}
}
