package mutants

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/reach"
)

// objects are the mutants of API objects.
func objects() []Mutant {
	const (
		bothReady = "both are ready"
		anObject  = "the Service's address is an object too"
		condition = "the condition is there"
	)
	return []Mutant{
		{
			Name:       "stray-slice",
			Effect:     "an EndpointSlice that no controller made lists an address that is none of the Service's pods'",
			Behaviours: []string{"slices"}, Scenario: "endpoint-slices", During: []string{bothReady},
			Within: 4 * time.Second,
			Fault:  sliceAdded(serviceName),
			Notice: Notice{Checks: []CheckSign{{Step: bothReady, Why: []string{"is still listed"}}}},
		},
		{
			Name:       "address-forgotten",
			Effect:     "the IPAddress object of the Service's ClusterIP is gone, so that another Service could be given the address",
			Behaviours: []string{"servicecidr"}, Scenario: "service-cidr", During: []string{anObject},
			Fault:  addressForgotten(),
			Notice: Notice{Checks: []CheckSign{{Step: anObject, Why: []string{"there is no IPAddress"}}}},
		},
		{
			Name:       "condition-lost",
			Effect:     "the condition that a controller reported is gone from the Service's status",
			Behaviours: []string{"status"}, Scenario: "service-status", During: []string{condition},
			Within: 3 * time.Second,
			Fault:  edited(serviceName, "status", `{"status":{"conditions":null}}`),
			Notice: Notice{Checks: []CheckSign{{Step: condition, Why: []string{".status.conditions"}}}},
		},
	}
}

// families are the mutants of IP families: one for clusters with a single one, one for those with both.
func families() []Mutant {
	const refused = "who requires both is refused"
	return []Mutant{
		{
			Name:       "requirement-ignored",
			Effect:     "the API server makes RequireDualStack PreferDualStack, and so admits it in a cluster with one IP family",
			Behaviours: []string{"dualstack"}, Scenario: "single-stack", During: []string{refused, "it is reached all the same"},
			Fault: admitted(corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "required"}, Spec: corev1.ServiceSpec{
				IPFamilyPolicy: new(corev1.IPFamilyPolicyRequireDualStack), Ports: []corev1.ServicePort{{Port: 80}}}},
				`JSONPatch{op: "replace", path: "/spec/ipFamilyPolicy", value: "PreferDualStack"}`),
			Notice: Notice{Checks: []CheckSign{{Step: refused, Why: []string{"was accepted"}}}},
		},
		{
			Name:       "second-family-unserved",
			Effect:     "worker drops what is sent to the IPv6 ClusterIP of the Service that requires both families",
			Behaviours: []string{"dualstack"}, Scenario: "dual-stack", During: []string{"each is reached in its families, and in no other"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				return everyClientRaw(fmt.Sprintf("ip6 daddr %s tcp dport 80 drop", virtual6(s.All["required"]))), nil
			}),
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker", "node/worker"}, To: []reach.TargetKind{reach.ClusterIP}, Field: "outcome", Got: []string{"TimedOut"}}}},
		},
	}
}

// changes are the mutants of what lasts while pods and Kubernetes' own parts come and go.
func changes() []Mutant {
	const noneLost = "in the cluster the rolling update lost nothing"
	port := []reach.TargetKind{reach.NodePort}
	gone := []string{"TimedOut", "Unreachable", "Refused"}
	return []Mutant{
		{
			Name:       "rollout-not-followed",
			Effect:     "kube-proxy on control-plane is stopped during the rolling update: its rules lead to pods that end",
			Behaviours: []string{"rollout"}, Scenario: "rollout",
			During: []string{"requests go round in the cluster", "update both", "the new pods of the one are there", "and those of the other",
				"only the new pods answer, once the old ones are gone", noneLost},
			Fault: proxyFrozen("control-plane"),
			Notice: Notice{
				Signs: []Sign{{From: []string{"pod/control-plane"}, To: []reach.TargetKind{reach.ClusterIP}, Field: "outcome", Got: gone},
					{From: []string{"pod", "outside"}, To: port, Slot: "control-plane", Field: "outcome", Got: gone}},
				Checks: []CheckSign{{Step: noneLost, Why: []string{"were lost"}}},
			},
		},
		{
			Name:       "restarted-and-deaf",
			Effect:     "worker shares the node port's connections among the pods as before, though affinity was switched on after the restart",
			Behaviours: []string{"restart"}, Scenario: "restart", During: []string{"keep each client with one pod", "the kube-proxies hear of it"},
			Fault: filter("worker", func(s Scene) (Rules, error) {
				number, err := s.nodePort()
				if err == nil {
					err = s.backends(2)
				}
				return Rules{
					Arriving: s.shared(fmt.Sprintf("ip daddr %s tcp dport %d", s.Nodes["worker"].Addr, number), 2),
					Leaving:  []string{fmt.Sprintf("ct original proto-dst %d masquerade", number)},
				}, err
			}),
			// eight connections get the same pod once in 128 times, those of both cells in 16,000
			Notice: Notice{Signs: []Sign{{From: []string{"pod/worker", "node/worker2", "outside"}, To: port, Slot: "worker", Field: "affinity", Some: true}}},
		},
	}
}
