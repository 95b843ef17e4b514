package fuzz

import (
	"context"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

func TestSameSeedSamePlan(t *testing.T) {
	for _, dual := range []bool{false, true} {
		a, b := Generate(7, testScene(dual), 200), Generate(7, testScene(dual), 200)
		if !reflect.DeepEqual(a, b) {
			t.Error("the same seed made two plans")
		}
		if short := Generate(7, testScene(dual), 50); !reflect.DeepEqual(short.Cases, a.Cases[:50]) {
			t.Error("the first Services depend on how many there are")
		}
		if reflect.DeepEqual(Generate(8, testScene(dual), 200).Cases, a.Cases) {
			t.Error("another seed made the same plan")
		}
	}
}

// TestPlansAreValid holds Services to what the API server refuses, as far as the generator comes near it.
func TestPlansAreValid(t *testing.T) {
	kinds := map[string]int{}
	for seed := range uint64(50) {
		plan := Generate(seed, testScene(seed%2 == 0), 100)
		if len(plan.Pods) != podCount {
			t.Fatalf("seed %d has %d pods", seed, len(plan.Pods))
		}
		for i, c := range plan.Cases {
			if problem := invalid(c); problem != "" {
				t.Fatalf("seed %d, %s: %s: %+v", seed, c.Name(), problem, c.Service.Spec)
			}
			if c.Service.Spec.Type == corev1.ServiceTypeLoadBalancer && i%lbEvery != 0 {
				t.Errorf("seed %d, %s: one load balancer too many", seed, c.Name())
			}
			kinds[string(c.Service.Spec.Type)]++
			kinds["headless"] += count(world.Headless(&c.Service))
			kinds["manual"] += count(c.Manual != nil)
			kinds["etp"] += count(world.ExternalLocal(&c.Service))
			kinds["itp"] += count(world.InternalLocal(&c.Service))
			kinds["several ports"] += count(len(c.Service.Spec.Ports) > 1)
			kinds["dual"] += count(len(c.Service.Spec.IPFamilies) > 1)
			kinds["publish"] += count(c.Service.Spec.PublishNotReadyAddresses)
			kinds["affinity"] += count(c.Service.Spec.SessionAffinity != "")
			kinds["external IPs"] += count(len(c.Service.Spec.ExternalIPs) > 0)
			kinds["external IPs and policy Local"] += count(len(c.Service.Spec.ExternalIPs) > 0 && c.Service.Spec.ExternalTrafficPolicy != "")
			kinds["longest name"] += count(len(c.Name()) == longestName)
			kinds["many ports"] += count(len(c.Service.Spec.Ports) > 20)
			kinds["many endpoints"] += count(c.Manual != nil && c.Manual.Many > 20)
			kinds["endpoints that wait"] += count(c.Manual != nil && c.Manual.Waiting > 100)
			kinds["a thousand endpoints"] += count(c.Manual != nil && c.Manual.Many+c.Manual.Waiting >= 1000)
			kinds["several slices"] += count(c.Manual != nil && c.Manual.Parts > 0)
		}
	}
	for _, kind := range []string{"ClusterIP", "NodePort", "LoadBalancer", "ExternalName", "headless", "manual", "etp", "itp", "several ports", "dual", "publish", "affinity", "external IPs", "external IPs and policy Local", "longest name", "many ports", "many endpoints", "a thousand endpoints", "endpoints that wait", "several slices"} {
		if kinds[kind] < 50 {
			t.Errorf("of 5000 Services only %d are %s", kinds[kind], kind)
		}
	}
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

func invalid(c Case) string {
	spec := c.Service.Spec
	external := spec.Type == corev1.ServiceTypeNodePort || spec.Type == corev1.ServiceTypeLoadBalancer || len(spec.ExternalIPs) > 0
	names, numbers := map[string]bool{}, map[string]bool{}
	for _, p := range spec.Ports {
		number := string(p.Protocol) + p.TargetPort.String() + string(rune(p.Port))
		switch {
		case p.Port < 1 || p.Port > 65535:
			return "a port out of range"
		case len(spec.Ports) > 1 && p.Name == "" || names[p.Name]:
			return "a port without a name of its own"
		case numbers[number]:
			return "a port twice"
		case p.Protocol == "":
			return "a port without protocol"
		}
		names[p.Name], numbers[number] = true, true
	}
	switch {
	case len(validation.IsDNS1035Label(c.Name())) > 0:
		return "a name that is none"
	case spec.Type == corev1.ServiceTypeExternalName && (len(validation.IsDNS1123Subdomain(spec.ExternalName)) > 0 || spec.ClusterIP != ""):
		return "no external name"
	case spec.Type == corev1.ServiceTypeExternalName:
		return ""
	case len(spec.Ports) == 0 && spec.ClusterIP != corev1.ClusterIPNone:
		return "no port"
	case spec.ExternalTrafficPolicy != "" && !external:
		return "externalTrafficPolicy without an external address"
	case spec.Type != corev1.ServiceTypeLoadBalancer && (spec.LoadBalancerSourceRanges != nil || spec.AllocateLoadBalancerNodePorts != nil):
		return "fields of a load balancer"
	case (c.Manual == nil) == (len(spec.Selector) == 0):
		return "neither selector nor slices, or both"
	case spec.IPFamilyPolicy != nil && *spec.IPFamilyPolicy == corev1.IPFamilyPolicySingleStack && len(spec.IPFamilies) != 1:
		return "single stack with two families"
	}
	return ""
}

// TestEverythingIsPredicted makes worlds of plans and has the oracle predict every cell.
func TestEverythingIsPredicted(t *testing.T) {
	rules, cells := map[string]bool{}, 0
	for seed := range uint64(6) {
		for _, mode := range []string{world.ModeNFTables, world.ModeIPTables} {
			dual := seed%2 == 0
			plan := Generate(seed, testScene(dual), MaxBatch)
			m := newModel(plan, dual)
			m.facts.ProxyMode = mode
			if _, err := m.apply(t.Context(), plan.Cases, nil); err != nil {
				t.Fatal(err)
			}
			if ok, waitingFor := world.SettledBut(unhinted(m.now), world.Allow{Unready: true, Pending: true}, testNamespace); !ok {
				t.Errorf("seed %d: the model is not settled: %s", seed, waitingFor)
			}
			predict := oracle.New(m.now).Predict
			for _, c := range plan.Cases {
				for _, p := range pairs(m.now, testVantages(), testNamespace+"/"+c.Name()) {
					cells++
					want := predict(p.vantage, p.target)
					if len(want.Outcomes) == 0 || want.Rule == "" || want.Reason == "" || want.Doc == "" {
						t.Fatalf("seed %d, %s to %s: %+v", seed, p.vantage.Name, p.target.Name(), want)
					}
					rules[want.Rule] = true
				}
			}
		}
	}
	if cells < 25_000 || len(rules) < 30 {
		t.Errorf("%d cells of %d rules", cells, len(rules))
	}
}

// unhinted is a world in which no Service has hints, which the model does not give.
func unhinted(w world.World) world.World {
	w.Services = slices.Clone(w.Services)
	for i := range w.Services {
		w.Services[i].Spec.TrafficDistribution = nil
	}
	return w
}

func TestSample(t *testing.T) {
	plan := Generate(3, testScene(false), 40)
	m := newModel(plan, false)
	if _, err := m.apply(context.Background(), plan.Cases, nil); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(plan.Cases, func(c Case) bool { return c.Service.Spec.Type == corev1.ServiceTypeNodePort && c.Manual == nil })
	all := pairs(m.now, testVantages(), testNamespace+"/"+plan.Cases[i].Name())
	kept := sample(rand.New(rand.NewPCG(1, 1)), all, 30)
	if again := sample(rand.New(rand.NewPCG(1, 1)), all, 30); !reflect.DeepEqual(kept, again) {
		t.Error("the same seed gave another sample")
	}
	seen := map[string]bool{}
	for _, p := range kept {
		if seen[p.key()] {
			t.Errorf("%s twice", p.key())
		}
		seen[p.key()] = true
	}
	if len(kept) != 30 || len(all) <= 30 {
		t.Fatalf("%d of %d", len(kept), len(all))
	}
	for _, p := range all {
		if !slices.ContainsFunc(kept, func(k pair) bool { return k.vantage.Kind == p.vantage.Kind && k.target.Kind == p.target.Kind }) {
			t.Errorf("no cell of %s to %s was kept", p.vantage.Kind, p.target.Kind)
		}
	}
	for _, p := range all {
		if p.vantage.Kind == reach.Host && p.target.Kind == reach.ClusterIP || p.vantage.Kind == reach.Outside && p.target.Kind == reach.DNSName {
			t.Errorf("%s must not be probed", p.key())
		}
	}
}
