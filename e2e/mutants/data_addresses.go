package mutants

import (
	"fmt"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// addresses are the mutants of load balancers' addresses and external IPs.
func addresses() []Mutant {
	const (
		noneAllocated = "none was allocated"
		notServed     = "the other does not"
		takenOver     = "another node takes the address over"
	)
	balancer := []reach.TargetKind{reach.LoadBalancer}
	return []Mutant{
		{
			Name:       "port-all-the-same",
			Effect:     "the Service that is to have no node port was given one",
			Behaviours: []string{"lb.no-nodeport"}, Scenario: "no-node-port", During: []string{noneAllocated},
			Within: 3 * time.Second,
			// the ports are named so that they are put back without the one that is allocated
			Fault:  edited("without", "", `{"spec":{"allocateLoadBalancerNodePorts":true,"ports":[{"port":80,"targetPort":8080}]}}`),
			Notice: Notice{Checks: []CheckSign{{Step: noneAllocated, Why: []string{`want ""`}}}},
		},
		{
			Name:       "class-not-heeded",
			Effect:     "the Service of another controller's class has a load balancer's address",
			Behaviours: []string{"lb.class"}, Scenario: "load-balancer-class", During: []string{notServed},
			Within: 4 * time.Second,
			Fault:  edited("elsewhere", "status", `{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.7","ipMode":"VIP"}]}}}`),
			Notice: Notice{Checks: []CheckSign{{Step: notServed, Why: []string{"want it unset"}}}},
		},
		{
			Name:       "ranges-lost",
			Effect:     "the Service has lost its source ranges, so that everybody is admitted",
			Behaviours: []string{"lb.source-ranges"}, Scenario: "source-ranges", During: []string{"it is admitted, and nobody else"},
			Fault: edited(serviceName, "", `{"spec":{"loadBalancerSourceRanges":null}}`),
			Notice: Notice{Signs: []Sign{{From: []string{"pod", "node"}, To: balancer, Field: "outcome",
				Got: []string{"Reached"}, Also: []string{"host"}}}},
		},
		{
			Name:       "ranges-ignored-by-one",
			Effect:     "worker2's kube-proxy stands still since before the Service had source ranges, and admits everybody",
			Behaviours: []string{"lb.source-ranges"}, Scenario: "source-ranges", During: []string{"admit the client outside", "it is admitted, and nobody else"},
			Fault: unheardOf("worker2", serviceName, `{"spec":{"loadBalancerSourceRanges":null}}`, func(s Scene) string {
				const rules = `{ nft list map ip kube-proxy firewall-ips; iptables-save --table filter; } 2>/dev/null`
				return fmt.Sprintf(`! %s | grep -i firewall | grep -qF %s`, rules, s.LoadBalancer)
			}),
			// worker2 may be the one that announces the address
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker2", "node/worker2"}, To: balancer, Field: "outcome", Got: []string{"Reached"},
				Also: []string{"outside", "host"}}}},
		},
		{
			Name:       "shared-port-mixed-up",
			Effect:     "worker sends what comes for the second Service's port of the shared address to the first Service's pod",
			Behaviours: []string{"lb.sharing"}, Scenario: "shared-address", During: []string{"each port leads to its own Service's pod"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				end, err := s.toPod("my-app-a")
				return everyClient(fmt.Sprintf("ip daddr %s tcp dport 81 %s", balancer4(s.All["first"]), end)), err
			}),
			// worker may be the one that announces the address
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker", "node/worker"}, To: balancer, Field: "backend", Got: []string{"my-app-a"},
				Also: []string{"outside", "host"}}}},
		},
		{
			Name:       "external-ip-unserved",
			Effect:     "worker drops what is sent to the external IP's port 81",
			Behaviours: []string{"externalips"}, Scenario: "external-ips", During: []string{"every node serves it"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				return everyClientRaw(fmt.Sprintf("ip daddr %s tcp dport 81 drop", balancer4(s.All["router"]))), nil
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker", "node/worker"}, To: []reach.TargetKind{reach.ExternalIP}, Field: "outcome",
				Got: []string{"TimedOut"}, Also: []string{"outside", "host"}}}},
		},
		{
			Name:       "external-ipv6-unserved",
			Effect:     "worker serves the external IP of IPv4 and drops what is sent to that of IPv6",
			Behaviours: []string{"externalips"}, Scenario: "external-ips", Family: "IPv6", During: []string{"every node serves it"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				return everyClientRaw(fmt.Sprintf("ip6 daddr %s tcp dport 81 drop", balancer6(s.All["router"]))), nil
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker", "node/worker"}, To: []reach.TargetKind{reach.ExternalIP}, Field: "outcome",
				Got: []string{"TimedOut"}, Also: []string{"outside", "host"}}}},
		},
		{
			Name:       "change-not-heard",
			Effect:     "the machine outside goes on sending to the node that announced the address first, whichever does now",
			Behaviours: []string{"lb.failover"}, Scenario: "failover",
			During: []string{"requests come in at the address", "the announcing node dies", takenOver, "what was lost until then", "the node comes back", "the name answers as before, on the node that was away too"},
			Within: 15 * time.Second,
			Fault:  neighbourKept(),
			Notice: Notice{Checks: []CheckSign{{Step: takenOver, Why: []string{"gave up waiting for traffic outside to be answered"}}}},
		},
	}
}
