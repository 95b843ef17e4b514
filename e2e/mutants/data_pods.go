package mutants

import (
	"fmt"

	"github.com/svclab/svclab/e2e/reach"
)

// pods are the mutants of which pods are sent to, and whom these see.
func pods() []Mutant {
	clusterIP, dns, port := []reach.TargetKind{reach.ClusterIP}, []reach.TargetKind{reach.DNSName}, []reach.TargetKind{reach.NodePort}
	return []Mutant{
		{
			Name:       "terminating-used",
			Effect:     "worker2 sends its clients to the pod that is going, though another one stays",
			Behaviours: []string{"terminating"}, Scenario: "terminating", During: []string{"it is left out, but where it is the only one"},
			Fault:  redirected("worker2", "anywhere", "my-app-a"),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker2", "node/worker2"}, To: dns, Field: "backend", Got: []string{"my-app-a"}}}},
		},
		{
			Name:       "unready-used",
			Effect:     "worker sends its clients to the pod that is not ready",
			Behaviours: []string{"unready"}, Scenario: "unready", During: []string{"only steady gets traffic"},
			Fault:  redirected("worker", serviceName, "late"),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker"}, To: clusterIP, Field: "backend", Got: []string{"late"}}}},
		},
		{
			Name:       "hairpin-missing",
			Effect:     "worker sends its pod's packets back to it with the pod's own address, which the pod does not take",
			Behaviours: []string{"hairpin"}, Scenario: "hairpin", During: []string{"the pod reaches itself, the other pod reaches it too"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				return Rules{Leaving: []string{fmt.Sprintf("ip saddr %[1]s ip daddr %[1]s snat ip to %[1]s", s.Pods["alpha"])}}, nil
			}),
			Notice: Notice{Signs: []Sign{
				{From: []string{"pod"}, To: served(), Field: "outcome", Got: []string{"TimedOut"}},
				{From: []string{"pod"}, To: port, Slot: "worker", Field: "outcome", Got: []string{"TimedOut"}},
			}},
		},
		{
			Name:       "pod-masqueraded",
			Effect:     "control-plane masquerades what its pods send to the app's pods, which see the node's address instead",
			Behaviours: []string{"sourceip"}, Scenario: "source-address", During: []string{"whose address the pod sees"},
			Fault: filter("control-plane", func(s Scene) (Rules, error) {
				return Rules{Leaving: []string{fmt.Sprintf("ip saddr %s tcp dport 8080 masquerade", s.Nodes["control-plane"].Pods)}}, nil
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/control-plane"}, To: []reach.TargetKind{reach.DNSName, reach.LoadBalancer, reach.Endpoint}, Field: "source"}}},
		},
		{
			Name:       "wrong-slice-used",
			Effect:     "worker sends its clients to the pod of the EndpointSlice whose port the Service does not have",
			Behaviours: []string{"selectorless"}, Scenario: "selectorless", During: []string{"alpha answers"},
			Fault:  redirected("worker", serviceName, "beta"),
			Notice: Notice{Signs: []Sign{{From: []string{"node/worker"}, To: clusterIP, Field: "backend", Got: []string{"beta"}}}},
		},
		{
			Name:       "families-mixed-up",
			Effect:     "worker sends its clients at the IPv6 address to the pod that the EndpointSlice of IPv4 lists",
			Behaviours: []string{"selectorless"}, Scenario: "selectorless", Family: "IPv6", During: []string{"alpha answers"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				return everyClient(fmt.Sprintf("ip6 daddr %s tcp dport 80 dnat ip6 to [%s]:8080", virtual6(s.Service), s.Pods6["alpha"])), nil
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"node/worker"}, To: clusterIP, Field: "backend", Got: []string{"alpha"}}}},
		},
		{
			Name:       "deleted-still-served",
			Effect:     "worker serves every address of the Service range, that of the Service that was deleted too",
			Behaviours: []string{"recreate"}, Scenario: "recreate", During: []string{"its name and its node port are gone"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				end, err := s.toBackend("worker", 8080)
				return everyClient(fmt.Sprintf("ip daddr %s tcp dport 80 %s", s.Services, end)), err
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"node/worker"}, To: clusterIP, Undeclared: true, Field: "outcome", Got: []string{"Reached"}}}},
		},
		{
			Name:       "swap-not-followed",
			Effect:     "worker sends clients of the first Service to the pod it had before the two were swapped",
			Behaviours: []string{"recreate"}, Scenario: "recreate", During: []string{"the pods are swapped"},
			Fault:  redirected("worker", "first", "alpha"),
			Notice: Notice{Signs: []Sign{{From: []string{"node/worker"}, To: served(), Field: "backend", Got: []string{"alpha"}}}},
		},
	}
}
