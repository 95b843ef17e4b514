package fuzz

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// The kinds of operation on the addresses of the load balancer. All histories share its pool.
const (
	// poolExhausted: other Services take all free addresses, a Service wants one and stays pending, the controller is restarted
	// meanwhile, and the Service gets the address that is given up first.
	poolExhausted = "pool-exhausted"
	// addressMoved: a Service gives its address up, and another one, which asks for it, gets it. The value is the other one's name, and
	// whether it asks before or after the first one is deleted, or before that is no load balancer any more.
	addressMoved = "address-moved"
	asksBefore   = "asks-before"
	asksAfter    = "asks-after"
	asksRetyped  = "asks-before-type"
)

// mostAddresses is how many Services of a history may have an address of the pool: it has 20, and up to MaxSide histories share it.
const mostAddresses = 2

// mostNodePorts is how many ports a Service may have that becomes of type LoadBalancer: each gets a node port, and there are few.
const mostNodePorts = 20

// heldWithin is how long the controller may take to follow a change of the objects, on a busy machine; heldFor is how long what must not
// change is observed.
const heldWithin, heldFor = 45 * time.Second, 3 * time.Second

// balanceKinds are the kinds of operation on the addresses of the load balancer, by name.
func balanceKinds() map[string]kind {
	return map[string]kind{
		poolExhausted: {weight: 2, exclusive: true, pool: true, choose: func(g generator, s State) (Operation, bool) {
			if !g.scene.LoadBalancer {
				return Operation{}, false
			}
			return anyService(func(_ generator, s State, c Case) bool { return len(wantsAddress(s, c.Name())) > 0 })(g, s)
		}, do: func(o Operation, s State) []State { return wantsAddress(s, o.Service) }},
		addressMoved: {weight: 3, exclusive: true, pool: true, choose: func(g generator, s State) (Operation, bool) {
			if !g.scene.LoadBalancer {
				return Operation{}, false
			}
			return g.someService(s, func(c Case) []string {
				var values []string
				for _, other := range s.Cases {
					for _, when := range []string{asksBefore, asksAfter, asksRetyped} {
						if value := other.Name() + " " + when; len(passesAddress(s, c.Name(), value)) > 0 {
							values = append(values, value)
						}
					}
				}
				return values
			})
		}, do: func(o Operation, s State) []State { return passesAddress(s, o.Service, o.Value) }},
	}
}

// mayBalance reports whether a Service can have one address of the pool, and which family it has. MetalLB may give a Service that
// prefers two families one address of one of them.
func mayBalance(c Case) (family corev1.IPFamily, ok bool) {
	spec := &c.Service.Spec
	if spec.Type == corev1.ServiceTypeExternalName || spec.ClusterIP == corev1.ClusterIPNone || spec.IPFamilyPolicy != nil && *spec.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack ||
		len(spec.Ports) > mostNodePorts {
		return "", false
	}
	if len(spec.IPFamilies) > 0 {
		family = spec.IPFamilies[0]
	}
	return family, true
}

// wantsAddress are the states that lead to a Service which wants an address of the pool: it is created again, or becomes of type
// LoadBalancer.
func wantsAddress(s State, name string) []State {
	i := s.find(name)
	if i < 0 {
		return nil
	}
	if _, ok := mayBalance(s.Cases[i]); !ok {
		return nil
	}
	if s.Cases[i].Service.Spec.Type == corev1.ServiceTypeLoadBalancer {
		return []State{s.without(name), s.clone()}
	}
	have := 0
	for _, c := range s.Cases {
		have += count2(c.Service.Spec.Type == corev1.ServiceTypeLoadBalancer)
	}
	if have >= mostAddresses {
		return nil
	}
	return []State{s.typed(name, corev1.ServiceTypeLoadBalancer)}
}

// passesAddress are the states that lead from one Service with an address of the pool to another one with the same address.
func passesAddress(s State, from, value string) []State {
	to, when, _ := strings.Cut(value, " ")
	i, k := s.find(from), s.find(to)
	if i < 0 || k < 0 || i == k || s.Cases[i].Service.Spec.Type != corev1.ServiceTypeLoadBalancer || s.Cases[k].Service.Spec.Type == corev1.ServiceTypeLoadBalancer {
		return nil
	}
	one, ok := mayBalance(s.Cases[i])
	other, too := mayBalance(s.Cases[k])
	if !ok || !too || one != other {
		return nil
	}
	end := s.typed(to, corev1.ServiceTypeLoadBalancer).typed(from, corev1.ServiceTypeClusterIP)
	switch asking := s.typed(to, corev1.ServiceTypeLoadBalancer); when {
	case asksBefore:
		return []State{asking, asking.without(from), end}
	case asksRetyped:
		return []State{asking, end}
	default:
		return []State{s.without(from), asking.without(from), end}
	}
}

