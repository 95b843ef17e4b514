package mutants

import (
	"fmt"

	"github.com/svclab/svclab/e2e/reach"
)

// The steps of scenario clusterip that its mutants are done in.
const (
	reachesIt   = "who reaches it"
	replacePods = "replace every pod"
	newPods     = "the same address leads to the new pods"
	theyLast    = "its connections carry much, last, and are many at once"
)

// served are the target kinds that lead to a Service's virtual address.
func served() []reach.TargetKind { return []reach.TargetKind{reach.ClusterIP, reach.DNSName} }

// clusterIP are the mutants of the virtual address, in the scenario clusterip.
func clusterIP() []Mutant {
	basic := []string{"clusterip.basic"}
	return []Mutant{
		{
			Name:       "wrong-target-port",
			Effect:     "on worker, connections to the ClusterIP are sent to the right pod's port 8081, where nobody listens",
			Behaviours: []string{"clusterip.basic", "port.mapping"}, Scenario: "clusterip", During: []string{reachesIt},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				end, err := s.toBackend("worker", 8081)
				return everyClient(s.toService() + " " + end), err
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker", "node/worker"}, To: served(), Field: "outcome", Got: []string{"Refused"}}}},
		},
		{
			Name:       "backend-left-out",
			Effect:     "on worker2, every connection to the ClusterIP goes to the pod on worker; the other one is out of the rotation",
			Behaviours: basic, Scenario: "clusterip", During: []string{reachesIt},
			Fault: filter("worker2", func(s Scene) (Rules, error) {
				end, err := s.toBackend("worker", 8080)
				return everyClient(s.toService() + " " + end), err
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker2", "node/worker2"}, To: served(), Field: "missing backend"}}},
		},
		{
			Name:       "every-third-lost",
			Effect:     "on control-plane, one in three connections to the ClusterIP is dropped, by its source port",
			Behaviours: basic, Scenario: "clusterip", During: []string{reachesIt},
			// The hash makes the SYNs of one connection share its fate; with numgen the second of them would get through.
			Fault: filter("control-plane", func(s Scene) (Rules, error) {
				return everyClientRaw(s.toService() + " jhash tcp sport mod 3 == 0 drop"), nil
			}),
			// Eight connections of one cell all get through once in 25 times, those of all four cells in 400,000.
			Notice: Notice{Signs: []Sign{{From: []string{"pod/control-plane", "node/control-plane"}, To: served(), Some: true,
				Field: "outcome", Got: []string{"TimedOut"}}}},
		},
		{
			Name:       "source-rewritten",
			Effect:     "control-plane masquerades what its pods send to the app's pods, which see the node's address instead",
			Behaviours: basic, Scenario: "clusterip", During: []string{reachesIt},
			Fault: filter("control-plane", func(s Scene) (Rules, error) {
				return Rules{Leaving: []string{fmt.Sprintf("ip saddr %s tcp dport 8080 masquerade", s.Nodes["control-plane"].Pods)}}, nil
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/control-plane"}, To: append(served(), reach.Endpoint), Field: "source"}}},
		},
		{
			Name:       "stranger-answers",
			Effect:     "on worker2, half of the connections to the ClusterIP reach a pod that the Service does not select",
			Behaviours: basic, Scenario: "clusterip", During: []string{reachesIt},
			Fault:  stranger("worker2", 2),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker2", "node/worker2"}, To: served(), Field: "backend", Got: []string{strangerName}}}},
		},
		{
			Name:       "not-the-app",
			Effect:     "on worker, connections to the ClusterIP reach CoreDNS's port 8080, which answers HTTP too",
			Behaviours: basic, Scenario: "clusterip", During: []string{reachesIt},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				if len(s.DNS) == 0 {
					return Rules{}, fmt.Errorf("no pod of CoreDNS is ready")
				}
				return everyClient(fmt.Sprintf("%s dnat ip to %s:8080", s.toService(), s.DNS[0])), nil
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker", "node/worker"}, To: served(), Field: "outcome", Got: []string{"WrongAnswer"}}}},
		},
		{
			Name:       "undeclared-port-served",
			Effect:     "on worker, every other port of the ClusterIP leads to the app too",
			Behaviours: []string{"clusterip.undeclared-port", "port.mapping"}, Scenario: "clusterip", During: []string{reachesIt},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				end, err := s.toBackend("worker", 8080)
				return everyClient(fmt.Sprintf("ip daddr %s tcp dport != 80 %s", s.VIP, end)), err
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker", "node/worker"}, To: []reach.TargetKind{reach.ClusterIP}, Undeclared: true,
				Field: "outcome", Got: []string{"Reached"}}}},
		},
		{
			Name:       "target-port-open",
			Effect:     "on worker, the ClusterIP answers on the pods' own port 8080 too",
			Behaviours: []string{"clusterip.undeclared-port", "port.mapping"}, Scenario: "clusterip", During: []string{reachesIt},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				end, err := s.toBackend("worker", 8080)
				return everyClient(fmt.Sprintf("ip daddr %s tcp dport 8080 %s", s.VIP, end)), err
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker", "node/worker"}, To: []reach.TargetKind{reach.ClusterIP}, Undeclared: true,
				Field: "outcome", Got: []string{"Reached"}}}},
		},
		{
			Name:       "reachable-from-outside",
			Effect:     "the machine outside has a route to the Service range, by worker",
			Behaviours: basic, Scenario: "clusterip", During: []string{reachesIt},
			Fault: wayIn("worker"),
			Notice: Notice{Signs: []Sign{
				{From: []string{"outside"}, To: []reach.TargetKind{reach.ClusterIP}, Field: "outcome", Got: []string{"Reached"}},
				{From: []string{"outside"}, To: []reach.TargetKind{reach.ClusterIP}, Undeclared: true, Field: "outcome", Got: []string{"Refused", "TimedOut"}},
			}},
		},
		{
			Name:       "prober-crashes",
			Effect:     "the prober on worker is replaced by a program that ends with an error",
			Behaviours: basic, Scenario: "clusterip", During: []string{reachesIt},
			Fault:  proberReplaced("node/worker", "exit 3"),
			Notice: Notice{Result: reach.Inconclusive, Signs: []Sign{{From: []string{"node/worker"}, Field: NotProbed}, {From: []string{"node/worker"}, Undeclared: true, Field: NotProbed}}},
		},
		{
			Name:       "prober-says-nothing",
			Effect:     "the prober in the pod on worker2 is replaced by a program that succeeds without a word",
			Behaviours: basic, Scenario: "clusterip", During: []string{reachesIt},
			Fault:  proberReplaced("pod/worker2", "exit 0"),
			Notice: Notice{Result: reach.Inconclusive, Signs: []Sign{{From: []string{"pod/worker2"}, Field: NotProbed}, {From: []string{"pod/worker2"}, Undeclared: true, Field: NotProbed}}},
		},
		{
			Name:       "prober-repeats-itself",
			Effect:     "the prober on worker gives every batch of questions the answers to the first batch of as many",
			Behaviours: basic, Scenario: "clusterip", During: []string{reachesIt},
			Fault:  proberReplaced("node/worker", repeater),
			Notice: Notice{Result: reach.Inconclusive, Signs: []Sign{{From: []string{"node/worker"}, Field: NotProbed}, {From: []string{"node/worker"}, Undeclared: true, Field: NotProbed}}},
		},
		{
			Name:       "large-packets-lost",
			Effect:     "worker drops packets of more than 1,200 bytes that come from the app's pods, as a network that takes only smaller ones does",
			Behaviours: basic, Scenario: "clusterip", During: []string{theyLast},
			Fault:  filter("worker", func(Scene) (Rules, error) { return everyClientRaw("tcp sport 8080 meta length > 1200 drop"), nil }),
			Notice: Notice{Checks: []CheckSign{{Step: theyLast, Why: []string{"connections failed"}}}},
		},
		{
			Name:       "idle-forgotten",
			Effect:     "worker forgets which pod a connection belongs to when it was idle for a second",
			Behaviours: basic, Scenario: "clusterip", During: []string{theyLast},
			Fault:  kernelSet("worker", "net/netfilter/nf_conntrack_tcp_timeout_established", "1"),
			Notice: Notice{Checks: []CheckSign{{Step: theyLast, Why: []string{"connections failed"}}}},
		},
		{
			Name:       "crowd-turned-away",
			Effect:     "worker drops connections to the ClusterIP beyond 10 at once",
			Behaviours: basic, Scenario: "clusterip", During: []string{theyLast},
			// A client's 30 connections are open for 2 s and have 7 s, so a SYN that was dropped is sent again after 1 s, in vain,
			// and after 3 s, when 10 more fit. With 20 at once the second try admits all that are left.
			Fault: filter("worker", func(s Scene) (Rules, error) {
				return everyClientRaw(s.toService() + " tcp flags syn / syn,ack ct count over 10 drop"), nil
			}),
			Notice: Notice{Checks: []CheckSign{{Step: theyLast, Why: []string{"connections failed"}}}},
		},
		{
			Name:       "dns-down",
			Effect:     "no CoreDNS pod runs",
			Behaviours: basic, Scenario: "clusterip", During: []string{reachesIt},
			Fault: dnsDown(),
			// Refused is kube-proxy's word for a DNS Service without endpoints.
			Notice: Notice{Signs: []Sign{{From: []string{"pod", "node"}, To: []reach.TargetKind{reach.DNSName}, Field: "outcome",
				Got: []string{"Refused", "TimedOut"}}}},
		},
		{
			Name:       "proxy-stale",
			Effect:     "kube-proxy on worker is stopped while every pod is replaced: its rules lead to pods that are gone",
			Behaviours: basic, Scenario: "clusterip", During: []string{replacePods, newPods},
			Fault: proxyFrozen("worker"),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker", "node/worker"}, To: served(), Field: "outcome",
				Got: []string{"TimedOut", "Unreachable", "Refused"}}}},
		},
	}
}
