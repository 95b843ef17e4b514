package fuzz

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

func predictByOracle(w world.World) func(v reach.Vantage, t reach.Target) reach.Prediction {
	return oracle.New(w).Predict
}

// pair is a cell that can be probed, whatever is predicted of it.
type pair struct {
	vantage reach.Vantage
	target  reach.Target
}

func (p pair) key() string { return p.vantage.Name + "|" + p.target.Name() }

// probeable reports whether a pair is worth probing. Names are looked up where the cluster's DNS answers: from pods and
// nodes. The host probes only what is on the nodes' network, because nothing else may leave this machine.
func probeable(v reach.Vantage, t reach.Target) bool {
	name := t.Kind == reach.DNSName || t.Kind == reach.ExternalName
	switch {
	case !world.Applicable(v, t):
		return false
	case v.Kind == reach.Host:
		return t.Kind == reach.NodePort || t.Kind == reach.LoadBalancer || t.Kind == reach.HealthCheck
	case v.Kind == reach.Outside:
		return !name
	default:
		return true
	}
}

// pairs returns all cells of a Service, from every vantage. An ExternalName is only looked up: no vantage connects to the
// name that it stands for.
func pairs(w world.World, vantages []reach.Vantage, service string) []pair {
	var (
		list []pair
		have = map[string]bool{}
	)
	for _, t := range few(w.TargetsWith(service, form(service))) {
		if t.Kind == reach.ExternalName {
			t.Port = 0
		}
		for _, v := range vantages {
			if p := (pair{v, t}); probeable(v, t) && !have[p.key()] {
				have[p.key()] = true
				list = append(list, p)
			}
		}
	}
	return list
}

// mostEndpoints is how many endpoints of a Service are probed at their own addresses, at most.
const mostEndpoints = 60

// few leaves out targets that are endpoints, evenly, until at most mostEndpoints are left: a Service may have more than a thousand.
func few(list []reach.Target) []reach.Target {
	isEndpoint := func(t reach.Target) bool { return t.Kind == reach.Endpoint }
	all := 0
	for _, t := range list {
		all += count2(isEndpoint(t))
	}
	nth := -1
	return slices.DeleteFunc(list, func(t reach.Target) bool {
		if !isEndpoint(t) || all <= mostEndpoints {
			return false
		}
		nth++
		return nth*mostEndpoints/all == (nth+1)*mostEndpoints/all
	})
}

// form is how a Service's name is looked up: for each fourth Service in full through the search path of a pod, which
// first makes six lookups without a result; for the others as an absolute name, to spare the cluster's DNS.
func form(service string) world.NameForm {
	if service[len(service)-1]%4 == 0 {
		return world.FormFull
	}
	return world.FormAbsolute
}

// sample keeps at most the given number of pairs. It chooses by chance, but takes one of each kind of target and vantage
// before it takes a second one of any.
func sample(r *rand.Rand, list []pair, most int) []pair {
	if len(list) <= most {
		return list
	}
	type ranked struct{ turn, place int }
	var (
		order = make([]ranked, len(list))
		turns = map[string]int{}
	)
	for i, place := range r.Perm(len(list)) {
		p := list[place]
		stratum := fmt.Sprintf("%s %s %t", p.vantage.Kind, p.target.Kind, p.target.Undeclared)
		order[i] = ranked{turns[stratum], place}
		turns[stratum]++
	}
	slices.SortStableFunc(order, func(a, b ranked) int { return a.turn - b.turn })
	order = order[:most]
	slices.SortFunc(order, func(a, b ranked) int { return a.place - b.place })
	kept := make([]pair, most)
	for i, o := range order {
		kept[i] = list[o.place]
	}
	return kept
}

// observer probes pairs and judges them.
type observer struct {
	// engine lacks the tables and the bound of convergence, which each call of observe has of its own.
	engine observe.Engine
}

// observation is what was observed of a list of pairs.
type observation struct {
	cells []reach.CellVerdict // in the order of the pairs
	// lines say when traffic was as predicted.
	lines []string
	// behind is how long, by node, kube-proxy had not followed the objects.
	behind map[string]time.Duration
	// judged is when the judged pass began, world what the predictions rest on.
	judged time.Time
	world  world.World
}

// observe waits until traffic is as predicted, for at most within, and judges every pair once.
func (o observer) observe(ctx context.Context, list []pair, within time.Duration) (observation, error) {
	table := observe.Table{}
	for _, p := range list {
		table.Cells = append(table.Cells, observe.Cell{Vantage: p.vantage, Target: p.target})
	}
	o.engine.Within = within
	o.engine.Tables = func(world.World) ([]observe.Table, error) { return []observe.Table{table}, nil }
	result, err := o.engine.Observe(ctx)
	if err != nil {
		return observation{}, err
	}
	return observation{cells: result.Tables[0].Cells, behind: result.Tables[0].Behind, lines: result.Lines, judged: result.Judged, world: result.World}, nil
}

// tableOf makes a table of judged cells, of one Service or more.
func tableOf(title string, cells []reach.CellVerdict) reach.Table {
	t := reach.Table{Title: title, Cells: cells}
	vantages, targets := map[string]bool{}, map[string]bool{}
	for _, c := range cells {
		if v := c.Cell.Vantage; !vantages[v.Name] {
			vantages[v.Name] = true
			t.Vantages = append(t.Vantages, v)
		}
		if target := c.Cell.Target; !targets[target.Name()] {
			targets[target.Name()] = true
			t.Targets = append(t.Targets, target)
		}
	}
	return t
}