// without is the state without a Service, and typed the one in which it is of another type.
func (s State) without(name string) State {
	s = s.clone()
	s.Cases = slices.DeleteFunc(s.Cases, func(c Case) bool { return c.Name() == name })
	return s
}

func (s State) typed(name string, t corev1.ServiceType) State {
	s = s.clone()
	retype(&s.Cases[s.find(name)].Service.Spec, t)
	return s
}

// addresses is what operations on the load balancer's addresses need of the cluster.
type addresses interface {
	// pool are the addresses that there are, services the Services of the complete cluster.
	pool(ctx context.Context) ([]netip.Addr, error)
	services(ctx context.Context) ([]corev1.Service, error)
	// fill creates a Service in the sandbox that wants an address of a family, and drain deletes it.
	fill(ctx context.Context, name string, family corev1.IPFamily) error
	drain(ctx context.Context, name string) error
	// ask has a Service of the sandbox ask for an address, or for none.
	ask(ctx context.Context, service, addr string) error
	// restart restarts the controller, and returns when the next one is ready.
	restart(ctx context.Context) error
}

// unheld is a Service that did not have the address that it must have.
type unheld struct {
	oracle.Holding
	why string
}

// balancing is an operation on the addresses of the load balancer under way.
type balancing struct {
	*session
	moment  *moment
	move    func(ctx context.Context, to State) error
	fillers []string
	pool    []netip.Addr
}

// balance does an operation on the addresses of the load balancer. What it finds is in the moment.
func (s *session) balance(ctx context.Context, o Operation, h History, through []State, m *moment, move func(ctx context.Context, to State) error) (err error) {
	b := &balancing{session: s, moment: m, move: move}
	if b.pool, err = s.addresses.pool(ctx); err != nil {
		return err
	}
	defer func() {
		restoring, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreWithin)
		defer cancel()
		for _, name := range b.fillers {
			err = errors.Join(err, s.addresses.drain(restoring, name))
		}
	}()
	if o.Kind == addressMoved {
		return b.moved(ctx, o, through)
	}
	return b.exhausted(ctx, o, h, through)
}

// exhausted does poolExhausted.
func (b *balancing) exhausted(ctx context.Context, o Operation, h History, through []State) error {
	last := len(through) - 1
	for _, to := range through[:last] { // it gives its address up
		if err := b.step(ctx, o.Service+" is deleted", func(ctx context.Context) error { return b.move(ctx, to) }); err != nil {
			return err
		}
	}
	if err := b.step(ctx, "others take what is free", b.fillAll); err != nil {
		return err
	}
	if err := b.step(ctx, o.Service+" wants an address", func(ctx context.Context) error { return b.move(ctx, through[last]) }); err != nil {
		return err
	}
	if err := b.pending(ctx, o, h); err != nil {
		return err
	}
	if err := b.step(ctx, "the controller is restarted", b.restart); err != nil {
		return err
	}
	all, err := b.addresses.services(ctx)
	if err != nil {
		return err
	}
	service := named(all, b.sandboxName+"/"+o.Service)
	if service == nil {
		return fmt.Errorf("the Service %s is not there", o.Service)
	}
	for _, family := range world.Families(service) {
		i := slices.IndexFunc(b.fillers, func(name string) bool { return name == b.filler(family, 0) })
		if i < 0 {
			return fmt.Errorf("no Service took an address of %s that can be given up", family)
		}
		name := b.fillers[i]
		b.fillers = slices.Delete(b.fillers, i, i+1)
		if err := b.step(ctx, name+" is deleted", func(ctx context.Context) error {
			b.moment.commands = append(b.moment.commands, "kubectl -n "+b.sandboxName+" delete service "+name)
			return b.addresses.drain(ctx, name)
		}); err != nil {
			return err
		}
	}
	return nil
}

