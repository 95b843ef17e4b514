package fuzz

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/world"
)

// on makes a session on a model.
func on(t *testing.T, count int, bent func(w world.World, r probe.Request, p *reach.Prediction)) (*session, *obedient) {
	t.Helper()
	settings := Defaults()
	settings.Seed, settings.Count, settings.Convergence, settings.Shrink = 5, count, time.Millisecond, time.Minute
	plan := Generate(settings.Seed, testScene(false), count)
	m := newModel(plan, false)
	prober := &obedient{model: m, bent: bent}
	out := &Outcome{Settings: settings, Rules: map[string]int{}}
	return &session{Settings: settings, sandbox: m, sandboxName: testNamespace, scene: testScene(false), turns: &turns{}, mu: &sync.Mutex{}, disturbed: &disturbances{}, vantages: testVantages(), plan: plan, outcome: out, known: map[string]int{},
		observer: observer{engine: observe.Engine{Policy: observe.Fuzz(), Prober: prober, Timeouts: settings.Timeouts, Snapshot: m.snapshot, Predict: predictByOracle,
			Programmed: func(context.Context) (map[string]time.Duration, string) {
				prober.waited++
				return nil, "kube-proxy is a model"
			}}}}, prober
}

func TestAllAsPredicted(t *testing.T) {
	s, prober := on(t, 100, nil)
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := s.outcome
	if out.Result() != reach.Pass || len(out.Disagreements) > 0 || out.Services != 100 || len(out.Verdicts) != 3 {
		t.Errorf("%s, %d disagreements, %d Services in %d batches: %v", out.Result(), len(out.Disagreements), out.Services, len(out.Verdicts), out.Disagreements)
	}
	if out.Probed < 3000 || out.Probed >= out.Possible || prober.probed < out.Probed || prober.waited != 3 {
		t.Errorf("%d of %d cells probed, %d requests", out.Probed, out.Possible, prober.probed)
	}
	for _, v := range out.Verdicts {
		if v.Result != reach.Pass || len(v.Steps) != 2 || !strings.Contains(v.Steps[0].Lines[1], " cells probed") || v.Steps[0].Lines[2] != "kube-proxy is a model" || v.Steps[0].Lines[3] != "as predicted at once" {
			t.Errorf("%+v", v)
		}
	}
}

// TestShrinksToTheCause plants a fault that needs one thing, and sees everything else go.
func TestShrinksToTheCause(t *testing.T) {
	s, _ := on(t, 40, func(w world.World, r probe.Request, p *reach.Prediction) {
		service, _ := w.Service(r.Target.Service)
		if service.Spec.SessionAffinity == corev1.ServiceAffinityClientIP && r.Target.Kind == reach.ClusterIP && p.Wants() {
			p.Outcomes = []reach.Outcome{reach.Refused}
		}
	})
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := s.outcome
	if out.Result() != reach.Fail || len(out.Disagreements) == 0 {
		t.Fatalf("%s with %d disagreements", out.Result(), len(out.Disagreements))
	}
	d := out.Disagreements[0]
	if !d.Reproduced {
		t.Fatalf("not reproduced: %s", d.Ended)
	}
	spec := d.Smallest.Case.Service.Spec // publishNotReadyAddresses stays where the pod that is left is never ready
	if spec.Type != corev1.ServiceTypeClusterIP || spec.SessionAffinity != corev1.ServiceAffinityClientIP || len(spec.Ports) != 1 ||
		spec.InternalTrafficPolicy != nil || spec.TrafficDistribution != nil || len(spec.Selector) > 1 {
		t.Errorf("not the smallest: %+v", spec)
	}
	if endpoints := len(d.Smallest.Pods) + manualEndpoints(d.Smallest); endpoints != 1 {
		t.Errorf("%d endpoints are left, one shows it", endpoints)
	}
	if d.Table.Result() != reach.Fail || !strings.Contains(d.YAML, "sessionAffinity: ClientIP") || !strings.Contains(d.YAML, "kind: Pod") {
		t.Errorf("table %s, objects:\n%s", d.Table.Result(), d.YAML)
	}
	var text bytes.Buffer
	if err := Text(&text, *out, report.Style{Width: 120, Plain: true}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"sessionAffinity: ClientIP", "--seed 5 --count 40", "Refused", d.Service} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("the text does not say %q:\n%s", part, text.String())
		}
	}
}

