package runner

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/e2e/world"
)

// traffic starts, awaits or stops a flow. A flow outlives its step: it runs until it is stopped, or cleaning up does.
func (s *session) traffic(ctx context.Context, t steps.Traffic) (stepReport, error) {
	switch {
	case t.Stop != nil:
		return s.stopTraffic(*t.Stop)
	case t.Await != nil:
		return s.awaitTraffic(ctx, *t.Await)
	}
	start := *t.Start
	v, target, err := s.only(ctx, start.From, start.To)
	if err != nil {
		return stepReport{}, fmt.Errorf("traffic %s: %w", start.Name, err)
	}
	flow, err := s.runner.prober.Flow(context.WithoutCancel(ctx), probe.FlowRequest{Vantage: v, Target: target,
		PerSecond: start.PerSecond, Timeout: start.Timeout.Or(s.runner.settings.Timeouts.Answered)})
	if err != nil {
		return stepReport{}, fmt.Errorf("start traffic %s: %w", start.Name, err)
	}
	s.flows[start.Name] = flow
	return stepReport{lines: []string{fmt.Sprintf("%d requests a second from %s to %s", start.PerSecond, v.Name, target.Name())}}, nil
}

// only finds the one vantage and the one target that are meant.
func (s *session) only(ctx context.Context, from string, to scenario.To) (reach.Vantage, reach.Target, error) {
	w, err := s.snapshot(ctx)
	if err != nil {
		return reach.Vantage{}, reach.Target{}, err
	}
	where := table.Site{Namespace: s.namespace, World: w, Vantages: s.vantages}
	v, there := where.Client(from)
	if !there {
		return v, reach.Target{}, fmt.Errorf("there is no vantage %s", from)
	}
	var found []reach.Target
	for _, target := range w.Targets(s.namespace + "/" + to.Service) {
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

// flowPoll is the time between two looks at a flow, which announces nothing.
const flowPoll = 200 * time.Millisecond

// awaitTraffic waits until every request that was started in so long a time was answered, the whole of it after the
// step began. A request under way is not known of; with a time that is the flow's timeout at least, what was hanging when
// the step began has failed by then.
func (s *session) awaitTraffic(ctx context.Context, t steps.TrafficAwait) (stepReport, error) {
	flow, running := s.flows[t.Name]
	if !running {
		return stepReport{}, fmt.Errorf("traffic %s does not run", t.Name)
	}
	var (
		what  = fmt.Sprintf("traffic %s to be answered for %s", t.Name, time.Duration(t.Answered))
		seen  = "nothing"
		since = flow.Snapshot().Ended // by the vantage's clock, as all times here
	)
	defer s.progress.say("", "")
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
			return stepReport{lines: []string{fmt.Sprintf("from %s on every request was answered, for %s", since.UTC().Format(time.TimeOnly), round(lasted))}}, nil
		}
		s.progress.say(what, seen)
		if !pause(ctx, flowPoll) {
			return stepReport{}, s.ranOut(ctx, what, seen)
		}
	}
}

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

func (s *session) stopTraffic(t steps.TrafficStop) (stepReport, error) {
	flow, running := s.flows[t.Name]
	if !running {
		return stepReport{}, fmt.Errorf("traffic %s does not run", t.Name)
	}
	delete(s.flows, t.Name)
	r, err := flow.Stop()
	if err != nil {
		return stepReport{}, fmt.Errorf("traffic %s: %w", t.Name, err)
	}
	lost := r.Sent - r.Answered
	report := stepReport{lines: []string{fmt.Sprintf("%d requests, %d answered, %d lost; longest gap %s; answers by %s",
		r.Sent, r.Answered, lost, round(r.LongestGap), reach.Counts(r.Backends))}}
	if n := len(r.Outages); n > 0 {
		report.lines = append(report.lines, outages(n, slices.MaxFunc(r.Outages, func(a, b probe.Outage) int { return cmp.Compare(a.Lost, b.Lost) })))
	}
	for _, o := range r.Failed {
		if o.Outcome == reach.ProbeFailed {
			return report, fmt.Errorf("traffic %s: a request could not be sent: %s", t.Name, o.Detail)
		}
	}
	switch {
	case r.Answered < max(t.MinAnswered, 1):
		return report, failf("traffic %s: %d requests were answered, want %d at least", t.Name, r.Answered, max(t.MinAnswered, 1))
	case lost < t.MinLost:
		return report, failf("traffic %s: %d of %d requests were lost, want %d at least: there was no outage to measure", t.Name, lost, r.Sent, t.MinLost)
	case lost > t.MaxLost:
		return report, failf("traffic %s: %d of %d requests were lost, at most %d may be", t.Name, lost, r.Sent, t.MaxLost)
	case t.MaxGap != 0 && r.LongestGap > time.Duration(t.MaxGap):
		return report, failf("traffic %s: no answer for %s, at most %s is allowed", t.Name, round(r.LongestGap), time.Duration(t.MaxGap))
	}
	return report, nil
}
