package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// stepIn bounds a step that does not say otherwise: refusals are asked slowly, see careful.
const stepIn = 5 * time.Minute

// Run does what the plan says and reports it. The caller closes the cluster, whatever came of the run. The error says why
// nothing, or not all, could be run; a report with verdicts may come with it.
func (p Plan) Run(ctx context.Context, c *cluster.Cluster, reporter runner.Reporter) (report.Run, error) {
	began := time.Now()
	run := report.Run{Started: began, Cluster: p.Cluster}
	settings := runner.Settings{Kubectl: p.Kubectl, StepTimeout: stepIn,
		Timeouts: observe.Timeouts{Answered: answeredIn, Denied: deniedIn, Silent: silentIn}}
	if err := runner.New(site{Cluster: c, plan: p, features: p.features}, nil, runner.WithSettings(settings)).Sweep(ctx); err != nil {
		return run, fmt.Errorf("remove what an earlier run left behind: %w", err)
	}
	if err := p.furnish(ctx, c); err != nil {
		return run, err
	}
	run.Cluster = p.Cluster
	balancer, err := loadBalancer(ctx, c.Client(), p.Profile, p.Features, p.AddressWithin)
	if err != nil {
		return run, err
	}
	here := site{Cluster: c, plan: p, features: ordered(append(slices.Clone(p.features), balancer))}
	mode, err := c.ProxyMode(ctx)
	if err != nil {
		return run, err
	}
	run.Cluster.ProxyMode = mode.Mode
	fits, err := p.fitAll(ctx, c)
	if err != nil {
		return run, err
	}
	var able []scenario.Scenario
	for _, f := range fits {
		if f.skip == "" {
			able = append(able, f.scenario)
		}
	}
	outcome, err := runner.New(here, newCareful(c, p.guard, mode.Mode), runner.WithSettings(settings), runner.WithReporter(reporter)).Run(ctx, able)
	run.Verdicts = told(fits, outcome.Verdicts)
	planned := make([]string, len(fits))
	for i, f := range fits {
		planned[i] = f.scenario.Name
	}
	run.Plan = report.PlanFor(planned, run.Verdicts)
	run.Elapsed = time.Since(began)
	conformance := p.judged(run, mode.Source, here.features, fits)
	run.Conformance = &conformance
	return run, err
}

// ordered sorts features as scenario.Features lists them.
func ordered(list features) features {
	slices.SortFunc(list, func(a, b report.Feature) int {
		return slices.Index(scenario.Features(), scenario.Feature(a.Name)) - slices.Index(scenario.Features(), scenario.Feature(b.Name))
	})
	return list
}

// fitAll fits every scenario of the plan to the cluster.
func (p Plan) fitAll(ctx context.Context, c *cluster.Cluster) ([]fitted, error) {
	groups, err := c.Client().Discovery().ServerGroups()
	if err != nil {
		return nil, fmt.Errorf("list the server's API groups: %w", errors.Join(err, ctx.Err()))
	}
	on := terrain{outside: p.features.lacks(scenario.Outside), host: p.host, kubectl: p.kubectl,
		metalLB: slices.ContainsFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == world.MetalLBGroup })}
	nodes := slices.Sorted(maps.Values(p.Sample.Slots))
	fits := make([]fitted, len(p.scenarios))
	for i, s := range p.scenarios {
		fits[i] = fit(fitObjects(s, p.Image.Name, nodes), on)
	}
	return fits, nil
}

// told puts the verdicts together: those of the run, with the steps that were left out, and those of what was skipped as
// a whole, in the order of the plan.
func told(fits []fitted, ran []reach.Verdict) []reach.Verdict {
	var verdicts []reach.Verdict
	for _, f := range fits {
		s := f.scenario
		if f.skip != "" {
			verdicts = append(verdicts, reach.Verdict{Scenario: s.Name, Title: s.Title, Behaviours: s.Behaviours, Result: reach.Skipped, Skip: f.skip})
			continue
		}
		for _, v := range ran {
			if v.Scenario == s.Name {
				verdicts = append(verdicts, f.told(v))
			}
		}
	}
	return verdicts
}
