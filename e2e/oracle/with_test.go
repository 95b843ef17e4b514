package oracle

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/svclab/svclab/e2e/world"
)

// TestWith: an oracle that many operations led to predicts what a new one does for the same world.
func TestWith(t *testing.T) {
	const external = "203.0.113.7"
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 2))
		f := newFixture()
		f.elsewhere()
		f.second().Spec.ExternalIPs = []string{external}
		f.randomise(r)
		stray := f.slicesNamed("gone", "a")[0]
		f.Slices = append(f.Slices, stray)
		o, want := New(f.World), f.World
		for range 8 {
			made := newFixture()
			made.randomise(r)
			s, list := made.web(), made.Slices
			switch r.IntN(7) {
			case 0: // as it is, with other endpoints
				s = o.index.service("demo/web").Service
			case 1:
				s.Name, s.Spec.ExternalIPs = "other", []string{external}
				list = made.slicesNamed("other", "a", "b")[:1]
			case 2:
				s.Name = fmt.Sprintf("new-%d", r.IntN(3))
				list = nil
			case 3:
				s.Spec.Type, s.Spec.ExternalTrafficPolicy = corev1.ServiceTypeLoadBalancer, corev1.ServiceExternalTrafficPolicyLocal
				s.Spec.HealthCheckNodePort = 30200 + r.Int32N(2)
			case 4:
				s.Labels = map[string]string{world.ProxyNameLabel: "another"}
			case 5: // kube-proxy does not see it, if the Service is not headless
				for i := range list {
					list[i].Labels[corev1.IsHeadlessService] = ""
				}
			}
			for i := range s.Spec.Ports {
				if s.Spec.Ports[i].NodePort != 0 && r.IntN(2) == 0 {
					s = s.DeepCopy()
					s.Spec.Ports[i].NodePort++
				}
			}
			if s.Name == "web" && world.Proxied(s) && r.IntN(2) == 0 {
				s = s.DeepCopy()
				s.Spec.ExternalIPs = []string{external}
			}
			want.Services = append(slices.DeleteFunc(slices.Clone(want.Services), func(other corev1.Service) bool { return other.Name == s.Name }), *s)
			want.Slices = append(slices.DeleteFunc(slices.Clone(want.Slices), func(other discoveryv1.EndpointSlice) bool {
				return world.ServiceOf(&other) == world.Name(s)
			}), list...)
			all := func(o *Oracle) string {
				return fmt.Sprint(o.World(), o.Predict(vantage("pod/one"), at("new-0.demo.svc.cluster.local:80")))
			}
			before := all(o)
			next := o.With(s, list)
			if all(o) != before {
				t.Fatalf("seed %d: the oracle before has changed", seed)
			}
			o = next
			w := o.World()
			if !reflect.DeepEqual(w, want.Sorted()) {
				t.Fatalf("seed %d: its world is %+v, want %+v", seed, w, want.Sorted())
			}
			fresh := New(inPlaces(w, o))
			for _, target := range append(w.TargetsWith("demo/web", world.FormFull), append(w.Targets("demo/other"), at(external+":80"), at("10.96.0.99:80"), at(one+":30099"), at(one+":30080"), at(one+":30081"))...) {
				for _, name := range []string{"pod/one", "a", "node/cp", "outside"} {
					v := vantage(name)
					if got, want := o.Predict(v, target), fresh.Predict(v, target); fmt.Sprint(got) != fmt.Sprint(want) {
						t.Fatalf("seed %d, %s to %s: %+v, and for a new oracle %+v", seed, name, target.Name(), got, want)
					}
				}
			}
		}
	}
}

// inPlaces has the Services in the order in which an oracle has them: of Services that share an address, a reason names the first one first.
func inPlaces(w world.World, o *Oracle) world.World {
	w.Services = nil
	for _, at := range o.index.list {
		w.Services = append(w.Services, *at.service.Service)
	}
	return w
}

// TestWithShares: to change endpoints costs the same for many Services as for few, and what is known of other Services is kept.
func TestWithShares(t *testing.T) {
	f := newFixture()
	for i := range 300 {
		f.many(i)
	}
	o := New(f.World)
	v, target := vantage("pod/one"), at("10.96.1.7:80")
	target.Service = "demo/s7"
	o.Predict(v, target)
	s, list := &f.Services[1], f.slicesNamed("s0", "a")
	next := o.With(s, list)
	if o.endpoints(o.index.service("demo/s7")) != next.endpoints(next.index.service("demo/s7")) {
		t.Error("the endpoints of another Service are read again")
	}
	if n := testing.AllocsPerRun(10, func() { o.With(s, list) }); n > 20 {
		t.Errorf("it allocates %.0f times", n)
	}
}
