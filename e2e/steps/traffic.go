package steps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/e2e/world"
)

// Traffic starts, awaits or stops a flow of requests: one of Start, Await and Stop.
type Traffic struct {
	Start *TrafficStart `json:"start,omitempty"`
	Await *TrafficAwait `json:"await,omitempty"`
	Stop  *TrafficStop  `json:"stop,omitempty"`
}

// TrafficStart begins a steady flow of requests from one vantage to one target.
type TrafficStart struct {
	Name string `json:"name"`
	// From is one vantage by name.
	From string `json:"from"`
	// To must match exactly one target of the Service it names.
	To        scenario.To       `json:"to"`
	PerSecond int               `json:"perSecond"`
	Timeout   scenario.Duration `json:"timeout,omitempty"`
	// Keep sends all requests over one connection, which must then outlast what the steps until the stop do.
	Keep bool `json:"keep,omitempty"`
}

// TrafficAwait waits until a flow that may have broken off is answered again.
type TrafficAwait struct {
	Name string `json:"name"`
	// Answered is how long every request must have been answered; at least the flow's timeout.
	Answered scenario.Duration `json:"answered"`
}

// TrafficStop ends a flow and judges it.
type TrafficStop struct {
	Name string `json:"name"`
	// MinLost is the least number that must have got none, where an outage is to be measured.
	MinLost int `json:"minLost,omitempty"`
	// MaxLost is the largest number of requests that may have got no answer.
	MaxLost int `json:"maxLost"`
	// MaxGap is the longest time without an answer; unbounded where it is not set.
	MaxGap scenario.Duration `json:"maxGap,omitempty"`
	// MinAnswered is the least number of answers for the flow to say anything.
	MinAnswered int `json:"minAnswered,omitempty"`
}

// Name is the flow's; empty where none of Start, Await and Stop is set.
func (t Traffic) Name() string {
	switch {
	case t.Start != nil:
		return t.Start.Name
	case t.Await != nil:
		return t.Await.Name
	case t.Stop != nil:
		return t.Stop.Name
	}
	return ""
}

// Validate wants one of the three, with bounds that can be met.
func (t Traffic) Validate(scenario.Scenario) error {
	set := 0
	for _, is := range []bool{t.Start != nil, t.Await != nil, t.Stop != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return errors.New("traffic wants one of start, await and stop")
	case t.Name() == "":
		return errors.New("traffic wants a name")
	case t.Await != nil && t.Await.Answered == 0:
		return errors.New("traffic to await wants answered: how long")
	case t.Stop != nil && t.Stop.MinLost > t.Stop.MaxLost:
		return fmt.Errorf("traffic wants maxLost to be %d at least, which is minLost", t.Stop.MinLost)
	case t.Start == nil:
		return nil
	case t.Start.PerSecond < 1 || t.Start.PerSecond > 1000:
		return errors.New("traffic wants perSecond from 1 to 1000")
	case !strings.Contains(t.Start.From, "/") && t.Start.From != "outside" && t.Start.From != "host":
		return fmt.Errorf("traffic from %q: want one vantage, such as pod/worker or outside", t.Start.From)
	case t.Start.To.Service == "":
		return errors.New("traffic wants to.service")
	}
	return errors.Join(scenario.ValidateFrom(scenario.Strings{t.Start.From}), t.Start.To.Validate())
}

// Describe says what becomes of the flow.
func (t Traffic) Describe() string {
	switch {
	case t.Start != nil:
		text := fmt.Sprintf("start traffic %s: %d requests a second from %s to %s", t.Start.Name, t.Start.PerSecond, t.Start.From, t.Start.To)
		if t.Start.Keep {
			text += ", over one connection"
		}
		return text
	case t.Await != nil:
		return fmt.Sprintf("wait until traffic %s is answered for %s", t.Await.Name, time.Duration(t.Await.Answered))
	case t.Stop == nil:
		return "no traffic"
	}
	text := fmt.Sprintf("stop traffic %s: at most %d lost", t.Stop.Name, t.Stop.MaxLost)
	if t.Stop.MinLost > 0 {
		text += fmt.Sprintf(", at least %d", t.Stop.MinLost)
	}
	if t.Stop.MaxGap > 0 {
		text += fmt.Sprintf(", no gap longer than %s", time.Duration(t.Stop.MaxGap))
	}
	return text
}

// ReadOnly is false where it starts: later steps await and stop the flow.
func (t Traffic) ReadOnly() bool { return t.Start == nil }

// Uses pairs the start of a flow with its stop.
func (t Traffic) Uses(scenario.Scenario) scenario.Uses {
	p := scenario.Pair{Thing: "traffic " + t.Name(), First: "start", Second: "stop", Role: scenario.Ends}
	switch {
	case t.Start != nil:
		p.Role = scenario.Begins
	case t.Await != nil:
		p.Second, p.Role = "await", scenario.Continues
	}
	return scenario.Uses{Pairs: []scenario.Pair{p}}
}

// Do starts, awaits or stops the flow. A flow outlives its step: it runs until it is stopped, or cleaning up does.
func (t Traffic) Do(ctx context.Context, env *Env) (Report, error) {
	switch {
	case t.Stop != nil:
		return t.Stop.do(env)
	case t.Await != nil:
		return t.Await.do(ctx, env)
	}
	start := *t.Start
	v, target, err := env.only(ctx, start.From, start.To)
	if err != nil {
		return Report{}, fmt.Errorf("traffic %s: %w", start.Name, err)
	}
	kind := reach.FlowNew
	if start.Keep {
		kind = reach.FlowKept
	}
	flow, err := env.Prober.Flow(context.WithoutCancel(ctx), probe.FlowRequest{Vantage: v, Target: target,
		PerSecond: start.PerSecond, Kind: kind, Timeout: start.Timeout.Or(env.Settings.Timeouts.Answered)})
	if err != nil {
		return Report{}, fmt.Errorf("start traffic %s: %w", start.Name, err)
	}
	if env.flows == nil {
		env.flows = map[string]Flow{}
	}
	env.flows[start.Name] = flow
	return Report{Lines: []string{fmt.Sprintf("%d requests a second from %s to %s", start.PerSecond, v.Name, target.Name())}}, nil
}

