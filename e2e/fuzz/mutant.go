package fuzz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/mutants"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// Mutant is a fault that only a history shows, and the history: what mutants.Mutant has as History.
type Mutant struct {
	mutants.Mutant `json:"-"`
	// First is the number of the first operation, from 1 on, after which the fault is injected, and after each later one; 0: before the first,
	// and once. Lasts is how long it lasts then; 0: until the history ends.
	First int             `json:"first,omitempty"`
	Lasts metav1.Duration `json:"lasts,omitempty"`
	// Breaks are rules of the oracle over time: with the fault, the record of some flow must break each of them. Also are those that may
	// be broken too.
	Breaks []string `json:"breaks"`
	Also   []string `json:"also,omitempty"`
	// Mode is the only proxy mode in which it can be injected; empty: any.
	Mode string `json:"mode,omitempty"`
	// Pods are the endpoints that the selector of the first Service finds at first. In their place Slices are those of slices that are written by
	// hand. Service has what differs in its spec.
	Pods    []string        `json:"pods,omitempty"`
	Slices  []string        `json:"slices,omitempty"`
	Service json.RawMessage `json:"service,omitempty"`
	// From and To are where the flows that an operation must not break off come from and go to; see History.
	From reach.VantageKind `json:"from,omitempty"`
	To   reach.TargetKind  `json:"to,omitempty"`
	// Operations are done in this order.
	Operations []Operation `json:"operations"`
}

// MutantsOf are those of the list that only a history shows, read strictly.
func MutantsOf(list []mutants.Mutant) (over []Mutant, err error) {
	for _, m := range list {
		if m.History == nil {
			continue
		}
		own := Mutant{Mutant: m}
		if err := yaml.UnmarshalStrict(m.History, &own); err != nil {
			return nil, fmt.Errorf("mutant %s: history: %w", m.Name, err)
		}
		over = append(over, own)
	}
	return over, nil
}

// plain is a Service with a port for each protocol, whose selector finds all backends that are not apart.
func (g generator) plain(i int) Case {
	c := Case{Service: corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: g.scene.Namespace, Name: serviceName(i)}}}
	c.Service.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Selector: map[string]string{appLabel: appName}, Ports: []corev1.ServicePort{
		{Name: "p0", Protocol: corev1.ProtocolTCP, Port: 80, TargetPort: intstr.FromString("web")},
		{Name: "p1", Protocol: corev1.ProtocolUDP, Port: 53, TargetPort: intstr.FromString("gram")}}}
	return c
}

// manualPorts are those of the slices of a Service with plain's ports.
func manualPorts() []discoveryv1.EndpointPort {
	return []discoveryv1.EndpointPort{{Name: ptr("p0"), Port: ptr(tcpMain), Protocol: ptr(corev1.ProtocolTCP)}, {Name: ptr("p1"), Port: ptr(udpMain), Protocol: ptr(corev1.ProtocolUDP)}}
}

// mutantSeed decides the backends of the mutants' histories, and from where flows come.
const mutantSeed = 2027

// history is what a mutant is noticed by, over the given pods.
func (m Mutant) history(scene Scene, pods []corev1.Pod) (History, error) {
	g := generator{scene: scene, pods: pods}
	h := History{Name: m.Name, Flows: true, Seed: mutantSeed, From: m.From, To: m.To, Operations: m.Operations, Start: State{Pods: map[string]PodState{}}}
	first := g.plain(0)
	if len(m.Service) > 0 {
		if err := yaml.UnmarshalStrict(m.Service, &first.Service.Spec); err != nil {
			return h, fmt.Errorf("mutant %s: service: %w", m.Name, err)
		}
	}
	other := g.plain(1)
	other.Service.Spec.Ports = other.Service.Spec.Ports[:1]
	if len(m.Slices) > 0 {
		first.Service.Spec.Selector = nil
		first.Manual = &Manual{Room: scene.Room, Ports: manualPorts()}
	}
	for _, name := range m.Slices {
		first.Manual.Endpoints = append(first.Manual.Endpoints, ManualEndpoint{Pod: name, Referred: true, Placed: true})
	}
	h.Start.Cases = []Case{first, other}
	for i := range pods {
		if name := pods[i].Name; !slices.Contains(m.Pods, name) && !slices.Contains(m.Slices, name) {
			h.Start.Pods[name] = PodState{Apart: true}
		}
	}
	return h, nil
}

// Notice plays the history of each mutant with its fault and then without, on a cluster, and calls found with what came of it. The error says
// why the cluster could not be used.
func Notice(ctx context.Context, c Cluster, prober Prober, settings Settings, list []mutants.Mutant, found func(mutants.Finding)) error {
	over, err := MutantsOf(list)
	if err != nil {
		return err
	}
	settings.Histories, settings.Seed = 1, mutantSeed
	shared, err := prepare(ctx, c, prober, settings)
	if err != nil {
		return err
	}
	shared.outcome = &Outcome{Settings: settings, Rules: map[string]int{}}
	return shared.within(ctx, "svclab-fuzz-mutants", func(s *session, ctx context.Context) error {
		for _, m := range over {
			began := time.Now()
			f := s.notice(ctx, m)
			if f.Took = time.Since(began); ctx.Err() != nil {
				return fmt.Errorf("play mutant %s: %w", m.Name, context.Cause(ctx))
			}
			found(f)
		}
		return nil
	})
}