// filler is the name of the n-th Service that takes an address of a family.
func (b *balancing) filler(family corev1.IPFamily, n int) string {
	return fmt.Sprintf("filler-%s-%02d", strings.ToLower(string(family)), n)
}

// fillAll creates as many Services as there are free addresses.
func (b *balancing) fillAll(ctx context.Context) error {
	all, err := b.addresses.services(ctx)
	if err != nil {
		return err
	}
	held := map[netip.Addr]bool{}
	for i := range all {
		for _, addr := range world.BalancerAddrs(&all[i]) {
			held[addr] = true
		}
	}
	numbers := map[corev1.IPFamily]int{}
	type filler struct {
		name   string
		family corev1.IPFamily
	}
	var list []filler
	for _, addr := range b.pool {
		if family := world.FamilyOf(addr); !held[addr] && slices.Contains(b.scene.Families, family) {
			list = append(list, filler{b.filler(family, numbers[family]), family})
			numbers[family]++
		}
	}
	for _, f := range list {
		b.fillers = append(b.fillers, f.name)
	}
	b.moment.commands = append(b.moment.commands, fmt.Sprintf("# create %d Services of type LoadBalancer, with allocateLoadBalancerNodePorts: false: as many as the pool has free addresses", len(list)))
	return each(len(list), func(i int) error { return b.addresses.fill(ctx, list[i].name, list[i].family) })
}

func (b *balancing) restart(ctx context.Context) error {
	b.moment.commands = append(b.moment.commands, "kubectl -n metallb-system delete pod -l component=controller")
	return b.addresses.restart(ctx)
}

// pendingCells is how many cells of a Service are probed while it is pending.
const pendingCells = 12

// pending probes a Service that has no address: its ClusterIP and its node ports do not depend on one.
func (b *balancing) pending(ctx context.Context, o Operation, h History) error {
	w, err := b.sandbox.snapshot(ctx)
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(h.Seed, 1<<21))
	list := sample(r, pairs(w, b.vantages, b.sandboxName+"/"+o.Service), pendingCells)
	if len(list) == 0 {
		return nil
	}
	seen, err := b.observer.observe(ctx, list, b.Convergence)
	if err != nil {
		return err
	}
	bad := troubled(seen.cells)
	b.line("%d cells of %s probed while it is pending, %d not as predicted", len(list), o.Service, len(bad))
	for _, c := range seen.cells {
		b.count(func(out *Outcome) { out.Rules[c.Oracle.Rule]++ })
		if c.Result == reach.Fail {
			b.moment.cells = append(b.moment.cells, c)
		}
	}
	if len(bad) > 0 {
		b.moment.verdict.Tables = append(b.moment.verdict.Tables, bad...)
		b.moment.verdict.Result = reach.Worse(b.moment.verdict.Result, tableOf("", seen.cells).Result())
		b.moment.verdict.Why = cmp.Or(b.moment.verdict.Why, firstOf(seen.cells))
	}
	b.count(func(out *Outcome) { out.Probed += len(list) })
	return nil
}

// moved does addressMoved.
func (b *balancing) moved(ctx context.Context, o Operation, through []State) error {
	to, when, _ := strings.Cut(o.Value, " ")
	all, err := b.addresses.services(ctx)
	if err != nil {
		return err
	}
	service := named(all, b.sandboxName+"/"+o.Service)
	if service == nil || len(world.BalancerAddrs(service)) != 1 {
		return fmt.Errorf("the Service %s has no address that it can give up", o.Service)
	}
	addr := world.BalancerAddrs(service)[0].String()
	ask := func(addr string) func(context.Context) error {
		return func(ctx context.Context) error {
			b.moment.commands = append(b.moment.commands, fmt.Sprintf("kubectl -n %s annotate service %s --overwrite %s=%s", b.sandboxName, to, world.AskAnnotation, addr))
			return b.addresses.ask(ctx, to, addr)
		}
	}
	if err := ask(addr)(ctx); err != nil { // of a Service of another type it means nothing
		return err
	}
	again := o.Service + " is there again, without an address"
	words := map[string][]string{
		asksBefore:  {to + " asks for " + addr, o.Service + " is deleted", again},
		asksRetyped: {to + " asks for " + addr, o.Service + " is no load balancer any more"},
		asksAfter:   {o.Service + " is deleted", to + " asks for " + addr, again},
	}[when]
	for k, state := range through {
		if err := b.step(ctx, words[k], func(ctx context.Context) error { return b.move(ctx, state) }); err != nil {
			return err
		}
		if when != asksAfter && k == 0 {
			if err := b.step(ctx, "the controller is restarted", b.restart); err != nil {
				return err
			}
		}
	}
	return b.step(ctx, to+" asks for nothing any more", func(ctx context.Context) error {
		b.moment.commands = append(b.moment.commands, fmt.Sprintf("kubectl -n %s annotate service %s %s-", b.sandboxName, to, world.AskAnnotation))
		return b.addresses.ask(ctx, to, "")
	})
}

