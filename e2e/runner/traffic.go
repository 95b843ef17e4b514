package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// traffic starts or stops a flow. A flow outlives its step: it runs until it is stopped, or cleaning up does.
func (s *session) traffic(ctx context.Context, t scenario.Traffic) (stepReport, error) {
	if t.Stop != nil {
		return s.stopTraffic(*t.Stop)
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
	i := slices.IndexFunc(s.vantages, func(v reach.Vantage) bool { return v.Name == from })
	if i < 0 {
		return reach.Vantage{}, reach.Target{}, fmt.Errorf("there is no vantage %s", from)
	}
	v := s.vantages[i]
	w, err := s.snapshot(ctx)
	if err != nil {
		return v, reach.Target{}, err
	}
	where := site{namespace: s.namespace, world: w, vantages: s.vantages}
	var found []reach.Target
	for _, target := range w.Targets(s.namespace + "/" + to.Service) {
		if world.Applicable(v, target) && where.matches(to, v, target) {
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

func (s *session) stopTraffic(t scenario.TrafficStop) (stepReport, error) {
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
		r.Sent, r.Answered, lost, round(r.LongestGap), counts(r.Backends))}}
	for _, o := range r.Outages {
		until := "to the end"
		if !o.Until.IsZero() {
			until = "for " + round(o.Until.Sub(o.From)).String()
		}
		report.lines = append(report.lines, fmt.Sprintf("%d requests lost from %s on, %s", o.Lost, o.From.UTC().Format(time.TimeOnly), until))
	}
	for _, o := range r.Failed {
		if o.Outcome == reach.ProbeFailed {
			return report, fmt.Errorf("traffic %s: a request could not be sent: %s", t.Name, o.Detail)
		}
	}
	switch {
	case r.Answered < max(t.MinAnswered, 1):
		return report, failf("traffic %s: %d requests were answered, want %d at least", t.Name, r.Answered, max(t.MinAnswered, 1))
	case lost > t.MaxLost:
		return report, failf("traffic %s: %d of %d requests were lost, at most %d may be", t.Name, lost, r.Sent, t.MaxLost)
	case t.MaxGap != 0 && r.LongestGap > time.Duration(t.MaxGap):
		return report, failf("traffic %s: no answer for %s, at most %s is allowed", t.Name, round(r.LongestGap), time.Duration(t.MaxGap))
	}
	return report, nil
}

func counts(backends map[string]int) string {
	if len(backends) == 0 {
		return "nobody"
	}
	var parts []string
	for _, name := range sortedKeys(backends) {
		parts = append(parts, fmt.Sprintf("%s (%d)", name, backends[name]))
	}
	return strings.Join(parts, ", ")
}

// node acts on a node.
func (s *session) node(ctx context.Context, n scenario.Node) (stepReport, error) {
	if n.Action == "exec" {
		return s.nodeExec(ctx, n)
	}
	controller, ok := s.runner.cluster.(NodeController)
	if !ok {
		return stepReport{}, errors.New("this cluster's nodes cannot be stopped or started")
	}
	s.progress.say(fmt.Sprintf("node %s to %s", n.Slot, n.Action), "")
	defer s.progress.say("", "")
	if err := controller.ControlNode(ctx, n.Slot, n.Action); err != nil {
		return stepReport{}, fmt.Errorf("%s node %s: %w", n.Action, n.Slot, err)
	}
	return stepReport{}, nil
}

func (s *session) nodeExec(ctx context.Context, n scenario.Node) (stepReport, error) {
	commander, ok := s.runner.cluster.(Commander)
	if !ok {
		return stepReport{}, errors.New("no program can be run on this cluster's nodes")
	}
	i := slices.IndexFunc(s.vantages, func(v reach.Vantage) bool { return v.Name == "node/"+n.Slot })
	if i < 0 {
		return stepReport{}, fmt.Errorf("there is no vantage node/%s", n.Slot)
	}
	var out bytes.Buffer
	err := commander.Exec(ctx, s.vantages[i], n.Command, io.MultiReader(), &out, &out)
	report := stepReport{lines: []string{"$ " + strings.Join(n.Command, " ")}}
	for line := range strings.Lines(out.String()) {
		report.lines = append(report.lines, strings.TrimRight(line, "\n"))
	}
	if err != nil {
		return report, fmt.Errorf("run %v on node %s: %w", n.Command, n.Slot, err)
	}
	return report, nil
}