// only finds the one vantage and the one target that are meant.
func (env *Env) only(ctx context.Context, from string, to scenario.To) (reach.Vantage, reach.Target, error) {
	w, err := env.snapshot(ctx)
	if err != nil {
		return reach.Vantage{}, reach.Target{}, err
	}
	where := table.Site{Namespace: env.Namespace, World: w, Vantages: env.Vantages}
	v, there := where.Client(from)
	if !there {
		return v, reach.Target{}, fmt.Errorf("there is no vantage %s", from)
	}
	var found []reach.Target
	for _, target := range w.Targets(env.Namespace + "/" + to.Service) {
		if world.Applicable(v, target) && where.Selects(to, v, target) {
			found = append(found, target)
		}
	}
	if len(found) != 1 {
		names := make([]string, len(found))
		for i := range found {
			names[i] = found[i].Name()
		}
		return v, reach.Target{}, fmt.Errorf("want one target, %s are %d: %s", to, len(found), strings.Join(names, ", "))
	}
	return v, found[0], nil
}

// do waits until every request that was started in so long a time was answered, the whole of it after the
// step began. A request under way is not known of; with a time that is the flow's timeout at least, what was hanging when
// the step began has failed by then.
func (t TrafficAwait) do(ctx context.Context, env *Env) (Report, error) {
	flow, running := env.flows[t.Name]
	if !running {
		return Report{}, fmt.Errorf("traffic %s does not run", t.Name)
	}
	var (
		what  = fmt.Sprintf("traffic %s to be answered for %s", t.Name, time.Duration(t.Answered))
		seen  = "nothing"
		since = flow.Snapshot().Ended // by the vantage's clock, as all times here
	)
	defer env.Progress.Say("", "")
	for {
		r := flow.Snapshot()
		if since.IsZero() {
			since = r.Began
		}
		if n := len(r.Failed); n > 0 {
			since = later(since, r.Failed[n-1].At)
			seen = fmt.Sprintf("%d of %d requests lost, the last of them %s", n, r.Sent, r.Failed[n-1].Outcome)
		}
		if lasted := r.Ended.Sub(since); r.Answered > 0 && lasted >= time.Duration(t.Answered) {
			return Report{Lines: []string{fmt.Sprintf("from %s on every request was answered, for %s", since.UTC().Format(time.TimeOnly), round(lasted))}}, nil
		}
		env.Progress.Say(what, seen)
		if !pause(ctx, flowPoll) {
			return Report{}, env.ranOut(ctx, what, seen)
		}
	}
}

func (t TrafficStop) do(env *Env) (Report, error) {
	flow, running := env.flows[t.Name]
	if !running {
		return Report{}, fmt.Errorf("traffic %s does not run", t.Name)
	}
	delete(env.flows, t.Name)
	r, err := flow.Stop()
	if err != nil {
		return Report{}, fmt.Errorf("traffic %s: %w", t.Name, err)
	}
	lost := r.Sent - r.Answered
	report := Report{Lines: []string{fmt.Sprintf("%d requests, %d answered, %d lost; longest gap %s; answers by %s",
		r.Sent, r.Answered, lost, round(r.LongestGap), reach.Counts(r.Backends))}}
	if n := len(r.Outages); n > 0 {
		report.Lines = append(report.Lines, outages(n, slices.MaxFunc(r.Outages, func(a, b probe.Outage) int { return cmp.Compare(a.Lost, b.Lost) })))
	}
	for _, o := range r.Failed {
		if o.Outcome == reach.ProbeFailed {
			return report, fmt.Errorf("traffic %s: a request could not be sent: %s", t.Name, o.Detail)
		}
	}
	switch {
	case r.Answered < max(t.MinAnswered, 1):
		return report, reach.Failf("traffic %s: %d requests were answered, want %d at least", t.Name, r.Answered, max(t.MinAnswered, 1))
	case lost < t.MinLost:
		return report, reach.Failf("traffic %s: %d of %d requests were lost, want %d at least: there was no outage to measure", t.Name, lost, r.Sent, t.MinLost)
	case lost > t.MaxLost:
		return report, reach.Failf("traffic %s: %d of %d requests were lost, at most %d may be", t.Name, lost, r.Sent, t.MaxLost)
	case t.MaxGap != 0 && r.LongestGap > time.Duration(t.MaxGap):
		return report, reach.Failf("traffic %s: no answer for %s, at most %s is allowed", t.Name, round(r.LongestGap), time.Duration(t.MaxGap))
	}
	return report, nil
}

// flowPoll is the time between two looks at a flow, which announces nothing.
const flowPoll = 200 * time.Millisecond

// outages tells of the longest of so many outages, which is the first of those that lost as much.
func outages(n int, longest probe.Outage) string {
	which := "the outage"
	if n > 1 {
		which = fmt.Sprintf("the longest of %d outages", n)
	}
	text := fmt.Sprintf("%s lost %d requests from %s on", which, longest.Lost, longest.From.UTC().Format(time.TimeOnly))
	if longest.Until.IsZero() {
		return text + ", to the end"
	}
	return text + fmt.Sprintf("; the first to be answered again was sent %s later", round(longest.Until.Sub(longest.From)))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// round makes a time readable.
func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
