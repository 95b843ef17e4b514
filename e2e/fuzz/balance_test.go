package fuzz

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/world"
)

// balanced is a model whose load balancer has a pool, as MetalLB does. wrong is what it does otherwise.
type balanced struct {
	*model
	addrs   []netip.Addr
	made    int
	uids    map[string]types.UID
	has     map[string]netip.Addr
	asks    map[string]string
	fillers map[string]bool
	filling sync.Mutex
	wrong   string
}

func newBalanced(plan Plan, wrong string) *balanced {
	b := &balanced{model: newModel(plan, false), uids: map[string]types.UID{}, has: map[string]netip.Addr{}, asks: map[string]string{}, fillers: map[string]bool{}, wrong: wrong}
	b.addrs, _ = addressesOf("172.18.255.200-172.18.255.203")
	return b
}

func (b *balanced) apply(ctx context.Context, cases []Case, _ func(string) bool) (string, error) {
	_, err := b.move(ctx, State{Cases: cases})
	return "", err
}

func (b *balanced) move(ctx context.Context, to State) ([]string, error) {
	_, err := b.model.move(ctx, to)
	for name := range b.uids {
		if to.find(name) < 0 && !b.fillers[name] {
			b.forget(name)
		}
	}
	for _, c := range to.Cases {
		b.know(c.Name())
	}
	b.converge()
	return nil, err
}

func (b *balanced) know(name string) {
	if b.uids[name] == "" {
		b.made++
		b.uids[name] = types.UID(fmt.Sprint(b.made))
	}
}

func (b *balanced) forget(name string) {
	delete(b.uids, name)
	delete(b.has, name)
	delete(b.asks, name)
	delete(b.fillers, name)
}

// converge is what the controller does when anything has changed.
func (b *balanced) converge() {
	wants := func(name string) bool {
		s, there := b.now.Service(testNamespace + "/" + name)
		return b.fillers[name] || there && s.Spec.Type == corev1.ServiceTypeLoadBalancer
	}
	names := slices.Sorted(maps.Keys(b.uids))
	if b.wrong == "forgets who had which" {
		slices.Reverse(names)
	}
	for _, name := range names {
		if _, has := b.has[name]; has && (!wants(name) && b.wrong != "never frees" || b.asks[name] != "" && b.asks[name] != b.has[name].String()) {
			delete(b.has, name)
		}
	}
	held := func(addr netip.Addr) bool {
		return slices.Contains(slices.Collect(maps.Values(b.has)), addr)
	}
	for _, name := range names {
		if _, has := b.has[name]; has || !wants(name) {
			continue
		}
		for _, addr := range b.addrs {
			if !held(addr) && (b.asks[name] == "" || b.asks[name] == addr.String() || b.wrong == "gives any") {
				b.has[name] = addr
				break
			}
		}
		if _, has := b.has[name]; !has && b.wrong == "gives twice" {
			b.has[name] = b.addrs[0]
		}
	}
	b.now.Announcers = map[netip.Addr]string{}
	for i := range b.now.Services {
		b.complete(&b.now.Services[i])
	}
}

func (b *balanced) complete(s *corev1.Service) {
	s.UID, s.Annotations = b.uids[s.Name], map[string]string{world.AskAnnotation: b.asks[s.Name]}
	s.Status = corev1.ServiceStatus{}
	if addr, has := b.has[s.Name]; has {
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: addr.String()}}
		b.now.Announcers[addr] = "one"
	}
}

func (b *balanced) pool(context.Context) ([]netip.Addr, error) { return b.addrs, nil }

func (b *balanced) services(context.Context) (list []corev1.Service, err error) {
	for _, s := range b.now.Services {
		list = append(list, *s.DeepCopy())
	}
	for name := range b.fillers {
		s := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: name},
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}}}
		b.complete(&s)
		list = append(list, s)
	}
	return list, nil
}

func (b *balanced) fill(_ context.Context, name string, _ corev1.IPFamily) error {
	b.filling.Lock()
	defer b.filling.Unlock()
	b.fillers[name] = true
	b.know(name)
	b.converge()
	return nil
}

func (b *balanced) drain(_ context.Context, name string) error {
	b.forget(name)
	if b.wrong != "never looks again" {
		b.converge()
	}
	return nil
}

func (b *balanced) ask(_ context.Context, service, addr string) error {
	b.asks[service] = addr
	if b.wrong == "forgets who asked" && addr == "" {
		delete(b.has, service)
		b.addrs = slices.Delete(slices.Clone(b.addrs), 0, 1)
	}
	b.converge()
	return nil
}

func (b *balanced) restart(context.Context) error {
	if b.wrong == "forgets who had which" {
		b.has = map[string]netip.Addr{}
	}
	b.converge()
	return nil
}