func manualEndpoints(t Trial) int {
	if t.Case.Manual == nil {
		return 0
	}
	return len(t.Case.Manual.Endpoints)
}

// TestOnlyTogether: what a Service by itself does not show stays a failure, and is reported as such.
func TestOnlyTogether(t *testing.T) {
	s, _ := on(t, 40, func(w world.World, _ probe.Request, p *reach.Prediction) {
		if len(w.Services) > 1 && p.Rule == "clusterip" {
			p.Outcomes = []reach.Outcome{reach.TimedOut}
		}
	})
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out := s.outcome; out.Result() != reach.Fail || out.Disagreements[0].Reproduced || !strings.Contains(out.Disagreements[0].Ended, "by itself does not show it") {
		t.Errorf("%s: %+v", out.Result(), out.Disagreements[0].Ended)
	}
}

// TestChangedMeanwhile: a cell that differs is not held against a prediction that has changed since.
func TestChangedMeanwhile(t *testing.T) {
	s, prober := on(t, 8, func(_ world.World, _ probe.Request, p *reach.Prediction) {
		if p.Rule == "clusterip" {
			p.Outcomes = []reach.Outcome{reach.Refused}
		}
	})
	s.Convergence = 0
	s.observer.engine.Predict = func(w world.World) func(reach.Vantage, reach.Target) reach.Prediction {
		return func(v reach.Vantage, t reach.Target) reach.Prediction {
			p := predictByOracle(w)(v, t)
			if prober.calls == 3 && p.Rule == "clusterip" { // converged once, and both judged passes are over
				p.Outcomes = []reach.Outcome{reach.TimedOut}
			}
			return p
		}
	}
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if result := s.outcome.Result(); result != reach.Inconclusive || len(s.outcome.Disagreements) != 0 {
		t.Errorf("%s with %d disagreements after %d calls", result, len(s.outcome.Disagreements), prober.calls)
	}
}

func TestCancelledRun(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	s, _ := on(t, 100, nil)
	s.sandbox = stopping{s.sandbox.(*model), func() { cancel(stopped) }}
	if err := s.run(ctx); !errors.Is(err, stopped) {
		t.Errorf("%v, want the cause", err)
	}
	if s.outcome.Result() == reach.Pass || len(s.outcome.Planned) != 3 {
		t.Errorf("%s of %v", s.outcome.Result(), s.outcome.Planned)
	}
}

type stopping struct {
	*model
	stop func()
}

func (s stopping) apply(ctx context.Context, cases []Case, in func(string) bool) (string, error) {
	s.stop()
	return s.model.apply(ctx, cases, in)
}

func TestShrinkEndsAtTheBound(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	plan := Generate(1, testScene(false), 1)
	first := Trial{Case: plan.Cases[0], Pods: []string{"b00", "b01", "b02"}}
	smallest, tried, err := Shrink(ctx, first, func(context.Context, Trial) (bool, error) { cancel(); return true, nil })
	if err != nil || tried != 1 || fingerprint(smallest) == fingerprint(first) {
		t.Errorf("%d tried, %v", tried, err)
	}
	broken := errors.New("broken")
	if _, _, err := Shrink(t.Context(), first, func(context.Context, Trial) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

// TestSmallerLeavesTheOriginal: each step works on a copy, and is another trial.
func TestSmallerLeavesTheOriginal(t *testing.T) {
	for i, c := range Generate(2, testScene(true), 200).Cases {
		trial := Trial{Case: c, Pods: []string{"b00", "b01"}}
		before := fingerprint(trial)
		var keys []string
		for _, smaller := range Smaller(trial) {
			key := fingerprint(smaller)
			if key == before || slices.Contains(keys, key) {
				t.Errorf("%d: a step that changes nothing, or is there twice: %s", i, key)
			}
			keys = append(keys, key)
			if problem := invalid(smaller.Case); problem != "" {
				t.Errorf("%d: a step makes it invalid: %s: %+v", i, problem, smaller.Case.Service.Spec)
			}
		}
		if fingerprint(trial) != before {
			t.Fatalf("%d: a step changed the original", i)
		}
	}
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	for name, change := range map[string]func(*Settings){
		"no Services": func(s *Settings) { s.Count = 0 }, "no batch": func(s *Settings) { s.Batch = 0 },
		"too large a batch": func(s *Settings) { s.Batch = MaxBatch + 1 }, "no cells": func(s *Settings) { s.Cells = 0 },
	} {
		s := Defaults()
		change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "give --") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
}
