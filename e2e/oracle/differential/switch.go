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

// switched counts what a switch of kube-proxy changes by its own rules, and what package migrate predicts.
type switched struct {
	services, cells, changed int
	// missed and invented are changes that only the rules have, or only the prediction. excused have an exception.
	missed, invented, excused int
	// families are the cells that change, by IP family: 4 or 6.
	families map[int]int
	first    []string // some of them in words
}

func (s *switched) add(t switched) {
	s.services, s.cells, s.changed = s.services+t.services, s.cells+t.cells, s.changed+t.changed
	s.missed, s.invented, s.excused = s.missed+t.missed, s.invented+t.invented, s.excused+t.excused
	for family, n := range t.families {
		s.count(family, n)
	}
	s.first = append(s.first, t.first...)
}

func (s *switched) count(family, n int) {
	if s.families == nil {
		s.families = map[int]int{}
	}
	s.families[family] += n
}

// side is kube-proxy before or after a switch.
type side struct {
	*proxiers
	mode string
}

// kind is what migrate's groups know of a cell, with what the rules lead to on either side.
type kind struct {
	service, client string
	target          reach.TargetKind
	undeclared      bool
	one, other      string
}

// compareSwitch compares, for one world, the cells that a switch changes with those that are predicted to change: each cell by
// itself, and that the report of migrate, which predicts for some nodes and clients only, has every sort of change, for the switch
// from one side to the other and for the way back.
func compareSwitch(w world.World, sides [2]side) (switched, error) {
	s := switched{services: len(w.Services)}
	var (
		facts    [2]world.Facts
		clusters [2]*cluster
		oracles  [2]*oracle.Oracle
	)
	for i, side := range sides {
		w.Facts.ProxyMode, w.Facts.ProxyRelease = side.mode, side.release
		proxies, err := side.write(w, side.mode, nil)
		if err != nil {
			return s, err
		}
		if clusters[i], err = newCluster(w, side.release, proxies); err != nil {
			return s, err
		}
		facts[i], oracles[i] = w.Facts, oracle.New(w)
	}
	say := func(what string, v reach.Vantage, t reach.Target, one, other observed) {
		s.first = append(s.first, fmt.Sprintf("%s: %s to %s (%s:%d): the rules of %s lead to %s, those of %s to %s", what, v.Name, t.Name(), t.Host, t.Port,
			sides[0].text(), one.text(), sides[1].text(), other.text()))
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
			one, other := clusters[0].observe(v, t), clusters[1].observe(v, t)
			predicted := migrate.Differ(oracles[0].Predict(v, t), oracles[1].Predict(v, t))
			differs := one.text() != other.text()
			// What is behind an address that is no pod's, the rules do not say: neither what answers, nor what it sees.
			if differs != predicted && (excused(v, t) || one.vague && other.vague && slices.Equal(one.outcomes, other.outcomes)) {
				s.excused++
				continue
			}
			if differs {
				s.changed++
				s.count(t.IPFamily(), 1)
				if v.Kind != reach.Host && t.Service != "" && !excused(v, t) { // this machine is no client of migrate's
					real[clusters[0].kindOf(v, t, one, other)] = cell{v, t, one, other}
				}
			}
			switch {
			case differs && !predicted:
				s.missed++
				say("missed", v, t, one, other)
			case predicted && !differs:
				s.invented++
				say("invented", v, t, one, other)
			}
		}
	}
	for way, report := range map[string]migrate.Report{"there": migrate.Between(w, facts[0], facts[1]), "back": migrate.Between(w, facts[1], facts[0])} {
		found := map[kind]bool{}
		for _, g := range report.Groups {
			for _, c := range g.Changes {
				if c.Target.Kind == reach.DNSName || c.Target.Kind == reach.ExternalName { // the rules know no names
					continue
				}
				one, other := clusters[0].observe(c.Vantage, c.Target), clusters[1].observe(c.Vantage, c.Target)
				found[clusters[0].kindOf(c.Vantage, c.Target, one, other)] = true
				if one.text() == other.text() && !one.vague && !excused(c.Vantage, c.Target) {
					s.invented++
					say("invented by migrate on the way "+way, c.Vantage, c.Target, one, other)
				}
			}
		}
		for k, c := range real {
			if !found[k] {
				s.missed++
				say("no such change in migrate's report of the way "+way, c.v, c.t, c.one, c.other)
			}
		}
	}
	return s, nil
}

func (s side) text() string { return fmt.Sprintf("%s in %s mode", s.release, s.mode) }

type cell struct {
	v          reach.Vantage
	t          reach.Target
	one, other observed
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

func (c *cluster) kindOf(v reach.Vantage, t reach.Target, one, other observed) kind {
	client := string(v.Kind)
	if v.Kind == reach.Pod && c.endpointOf(v, t.Service) {
		client = "backend"
	}
	outcomes := func(o observed) string { return strings.Trim(fmt.Sprint(o.outcomes), "[]") }
	return kind{t.Service, client, t.Kind, t.Undeclared, outcomes(one), outcomes(other)}
}
