package checks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
)

// affinityArgs are those of the check affinity-expires.
type affinityArgs struct {
	Service string `json:"service"`
	// Pods selects the pods behind the service.
	Pods string `json:"pods"`
	// From are vantages as a table's row has them; To must match one target of the service for each.
	From scenario.Strings `json:"from"`
	To   scenario.To      `json:"to"`
}

const (
	// affinitySlack is added to the timeout before each connection: in both proxy modes the kernel measures the timeout.
	affinitySlack = 500 * time.Millisecond
	// longestAffinity is the longest timeout that the check waits for.
	longestAffinity = 5 * time.Second
)

// affinityExpires opens one connection after the other until every pod has answered, each later than the affinity's timeout
// after the one before. Each may then go to any pod, so a Service that forgets its clients fails with a chance of at most
// observe.MissChance. That it remembers them before is for a table to show.
func affinityExpires(ctx context.Context, env Env, args affinityArgs) ([]string, error) {
	service, err := serviceArgs{args.Service}.find(env)
	if err != nil {
		return nil, err
	}
	config := service.Spec.SessionAffinityConfig
	if service.Spec.SessionAffinity != corev1.ServiceAffinityClientIP || config == nil || config.ClientIP == nil || config.ClientIP.TimeoutSeconds == nil {
		return nil, fmt.Errorf("service %s has no session affinity with a timeout", args.Service)
	}
	timeout := time.Duration(*config.ClientIP.TimeoutSeconds) * time.Second
	if timeout > longestAffinity {
		return nil, fmt.Errorf("the affinity of service %s lasts %s, too long to wait for; want %s at most", args.Service, timeout, longestAffinity)
	}
	pods, err := env.site().ReadyPods(args.Pods)
	if err != nil {
		return nil, err
	}
	if len(pods) < 2 {
		return nil, fmt.Errorf("%d pods are ready with %q; want two at least", len(pods), args.Pods)
	}
	pairs, err := env.site().Pairs(args.Service, args.From, args.To)
	if err != nil {
		return nil, err
	}
	var requests []probe.Request
	for i, p := range pairs {
		if i > 0 && pairs[i-1].Vantage.Name == p.Vantage.Name { // the Service would remember the client of one target for the other too
			return nil, fmt.Errorf("want one target from %s, %s are more", p.Vantage.Name, args.To)
		}
		requests = append(requests, probe.Request{Vantage: p.Vantage, Target: p.Target, Min: 1, Max: observe.MaxProbes(len(pods)),
			Until: pods, Timeout: env.Timeouts.Answered, Interval: timeout + affinitySlack})
	}
	cells, err := env.Prober.Observe(ctx, requests)
	if err != nil {
		return nil, err
	}
	var (
		lines []string
		errs  []error
	)
	for _, cell := range cells {
		found, err := judgeExpiry(cell.Observations, pods, timeout)
		for _, line := range found {
			lines = append(lines, "from "+cell.Vantage.Name+": "+line)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("from %s: %w", cell.Vantage.Name, err))
		}
	}
	return lines, errors.Join(errs...)
}

// reconnectArgs are those of the check affinity-lasts.
type reconnectArgs struct {
	Service string `json:"service"`
	// From are vantages as a table's row has them; To selects the service's targets.
	From scenario.Strings `json:"from"`
	To   scenario.To      `json:"to"`
	// Pause is the time between the two connections of a client.
	Pause scenario.Duration `json:"pause"`
}

// affinityLasts lets every client connect, pause, and connect again. A Service that has forgotten a client chooses between
// two pods again, so each client halves the chance that a loss of affinity is not seen. A table cannot see it: its
// connections follow each other without a pause.
func affinityLasts(ctx context.Context, env Env, args reconnectArgs) ([]string, error) {
	if args.Pause <= 0 {
		return nil, errors.New("pause: want more than 0")
	}
	pairs, err := env.site().Pairs(args.Service, args.From, args.To)
	if err != nil {
		return nil, err
	}
	var requests []probe.Request
	for _, p := range pairs {
		requests = append(requests, probe.Request{Vantage: p.Vantage, Target: p.Target, Min: 2, Max: 2,
			Timeout: env.Timeouts.Answered, Interval: time.Duration(args.Pause)})
	}
	cells, err := env.Prober.Observe(ctx, requests)
	if err != nil {
		return nil, err
	}
	return judgeReconnections(cells, time.Duration(args.Pause))
}

