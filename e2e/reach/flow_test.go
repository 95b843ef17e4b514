package reach

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestJudgeFlow(t *testing.T) {
	began := time.Unix(1000, 0)
	period := Period{Began: began, InForce: began.Add(4 * time.Second), Ended: began.Add(8 * time.Second)}
	at := func(seconds float64, outcome Outcome, backend string) Observation {
		return Observation{At: began.Add(time.Duration(seconds * float64(time.Second))), Outcome: outcome, Backend: backend, Latency: time.Millisecond}
	}
	slow := func(o Observation, took time.Duration) Observation { o.Latency = took; return o }
	only := func(backends ...string) Prediction {
		return Prediction{Outcomes: []Outcome{Reached}, Backends: backends}
	}
	var (
		keeps     = Fate{Kind: Keeps, Meanwhile: only("a"), Then: only("a"), Rule: "r", Reason: "it stays"}
		tolerant  = Fate{Kind: Unnoticed, Meanwhile: only("a", "b"), Then: only("a", "b"), Tolerated: 1}
		moves     = Fate{Kind: MustMove, Meanwhile: Prediction{Outcomes: []Outcome{Reached, TimedOut}, Backends: []string{"a", "b"}}, Then: only("b")}
		ends      = Fate{Kind: MustEnd, Meanwhile: only("a"), Then: Prediction{Outcomes: []Outcome{Refused, TimedOut}}}
		ended     = Fate{Kind: Unnoticed, Meanwhile: Prediction{Outcomes: []Outcome{TimedOut}}, Then: Prediction{Outcomes: []Outcome{TimedOut}}}
		opened    = Fate{Kind: MustMove, Meanwhile: Prediction{Outcomes: []Outcome{Reached, TimedOut}}, Then: only("a")}
		sticky    = Fate{Kind: MayMove, Meanwhile: only("a", "b"), Then: Prediction{Outcomes: []Outcome{Reached}, Backends: []string{"a", "b"}, Sticky: true}}
		transit   = Fate{Kind: Keeps, Meanwhile: only("a"), Then: only("a"), Tolerated: 1, Anytime: true, AfterLoss: []string{"a", "b"}}
		deleted   = moves
		different = "answered by another when it was in force"
	)
	deleted.Untranslated = true
	ends.Meanwhile.Outcomes = []Outcome{Reached, Refused, TimedOut}
	for name, tc := range map[string]struct {
		fate       Fate
		record     []Observation
		result     Result
		difference string
	}{
		"keeps":                                 {keeps, []Observation{at(-1, Reached, "z"), at(1, Reached, "a"), at(5, Reached, "a"), at(9, Reached, "z")}, Pass, ""},
		"keeps, and moves":                      {keeps, []Observation{at(1, Reached, "b")}, Fail, "answered by another before it was in force"},
		"keeps, and loses":                      {keeps, []Observation{at(1, TimedOut, "")}, Fail, "lost TimedOut before it was in force"},
		"loses what is tolerated":               {tolerant, []Observation{at(1, Refused, ""), at(5, Reached, "a")}, Pass, ""},
		"loses more":                            {tolerant, []Observation{at(1, Refused, ""), at(2, Refused, "")}, Fail, "lost Refused before it was in force"},
		"loses when in force":                   {tolerant, []Observation{at(5, Refused, "")}, Fail, "Refused when it was in force"},
		"loses anytime":                         {Fate{Meanwhile: only("a"), Then: only("a"), Tolerated: 1, Anytime: true}, []Observation{at(5, TimedOut, ""), at(6, Reached, "a")}, Pass, ""},
		"moves":                                 {moves, []Observation{at(1, Reached, "a"), at(2, TimedOut, ""), at(5, Reached, "b")}, Pass, ""},
		"moves too late":                        {moves, []Observation{at(1, Reached, "a"), at(5, Reached, "a")}, Fail, different},
		"ends":                                  {ends, []Observation{at(1, Reached, "a"), at(2, Refused, ""), at(5, TimedOut, "")}, Pass, ""},
		"goes on":                               {ends, []Observation{at(5, Reached, "a")}, Fail, different},
		"a duplicate":                           {moves, []Observation{at(1, WrongAnswer, "a")}, Fail, "WrongAnswer before it was in force"},
		"two backends of an affine":             {sticky, []Observation{at(1, Reached, "a"), at(5, Reached, "b"), at(6, Reached, "a")}, Fail, "two backends when it was in force"},
		"an answer that is not translated back": {deleted, []Observation{at(1, WrongAnswer, "a"), at(5, Reached, "b")}, Pass, ""},
		"two answers that are not":              {deleted, []Observation{at(1, WrongAnswer, "a"), at(2, WrongAnswer, "a")}, Pass, ""},
		"and again":                             {deleted, []Observation{at(1, WrongAnswer, "a"), at(2, Reached, "a"), at(3, WrongAnswer, "a")}, Fail, "WrongAnswer before it was in force"},
		"loses one in four seconds":             {Fate{Meanwhile: only("a"), Then: only("a"), Anytime: true, Every: 4 * time.Second}, []Observation{at(5, TimedOut, ""), at(6, TimedOut, "")}, Pass, ""},
		"loses more than one in four seconds":   {Fate{Meanwhile: only("a"), Then: only("a"), Anytime: true, Every: 4 * time.Second}, []Observation{at(5, TimedOut, ""), at(6, TimedOut, ""), at(6.5, TimedOut, "")}, Fail, "lost TimedOut when it was in force"},
		"moves after a loss":                    {transit, []Observation{at(1, TimedOut, ""), at(2, Reached, "b"), at(3, Reached, "b"), at(5, Reached, "a")}, Pass, ""},
		"moves after a loss of before":          {transit, []Observation{slow(at(-1, TimedOut, ""), 5*time.Second), at(2, Reached, "b")}, Pass, ""},
		"moves without a loss":                  {transit, []Observation{at(1, TimedOut, ""), at(2, Reached, "a"), at(3, Reached, "b")}, Fail, "answered by another before it was in force"},
		"moves to one that does not serve":      {transit, []Observation{at(1, TimedOut, ""), at(2, Reached, "c")}, Fail, "answered by another before it was in force"},
		"one of another backend":                {deleted, []Observation{at(1, WrongAnswer, "b")}, Fail, "WrongAnswer before it was in force"},
		"one that is no answer":                 {deleted, []Observation{at(1, WrongAnswer, "")}, Fail, "WrongAnswer before it was in force"},
		"one when it is in force":               {deleted, []Observation{at(5, WrongAnswer, "a")}, Fail, "WrongAnswer when it was in force"},
		"could not be sent":                     {keeps, []Observation{at(1, Reached, "a"), at(2, ProbeFailed, "")}, Inconclusive, ""},
		"a SYN that is sent again after the next change": {ended, []Observation{slow(at(7, Reached, "a"), 3*time.Second)}, Pass, ""},
		"a SYN of before that is answered later":         {opened, []Observation{slow(at(-1, Reached, "a"), 3*time.Second), at(5, Reached, "a")}, Pass, ""},
		"a datagram that is lost at the end":             {keeps, []Observation{slow(at(7, TimedOut, ""), 5*time.Second)}, Fail, "TimedOut when it was in force"},
	} {
		v := JudgeFlow(Flow{}, "a", tc.fate, period, tc.record)
		if v.Result != tc.result || v.Difference != tc.difference || (v.Why == "") != (v.Result == Pass) {
			t.Errorf("%s: %s, %q: %s", name, v.Result, v.Difference, v.Why)
		}
	}
	v := JudgeFlow(Flow{}, "a", moves, period, []Observation{at(1, Reached, "a"), at(2, TimedOut, ""), at(2.5, Reached, "a"), at(5, Reached, "b"), at(6, Reached, "b")})
	if v.Followed != 2500*time.Millisecond || v.Lost != 1 || v.Judged != 2 || len(v.Requests) != 5 {
		t.Errorf("%+v", v)
	}
}

func TestFlowNames(t *testing.T) {
	var names []string
	for _, kind := range FlowKinds() {
		for _, protocol := range []Protocol{TCP, UDP} {
			if kind == FlowKept && protocol == UDP || kind != FlowKept && kind != FlowNew && protocol == TCP {
				continue // there are none
			}
			name := Flow{Vantage: Vantage{Name: "pod/worker"}, Target: Target{Kind: ClusterIP, Service: "n/s", Host: "10.96.0.9", Port: 53, Protocol: protocol}, Kind: kind}.Name()
			if slices.Contains(names, name) || !strings.Contains(name, "from pod/worker to s clusterIP:53") {
				t.Errorf("%q", name)
			}
			names = append(names, name)
		}
	}
}
