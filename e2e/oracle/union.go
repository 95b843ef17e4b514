package oracle

import (
	"cmp"
	"slices"

	"github.com/svclab/svclab/e2e/reach"
)

// union predicts for a case in which the objects leave several predictions open: what any of them allows is
// allowed. Where they differ in source addresses only, the first one's rule and reason stand; else those given.
func union(rule string, reason reach.Phrase, predictions ...prediction) prediction {
	var (
		u       = prediction{Prediction: reach.Prediction{Rule: predictions[0].Rule, Said: predictions[0].Said}}
		same    = true
		reaches int
	)
	for _, p := range predictions {
		u.Doubt = cmp.Or(u.Doubt, p.Doubt)
		u.routes = append(u.routes, p.routes...)
		same = same && slices.Equal(p.Outcomes, predictions[0].Outcomes) && slices.Equal(p.Backends, predictions[0].Backends)
		for _, o := range p.Outcomes {
			if !slices.Contains(u.Outcomes, o) {
				u.Outcomes = append(u.Outcomes, o)
			}
		}
		if !p.Allows(reach.Reached) {
			continue
		}
		if reaches++; reaches == 1 {
			u.Backends, u.Sources = slices.Clone(p.Backends), slices.Clone(p.Sources)
			u.Sticky, u.AnyBackend, u.CNAME, u.HostSeen = p.Sticky, p.AnyBackend, p.CNAME, p.HostSeen
			u.Even, u.Certain = p.Even, slices.Clone(p.Certain)
			continue
		}
		u.Even = u.Even && p.Even && slices.Equal(u.Backends, p.Backends)
		u.Certain = slices.DeleteFunc(u.Certain, func(b string) bool { return !slices.Contains(p.Certain, b) })
		u.Backends, u.Sources = either(u.Backends, p.Backends), either(u.Sources, p.Sources)
		u.Sticky, u.AnyBackend = u.Sticky && p.Sticky, u.AnyBackend || p.AnyBackend
	}
	if reaches < len(predictions) { // what answers by one prediction does not by another
		u.Even, u.Certain = false, nil
	}
	if !same {
		u = because(u, reason)
		u.Rule, u.AnyBackend, u.Even = rule, true, false
	}
	slices.Sort(u.Backends)
	return u
}

// either is what a or b allows, where an empty list allows everything.
func either[T comparable](a, b []T) []T {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	known := make(map[T]bool, len(a))
	for _, x := range a {
		known[x] = true
	}
	for _, x := range b {
		if !known[x] {
			a = append(a, x)
		}
	}
	return a
}