// judgeReconnections returns an error unless both connections of each client were answered by one pod.
func judgeReconnections(cells []reach.Cell, pause time.Duration) ([]string, error) {
	if lines, err := judgeConnections(cells); err != nil {
		return lines, err
	}
	var (
		clients int
		moved   []string
	)
	for _, cell := range cells {
		if ok, _, _ := cell.Probed(); !ok {
			continue
		}
		clients++
		first, last := cell.Observations[0].Backend, cell.Observations[len(cell.Observations)-1].Backend
		if first != last {
			moved = append(moved, fmt.Sprintf("from %s to %s: %s at first, %s later", cell.Vantage.Name, cell.Target.Name(), first, last))
		}
	}
	line := fmt.Sprintf("%d of %d clients were given the pod they had %s before", clients-len(moved), clients, pause)
	if len(moved) > 0 {
		return []string{line}, reach.Failf("%s, first %s", line, moved[0])
	}
	return []string{line}, nil
}

// sharedArgs are those of the check affinity-shared.
type sharedArgs struct {
	Service string `json:"service"`
	// From are vantages as a table's row has them; To selects several targets of one port of the service for each.
	From scenario.Strings `json:"from"`
	To   scenario.To      `json:"to"`
}

// affinityShared lets every client connect to each target, and again. kube-proxy remembers a client by the Service's port and not
// by the address it dialled, so the second connections of a client all go to one pod. The first ones, which are made at the same
// time, need not. A node's proxy knows only the clients that come by it, so all targets must be served by the client's own.
func affinityShared(ctx context.Context, env Env, args sharedArgs) ([]string, error) {
	pairs, err := env.site().Pairs(args.Service, args.From, args.To)
	if err != nil {
		return nil, err
	}
	var requests []probe.Request
	for _, p := range pairs {
		requests = append(requests, probe.Request{Vantage: p.Vantage, Target: p.Target, Min: 1, Max: 1, Timeout: env.Timeouts.Answered})
	}
	if _, err := env.Prober.Observe(ctx, requests); err != nil {
		return nil, err
	}
	cells, err := env.Prober.Observe(ctx, requests)
	if err != nil {
		return nil, err
	}
	return judgeShared(cells)
}

// judgeShared returns an error unless each client reached one pod at all of its targets, in each IP family.
func judgeShared(cells []reach.Cell) ([]string, error) {
	if lines, err := judgeConnections(cells); err != nil {
		return lines, err
	}
	type client struct {
		vantage string
		family  int
	}
	var (
		had   = map[client]reach.Cell{}
		again int
		wrong []string
	)
	for _, cell := range cells {
		if ok, _, _ := cell.Probed(); !ok {
			continue
		}
		c := client{cell.Vantage.Name, cell.Target.IPFamily()}
		first, known := had[c]
		if !known {
			had[c] = cell
			continue
		}
		again++
		if a, b := first.Observations[0].Backend, cell.Observations[0].Backend; a != b {
			wrong = append(wrong, fmt.Sprintf("from %s: %s at %s, %s at %s", c.vantage, a, first.Target.Name(), b, cell.Target.Name()))
		}
	}
	if again == 0 {
		return nil, errors.New("want two targets at least from each vantage")
	}
	line := fmt.Sprintf("%d clients were given the same pod at each address", len(had))
	if len(wrong) > 0 {
		return nil, reach.Failf("%d of %d clients were given another pod at another address, first %s", len(wrong), len(had), wrong[0])
	}
	return []string{line}, nil
}

