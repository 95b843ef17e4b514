package reach

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// FlowKind is what the requests of a flow have in common.
type FlowKind string

// The kinds of flow. To conntrack all requests of a flow are one connection, but those of FlowNew.
const (
	// FlowNew: each request is a new connection or socket.
	FlowNew FlowKind = ""
	// FlowKept: all requests go over one TCP connection. After a failure the next request opens another.
	FlowKept FlowKind = "kept"
	// FlowConnected: datagrams from one connected socket, which gets ICMP errors, and answers of the target's address only.
	FlowConnected FlowKind = "connected"
	// FlowUnconnected: datagrams from one socket that gets answers from any address. One that is not the target's is a
	// WrongAnswer.
	FlowUnconnected FlowKind = "unconnected"
	// FlowOneWay: datagrams without an answer. The backend reports to a second socket of the client what it got.
	FlowOneWay FlowKind = "oneWay"
)

// FlowKinds returns all kinds.
func FlowKinds() []FlowKind {
	return []FlowKind{FlowNew, FlowKept, FlowConnected, FlowUnconnected, FlowOneWay}
}

// Flow is a client that goes on sending requests to a target while the cluster changes.
type Flow struct {
	Vantage Vantage  `json:"vantage"`
	Target  Target   `json:"target"`
	Kind    FlowKind `json:"kind,omitempty"`
}

// Name is the flow as reports print it: "UDP connected from pod/worker to my-service clusterIP:80/UDP".
func (f Flow) Name() string {
	return fmt.Sprintf("%s from %s to %s", f.What(), f.Vantage.Name, f.Target.Name())
}

// What is the kind in words.
func (f Flow) What() string {
	switch {
	case f.Kind == FlowNew && f.Target.Protocol == UDP:
		return "UDP, each from a new port"
	case f.Kind == FlowNew:
		return "new TCP connections"
	case f.Kind == FlowKept:
		return "one TCP connection"
	case f.Kind == FlowOneWay:
		return "UDP without answers"
	default:
		return "UDP " + string(f.Kind)
	}
}

// FateKind is what a change of the cluster may do to a flow.
type FateKind string

// What may happen to a flow.
const (
	// Unnoticed: every request gets what it got before.
	Unnoticed FateKind = "must not notice"
	// Keeps: every request is answered by the backend that answered before, although new connections may get another.
	Keeps FateKind = "keeps its backend"
	// MayMove: another backend may answer.
	MayMove FateKind = "may move"
	// MustMove: the backend that answered before must not answer any more, and another one must.
	MustMove FateKind = "must move"
	// MustEnd: no backend must answer any more.
	MustEnd FateKind = "must end"
)

// Fate is what a change may do to a flow, and why.
type Fate struct {
	Kind FateKind `json:"kind"`
	// Meanwhile holds for each request until the change is in force, Then afterwards. Of their backends any may answer, not every
	// one needs to.
	Meanwhile Prediction `json:"meanwhile"`
	Then      Prediction `json:"then"`
	// Tolerated is how many requests may be lost until the change is in force; Anytime: afterwards too.
	Tolerated int  `json:"tolerated,omitempty"`
	Anytime   bool `json:"anytime,omitempty"`
	// Every is for how much time of the period one more may be lost; 0: none.
	Every time.Duration `json:"everyNs,omitempty"`
	// AfterLoss are backends. Another one of them may answer after a request was lost, until the next answer. One that answered before may
	// always answer again: the entries of another node that lead to it are still there.
	AfterLoss []string `json:"afterLoss,omitempty"`
	// Untranslated: until the change is in force, answers of the backend of before may come from its own address, to requests that follow
	// one another, once.
	Untranslated bool `json:"untranslated,omitempty"`
	// Within is how long it may take until the change is in force after the objects have settled, on an idle machine.
	Within time.Duration `json:"withinNs,omitempty"`
	// Reason, Said, Rule and Doc are as in Prediction.
	Reason string `json:"reason"`
	Said   Phrase `json:"-"`
	Rule   string `json:"rule"`
	Doc    string `json:"doc"`
}

// Period is the time of a change and after it.
type Period struct {
	// Began is when the change began, InForce when everything follows it, Ended when the next one began.
	Began   time.Time `json:"began"`
	InForce time.Time `json:"inForce"`
	Ended   time.Time `json:"ended"`
}

// atOnce is how long a packet takes at most from its client to where its fate is decided, a lost one included.
const atOnce = 250 * time.Millisecond

// of returns whether an observation belongs to the period, and whether the change was in force for it. One that was under
// way when a change began belongs to that change: TCP sends a SYN that was dropped again seconds later.
func (p Period) of(o Observation) (within, inForce bool) {
	took := o.Latency
	if o.Outcome != Reached && o.Outcome != Refused {
		took = min(took, atOnce)
	}
	decided := o.At.Add(took)
	within = !decided.Before(p.Began) && decided.Before(p.Ended)
	return within, within && !o.At.Before(p.InForce)
}

