package oracle

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/world"
)

// HoldingKind is what a load balancer's controller must do about the addresses of a Service.
type HoldingKind string

// What becomes of the addresses of a Service.
const (
	// HoldingKept: it keeps those that it has.
	HoldingKept HoldingKind = "must keep its address"
	// HoldingGiven: it gets one of each of its IP families.
	HoldingGiven HoldingKind = "must get an address"
	// HoldingPending: it has none, and gets none.
	HoldingPending HoldingKind = "must stay without an address"
	// HoldingFreed: it gives up those that it has.
	HoldingFreed HoldingKind = "must give its address up"
	// HoldingOpen: it may get one, as others may in its place.
	HoldingOpen HoldingKind = "may get an address"
)

// Holding is what becomes of the addresses of one Service, and why.
type Holding struct {
	// Service is its "namespace/name".
	Service string
	Kind    HoldingKind
	// Of are the addresses that it may have.
	Of []netip.Addr
	// Reason, Rule and Doc are as in reach.Prediction.
	Reason, Rule, Doc string
}

// Met reports whether a Service has the addresses that it is to have; nil is one that is not there.
func (h Holding) Met(s *corev1.Service) bool {
	has := heldBy(s)
	within := !slices.ContainsFunc(has, func(a netip.Addr) bool { return !slices.Contains(h.Of, a) })
	switch h.Kind {
	case HoldingKept:
		return within && len(has) == len(h.Of)
	case HoldingGiven:
		return within && s != nil && len(has) == len(world.Families(s))
	case HoldingOpen:
		return within
	default:
		return len(has) == 0
	}
}

// Holdings says what becomes of the addresses of a pool, once the controller has followed the objects: services are all of the cluster,
// as they are to be, and their status says what they have had. Services that neither have nor want an address are left out. The result
// is in the order of the names.
func Holdings(facts world.Facts, pool []netip.Addr, services []corev1.Service) []Holding {
	b := balancer{held: map[netip.Addr]string{}, asking: map[netip.Addr]int{}, wanting: map[corev1.IPFamily]int{}}
	var waiting []*corev1.Service
	byName := map[string]Holding{}
	add := func(s *corev1.Service, kind HoldingKind, rule string, why string, of ...netip.Addr) {
		byName[world.Name(s)] = Holding{Service: world.Name(s), Kind: kind, Of: of, Rule: rule, Reason: why, Doc: documents()[rule]}
	}
	for i := range services {
		s := &services[i]
		has, asked := heldBy(s), world.Asked(s)
		switch serves := s.Spec.Type == corev1.ServiceTypeLoadBalancer && facts.Serves(s.Spec.LoadBalancerClass); {
		case !serves && len(has) > 0:
			add(s, HoldingFreed, ruleHoldingFreed, fmt.Sprintf("%s is no Service of type LoadBalancer any more", world.Name(s)))
		case !serves:
		case len(has) > 0 && (len(asked) == 0 || sameAddrs(has, asked)):
			for _, addr := range has {
				b.held[addr] = world.Name(s)
			}
			add(s, HoldingKept, ruleHoldingKept, fmt.Sprintf("%s has %s already", world.Name(s), texts(has)), has...)
		default:
			waiting = append(waiting, s)
		}
	}
	for _, addr := range pool {
		if b.held[addr] == "" {
			b.free = append(b.free, addr)
		}
	}
	for _, s := range waiting {
		if asked := world.Asked(s); len(asked) > 0 {
			for _, addr := range asked {
				b.asking[addr]++
			}
			continue
		}
		for _, family := range world.Families(s) {
			b.wanting[family]++
		}
	}
	for _, s := range waiting {
		if asked := world.Asked(s); len(asked) > 0 {
			kind, rule, why := b.asked(s, asked)
			add(s, kind, rule, why, asked...)
			continue
		}
		kind, rule, why := b.any(s)
		of := b.free
		if kind == HoldingPending {
			of = nil
		}
		add(s, kind, rule, why, of...)
	}
	var list []Holding
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list = append(list, byName[name])
	}
	return list
}

// balancer is what a controller knows when it looks for addresses.
type balancer struct {
	held map[netip.Addr]string
	free []netip.Addr
	// asking is how many Services ask for an address that they do not have, wanting how many want any one of a family.
	asking  map[netip.Addr]int
	wanting map[corev1.IPFamily]int
}

// freeOf counts the free addresses of a family.
func (b balancer) freeOf(family corev1.IPFamily) (n int) {
	for _, addr := range b.free {
		if world.FamilyOf(addr) == family {
			n++
		}
	}
	return n
}

