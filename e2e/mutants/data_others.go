package mutants

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/reach"
)

// nodePort are the mutants of the node port, in the scenario nodeport.
func nodePort() []Mutant {
	port := []reach.TargetKind{reach.NodePort}
	everyNode := []string{"nodeport.every-node"}
	return []Mutant{
		{
			Name:       "node-deaf",
			Effect:     "worker2 drops what comes for 30080",
			Behaviours: everyNode, Scenario: "nodeport", During: []string{reachesIt},
			Fault: filter("worker2", func(s Scene) (Rules, error) {
				return Rules{ArrivingRaw: []string{fmt.Sprintf("ip daddr %s tcp dport 30080 drop", s.Nodes["worker2"].Addr)}}, nil
			}),
			// not worker2's own processes: their packets do not arrive
			Notice: Notice{Signs: []Sign{{From: []string{"outside", "pod", "node/control-plane", "node/worker"}, To: port, Slot: "worker2",
				Field: "outcome", Got: []string{"TimedOut"}, Also: []string{"host"}}}},
		},
		{
			Name:       "only-backend-nodes",
			Effect:     "control-plane, which has no pod, refuses 30080, as if only the pods' nodes were to serve it",
			Behaviours: everyNode, Scenario: "nodeport", During: []string{reachesIt},
			Fault: filter("control-plane", func(s Scene) (Rules, error) {
				return everyClientRaw(fmt.Sprintf("ip daddr %s tcp dport 30080 reject with tcp reset", s.Nodes["control-plane"].Addr)), nil
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"outside", "pod", "node"}, To: port, Slot: "control-plane",
				Field: "outcome", Got: []string{"Refused"}, Also: []string{"host"}}}},
		},
		{
			Name:       "neighbour-port-open",
			Effect:     "on worker, the ports beside 30080 lead to the app too",
			Behaviours: []string{"nodeport.every-node", "port.mapping"}, Scenario: "nodeport", During: []string{reachesIt},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				end, err := s.toBackend("worker", 8080)
				return everyClient(fmt.Sprintf("ip daddr %s tcp dport 30081-30099 %s", s.Nodes["worker"].Addr, end)), err
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"outside", "pod", "node"}, To: port, Slot: "worker", Undeclared: true,
				Field: "outcome", Got: []string{"Reached"}, Also: []string{"host"}}}},
		},
		{
			Name:       "node-port-at-address",
			Effect:     "on worker, the ClusterIP answers on the node port's number too",
			Behaviours: []string{"port.mapping"}, Scenario: "nodeport", During: []string{reachesIt},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				end, err := s.toBackend("worker", 8080)
				return everyClient(fmt.Sprintf("ip daddr %s tcp dport 30080 %s", s.VIP, end)), err
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker", "node/worker"}, To: []reach.TargetKind{reach.ClusterIP}, Undeclared: true,
				Field: "outcome", Got: []string{"Reached"}}}},
		},
		{
			Name:       "service-port-at-node",
			Effect:     "worker's own address answers on the Service's port 80 too",
			Behaviours: []string{"port.mapping"}, Scenario: "nodeport", During: []string{reachesIt},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				end, err := s.toBackend("worker", 8080)
				return everyClient(fmt.Sprintf("ip daddr %s tcp dport 80 %s", s.Nodes["worker"].Addr, end)), err
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"outside", "pod", "node"}, To: port, Slot: "worker", Undeclared: true,
				Field: "outcome", Got: []string{"Reached"}, Also: []string{"host"}}}},
		},
		{
			Name:       "loopback-silent",
			Effect:     "worker drops what its own processes send to 127.0.0.1:30080, which is refused in one proxy mode and served in the other",
			Behaviours: []string{"nodeport.localhost"}, Scenario: "nodeport", During: []string{reachesIt},
			Fault: filter("worker", func(Scene) (Rules, error) {
				return Rules{SentRaw: []string{"ip daddr 127.0.0.1 tcp dport 30080 drop"}}, nil
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"node/worker"}, To: []reach.TargetKind{reach.Localhost}, Field: "outcome", Got: []string{"TimedOut"}}}},
		},
		{
			Name:       "asked-port-forgotten",
			Effect:     "the API server takes out the node port that service out-of-range asks for, and so admits it with another one",
			Behaviours: []string{"nodeport.allocation"}, Scenario: "nodeport", During: []string{outOfRange, "what was refused is not there"},
			Fault: admitted(corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "out-of-range"},
				Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80, NodePort: 8080}}}},
				`JSONPatch{op: "remove", path: "/spec/ports/0/nodePort"}`),
			Notice: Notice{Checks: []CheckSign{{Step: outOfRange, Why: []string{"was accepted"}}}},
		},
	}
}

// outOfRange is the step of scenario nodeport whose request must be refused.
const outOfRange = "a port out of the range is refused"

// oneAnswers is the step of scenario loadbalancer that asks on the wire.
const oneAnswers = "exactly one node answers for the address"

// everySlot are the nodes.
func everySlot() []string { return []string{"control-plane", "worker", "worker2"} }

