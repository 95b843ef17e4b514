// Package checks has the checks that a scenario's step can run by name: what a table of outcomes cannot say, such as an even
// spread, the records of the DNS, or who answers ARP.
//
// A new check is one function and one line in All. A check returns what it found as lines, and an error: one that
// reach.Failf made if the cluster is wrong, any other if it could not find out. It does not change what the steps after it
// rest on.
package checks

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/e2e/world"
)

// Check is a check under the name that steps use.
type Check struct {
	// About says in a line what the check proves and which arguments it takes.
	Name, About string
	// ObjectsOnly: it judges the settled objects and sends nothing by a Service's address, so what proxies have written does not
	// matter to it.
	ObjectsOnly bool
	// Parse reads a step's arguments, strictly, and returns the check with them.
	Parse func(args json.RawMessage) (Func, error)
}

// Func runs a check once. lines are what it found, one fact a line.
type Func func(ctx context.Context, env Env) (lines []string, err error)

// Env is the environment of a check: the scenario's namespace, whose objects have settled, and what requests are sent with.
type Env struct {
	Namespace string
	World     world.World
	Vantages  []reach.Vantage
	Client    kubernetes.Interface
	Dynamic   dynamic.Interface
	Prober    Prober
	// Exec runs programs at vantages; nil where the cluster cannot.
	Exec     probe.Exec
	Timeouts observe.Timeouts
	// Labels mark what a check creates outside the namespace, so that a later run finds it after a kill.
	Labels map[string]string
}

// Prober sends the requests of a check. One that is a Resolver too can send DNS queries for single records.
type Prober interface {
	Observe(ctx context.Context, requests []probe.Request) ([]reach.Cell, error)
}

// Resolver sends DNS queries.
type Resolver interface {
	Resolve(ctx context.Context, lookups []probe.Lookup) ([]probe.Found, error)
}

// site is where the tables of the scenario are matched.
func (e Env) site() table.Site {
	return table.Site{Namespace: e.Namespace, World: e.World, Vantages: e.Vantages}
}

// define makes a Check whose arguments are the fields of A, decoded strictly.
func define[A any](name, about string, run func(ctx context.Context, env Env, args A) ([]string, error)) Check {
	return Check{Name: name, About: about, Parse: func(raw json.RawMessage) (Func, error) {
		var args A
		if len(raw) > 0 {
			if err := scenario.DecodeStrict(raw, &args); err != nil {
				return nil, fmt.Errorf("check %s: %w (it is: %s)", name, err, about)
			}
		}
		return func(ctx context.Context, env Env) ([]string, error) { return run(ctx, env, args) }, nil
	}}
}

// objectsOnly marks a check: see Check.ObjectsOnly.
func objectsOnly(c Check) Check {
	c.ObjectsOnly = true
	return c
}

// Names are the names of All, for loading scenarios.
func Names() []string {
	var names []string
	for _, c := range All() {
		names = append(names, c.Name)
	}
	return names
}
