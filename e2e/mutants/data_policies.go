package mutants

import (
	"fmt"

	"github.com/svclab/svclab/e2e/reach"
)

// policies are the mutants of what a Service's fields say about who is sent where.
func policies() []Mutant {
	const (
		spread    = "a pod's connections to the virtual address"
		comesBack = "a client that comes back later finds its pod again"
		forgotten = "after its timeout a client may get another pod"
	)
	dns, port := []reach.TargetKind{reach.DNSName}, []reach.TargetKind{reach.NodePort}
	onWorker := []string{"pod/worker", "node/worker"}
	return []Mutant{
		{
			Name:       "affinity-forgotten",
			Effect:     "on worker, each connection to the ClusterIP is given to either pod, whatever the client had before",
			Behaviours: []string{"affinity.clientip"}, Scenario: "session-affinity", During: []string{"a client stays with one pod"},
			Fault: filter("worker", func(s Scene) (Rules, error) { return everyClient(s.shared(s.toService(), 2)...), s.backends(2) }),
			// eight connections get the same pod once in 128 times, those of both cells in 16,000
			Notice: Notice{Signs: []Sign{{From: onWorker, To: dns, Field: "affinity", Some: true}}},
		},
		{
			Name:       "affinity-soon-over",
			Effect:     "every node forgets after three seconds which pod a client of the node port had, not after three hours",
			Behaviours: []string{"affinity.clientip"}, Scenario: "session-affinity", During: []string{comesBack},
			Fault: filters(everySlot(), func(s Scene) (Rules, error) { return s.forgetful("3s"), s.backends(2) }),
			// a client is given the pod it had all the same every second time, all of them once in 30,000 times
			Notice: Notice{Checks: []CheckSign{{Step: comesBack, Why: []string{"later"}}}},
		},
		{
			Name:       "affinity-everlasting",
			Effect:     "worker2 gives each client of the Service that forgets after a second the pod it had, for good",
			Behaviours: []string{"affinity.clientip"}, Scenario: "session-affinity", During: []string{forgotten},
			Fault: filter("worker2", func(s Scene) (Rules, error) {
				end, err := s.toBackend("worker2", 8080)
				return everyClient(s.toNamed("forgetful") + " " + end), err
			}),
			Notice: Notice{Checks: []CheckSign{{Step: forgotten, Why: []string{"was not forgotten"}}}},
		},
		{
			Name:       "one-favoured",
			Effect:     "on worker, every second connection to the ClusterIP goes to one pod, before the others are shared among all three",
			Behaviours: []string{"spread"}, Scenario: "spread", During: []string{spread},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				return everyClient(s.shared(s.toService()+" numgen random mod 2 == 0", 1)...), s.backends(1)
			}),
			Notice: Notice{Checks: []CheckSign{{Step: spread, Why: []string{"do not spread evenly"}}}},
		},
		{
			Name:       "masquerade-missing",
			Effect:     "worker leaves the address of the machine outside as it is when its own pod is to answer, though the policy is Cluster",
			Behaviours: []string{"etp.cluster"}, Scenario: "external-traffic-policy", During: []string{"with Cluster every node answers for every pod"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				number, err := s.nodePort()
				// translated to what it is, so that no later rule translates it
				return Rules{Leaving: []string{fmt.Sprintf("ip saddr %[1]s ip daddr %[2]s ct original proto-dst %[3]d snat ip to %[1]s", s.Outside, s.Nodes["worker"].Pods, number)}}, err
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"outside"}, To: port, Slot: "worker", Field: "source"}}},
		},
		{
			Name:       "masquerade-too-much",
			Effect:     "worker puts its own address in place of that of the machine outside, though the policy is Local",
			Behaviours: []string{"etp.local"}, Scenario: "external-traffic-policy", During: []string{"with Local a node answers for its own pods only"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				number, err := s.nodePort()
				return Rules{Leaving: []string{fmt.Sprintf("ip saddr %s ct original proto-dst %d masquerade", s.Outside, number)}}, err
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"outside"}, To: port, Slot: "worker", Field: "source"}}},
		},
		{
			Name:       "health-port-blocked",
			Effect:     "worker refuses its health-check node port",
			Behaviours: []string{"hcnp"}, Scenario: "health-check-node-port", During: []string{"the nodes with a pod say so"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				return Rules{ArrivingRaw: []string{fmt.Sprintf("ip daddr %s tcp dport %d reject with tcp reset", s.Nodes["worker"].Addr, s.Service.Spec.HealthCheckNodePort)}}, nil
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/control-plane", "node/worker", "outside"}, To: []reach.TargetKind{reach.HealthCheck}, Slot: "worker",
				Field: "outcome", Got: []string{"Refused"}, Also: []string{"host"}}}},
		},
		{
			Name:       "node-left",
			Effect:     "worker sends its clients to the pod on worker2, though internalTrafficPolicy is Local",
			Behaviours: []string{"itp.local"}, Scenario: "internal-traffic-policy", During: []string{"each client reaches the pods of its node only"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				end, err := s.toBackend("worker2", 8080)
				return everyClient(s.toService() + " " + end), err
			}),
			Notice: Notice{Signs: []Sign{{From: onWorker, To: dns, Field: "backend"}}},
		},
		{
			Name:       "zone-left",
			Effect:     "worker2 sends its clients to a pod of the other zone, though there is one in theirs",
			Behaviours: []string{"distribution"}, Scenario: "traffic-distribution", During: []string{"clients get a pod of their zone, or of their node"},
			Fault:  redirected("worker2", "same-zone", "my-app-a"),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker2", "node/worker2"}, To: dns, Field: "backend", Got: []string{"my-app-a"}}}},
		},
	}
}

// shared are rules that share what begins with match among the first n pods of my-service; nil where there are fewer.
func (s Scene) shared(match string, n int) []string {
	var rules []string
	for i := range min(n, len(s.Backends)) {
		chance := ""
		if left := n - i; left > 1 {
			chance = fmt.Sprintf(" numgen random mod %d == 0", left)
		}
		rules = append(rules, fmt.Sprintf("%s%s dnat ip to %s:8080", match, chance, s.Backends[i].Addr))
	}
	return rules
}

// forgetful are rules that keep a client of my-service's node port with one of the first two pods until it was silent for
// so long.
func (s Scene) forgetful(lasts string) Rules {
	var r Rules
	number, err := s.nodePort()
	if err != nil || len(s.Backends) < 2 {
		return r // which the caller tells
	}
	for i := range 2 {
		r.Sets = append(r.Sets, fmt.Sprintf("had%d { type ipv4_addr; flags dynamic,timeout; timeout %s; }", i, lasts))
	}
	for _, known := range []bool{true, false} {
		for i := range 2 {
			which := fmt.Sprintf("ip saddr @had%d", i)
			if !known {
				which = fmt.Sprintf("numgen random mod %d == 0", 2-i)
			}
			r.Arriving = append(r.Arriving, fmt.Sprintf("fib daddr type local tcp dport %d %s update @had%d { ip saddr } dnat ip to %s:8080",
				number, which, i, s.Backends[i].Addr))
		}
	}
	r.Sent = r.Arriving
	r.Leaving = []string{fmt.Sprintf("ct original proto-dst %d masquerade", number)}
	return r
}

// backends is an error unless my-service has n ready pods.
func (s Scene) backends(n int) error {
	if len(s.Backends) < n {
		return fmt.Errorf("%d pods of the app are ready, want %d", len(s.Backends), n)
	}
	return nil
}