func (b *balancing) line(format string, args ...any) {
	b.moment.verdict.Lines = append(b.moment.verdict.Lines, fmt.Sprintf(format, args...))
}

// step does something, and compares who has which address then with what the oracle says. That something is not so is no error.
func (b *balancing) step(ctx context.Context, what string, do func(context.Context) error) error {
	before, err := b.addresses.services(ctx)
	if err != nil {
		return err
	}
	if err := do(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	after, err := b.addresses.services(ctx)
	if err != nil {
		return err
	}
	holdings := oracle.Holdings(b.facts, b.pool, asBefore(before, after))
	began := time.Now()
	bad, err := b.untilHeld(ctx, holdings)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	took := time.Since(began)
	kinds := map[oracle.HoldingKind]int{}
	for _, h := range holdings {
		kinds[h.Kind]++
		b.count(func(out *Outcome) { out.Rules[h.Rule]++ })
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		parts = append(parts, fmt.Sprintf("%d %s", kinds[kind], kind))
	}
	b.line("%s: of the Services %s; after %s", what, cmp.Or(strings.Join(parts, ", "), "none has or wants an address"), round(took))
	for _, u := range bad {
		u.why = fmt.Sprintf("%s after this, %s, %s; it %s, because %s", round(took), what, u.why, u.Kind, u.Reason)
		b.moment.unheld = append(b.moment.unheld, u)
		b.moment.verdict.Result = reach.Fail
		b.moment.verdict.Lines = append(b.moment.verdict.Lines, u.why)
		b.moment.verdict.Why = cmp.Or(b.moment.verdict.Why, u.why)
	}
	return nil
}

// asBefore are Services with the addresses that they had before: what the controller saw when it began to follow.
func asBefore(before, after []corev1.Service) []corev1.Service {
	had := map[types.UID]corev1.ServiceStatus{}
	for _, s := range before {
		had[s.UID] = s.Status
	}
	list := slices.Clone(after)
	for i := range list {
		list[i].Status = had[list[i].UID]
	}
	return list
}

// named is the Service with a "namespace/name"; nil if it is not there.
func named(all []corev1.Service, full string) *corev1.Service {
	at := slices.IndexFunc(all, func(s corev1.Service) bool { return world.Name(&s) == full })
	if at < 0 {
		return nil
	}
	return &all[at]
}

// untilHeld waits until each Service has what it is to have, and still has it after a while, and returns those that do not.
func (b *balancing) untilHeld(ctx context.Context, holdings []oracle.Holding) (bad []unheld, err error) {
	ended := wait.For(ctx, "each Service to have the load-balancer address that it must have", wait.Retry(func(ctx context.Context) (bool, string, error) {
		now, err := b.unheld(ctx, holdings)
		if err != nil {
			return false, "", err
		}
		if bad = now; len(bad) > 0 {
			return false, bad[0].why, nil
		}
		return true, "", nil
	}), wait.Hold(b.heldFor), wait.Timeout(b.heldWithin+b.heldFor))
	if ended != nil && (ctx.Err() != nil || len(bad) == 0) {
		return nil, ended
	}
	return bad, nil
}

// unheld are the Services that do not have what they are to have.
func (b *balancing) unheld(ctx context.Context, holdings []oracle.Holding) (bad []unheld, err error) {
	all, err := b.addresses.services(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range holdings {
		is := named(all, h.Service)
		if h.Met(is) {
			continue
		}
		has := "no address"
		if is != nil && len(world.BalancerAddrs(is)) > 0 {
			has = fmt.Sprint(world.BalancerAddrs(is)[0])
		}
		bad = append(bad, unheld{Holding: h, why: fmt.Sprintf("%s has %s", h.Service, has)})
	}
	return bad, nil
}
