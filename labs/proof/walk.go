package proof

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/trace"
	"github.com/svclab/svclab/labs/course"
)

// Walker traces one connection: see lab.Cluster.
type Walker interface {
	Walk(ctx context.Context, namespaces []string, from string, to scenario.To) (trace.Trace, error)
}

// walks compares the section packet, and the paths of the questions about hops, with traces in a state of the exercise.
func (a *attempt) walks(ctx context.Context, e course.Exercise, namespaces []string, state string) {
	in := func(w *course.Walk) bool {
		return w != nil && w.None == "" && (w.State == state || w.State == "" && state == "solved")
	}
	if in(e.Packet) {
		a.claim("packet is as the trace", func() error {
			t, err := a.traced(ctx, namespaces, e.Packet)
			if err != nil {
				return err
			}
			if missing := Misses(t, e.Packet.Hops); missing != "" {
				return not("%s", missing)
			}
			return nil
		})
	}
	for _, q := range e.Questions {
		if !in(q.Walk) {
			continue
		}
		a.claim("question "+q.ID+" is as the trace", func() error {
			t, err := a.traced(ctx, namespaces, q.Walk)
			if err != nil {
				return err
			}
			for _, option := range q.Options {
				missing := Misses(t, q.Walk.Paths[option])
				if option == q.Right && missing != "" {
					return not("%s, the right one: %s", option, missing)
				}
				if option != q.Right && missing == "" {
					return not("%s, a wrong one, is a path that the trace has", option)
				}
			}
			return nil
		})
	}
}

// traced traces one connection. One that does not walk as the oracle predicts says nothing about a text.
func (a *attempt) traced(ctx context.Context, namespaces []string, w *course.Walk) (trace.Trace, error) {
	a.tracing.Lock()
	defer a.tracing.Unlock()
	t, err := a.Walker.Walk(ctx, namespaces, w.From, w.To)
	if err == nil && t.Result != reach.Pass {
		err = fmt.Errorf("the trace from %s to %s: %s", w.From, t.To.Name(), trace.Summary(t))
	}
	return t, err
}

// Misses says which of the hops a trace does not have in that order, or has although it must not. Empty: it is as they say.
func Misses(t trace.Trace, hops []course.Hop) string {
	var seen []string
	for _, s := range t.Steps {
		seen = append(seen, fmt.Sprintf("%s at %s", s.Kind, s.At))
	}
	at := 0
	for _, h := range hops {
		is := func(s trace.Step) bool { return like(t, s, h) }
		if h.Never {
			if slices.ContainsFunc(t.Steps, is) {
				return fmt.Sprintf("it must not have the hop %+v: %s", h, strings.Join(seen, ", "))
			}
			continue
		}
		next := slices.IndexFunc(t.Steps[at:], is)
		if next < 0 {
			return fmt.Sprintf("it lacks the hop %+v, in this order: %s", h, strings.Join(seen, ", "))
		}
		at += next + 1
	}
	return ""
}

// like reports whether a step of a trace is as a hop says.
func like(t trace.Trace, s trace.Step, h course.Hop) bool {
	if string(s.Kind) != h.Kind || s.Reply != h.Reply || h.Verdict != "" && s.Verdict != h.Verdict {
		return false
	}
	own, target := t.From.Node, t.To.Node
	switch h.At {
	case "":
	case "own":
		if s.At != own && s.At != t.From.Name {
			return false
		}
	case "target":
		if s.At != target {
			return false
		}
	case "other":
		if s.At == own || s.At == target {
			return false
		}
	default:
		if !strings.HasSuffix(s.At, "-"+h.At) {
			return false
		}
	}
	if h.Source == "" {
		return true
	}
	kept := slices.ContainsFunc(s.Packet.Src, func(p netip.Prefix) bool {
		return slices.ContainsFunc(t.From.Addrs, p.Contains)
	})
	return len(s.Packet.Src) > 0 && kept == (h.Source == "kept")
}
