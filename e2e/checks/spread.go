package checks

import (
	"context"
	"fmt"
	"slices"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

// spreadArgs are those of the check spread.
type spreadArgs struct {
	Service string `json:"service"`
	// Pods selects the pods over which connections are to spread.
	Pods string `json:"pods"`
	// From is a vantage's name; To must match one target of the service.
	From string      `json:"from"`
	To   scenario.To `json:"to"`
	// Connections is how many are made; each pod must expect five at least, or the test means nothing.
	Connections int `json:"connections"`
	// FalseAlarm is the chance that an even spread is judged uneven.
	FalseAlarm float64 `json:"falseAlarm"`
}

// spread opens the connections one after the other from one vantage, and tests how they spread over the pods.
func spread(ctx context.Context, env Env, args spreadArgs) ([]string, error) {
	if args.FalseAlarm <= 0 || args.FalseAlarm > 0.01 {
		return nil, fmt.Errorf("falseAlarm %g: want more than 0, and 0.01 at most", args.FalseAlarm)
	}
	pods, err := env.site().ReadyPods(args.Pods)
	if err != nil {
		return nil, err
	}
	if len(pods) < 2 || args.Connections < 5*len(pods) {
		return nil, fmt.Errorf("%d connections to %d pods are too few: want two pods at least, and five connections for each", args.Connections, len(pods))
	}
	i := slices.IndexFunc(env.Vantages, func(v reach.Vantage) bool { return v.Name == args.From })
	if i < 0 {
		return nil, fmt.Errorf("there is no vantage %q", args.From)
	}
	where := env.site()
	targets := slices.DeleteFunc(env.World.Targets(env.Namespace+"/"+args.Service), func(t reach.Target) bool {
		return !where.Selects(args.To, env.Vantages[i], t)
	})
	if len(targets) != 1 {
		return nil, fmt.Errorf("want one target, %s are %d", args.To, len(targets))
	}
	cells, err := env.Prober.Observe(ctx, []probe.Request{{Vantage: env.Vantages[i], Target: targets[0],
		Min: args.Connections, Max: args.Connections, Timeout: env.Timeouts.Answered}})
	if err != nil {
		return nil, err
	}
	counts, err := tally(cells[0].Observations, pods)
	if err != nil {
		return nil, err
	}
	for _, pod := range pods {
		counts[pod] += 0 // the test needs the pods without an answer too
	}
	return judgeSpread(counts, args.FalseAlarm)
}

// tally counts the answers of each pod that answered. It returns an error for a probe that could not be sent, and for a
// connection that none of the pods answered.
func tally(observations []reach.Observation, pods []string) (map[string]int, error) {
	counts := map[string]int{}
	for _, o := range observations {
		switch {
		case o.Outcome == reach.ProbeFailed || o.Outcome == reach.Unprobed:
			return nil, fmt.Errorf("a probe could not be sent: %s", o.Detail)
		case o.Outcome != reach.Reached || !slices.Contains(pods, o.Backend):
			return nil, reach.Failf("a connection was %s, by %q: %s", o.Outcome, o.Backend, o.Detail)
		}
		counts[o.Backend]++
	}
	return counts, nil
}

// judgeSpread tests by chi-square whether each backend was chosen with the same chance.
func judgeSpread(tally map[string]int, falseAlarm float64) ([]string, error) {
	total := 0
	for _, n := range tally {
		total += n
	}
	expected := float64(total) / float64(len(tally))
	statistic := 0.0
	for _, n := range tally {
		d := float64(n) - expected
		statistic += d * d / expected
	}
	chance := chiSquareTail(statistic, len(tally)-1)
	line := fmt.Sprintf("%s; chi-square %.2f with %d degrees of freedom, chance %.3g, false alarm %g",
		reach.Counts(tally), statistic, len(tally)-1, chance, falseAlarm)
	if chance < falseAlarm {
		return []string{line}, reach.Failf("connections do not spread evenly: %s", line)
	}
	return []string{line}, nil
}