// TestBalance plays operations on the addresses of a load balancer that does what MetalLB does, and of some that do not.
func TestBalance(t *testing.T) {
	service := func(i int, kind corev1.ServiceType) Case {
		return Case{Service: corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: testNamespace, Name: serviceName(i)}, Spec: corev1.ServiceSpec{Type: kind,
			Selector: map[string]string{appLabel: appName}, Ports: []corev1.ServicePort{{Protocol: corev1.ProtocolTCP, Port: 80, TargetPort: intstr.FromInt32(tcpMain)}}}}}
	}
	start := []Case{service(0, corev1.ServiceTypeLoadBalancer), service(1, corev1.ServiceTypeNodePort), service(2, corev1.ServiceTypeClusterIP)}
	exhausted := func(name string) Operation { return Operation{Kind: poolExhausted, Service: name} }
	moved := func(when string) Operation {
		return Operation{Kind: addressMoved, Service: "s000", Value: "s001 " + when}
	}
	for name, tc := range map[string]struct {
		wrong      string
		operations []Operation
		want       []string // the signatures
		end        string   // who has which address
	}{
		"a Service becomes a load balancer": {"", []Operation{exhausted("s001")}, nil, "s000 s001"},
		"a load balancer is created again":  {"", []Operation{exhausted("s000")}, nil, "s000"},
		"an address moves":                  {"", []Operation{moved(asksAfter)}, nil, "s001 .200"},
		"an address moves to who waits":     {"", []Operation{moved(asksBefore)}, nil, "s001 .200"},
		"its owner becomes another type":    {"", []Operation{moved(asksRetyped)}, nil, "s001 .200"},
		"one after the other":               {"", []Operation{exhausted("s002"), moved(asksBefore), exhausted("s000")}, nil, "s001 s002"},

		"never looks again":             {"never looks again", []Operation{exhausted("s001")}, []string{"holding-free: it must get an address after pool-exhausted"}, ""},
		"gives one to two":              {"gives twice", []Operation{exhausted("s001")}, []string{"holding-none-free: it must stay without an address after pool-exhausted"}, ""},
		"a restart forgets":             {"forgets who had which", []Operation{exhausted("s001")}, []string{"holding-kept: it must keep its address after pool-exhausted", "holding-none-free: it must stay without an address after pool-exhausted"}, ""},
		"a restart forgets whose it is": {"forgets who had which", []Operation{moved(asksBefore)}, []string{"holding-kept: it must keep its address after address-moved", "holding-taken: it must stay without an address after address-moved"}, ""},
		"gives any":                     {"gives any", []Operation{moved(asksBefore)}, []string{"holding-taken: it must stay without an address after address-moved"}, ""},
		"never frees":                   {"never frees", []Operation{moved(asksRetyped)}, []string{"holding-asked: it must get an address after address-moved", "holding-freed: it must give its address up after address-moved"}, ""},
		"loses what it asked for":       {"forgets who asked", []Operation{moved(asksAfter)}, []string{"holding-kept: it must keep its address after address-moved"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			plan := Generate(5, testScene(false), 0)
			b := newBalanced(plan, tc.wrong)
			s, _ := on(t, 1, nil)
			s.sandbox, s.plan, s.addresses, s.facts, s.heldWithin = b, plan, b, b.facts, time.Millisecond
			s.observer.engine.Snapshot, s.observer.engine.Prober = b.snapshot, &obedient{model: b.model}
			s.Shrink = 0
			v := s.history(t.Context(), 0, History{Name: "h", Start: State{Cases: start, Pods: map[string]PodState{}}, Operations: tc.operations})
			var got []string
			for _, d := range s.outcome.Disagreements {
				got = append(got, d.Signature)
				if d.Held == "" || d.why() != d.Held {
					t.Errorf("%s: %q", d.Signature, d.Held)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, tc.want) || (v.Result == reach.Pass) != (len(tc.want) == 0) {
				t.Errorf("%s: %q, want %q", v.Result, got, tc.want)
				for _, step := range v.Steps {
					t.Logf("%s: %s %s\n%s", step.Name, step.Result, step.Why, strings.Join(step.Lines, "\n"))
				}
			}
			end, exact := "", strings.Contains(tc.end, ".")
			for _, service := range b.now.Services {
				for _, ingress := range world.Ingresses(&service) {
					if end += " " + service.Name; exact {
						end += strings.Replace(ingress.Addr.String(), "172.18.255", " ", 1)
					}
				}
			}
			if tc.want == nil && tc.end != "" && strings.TrimSpace(end) != tc.end {
				t.Errorf("at the end%s, want %s", end, tc.end)
			}
			if len(b.fillers) > 0 {
				t.Errorf("%d Services are left", len(b.fillers))
			}
		})
	}
}

func TestAddressesOf(t *testing.T) {
	for block, want := range map[string]int{"172.18.255.200-172.18.255.219": 20, "172.18.255.0/28": 16, "fc00::ff00-fc00::ff13": 20, "fc00::/64": -1, "10.0.0.0/8": -1, "x": -1, "1.2.3.4-": -1} {
		list, err := addressesOf(block)
		if err != nil != (want < 0) || err == nil && len(list) != want {
			t.Errorf("%s: %d, %v", block, len(list), err)
		}
	}
}