// notice plays one mutant.
func (s *session) notice(ctx context.Context, m Mutant) mutants.Finding {
	f := mutants.Finding{Mutant: m.Mutant, Fate: mutants.Noticed}
	if m.Mode != "" && m.Mode != s.facts.ProxyMode {
		f.Fate, f.Why = mutants.Skipped, fmt.Sprintf("it needs kube-proxy in mode %s", m.Mode)
		return f
	}
	h, err := m.history(s.scene, s.plan.Pods)
	var with played
	if err == nil {
		own := *s // it would be waited in vain for traffic that is wrong
		own.Inject, own.Convergence, own.observer.engine.Timeouts.Answered, own.observer.engine.Programmed = &m, trialConvergence, 3*time.Second, s.programmed(trialConvergence)
		with, err = own.play(ctx, h)
	}
	if err != nil {
		f.Fate, f.Why = mutants.NotRun, err.Error()
		return f
	}
	f.Told.By, f.Told.More, f.Why = m.read(with)
	switch {
	case f.Told.By == "":
		f.Fate = mutants.Survived
	case f.Why != "":
		f.Fate = mutants.Elsewhere
	}
	without, err := s.play(ctx, h)
	lasting := ""
	if err != nil {
		lasting = err.Error()
	}
	for _, moment := range without.moments {
		if lasting == "" && moment.verdict.Result != reach.Pass {
			lasting = fmt.Sprintf("%s: %s", moment.operation, moment.verdict.Why)
		}
	}
	if f.Fate == mutants.Noticed && lasting != "" {
		f.Fate, f.Why = mutants.NotRecovered, lasting
	}
	return f
}

// read says by what a mutant was noticed in a history that was played with its fault.
func (m Mutant) read(p played) (by string, more int, wrong string) {
	broken := map[string]bool{}
	var problems []string
	for _, f := range p.flows {
		switch rule := f.Fate.Rule; {
		case f.Result != reach.Fail:
			continue
		case slices.Contains(m.Breaks, rule):
			if broken[rule] = true; by == "" {
				by = fmt.Sprintf("%s: %s: %s", rule, f.Flow.Name(), f.Difference)
			} else {
				more++
			}
		case !slices.Contains(m.Also, rule) && !broken[rule]:
			broken[rule] = true
			problems = append(problems, fmt.Sprintf("rule %s is broken too: %s: %s", rule, f.Flow.Name(), f.Why))
		}
	}
	for _, rule := range m.Breaks {
		if !broken[rule] {
			problems = append(problems, "no flow breaks rule "+rule)
		}
	}
	return by, more, strings.Join(problems, "; ")
}

// affliction is the fault of a history under way. One that is nil does nothing.
type affliction struct {
	*Mutant
	lab   mutants.Lab
	scene mutants.Scene
	done  int // operations
}

// afflict begins a fault, after the start of a history. revert, which is never nil, ends it.
func (s *session) afflict(ctx context.Context, start *oracle.Oracle) (a *affliction, revert func(context.Context) error, err error) {
	if s.Inject == nil {
		return nil, func(context.Context) error { return nil }, nil
	}
	a = &affliction{Mutant: s.Inject, lab: s.cluster}
	revert = func(ctx context.Context) error { return a.Fault.Revert(ctx, a.lab) }
	if a.scene, err = sceneOf(start.World(), s.facts, s.sandboxName); err == nil && a.First == 0 {
		err = a.Fault.Inject(ctx, a.lab, a.scene)
	}
	return a, revert, err
}

// operated is called after each operation.
func (a *affliction) operated(ctx context.Context) error {
	if a == nil {
		return nil
	}
	if a.done++; a.First == 0 || a.done < a.First {
		return nil
	}
	if err := a.Fault.Inject(ctx, a.lab, a.scene); err != nil || a.Lasts.Duration == 0 {
		return err
	}
	return then(wait.Sleep(ctx, a.Lasts.Duration), func() error { return a.Fault.Revert(ctx, a.lab) })
}

// sceneOf is what a fault's templates may name.
func sceneOf(w world.World, facts world.Facts, namespace string) (scene mutants.Scene, err error) {
	service, there := w.Service(namespace + "/" + serviceName(0))
	if !there || len(world.ClusterIPs(&service)) == 0 {
		return scene, errors.New("inject a fault: the history has no first Service with a ClusterIP")
	}
	addr := world.ClusterIPs(&service)[0]
	scene = mutants.Scene{Namespace: namespace, Service: service, VIP: addr, Family: map[bool]string{true: "ip", false: "ip6"}[addr.Is4()], Nodes: map[string]mutants.Node{}}
	for slot, name := range facts.Slots {
		scene.Nodes[slot] = mutants.Node{Name: name}
	}
	for _, lb := range world.BalancerAddrs(&service) {
		scene.LoadBalancer = lb
	}
	for i := range w.Services {
		if s := &w.Services[i]; world.Name(s) != world.Name(&service) && len(world.ClusterIPs(s)) > 0 {
			scene.Other = world.ClusterIPs(s)[0]
		}
	}
	own := map[netip.Addr]bool{}
	for _, p := range service.Spec.Ports {
		for _, e := range world.Endpoints(w.SlicesOf(world.Name(&service), world.FamilyOf(addr)), p.Name, p.Protocol) {
			at := netip.AddrPortFrom(e.Addr, e.Port)
			if own[e.Addr] = true; p.Protocol == corev1.ProtocolUDP {
				scene.UDP = at
			} else {
				scene.TCP = at
			}
		}
	}
	for i := range w.Pods {
		for _, at := range world.PodAddrs(&w.Pods[i]) {
			serves := slices.ContainsFunc(w.Pods[i].Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.ContainerPort == udpMain })
			if world.FamilyOf(at) == world.FamilyOf(addr) && !own[at] && serves {
				scene.Stranger = netip.AddrPortFrom(at, uint16(udpMain))
			}
		}
	}
	return scene, nil
}