// FlowVerdict is a flow's record during one change, judged.
type FlowVerdict struct {
	Flow   Flow   `json:"flow"`
	Fate   Fate   `json:"fate"`
	Period Period `json:"period"`
	// Backend is who answered last before the change; empty: no backend.
	Backend string `json:"backend,omitempty"`
	// Requests are those of the period, by their starts.
	Requests []Observation `json:"requests,omitempty"`
	Result   Result        `json:"result"`
	Why      string        `json:"why,omitempty"`
	// Difference says in what the record differs, without names: it is the same for flows that differ alike.
	Difference string `json:"difference,omitempty"`
	// Lost counts the requests without an answer, Strays the answers that were not to come: duplicates, and those from a wrong address.
	Lost   int `json:"lost,omitempty"`
	Strays int `json:"strays,omitempty"`
	// Followed is when the last request began that was not as it must be once the change is in force, from Began on; 0: none was.
	Followed time.Duration `json:"followedNs,omitempty"`
	// Judged counts the requests made while the change was in force.
	Judged int `json:"judged"`
}

// JudgeFlow compares a flow's record with what may happen to it. record is the complete one, by starts.
func JudgeFlow(f Flow, backend string, fate Fate, period Period, record []Observation) FlowVerdict {
	v := FlowVerdict{Flow: f, Fate: fate, Period: period, Backend: backend, Result: Pass}
	var (
		off     []Observation // outcomes that are tolerated, if they are few
		runs    = 0           // of answers from the backend's own address
		running = false
		lost    = fate.Tolerated
		sticky  = ""
		known   = map[string]bool{backend: true} // who has answered so far
		loose   = false                          // a request was lost since the last answer
		unsent  = ""
		differs = func(what, difference string, o Observation, want Prediction) {
			if v.Result == Fail {
				return
			}
			v.Result, v.Difference = Fail, difference
			v.Why = fmt.Sprintf("%s after the change began (%s) it got %s; %s, because %s", o.At.Sub(period.Began).Round(time.Millisecond), what, said(o), wants(fate, want), fate.Reason)
		}
	)
	if fate.Every > 0 {
		lost += int(period.Ended.Sub(period.Began) / fate.Every)
	}
	for _, o := range record {
		within, inForce := period.of(o)
		free := loose
		loose = o.Outcome != Reached && (loose || o.Outcome != ProbeFailed)
		if !within {
			known[o.Backend] = true
			continue
		}
		v.Requests = append(v.Requests, o)
		if o.Outcome == ProbeFailed {
			unsent = cmp.Or(unsent, cmp.Or(o.Detail, "a request could not be sent"))
			continue
		}
		switch o.Outcome {
		case Reached:
		case WrongAnswer:
			v.Strays++
		default:
			v.Lost++
		}
		if !fits(fate.Then, o) {
			v.Followed = max(v.Followed, o.At.Sub(period.Began))
		}
		want, when := fate.Meanwhile, "before it was in force"
		if inForce {
			v.Judged++
			want, when = fate.Then, "when it was in force"
		}
		untranslated := o.Outcome == WrongAnswer && backend != "" && o.Backend == backend && !inForce
		if untranslated && !running {
			runs++
		}
		running = untranslated
		switch {
		case untranslated && fate.Untranslated && runs == 1:
		case fate.AfterLoss != nil && o.Outcome == Reached:
			if !known[o.Backend] && (!free || !slices.Contains(fate.AfterLoss, o.Backend)) {
				differs(when, "answered by another "+when, o, want)
			}
		case !fits(want, o) && (!inForce || fate.Anytime) && o.Outcome != Reached && o.Outcome != WrongAnswer:
			if off = append(off, o); len(off) > lost {
				differs(when, "lost "+string(o.Outcome)+" "+when, o, want)
			}
		case !fits(want, o) && o.Outcome == Reached:
			differs(when, "answered by another "+when, o, want)
		case !fits(want, o):
			differs(when, string(o.Outcome)+" "+when, o, want)
		case inForce && fate.Then.Sticky && o.Outcome == Reached && sticky != "" && o.Backend != sticky:
			differs(when, "two backends "+when, o, want)
		}
		if known[o.Backend] = true; inForce && o.Outcome == Reached {
			sticky = o.Backend
		}
	}
	if v.Result == Pass && unsent != "" {
		v.Result, v.Why = Inconclusive, "could not probe: "+unsent
	}
	return v
}

// fits reports whether an observation is one that a prediction allows.
func fits(p Prediction, o Observation) bool {
	return p.Allows(o.Outcome) && (o.Outcome != Reached || len(p.Backends) == 0 || slices.Contains(p.Backends, o.Backend))
}

func said(o Observation) string {
	switch {
	case o.Outcome == Reached:
		return "an answer of " + o.Backend
	case o.Detail != "":
		return fmt.Sprintf("%s (%s)", o.Outcome, o.Detail)
	}
	return string(o.Outcome)
}

func wants(fate Fate, p Prediction) string {
	text := fmt.Sprintf("it %s: %s", fate.Kind, joinOutcomes(p.Outcomes))
	if p.Allows(Reached) && len(p.Backends) > 0 {
		text += " by " + strings.Join(p.Backends, " or ")
	}
	return text
}
