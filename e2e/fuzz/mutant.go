package fuzz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// MutantsFile has the mutants of histories, in the folder manifests.
const MutantsFile = "histories/mutants.yaml"

// Mutant is a fault that only a history shows, and the history.
type Mutant struct {
	// Name is unique; words joined by dashes. Effect says in a sentence what is wrong while the fault is injected.
	Name   string `json:"name"`
	Effect string `json:"effect"`
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
	Fault      Fault       `json:"fault"`
}

// Fault is what a history suffers behind the oracle's back. Its texts are templates (text/template) over a fault's scene.
type Fault struct {
	// NAT and Filter are a rule for each node's packet filter, of a chain that comes before kube-proxy's, for packets of pods, of the
	// node itself and from outside. Run is a shell command for each node.
	NAT    string `json:"nat,omitempty"`
	Filter string `json:"filter,omitempty"`
	Run    string `json:"run,omitempty"`
	// FreezeProxy stops kube-proxy on the last node, from the start on.
	FreezeProxy bool `json:"freezeProxy,omitempty"`
	// First is the number of the first operation, from 1 on, after which it is injected, and after each later one; 0: before the first, and
	// once. Lasts is how long it lasts then; 0: until the history ends.
	First int             `json:"first,omitempty"`
	Lasts metav1.Duration `json:"lasts,omitempty"`
}

// faultScene is what a fault's templates may name: the first Service's ClusterIP, load-balancer address and UDP node port, the address
// and port of one of its endpoints for TCP and for UDP, one for UDP of a pod that is no endpoint, and the ClusterIP of another Service.
type faultScene struct{ Family, VIP, LB, NodePort, TCP, UDP, Stranger, Other string }

