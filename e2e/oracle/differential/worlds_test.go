package main

import (
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/world"
)

// TestGenerate: the same world for the same seed, and in a few hundred worlds everything that once had a defect.
func TestGenerate(t *testing.T) {
	if !reflect.DeepEqual(generate(7, 3), generate(7, 3)) || reflect.DeepEqual(generate(7, 3), generate(7, 4)) || reflect.DeepEqual(generate(7, 3), generate(8, 3)) {
		t.Error("a world depends on something else than its seed and number")
	}
	met := map[string]bool{}
	for i := range 300 {
		w := generate(1, i)
		f := w.Facts
		for what, is := range map[string]bool{
			"one family": len(f.ServiceCIDRs) == 1, "no detection": len(f.PodCIDRs) == 0, "detection for one family": len(f.PodCIDRs) < len(f.ServiceCIDRs),
			"detection not known": f.Detection == world.DetectUnknown, "detection by node": f.Detection == world.DetectNodeCIDR, "masqueradeAll": f.MasqueradeAll, "no localhost": f.NoLocalhostNodePorts,
			"nodePortAddresses": len(f.NodePortAddresses) > 0, "address kept": f.PodToNode == world.EgressPod, "not known": f.PodToNode == world.EgressUnknown,
			"no announcers": w.Announcers == nil, "second address": len(world.NodeAddrs(&w.Nodes[0])) > len(f.ServiceCIDRs),
		} {
			met[what] = met[what] || is
		}
		for j := range w.Services {
			s := &w.Services[j]
			_, left := s.Labels[world.ProxyNameLabel]
			for what, is := range map[string]bool{
				"left to another proxy": left, "headless": world.Headless(s), "external IP": len(s.Spec.ExternalIPs) > 0, "external IP of a node": slices.Contains(s.Spec.ExternalIPs, "172.18.0.3"),
				"external IP of the load balancer": len(s.Status.LoadBalancer.Ingress) > 0 && slices.Contains(s.Spec.ExternalIPs, s.Status.LoadBalancer.Ingress[0].IP),
				"source ranges":                    len(s.Spec.LoadBalancerSourceRanges) > 0, "health check": world.HealthCheckPort(s) != 0, "internal Local": world.InternalLocal(s),
				"external Local": world.ExternalLocal(s), "affinity": s.Spec.SessionAffinity != "", "no node port": s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.Ports[0].NodePort == 0,
			} {
				met[what] = met[what] || is
			}
		}
		for _, s := range w.Slices {
			_, headless := s.Labels[corev1.IsHeadlessService]
			met["slice labelled headless"] = met["slice labelled headless"] || headless
			for _, port := range s.Ports {
				met["other port name"] = met["other port name"] || *port.Name == "other"
				met["no number"] = met["no number"] || port.Port == nil
			}
			for _, e := range s.Endpoints {
				met["no node"] = met["no node"] || e.NodeName == nil
				met["no pod"] = met["no pod"] || e.TargetRef == nil
				met["hints"] = met["hints"] || e.Hints != nil
				met["terminating"] = met["terminating"] || e.Conditions.Terminating != nil && *e.Conditions.Terminating
			}
		}
	}
	for what, is := range met {
		if !is {
			t.Errorf("never met: %s", what)
		}
	}
}

// TestShrink removes all that does not matter, and nothing that does.
func TestShrink(t *testing.T) {
	var w world.World
	for i := 0; len(w.Services) < 4 || !slices.ContainsFunc(w.Services, local); i++ {
		w = generate(1, i)
	}
	before := clone(w)
	small := shrink(w, func(w world.World) bool { return slices.ContainsFunc(w.Services, local) })
	if len(small.Services) != 1 || len(small.Slices) != 0 || len(small.Services[0].Spec.Ports) != 1 || small.Facts.NodeSources != nil || len(small.Services[0].Spec.ClusterIPs) != 1 {
		t.Errorf("left: %+v", small.Services)
	}
	if !reflect.DeepEqual(w, before) {
		t.Error("the world itself was changed")
	}
}

func TestShapesAreNamedOnce(t *testing.T) {
	names := map[string]bool{}
	for _, s := range shapes() {
		if w := s.world(); names[s.name] || len(w.Services) == 0 || len(targets(w)) == 0 {
			t.Errorf("%q: there twice, or empty", s.name)
		}
		names[s.name] = true
	}
}

func TestExceptionsSayWhy(t *testing.T) {
	for _, e := range exceptions() {
		if e.id == "" || e.reason == "" || e.source == "" || e.applies == nil {
			t.Errorf("incomplete: %+v", e)
		}
	}
}

func local(s corev1.Service) bool { return world.ExternalLocal(&s) }
