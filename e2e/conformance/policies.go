package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/reach"
)

// A cluster may put a NetworkPolicy into each new namespace, as controllers of tenants do. What it denies is no fault of Services,
// so a failure next to one is no verdict.

// policies finds the NetworkPolicies in the namespaces of scenarios that did not pass, while they are still there.
type policies struct {
	client kubernetes.Interface

	mu    sync.Mutex
	found map[string]string // by scenario
}

// look is called for each scenario that did not pass.
func (p *policies) look(ctx context.Context, scenario, namespace string) error {
	var names []string
	for _, in := range []string{namespace, cluster.ClientsNamespace} {
		list, err := p.client.NetworkingV1().NetworkPolicies(in).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("look for NetworkPolicies: %w", err)
		}
		for i := range list.Items {
			if !denies(list.Items[i].Spec) {
				continue
			}
			names = append(names, describePolicy(&list.Items[i]))
		}
	}
	if len(names) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found == nil {
		p.found = map[string]string{}
	}
	p.found[scenario] = strings.Join(names, ", ")
	return nil
}

// denies reports whether a policy can deny anything: a rule without peers and ports allows all.
func denies(spec networkingv1.NetworkPolicySpec) bool {
	in := slices.ContainsFunc(spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool { return len(r.From)+len(r.Ports) == 0 })
	out := slices.ContainsFunc(spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool { return len(r.To)+len(r.Ports) == 0 })
	return slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeIngress) && !in || slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeEgress) && !out
}

func describePolicy(policy *networkingv1.NetworkPolicy) string {
	types := make([]string, len(policy.Spec.PolicyTypes))
	for i, t := range policy.Spec.PolicyTypes {
		types[i] = strings.ToLower(string(t))
	}
	pods := "all pods"
	if selector := policy.Spec.PodSelector; len(selector.MatchLabels)+len(selector.MatchExpressions) > 0 {
		pods = "pods " + metav1.FormatLabelSelector(&selector)
	}
	return fmt.Sprintf("%s/%s (%s of %s)", policy.Namespace, policy.Name, strings.Join(types, " and "), pods)
}

// excuse makes the failures of scenarios with a NetworkPolicy in their namespaces inconclusive.
func (p *policies) excuse(verdicts []reach.Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range verdicts {
		v := &verdicts[i]
		names := p.found[v.Scenario]
		if names == "" || v.Result != reach.Fail {
			continue
		}
		v.Result, v.Steps = reach.Inconclusive, slices.Clone(v.Steps)
		for k := range v.Steps {
			if step := &v.Steps[k]; step.Result == reach.Fail {
				step.Result = reach.Inconclusive
				step.Why = fmt.Sprintf("no verdict while NetworkPolicies select svclab's pods: %s; exempt the namespaces with the label app.kubernetes.io/managed-by=svclab. Observed: %s", names, step.Why)
			}
		}
	}
}

// foreignPolicies returns the API groups of the cluster with policies of the network that svclab does not read.
func foreignPolicies(client kubernetes.Interface) ([]string, error) {
	groups, err := client.Discovery().ServerGroups()
	if err != nil {
		return nil, fmt.Errorf("list the server's API groups: %w", err)
	}
	var found []string
	for _, group := range groups.Groups {
		if slices.Contains([]string{"cilium.io", "crd.projectcalico.org", "projectcalico.org", "crd.antrea.io", "policy.networking.k8s.io", "k8s.ovn.org"}, group.Name) {
			found = append(found, group.Name)
		}
	}
	return found, nil
}