// loadBalancer are the mutants of the load balancer, in the scenario loadbalancer.
func loadBalancer() []Mutant {
	const (
		ofPool = "the address is one of the pool"
		beside = "no other port of the address answers"
	)
	return []Mutant{
		{
			Name:       "address-of-no-pool",
			Effect:     "MetalLB's controller is stopped while the Service's status says that it has an address of no pool",
			Behaviours: []string{"lb.assign"}, Scenario: "loadbalancer", During: []string{ofPool},
			// the speakers cease to announce such an address, so that the objects may never settle
			Within: 5 * time.Second,
			Fault:  addressOfNoPool(),
			Notice: Notice{Checks: []CheckSign{{Step: ofPool, Why: []string{"is in no pool", "a node to announce service"}}}},
		},
		{
			Name:       "address-unserved",
			Effect:     "every node refuses what the machine outside sends to the load balancer's address, though one announces it",
			Behaviours: []string{"lb.reach"}, Scenario: "loadbalancer", During: []string{reachesIt},
			Fault: filters(everySlot(), func(s Scene) (Rules, error) {
				if !s.LoadBalancer.IsValid() {
					return Rules{}, fmt.Errorf("the Service has no load balancer's address")
				}
				return Rules{ArrivingRaw: []string{fmt.Sprintf("ip saddr %s ip daddr %s tcp dport 80 reject with tcp reset", s.Outside, s.LoadBalancer)}}, nil
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"outside"}, To: []reach.TargetKind{reach.LoadBalancer}, Field: "outcome", Got: []string{"Refused"}}}},
		},
		{
			Name:       "other-port-of-balancer",
			Effect:     "at every node, the load balancer's address answers on port 81 too",
			Behaviours: []string{"lb.reach", "port.mapping"}, Scenario: "loadbalancer", During: []string{beside},
			Fault: filters(everySlot(), func(s Scene) (Rules, error) {
				end, err := s.toBackend("worker", 8080)
				r := everyClient(fmt.Sprintf("ip daddr %s tcp dport 81 %s", s.LoadBalancer, end))
				r.Leaving = []string{"ct original proto-dst 81 masquerade"}
				return r, err
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"outside", "pod", "node"}, To: []reach.TargetKind{reach.LoadBalancer}, Undeclared: true,
				Field: "outcome", Got: []string{"Reached"}}}},
		},
		{
			Name:       "two-answer-arp",
			Effect:     "control-plane and worker both have the load balancer's address, so that at least two nodes answer ARP for it",
			Behaviours: []string{"lb.reach"}, Scenario: "loadbalancer", During: []string{oneAnswers},
			Fault:  addressOwned("control-plane", "worker"),
			Notice: Notice{Checks: []CheckSign{{Step: oneAnswers, Why: []string{"want exactly one node"}}}},
		},
		{
			Name:       "speakers-hang",
			Effect:     "MetalLB's speakers are stopped where they are: the API says that one announces the address, none does",
			Behaviours: []string{"lb.reach"}, Scenario: "loadbalancer",
			// A table takes so long that kubelets find the speakers dead and start them again meanwhile.
			During: []string{oneAnswers},
			Fault:  speakersHang(),
			Notice: Notice{Checks: []CheckSign{{Step: oneAnswers, Why: []string{"no node answers"}}}},
		},
		{
			Name:       "speakers-gone",
			Effect:     "no speaker of MetalLB runs, so that no node announces the address",
			Behaviours: []string{"lb.reach"}, Scenario: "loadbalancer", During: []string{oneAnswers},
			// What the speaker said in the API outlives it for a while: who asks then hears nobody, who asks later waits.
			Within: 25 * time.Second,
			Fault:  speakersGone(),
			Notice: Notice{Checks: []CheckSign{{Step: oneAnswers, Why: []string{"no node answers", "a node to announce service"}}}},
		},
	}
}

// externalName are the mutants of the alias, in the scenario externalname.
func externalName() []Mutant {
	alias := []reach.TargetKind{reach.ExternalName}
	const who = "who reaches what is behind it"
	return []Mutant{
		{
			Name:       "port-mapped",
			Effect:     "on worker, what is sent to example.com's port 8080 arrives at its port 80",
			Behaviours: []string{"external.cname"}, Scenario: "externalname", During: []string{who},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				return everyClient(fmt.Sprintf("ip daddr %[1]s tcp dport 8080 dnat ip to %[1]s:80", s.Outside)), nil
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker", "node/worker"}, To: alias, Undeclared: true, Field: "outcome", Got: []string{"Reached"}}}},
		},
		{
			Name:       "wrong-cname",
			Effect:     "CoreDNS answers www.example.com instead of example.com, which leads to the same machine",
			Behaviours: []string{"external.cname"}, Scenario: "externalname", During: []string{who},
			Fault: aliasChanged("www.example.com"),
			Notice: Notice{Signs: []Sign{
				{From: []string{"pod", "node"}, To: alias, Field: "cname", Got: []string{"www.example.com"}},
				{From: []string{"pod", "node"}, To: alias, Undeclared: true, Field: "cname", Got: []string{"www.example.com"}},
			}},
		},
	}
}
