package checks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// listen is how long the check waits for answers to an ARP or NDP request. On one machine they arrive in microseconds.
const listen = 600 * time.Millisecond

// announceArgs are those of the check one-node-announces.
type announceArgs struct {
	Service string `json:"service"`
	// Node is the slot of the node that must be it; empty: any.
	Node string `json:"node"`
}

// oneNodeAnnounces sends ARP or NDP requests instead of reading MetalLB's status, because the node that answers receives the
// traffic. A host outside the cluster sends them; the check maps the hardware addresses in the answers to nodes.
func oneNodeAnnounces(ctx context.Context, env Env, args announceArgs) ([]string, error) {
	service, err := serviceArgs{args.Service}.find(env)
	if err != nil {
		return nil, err
	}
	node := env.World.Facts.Slots[args.Node]
	if args.Node != "" && node == "" {
		return nil, fmt.Errorf("there is no node %q", args.Node)
	}
	exec, outside, err := outsider(env)
	if err != nil {
		return nil, err
	}
	addresses := world.Ingresses(&service)
	if len(addresses) == 0 {
		return nil, reach.Failf("service %s has no load-balancer address", args.Service)
	}
	owners, err := hardware(ctx, exec, env.Vantages)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, ingress := range addresses {
		answers, err := probe.WhoHas(ctx, exec, outside, ingress.Addr, listen)
		if err != nil {
			return lines, err
		}
		line, err := judgeAnnouncement(ingress.Addr, answers, owners, env.World.Announcers, node)
		lines = append(lines, line)
		if err != nil {
			return lines, err
		}
	}
	return lines, nil
}

// outsider returns the vantage outside the cluster, and what runs programs there.
func outsider(env Env) (probe.Exec, reach.Vantage, error) {
	if env.Exec == nil {
		return nil, reach.Vantage{}, errors.New("this cluster cannot run programs at its vantages")
	}
	i := slices.IndexFunc(env.Vantages, func(v reach.Vantage) bool { return v.Kind == reach.Outside && v.Unusable == "" })
	if i < 0 {
		return nil, reach.Vantage{}, errors.New("there is no usable vantage outside the cluster")
	}
	return env.Exec, env.Vantages[i], nil
}

// hardware maps the hardware addresses of every usable node vantage to its node.
func hardware(ctx context.Context, exec probe.Exec, vantages []reach.Vantage) (map[string]string, error) {
	owners := map[string]string{}
	for _, v := range vantages {
		if v.Kind != reach.Node || v.Unusable != "" {
			continue
		}
		macs, err := probe.Links(ctx, exec, v)
		if err != nil {
			return nil, err
		}
		for _, mac := range macs {
			owners[mac] = v.Node
		}
	}
	return owners, nil
}

// judgeAnnouncement returns an error unless exactly one node answers for the address. Where MetalLB's status names a node,
// it must be that one, and wanted if that is set.
func judgeAnnouncement(addr netip.Addr, answers []string, owners map[string]string, announcers map[netip.Addr]string, wanted string) (line string, err error) {
	var who []string
	for _, mac := range answers {
		node := owners[mac]
		if node == "" {
			node = mac + ", which no node has,"
		}
		who = append(who, node)
	}
	slices.Sort(who)
	who = slices.Compact(who)
	if len(who) == 0 {
		return fmt.Sprintf("no node answers for %s", addr), reach.Failf("no node answers for %s, want exactly one node", addr)
	}
	line = fmt.Sprintf("%s is announced by %s", addr, strings.Join(who, " and "))
	switch announcer := announcers[addr]; {
	case len(answers) > 1:
		return line, reach.Failf("%d answer for %s, want exactly one node: %s", len(answers), addr, strings.Join(who, " and "))
	case owners[answers[0]] == "":
		return line, reach.Failf("%s answers for %s, want a node", who[0], addr)
	case announcer != "" && announcer != who[0]:
		return line, reach.Failf("%s answers for %s, but MetalLB says that %s announces it", who[0], addr, announcer)
	case wanted != "" && wanted != who[0]:
		return line, reach.Failf("%s answers for %s, want %s", who[0], addr, wanted)
	}
	return line, nil
}