// perPortArgs are those of the check affinity-per-port.
type perPortArgs struct {
	Service string `json:"service"`
	// Pods selects the pods behind the service.
	Pods string `json:"pods"`
	// From are vantages as a table's row has them; To selects a target of each of the service's ports for each.
	From scenario.Strings `json:"from"`
	To   scenario.To      `json:"to"`
	// FalseAlarm is the chance that ports which choose one by one all choose the same pod.
	FalseAlarm float64 `json:"falseAlarm"`
}

// affinityPerPort lets every client connect to each port, and again. kube-proxy remembers a client by the Service's port. So both
// connections to a port go to one pod, and at each port another client's pod, or the same client's at another port, does not matter.
func affinityPerPort(ctx context.Context, env Env, args perPortArgs) ([]string, error) {
	pods, err := env.site().ReadyPods(args.Pods)
	if err != nil {
		return nil, err
	}
	pairs, err := env.site().Pairs(args.Service, args.From, args.To)
	if err != nil {
		return nil, err
	}
	var requests []probe.Request
	for _, p := range pairs {
		requests = append(requests, probe.Request{Vantage: p.Vantage, Target: p.Target, Min: 2, Max: 2, Timeout: env.Timeouts.Answered})
	}
	cells, err := env.Prober.Observe(ctx, requests)
	if err != nil {
		return nil, err
	}
	return judgePerPort(cells, len(pods), args.FalseAlarm)
}

// judgePerPort returns an error unless each client kept its pod at each port, and on each node some client has another pod at
// another port. That they all choose the same of so many pods by chance must be as unlikely as falseAlarm.
func judgePerPort(cells []reach.Cell, pods int, falseAlarm float64) ([]string, error) {
	if lines, err := judgeConnections(cells); err != nil {
		return lines, err
	}
	type client struct {
		vantage string
		family  int
	}
	var (
		had    = map[client]map[string]bool{}
		ports  = map[string]int{} // by node: those of its clients, without the first of each
		differ = map[string]bool{}
		moved  []string
	)
	for _, cell := range cells {
		if ok, _, _ := cell.Probed(); !ok {
			continue
		}
		first, second := cell.Observations[0].Backend, cell.Observations[len(cell.Observations)-1].Backend
		if first != second {
			moved = append(moved, fmt.Sprintf("from %s to %s: %s at first, %s later", cell.Vantage.Name, cell.Target.Name(), first, second))
		}
		c, node := client{cell.Vantage.Name, cell.Target.IPFamily()}, cell.Vantage.Node
		if had[c] == nil {
			had[c] = map[string]bool{first: true}
			ports[node] += 0
			continue
		}
		had[c][first] = true
		ports[node]++
		differ[node] = differ[node] || len(had[c]) > 1
	}
	var (
		chance float64
		same   []string
	)
	for _, node := range slices.Sorted(maps.Keys(ports)) {
		chance += math.Pow(float64(pods), -float64(ports[node]))
		if !differ[node] {
			same = append(same, node)
		}
	}
	line := fmt.Sprintf("%d clients have a pod of their own at each port; by chance one pod at all would have a probability of %.1g", len(had), chance)
	switch {
	case falseAlarm <= 0 || chance > falseAlarm:
		return nil, fmt.Errorf("falseAlarm %g: the chance is %.1g with these clients, ports and pods", falseAlarm, chance)
	case len(moved) > 0:
		return nil, reach.Failf("%d connections went to another pod than the one before at the same port, first %s", len(moved), moved[0])
	case len(same) > 0:
		return nil, reach.Failf("the clients on %s have the same pod at every port", strings.Join(same, " and "))
	}
	return []string{line}, nil
}

// judgeExpiry returns an error unless each of the pods answered, and no other backend.
func judgeExpiry(observations []reach.Observation, pods []string, timeout time.Duration) ([]string, error) {
	counts, err := tally(observations, pods)
	if err != nil {
		return nil, err
	}
	line := fmt.Sprintf("%d connections, each more than %s after the last: %s", len(observations), timeout, reach.Counts(counts))
	if len(counts) < len(pods) {
		return []string{line}, reach.Failf("the client was not forgotten after %s: %s", timeout, line)
	}
	return []string{line}, nil
}