// asked is what becomes of a Service that asks for addresses which it does not have.
func (b balancer) asked(s *corev1.Service, asked []netip.Addr) (HoldingKind, string, string) {
	name := world.Name(s)
	for _, addr := range asked {
		switch owner := b.held[addr]; {
		case owner != "" && s.Annotations[world.ShareAnnotation] != "":
			return HoldingOpen, ruleHoldingTaken, fmt.Sprintf("%s asks for %s, which %s has and may share", name, addr, owner)
		case owner != "":
			return HoldingPending, ruleHoldingTaken, fmt.Sprintf("%s asks for %s, which %s has", name, addr, owner)
		case !slices.Contains(b.free, addr):
			return HoldingPending, ruleHoldingTaken, fmt.Sprintf("%s asks for %s, which no pool has", name, addr)
		}
	}
	for _, addr := range asked {
		if b.asking[addr] > 1 || b.wanting[world.FamilyOf(addr)] > 0 {
			return HoldingOpen, ruleHoldingAsked, fmt.Sprintf("%s asks for %s, which is free, and another Service may get it", name, addr)
		}
	}
	return HoldingGiven, ruleHoldingAsked, fmt.Sprintf("%s asks for %s, which is free", name, texts(asked))
}

// any is what becomes of a Service that has no address and wants any.
func (b balancer) any(s *corev1.Service) (HoldingKind, string, string) {
	var (
		name, short = world.Name(s), corev1.IPFamily("")
		families    = world.Families(s)
	)
	for _, family := range families {
		switch free := b.freeOf(family); {
		case free == 0 && (len(families) == 1 || s.Spec.IPFamilyPolicy == nil || *s.Spec.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack):
			return HoldingPending, ruleHoldingNone, fmt.Sprintf("no %s address of the pool is free for %s", family, name)
		case free < b.wanting[family]:
			short = family
		}
	}
	for _, addr := range b.free {
		if short == "" && b.asking[addr] > 0 && slices.Contains(families, world.FamilyOf(addr)) && b.freeOf(world.FamilyOf(addr)) <= b.wanting[world.FamilyOf(addr)] {
			short = world.FamilyOf(addr)
		}
	}
	if short != "" {
		return HoldingOpen, ruleHoldingFree, fmt.Sprintf("fewer %s addresses of the pool are free than Services want one, %s among them", short, name)
	}
	return HoldingGiven, ruleHoldingFree, fmt.Sprintf("the pool has addresses that are free for %s", name)
}

// heldBy are the load-balancer addresses that a Service has; none of nil.
func heldBy(s *corev1.Service) []netip.Addr {
	if s == nil {
		return nil
	}
	return world.BalancerAddrs(s)
}

func sameAddrs(a, b []netip.Addr) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x netip.Addr) bool { return !slices.Contains(b, x) })
}

func texts(list []netip.Addr) string {
	var words []string
	for _, addr := range list {
		words = append(words, addr.String())
	}
	return strings.Join(words, " and ")
}

// RulesOfHoldings are the rules of what becomes of a load balancer's addresses. They are those of MetalLB, with any controller of its.
func RulesOfHoldings() []Rule {
	return []Rule{
		{ruleHoldingKept, "A Service keeps its load-balancer address, whatever becomes of other Services, of the pool's free addresses, and of the controller.", sourceConverge},
		{ruleHoldingFree, "A Service of type LoadBalancer without an address gets one as soon as the pool has one that is free, also when another Service gives it up.", sourceReprocess},
		{ruleHoldingNone, "A Service of type LoadBalancer stays pending as long as the pool has no address that is free.", sourceConverge},
		{ruleHoldingAsked, "A Service that asks for an address gets that one as soon as it is free.", sourceReprocess},
		{ruleHoldingTaken, "A Service that asks for an address that another has, and does not share, stays pending.", sourceConverge},
		{ruleHoldingFreed, "A Service that is no load balancer any more gives its address up.", sourceConverge},
	}
}

// What MetalLB's controller of v0.15.2 does: convergeBalancer, and SetBalancer, which goes over all Services again when one has given its
// address up.
const (
	sourceConverge  = "https://github.com/metallb/metallb/blob/v0.15.2/controller/service.go"
	sourceReprocess = "https://github.com/metallb/metallb/blob/v0.15.2/controller/main.go"
)

// The identifiers of the rules.
const (
	ruleHoldingKept  = "holding-kept"
	ruleHoldingFree  = "holding-free"
	ruleHoldingNone  = "holding-none-free"
	ruleHoldingAsked = "holding-asked"
	ruleHoldingTaken = "holding-taken"
	ruleHoldingFreed = "holding-freed"
)
