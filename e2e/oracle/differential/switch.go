package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/migrate"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// switched counts what a switch from iptables to nftables mode changes by kube-proxy's own rules, and what package migrate predicts.
type switched struct {
	services, cells, changed int
	// missed and invented are changes that only the rules have, or only the prediction. excused have an exception.
	missed, invented, excused int
	first                     []string // some of them in words
}

func (s *switched) add(t switched) {
	s.services, s.cells, s.changed = s.services+t.services, s.cells+t.cells, s.changed+t.changed
	s.missed, s.invented, s.excused = s.missed+t.missed, s.invented+t.invented, s.excused+t.excused
	s.first = append(s.first, t.first...)
}

// kind is what migrate's groups know of a cell, with what the rules lead to before and after.
type kind struct {
	service, client string
	target          reach.TargetKind
	undeclared      bool
	before, after   string
}

// compareSwitch compares, for one world, the cells that the switch changes with those that are predicted to change: each cell by
// itself, and that migrate, which predicts for some nodes and clients only, has every sort of change.
func (p *proxiers) compareSwitch(w world.World) (switched, error) {
	s := switched{services: len(w.Services)}
	var (
		facts    [2]world.Facts
		clusters [2]*cluster
		oracles  [2]*oracle.Oracle
	)
	for i, mode := range []string{world.ModeIPTables, world.ModeNFTables} {
		w.Facts.ProxyMode, w.Facts.ProxyRelease = mode, p.release
		proxies, err := p.write(w, mode, nil)
		if err != nil {
			return s, err
		}
		if clusters[i], err = newCluster(w, p.release, proxies); err != nil {
			return s, err
		}
		facts[i], oracles[i] = w.Facts, oracle.New(w)
	}
	say := func(what string, v reach.Vantage, t reach.Target, before, after observed) {
		s.first = append(s.first, fmt.Sprintf("%s: %s to %s (%s:%d): the rules lead to %s before, %s after", what, v.Name, t.Name(), t.Host, t.Port, before.text(), after.text()))
	}
	excused := func(v reach.Vantage, t reach.Target) bool {
		return slices.ContainsFunc(clusters[:], func(c *cluster) bool {
			return excuse(c, disagreement{vantage: v, target: t, prediction: oracle.Predict(c.w, v, t)}) != nil
		})
	}
	real := map[kind]cell{}
	for _, t := range targets(w) {
		for _, v := range vantages(w) {
			if !world.Applicable(v, t) {
				continue
			}
			s.cells++
			before, after := clusters[0].observe(v, t), clusters[1].observe(v, t)
			predicted := migrate.Differ(oracles[0].Predict(v, t), oracles[1].Predict(v, t))
			differs := before.text() != after.text()
			// What is behind an address that is no pod's, the rules do not say, so neither do they what it sees.
			if differs != predicted && (excused(v, t) || before.vague && after.vague && !differs) {
				s.excused++
				continue
			}
			if differs {
				s.changed++
				if v.Kind != reach.Host && t.Service != "" && !excused(v, t) { // this machine is no client of migrate's
					real[clusters[0].kindOf(v, t, before, after)] = cell{v, t, before, after}
				}
			}
			switch {
			case differs && !predicted:
				s.missed++
				say("missed", v, t, before, after)
			case predicted && !differs:
				s.invented++
				say("invented", v, t, before, after)
			}
		}
	}
	found := map[kind]bool{}
	for _, g := range migrate.Between(w, facts[0], facts[1]).Groups {
		for _, c := range g.Changes {
			if c.Target.Kind == reach.DNSName || c.Target.Kind == reach.ExternalName { // the rules know no names
				continue
			}
			before, after := clusters[0].observe(c.Vantage, c.Target), clusters[1].observe(c.Vantage, c.Target)
			found[clusters[0].kindOf(c.Vantage, c.Target, before, after)] = true
			if before.text() == after.text() && !before.vague && !excused(c.Vantage, c.Target) {
				s.invented++
				say("invented by migrate", c.Vantage, c.Target, before, after)
			}
		}
	}
	for k, c := range real {
		if !found[k] {
			s.missed++
			say("no such change in migrate's report", c.v, c.t, c.before, c.after)
		}
	}
	return s, nil
}

type cell struct {
	v             reach.Vantage
	t             reach.Target
	before, after observed
}

// text is all that a client or a backend can tell apart. Where no host has an address, a proxy decides nothing.
func (o observed) text() string {
	if len(o.fates) == 1 && o.fates[0] == nowhere {
		return "nowhere"
	}
	text := fmt.Sprint(o.outcomes)
	if slices.Contains(o.outcomes, reach.Reached) {
		text += fmt.Sprintf(" by %v seen from %s", o.backends, texts(o.sources))
	}
	if o.sticky {
		text += ", sticky"
	}
	return text
}

func (c *cluster) kindOf(v reach.Vantage, t reach.Target, before, after observed) kind {
	client := string(v.Kind)
	if v.Kind == reach.Pod && c.endpointOf(v, t.Service) {
		client = "backend"
	}
	outcomes := func(o observed) string { return strings.Trim(fmt.Sprint(o.outcomes), "[]") }
	return kind{t.Service, client, t.Kind, t.Undeclared, outcomes(before), outcomes(after)}
}
