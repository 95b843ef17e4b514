package fuzz

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
)

// gated are pods whose readiness svclab decides.
func gated(pods []corev1.Pod) []corev1.Pod {
	for i := range pods {
		pods[i].Spec.ReadinessGates = append(pods[i].Spec.ReadinessGates, corev1.PodReadinessGate{ConditionType: openGate})
	}
	return pods
}

// programs puts the prober on each node, and returns its paths by node.
func (s *session) programs(ctx context.Context) (map[string]string, error) {
	paths := map[string]string{}
	for _, v := range s.vantages {
		if v.Kind != reach.Node || v.Unusable != "" {
			continue
		}
		path, err := s.cluster.Prober(ctx, v)
		if err != nil {
			return nil, err
		}
		paths[v.Node] = path
	}
	return paths, nil
}

// runHistories plays the histories, several side by side, each of these in a namespace of its own.
func (s *session) runHistories(ctx context.Context) error {
	var (
		next   = s.First
		last   = s.First + s.Histories
		group  sync.WaitGroup
		errs   = make([]error, min(s.Side, s.Histories))
		verify = make([]*reach.Verdict, s.Histories)
	)
	for i := range s.Histories {
		s.outcome.Planned = append(s.outcome.Planned, s.historyName(s.First+i))
	}
	for lane := range errs {
		group.Go(func() {
			errs[lane] = s.within(ctx, fmt.Sprintf("svclab-fuzz-%d-%d", s.Seed, lane), func(own *session, ctx context.Context) error {
				for ctx.Err() == nil {
					s.mu.Lock()
					i := next
					next++
					s.mu.Unlock()
					if i >= last {
						return nil
					}
					h := Histories(s.Seed, own.scene, own.plan.Pods, i, 1, s.Operations)[0]
					v := own.history(ctx, i, h)
					s.count(func(*Outcome) { verify[i-s.First] = &v })
				}
				return context.Cause(ctx)
			})
		})
	}
	group.Wait()
	for _, v := range verify {
		if v != nil {
			s.outcome.Verdicts = append(s.outcome.Verdicts, *v)
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("play %d histories: %w", s.Histories, context.Cause(ctx))
	}
	return errors.Join(errs...)
}

func (s *session) historyName(i int) string { return fmt.Sprintf("fuzz-%d-history-%d", s.Seed, i) }

// history plays one history and shrinks what it disagrees in.
func (s *session) history(ctx context.Context, i int, h History) reach.Verdict {
	began := time.Now()
	v := reach.Verdict{Scenario: s.historyName(i), Behaviours: []string{"fuzz"}, Result: reach.Pass,
		Title: fmt.Sprintf("%d random operations on %d Services", len(h.Operations), len(h.Start.Cases))}
	p, err := s.play(ctx, h)
	for _, m := range p.moments {
		v.Steps = append(v.Steps, m.verdict)
		v.Result = reach.Worse(v.Result, m.verdict.Result)
	}
	if err != nil {
		v.Steps = append(v.Steps, reach.Step{Name: "play", Result: reach.Inconclusive, Why: err.Error()})
		v.Result = reach.Worse(v.Result, reach.Inconclusive)
	}
	s.tally(p)
	if s.proof != nil {
		s.count(func(out *Outcome) { out.Switches = p.switched() })
	}
	s.say("history %d: %s after %s, %d operations%s", i, v.Result, round(time.Since(began)), len(p.moments)-1, firstWhy(v))
	for _, d := range differing(p) {
		if !s.new(&d) {
			continue
		}
		shrinking := time.Now()
		s.reduceHistory(ctx, &d, h, p)
		s.count(func(out *Outcome) {
			d.Again = out.Disagreements[s.known[d.Signature]].Again
			out.Disagreements[s.known[d.Signature]] = d
		})
		v.Steps = append(v.Steps, reach.Step{Name: "shrink " + d.Signature, Result: reach.Fail, Why: cmp.Or(d.why(), d.Signature), Lines: []string{d.Ended}, Timeline: d.Timeline, Elapsed: time.Since(shrinking)})
	}
	v.Elapsed = time.Since(began)
	return v
}

func firstWhy(v reach.Verdict) string {
	for _, step := range v.Steps {
		if step.Result != reach.Pass {
			return ": " + step.Name + ": " + step.Why
		}
	}
	return ""
}

// tally adds to the outcome what clients saw of a history.
func (s *session) tally(p played) {
	s.count(func(out *Outcome) {
		followed := map[time.Time]time.Duration{}
		for _, f := range p.flows {
			out.Flows++
			out.Requests += len(f.Requests)
			out.Rules[f.Fate.Rule]++
			if f.Followed > 0 && f.Flow.Kind == reach.FlowNew && f.Fate.Kind != reach.Unnoticed {
				followed[f.Period.Began] = max(followed[f.Period.Began], f.Followed)
			}
		}
		for _, d := range followed {
			out.Programming = append(out.Programming, d)
		}
	})
}

func (d Disagreement) why() string {
	switch {
	case d.Record != nil:
		return d.Record.Flow.Name() + ": " + d.Record.Why
	case len(d.Cells) > 0:
		return d.Cells[0].Why
	}
	return d.Held
}

// differing are the kinds of disagreement of a history: of cells and of flows.
func differing(p played) []Disagreement {
	var list []Disagreement
	for k, m := range p.moments {
		for _, d := range disagreements(m.cells) {
			d.Signature = fmt.Sprintf("%s after %s", d.Signature, m.operation.Kind)
			d.at = k
			list = append(list, d)
		}
		for _, u := range m.unheld {
			list = append(list, Disagreement{Signature: fmt.Sprintf("%s: it %s after %s", u.Rule, u.Kind, m.operation.Kind), Service: u.Service, Held: u.why, at: k})
		}
	}
	for i, f := range p.flows {
		if f.Result != reach.Fail {
			continue
		}
		k := slices.IndexFunc(p.moments, func(m moment) bool { return m.period.Began.Equal(f.Period.Began) }) // a moment that was cut off has no verdicts
		list = append(list, Disagreement{Signature: fmt.Sprintf("%s: %s %s after %s", f.Fate.Rule, f.Flow.What(), f.Difference, p.moments[k].operation.Kind),
			Service: f.Flow.Target.Service, Record: &p.flows[i], at: k})
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(d Disagreement) bool {
		twice := seen[d.Signature]
		seen[d.Signature] = true
		return twice
	})
}

// repeats is how often the smallest history is played to know at which rate it shows the disagreement.
const repeats = 3

// reduceHistory shrinks a history that disagrees to the shortest one that still does: first it leaves out operations, then Services.
func (s *session) reduceHistory(ctx context.Context, d *Disagreement, h History, p played) {
	h.Operations = h.Operations[:min(d.at, len(h.Operations))]
	d.History, d.YAML, d.Timeline = &h, s.startYAML(h), timeline(p, d)
	d.Commands = commandsOf(p, d.at)
	if nth := s.known[d.Signature]; nth >= s.Shrinks {
		d.Ended = fmt.Sprintf("not shrunk: %d others were, which is the most in one run", nth)
		return
	}
	s.say("%s; shrinking, at most %s", d.Signature, s.Shrink)
	bounded, cancel := context.WithTimeout(ctx, s.Shrink)
	defer cancel()
	var (
		tried = 0
		last  played
	)
	shows := func(h History) bool {
		if bounded.Err() != nil {
			return false
		}
		tried++
		again, err := s.play(bounded, h)
		if err != nil {
			return false
		}
		for _, other := range differing(again) {
			if kin(other.Signature) == kin(d.Signature) {
				last, d.Record, d.at = again, other.Record, other.at
				if len(other.Cells) > 0 {
					d.Cells = other.Cells
				}
				d.Held = other.Held
				return true
			}
		}
		return false
	}
	// more plays a history a few more times, until it has shown often enough. A play that the time cut short does not count.
	more := func(h History, enough int) (seen, plays int) {
		for plays < repeats && seen < enough {
			shown := shows(h)
			if !shown && bounded.Err() != nil {
				break
			}
			if plays++; shown {
				seen++
			}
		}
		return seen, plays
	}
	if seen, plays := more(h, 1); seen == 0 {
		d.Repeated, d.Tries = 1, plays+1
		d.Ended = fmt.Sprintf("it did not repeat: seen in 1 of %d plays of this history", d.Tries)
		if plays == 0 {
			d.Ended = "it was not played again: there was no time for it"
		}
		return
	}
	d.Reproduced = true
	h.Operations = minimal(h.Operations, func(list []Operation) bool {
		smaller := h
		smaller.Operations = list
		return shows(smaller)
	})
	h.Start.Cases = minimal(h.Start.Cases, func(list []Case) bool {
		smaller := h
		smaller.Start.Cases = list
		return len(list) > 0 && shows(smaller)
	})
	d.Repeated, d.Tries = more(h, repeats)
	d.History, d.YAML, d.Commands, d.Timeline = &h, s.startYAML(h), commandsOf(last, d.at), timeline(last, d)
	d.Ended = fmt.Sprintf("the shortest of %d plays; it was seen in %d of %d more plays of it", tried, d.Repeated, d.Tries)
	if bounded.Err() != nil {
		d.Ended += "; there was no time for more"
	}
}

// kin is what the signatures of a disagreement have in common when the history around it changes.
func kin(signature string) string {
	before, _, _ := strings.Cut(signature, " after ")
	return before
}

// minimal leaves out of a list as much as it can: parts of it, smaller and smaller, as long as what is left still shows (delta
// debugging, Zeller and Hildebrandt 2002).
func minimal[T any](list []T, shows func([]T) bool) []T {
	for parts := 2; len(list) > 0; {
		size := max((len(list)+parts-1)/parts, 1)
		found := false
		for from := 0; from < len(list); from += size {
			without := slices.Delete(slices.Clone(list), from, min(from+size, len(list)))
			if shows(without) {
				list, parts, found = without, max(parts-1, 2), true
				break
			}
		}
		if !found {
			if size == 1 {
				return list
			}
			parts = min(2*parts, len(list))
		}
	}
	return list
}

func commandsOf(p played, until int) [][]string {
	var list [][]string
	for k := 1; k < len(p.moments) && k <= until; k++ {
		m := p.moments[k]
		list = append(list, append([]string{fmt.Sprintf("# %d. %s", k, m.operation)}, append(nodeCommands(m.operation), m.commands...)...))
	}
	return list
}

// nodeCommands are what does the disturbance of an operation by hand.
func nodeCommands(o Operation) []string {
	switch o.Kind {
	case modeSwitched:
		return []string{fmt.Sprintf("# set mode: %s in the configuration that kube-proxy of %s reads, then:", o.Value, o.Node),
			"kubectl -n kube-system delete pod -l k8s-app=kube-proxy --field-selector spec.nodeName=" + o.Node}
	case "proxy-restarted":
		return []string{"kubectl -n kube-system delete pod -l k8s-app=kube-proxy --field-selector spec.nodeName=" + o.Node}
	case "proxy-paused":
		return []string{fmt.Sprintf("docker exec %s pkill -STOP -x kube-proxy   # and -CONT %s after what follows", o.Node, pausedFor)}
	case "proxy-killed":
		return []string{fmt.Sprintf("docker exec %s pkill -KILL -x kube-proxy   # directly after what follows", o.Node)}
	case syncFails:
		return []string{fmt.Sprintf("# hide nft and iptables-restore in the container of kube-proxy on %s until %s after what follows", o.Node, pausedFor)}
	case "api-server-restarted":
		return []string{"docker exec CONTROL-PLANE pkill -KILL -x kube-apiserver"}
	case "dns-restarted":
		return []string{"kubectl -n kube-system delete pod -l k8s-app=kube-dns"}
	case "controller-restarted":
		return []string{"kubectl -n metallb-system delete pod -l component=controller"}
	case "speakers-partitioned":
		return []string{fmt.Sprintf("docker exec %s nft '%s'   # and 'delete table inet %s' %s after what follows", o.Node, partition, partitionTable, oracle.FailoverPeriod)}
	case "speakers-restarted":
		return []string{"kubectl -n metallb-system delete pod -l component=speaker"}
	}
	return nil
}

// startYAML are the objects of a history's start.
func (s *session) startYAML(h History) string {
	var documents []string
	for _, c := range h.Start.Cases {
		documents = append(documents, YAML(Trial{Case: c}, nil))
	}
	for i := range s.plan.Pods {
		for _, c := range h.Start.Cases {
			if uses(c, &s.plan.Pods[i]) {
				documents = append(documents, text(&s.plan.Pods[i]))
				break
			}
		}
	}
	return strings.Join(documents, "---\n")
}
