package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// affinityArgs are those of the check affinity-expires.
type affinityArgs struct {
	Service string `json:"service"`
	// Pods selects the pods behind the service.
	Pods string `json:"pods"`
	// From is a vantage's name; To must match one target of the service.
	From string      `json:"from"`
	To   scenario.To `json:"to"`
}

const (
	// affinitySlack is how much longer than the timeout the client waits: both proxy modes keep time in the kernel.
	affinitySlack = 500 * time.Millisecond
	// longestAffinity bounds the timeouts that are waited for.
	longestAffinity = 5 * time.Second
)

// affinityExpires makes one connection after the other, each later than the affinity's timeout after the last, until
// every pod has answered. Each connection is then free to go to any pod, so a service that forgets its clients fails
// with chance missChance at most. That it remembers them meanwhile is for a table to say.
func affinityExpires(ctx context.Context, env Env, args affinityArgs) ([]string, error) {
	service, err := serviceArgs{args.Service}.find(env)
	if err != nil {
		return nil, err
	}
	config := service.Spec.SessionAffinityConfig
	if service.Spec.SessionAffinity != corev1.ServiceAffinityClientIP || config == nil || config.ClientIP == nil || config.ClientIP.TimeoutSeconds == nil {
		return nil, fmt.Errorf("service %s has no session affinity that ends", args.Service)
	}
	timeout := time.Duration(*config.ClientIP.TimeoutSeconds) * time.Second
	if timeout > longestAffinity {
		return nil, fmt.Errorf("the affinity of service %s lasts %s, too long to wait for; want %s at most", args.Service, timeout, longestAffinity)
	}
	pods, err := readyPods(env, args.Pods)
	if err != nil {
		return nil, err
	}
	v, target, err := onlyTarget(env, args.Service, args.From, args.To)
	if err != nil {
		return nil, err
	}
	cells, err := env.Prober.Observe(ctx, []probe.Request{{Vantage: v, Target: target, Min: 1, Max: MaxProbes(len(pods)),
		Until: pods, Timeout: env.Timeouts.Answered, Interval: timeout + affinitySlack}})
	if err != nil {
		return nil, err
	}
	return judgeExpiry(cells[0].Observations, pods, timeout)
}

// judgeExpiry wants an answer from each of the pods, and from nobody else.
func judgeExpiry(observations []reach.Observation, pods []string, timeout time.Duration) ([]string, error) {
	tally := map[string]int{}
	for _, o := range observations {
		switch {
		case o.Outcome == reach.ProbeFailed || o.Outcome == reach.Unprobed:
			return nil, fmt.Errorf("could not ask: %s", o.Detail)
		case o.Outcome != reach.Reached || !slices.Contains(pods, o.Backend):
			return nil, Failed("a connection was %s, by %q: %s", o.Outcome, o.Backend, o.Detail)
		}
		tally[o.Backend]++
	}
	line := fmt.Sprintf("%d connections, each more than %s after the last: %s", len(observations), timeout, counts(tally))
	if len(tally) < len(pods) {
		return []string{line}, Failed("the client was not forgotten after %s: %s", timeout, line)
	}
	return []string{line}, nil
}

// readyPods are the identities of the scenario's ready pods that a label selector selects, two at least.
func readyPods(env Env, selector string) ([]string, error) {
	selected, err := labels.Parse(selector)
	if err != nil {
		return nil, fmt.Errorf("pods: %w", err)
	}
	var names []string
	for i := range env.World.Pods {
		pod := &env.World.Pods[i]
		if pod.Namespace == env.Namespace && selected.Matches(labels.Set(pod.Labels)) && inState(pod, nil) {
			names = append(names, world.Identity(pod))
		}
	}
	if len(names) < 2 {
		return nil, fmt.Errorf("%d pods are ready with %q; want two at least", len(names), selector)
	}
	return names, nil
}

// onlyTarget finds the one vantage and the one target of a service that a check means.
func onlyTarget(env Env, service, from string, to scenario.To) (reach.Vantage, reach.Target, error) {
	i := slices.IndexFunc(env.Vantages, func(v reach.Vantage) bool { return v.Name == from })
	if i < 0 {
		return reach.Vantage{}, reach.Target{}, fmt.Errorf("there is no vantage %q", from)
	}
	v := env.Vantages[i]
	where := site{namespace: env.Namespace, world: env.World, vantages: env.Vantages}
	targets := slices.DeleteFunc(env.World.Targets(env.Namespace+"/"+service), func(t reach.Target) bool {
		return !where.matches(to, v, t)
	})
	if len(targets) != 1 {
		return v, reach.Target{}, fmt.Errorf("want one target, %s are %d", to, len(targets))
	}
	return v, targets[0], nil
}
