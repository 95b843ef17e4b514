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
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// stepIn bounds a step without its own timeout. It is long because rejections are rate-limited; see rateLimited.
const stepIn = 5 * time.Minute

// cleanIn bounds the removal of what was created to find something out.
const cleanIn = 30 * time.Second

// Run carries out the plan and returns the report. The caller closes the cluster in every case. Run returns an error if
// scenarios could not be run; the report then has the verdicts of the others.
func (p Plan) Run(ctx context.Context, c *cluster.Cluster, reporter runner.Reporter) (report.Run, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, p.Within, fmt.Errorf("the run took longer than its time limit of %s", p.Within))
	defer cancel()
	run := report.Run{Started: began, Cluster: p.Cluster}
	settings := runner.Settings{Kubectl: p.Kubectl, StepTimeout: stepIn, Labels: p.Extras.Labels, Annotations: p.Extras.Annotations,
		Timeouts: Timeouts()}
	if err := runner.New(site{Hosted: Hosted{c, p.Clients}, features: p.features}, nil, runner.WithSettings(settings)).Sweep(ctx); err != nil {
		return run, fmt.Errorf("remove what an earlier run left behind: %w", err)
	}
	if err := p.preflight(ctx, c); err != nil {
		return run, err
	}
	c.WatchServices(ctx)
	if err := p.deploy(ctx, c, func(ctx context.Context) error { return p.chooseNodes(ctx, c.Context()) }); err != nil {
		return run, err
	}
	run.Cluster = p.Cluster
	balancer, err := loadBalancer(ctx, c.Client(), p.Options)
	if err != nil {
		return run, err
	}
	here := site{Hosted: Hosted{c, p.Clients}, features: ordered(append(slices.Clone(p.features), balancer))}
	mode, err := c.ProxyMode(ctx)
	if err != nil {
		return run, err
	}
	run.Cluster.ProxyMode = mode.Mode
	ctx, stop := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := c.ServeApps(ctx); err != nil {
			stop(fmt.Errorf("put the prober into the sample app's pods: %w", err))
		}
	}()
	defer func() {
		stop(nil)
		<-ended
	}()
	adaptations, err := p.adaptAll(ctx, c)
	if err != nil {
		return run, err
	}
	var able []scenario.Scenario
	for _, f := range adaptations {
		if f.skip == "" {
			able = append(able, f.scenario)
		}
	}
	denied := policies{client: c.Client()}
	outcome, err := runner.New(here, newRateLimited(c, p.guard, mode.Mode), runner.WithSettings(settings), runner.WithReporter(reporter),
		runner.WithFailed(denied.look)).Run(ctx, able)
	denied.excuse(outcome.Verdicts)
	run.Verdicts = told(adaptations, outcome.Verdicts)
	planned := make([]string, len(adaptations))
	for i, f := range adaptations {
		planned[i] = f.scenario.Name
	}
	run.Plan = report.PlanFor(planned, run.Verdicts)
	run.Elapsed = time.Since(began)
	if p.Shard.Of != 0 {
		run.Shard = &report.Shard{Index: p.Shard.Index, Of: p.Shard.Of, All: p.all}
	}
	conformance := p.judged(run, mode.Source, here.features, adaptations)
	run.Conformance = &conformance
	return run, err
}

// ordered sorts features in the order of scenario.Features.
func ordered(list features) features {
	slices.SortFunc(list, func(a, b report.Feature) int {
		return slices.Index(scenario.Features(), scenario.Feature(a.Name)) - slices.Index(scenario.Features(), scenario.Feature(b.Name))
	})
	return list
}

// adaptAll adaptations every scenario of the plan to the cluster.
func (p Plan) adaptAll(ctx context.Context, c *cluster.Cluster) ([]adapted, error) {
	groups, err := c.Client().Discovery().ServerGroups()
	if err != nil {
		return nil, fmt.Errorf("list the server's API groups: %w", errors.Join(err, ctx.Err()))
	}
	env := environment{outside: p.features.lacks(scenario.Outside), host: p.host, kubectl: p.kubectl, nodePorts: p.nodePorts,
		metalLB: slices.ContainsFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == world.MetalLBGroup })}
	nodes := slices.Sorted(maps.Values(p.Sample.Slots))
	adaptations := make([]adapted, len(p.scenarios))
	for i, s := range p.scenarios {
		s, err := p.contained(s, nodes)
		if err != nil {
			return nil, err
		}
		adaptations[i] = adapt(s, env)
	}
	return adaptations, nil
}

// contained returns a scenario whose objects are as they are created on the cluster.
func (p Plan) contained(s scenario.Scenario, nodes []string) (scenario.Scenario, error) {
	s = adaptObjects(s, p.Image.Name, p.Extras, nodes)
	return s, contain(s, p.Within, p.PublicBalancers)
}

// told returns all verdicts in the order of the plan: those of the run, with the omitted steps, and those of skipped
// scenarios.
func told(adaptations []adapted, ran []reach.Verdict) []reach.Verdict {
	var verdicts []reach.Verdict
	for _, f := range adaptations {
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