// LoadMutants reads the mutants of histories, strictly. fsys is rooted at manifests.
func LoadMutants(fsys fs.FS) ([]Mutant, error) {
	data, err := fs.ReadFile(fsys, MutantsFile)
	if err != nil {
		return nil, fmt.Errorf("read the mutants of histories: %w", err)
	}
	var of struct {
		Mutants []Mutant `json:"mutants"`
	}
	if err := yaml.UnmarshalStrict(data, &of); err != nil {
		return nil, fmt.Errorf("read %s: %w", MutantsFile, err)
	}
	return of.Mutants, nil
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

// Noticed is what became of a mutant.
type Noticed struct {
	// By is the first flow that told, in a line, and More how many more did. Wrong says what is not as it must be; empty: it was noticed.
	By    string
	More  int
	Wrong string
	// Unplayed says why it could not be tried, Skipped why it was not. Lasting is what was wrong without the fault, afterwards.
	Unplayed, Skipped, Lasting string
	Took                       time.Duration
}

// Notice plays the history of each mutant with its fault and then without, on a cluster, and calls each with what came of it. The error says
// why the cluster could not be used.
func Notice(ctx context.Context, c Cluster, prober Prober, settings Settings, list []Mutant, each func(Mutant, Noticed)) error {
	settings.Histories, settings.Seed = 1, mutantSeed
	shared, err := prepare(ctx, c, prober, settings)
	if err != nil {
		return err
	}
	shared.outcome = &Outcome{Settings: settings, Rules: map[string]int{}}
	return shared.within(ctx, "svclab-fuzz-mutants", func(s *session, ctx context.Context) error {
		if err := (&affliction{session: s}).remove(ctx); err != nil { // what a killed run left
			return err
		}
		for _, m := range list {
			began := time.Now()
			n := s.notice(ctx, m)
			if n.Took = time.Since(began); ctx.Err() != nil {
				return fmt.Errorf("play mutant %s: %w", m.Name, context.Cause(ctx))
			}
			each(m, n)
		}
		return nil
	})
}

// notice plays one mutant.
func (s *session) notice(ctx context.Context, m Mutant) (n Noticed) {
	if m.Mode != "" && m.Mode != s.facts.ProxyMode {
		n.Skipped = fmt.Sprintf("it needs kube-proxy in mode %s", m.Mode)
		return n
	}
	h, err := m.history(s.scene, s.plan.Pods)
	if err != nil {
		n.Unplayed = err.Error()
		return n
	}
	own := *s // it would be waited in vain for traffic that is wrong
	own.Inject, own.Convergence, own.observer.engine.Timeouts.Answered, own.observer.engine.Programmed = &m, trialConvergence, 3*time.Second, s.programmed(trialConvergence)
	with, err := own.play(ctx, h)
	if err != nil {
		n.Unplayed = err.Error()
		return n
	}
	n.By, n.More, n.Wrong = m.read(with)
	without, err := s.play(ctx, h)
	if err != nil {
		n.Lasting = err.Error()
	}
	for _, moment := range without.moments {
		if n.Lasting == "" && moment.verdict.Result != reach.Pass {
			n.Lasting = fmt.Sprintf("%s: %s", moment.operation, moment.verdict.Why)
		}
	}
	return n
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
	Fault
	session *session
	scene   faultScene
	done    int // operations
}

// faultTable is the packet filter's table that faults have.
const faultTable = "svclab-fault"

// onNodes runs a shell command on every node.
func (s *session) onNodes(ctx context.Context, script string) (err error) {
	for _, v := range s.vantages {
		if v.Kind == reach.Node && v.Unusable == "" {
			err = errors.Join(err, s.onNode(ctx, v.Node, "sh", "-c", script))
		}
	}
	return err
}

// afflict begins a fault, after the start of a history. revert, which is never nil, ends it.
func (s *session) afflict(ctx context.Context, start *oracle.Oracle) (a *affliction, revert func(context.Context) error, err error) {
	if s.Inject == nil {
		return nil, func(context.Context) error { return nil }, nil
	}
	a = &affliction{Fault: s.Inject.Fault, session: s}
	last := s.scene.Nodes[len(s.scene.Nodes)-1]
	revert = func(ctx context.Context) error {
		err := a.remove(ctx)
		if a.FreezeProxy {
			err = errors.Join(err, s.cluster.ThawProxy(ctx, last))
		}
		return err
	}
	if a.scene, err = sceneOf(start.World(), s.sandboxName); err != nil {
		return a, revert, err
	}
	if a.FreezeProxy {
		return a, revert, s.cluster.FreezeProxy(ctx, last)
	}
	if a.First == 0 {
		err = a.inject(ctx)
	}
	return a, revert, err
}

// operated is called after each operation.
func (a *affliction) operated(ctx context.Context) error {
	if a == nil {
		return nil
	}
	if a.done++; a.First == 0 || a.done < a.First || a.FreezeProxy {
		return nil
	}
	return a.inject(ctx)
}

// inject injects the fault on every node.
func (a *affliction) inject(ctx context.Context) error {
	var script []string
	for kind, rule := range map[string]string{"nat": a.NAT, "filter": a.Filter} {
		if rule == "" {
			continue
		}
		text := fmt.Sprintf("table {{.Family}} %s; delete table {{.Family}} %[1]s; table {{.Family}} %[1]s {\n", faultTable)
		for _, hook := range []string{"prerouting", "output"} {
			text += fmt.Sprintf("chain %[1]s { type %[2]s hook %[1]s priority -160; %[3]s; }\n", hook, kind, rule)
		}
		script = append(script, "nft -f - <<'END' || exit 1\n"+text+"}\nEND")
	}
	if a.Run != "" {
		script = append(script, a.Run)
	}
	t, err := template.New("fault").Option("missingkey=error").Parse(strings.Join(script, "\n"))
	if err != nil {
		return fmt.Errorf("inject a fault: %w", err)
	}
	var text strings.Builder
	if err := t.Execute(&text, a.scene); err != nil {
		return fmt.Errorf("inject a fault: %w", err)
	}
	if err := a.session.onNodes(ctx, text.String()); err != nil || a.Lasts.Duration == 0 {
		return err
	}
	return then(wait.Sleep(ctx, a.Lasts.Duration), func() error { return a.remove(ctx) })
}

// remove removes the fault's rules from every node. Where there are none it changes nothing.
func (a *affliction) remove(ctx context.Context) error {
	return a.session.onNodes(ctx, "for family in ip ip6; do nft delete table $family "+faultTable+" 2>/dev/null; done; true")
}

// sceneOf is what a fault's templates may name.
func sceneOf(w world.World, namespace string) (scene faultScene, err error) {
	service, there := w.Service(namespace + "/" + serviceName(0))
	if !there || len(world.ClusterIPs(&service)) == 0 {
		return scene, errors.New("inject a fault: the history has no first Service with a ClusterIP")
	}
	addr := world.ClusterIPs(&service)[0]
	scene.VIP, scene.Family = addr.String(), map[bool]string{true: "ip", false: "ip6"}[addr.Is4()]
	for _, lb := range world.BalancerAddrs(&service) {
		scene.LB = lb.String()
	}
	for i := range w.Services {
		if s := &w.Services[i]; world.Name(s) != world.Name(&service) && len(world.ClusterIPs(s)) > 0 {
			scene.Other = world.ClusterIPs(s)[0].String()
		}
	}
	own := map[netip.Addr]bool{}
	for _, p := range service.Spec.Ports {
		if p.NodePort != 0 && p.Protocol == corev1.ProtocolUDP {
			scene.NodePort = fmt.Sprint(p.NodePort)
		}
		for _, e := range world.Endpoints(w.SlicesOf(world.Name(&service), world.FamilyOf(addr)), p.Name, p.Protocol) {
			at := netip.AddrPortFrom(e.Addr, e.Port).String()
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
				scene.Stranger = netip.AddrPortFrom(at, uint16(udpMain)).String()
			}
		}
	}
	return scene, nil
}
