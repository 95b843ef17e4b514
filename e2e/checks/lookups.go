package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// lookupArgs are those of the check dns.
type lookupArgs struct {
	// From is a vantage's name, or "pod/NAME" for a pod of the scenario's own.
	From    string       `json:"from"`
	Lookups []lookupWant `json:"lookups"`
}

// lookupWant is one query and its complete answer, in any order. A placeholder for all addresses, such as
// {clusterIPs:SERVICE}, stands for those that a record of the type can hold: IPv4 for A, IPv6 for AAAA; there may be none.
// In the name it makes one query for each address. An SRV record is "PRIORITY PORT TARGET", without the weight, because
// CoreDNS divides 100 among the targets. An empty Want: there is no such record. Want NXDOMAIN: the name does not exist; NODATA: it
// exists, but has no such record. A program that gets NXDOMAIN for AAAA may give up although there is an A record.
type lookupWant struct {
	Name   string       `json:"name"`
	Record probe.Record `json:"record"`
	Want   []string     `json:"want"`
}

// follows is how long the DNS and kube-proxy may take to follow the objects. They watch the objects, and report to no one
// when they are done.
const follows = 10 * time.Second

// reprobe is the time between two rounds of probes. The check waits for kernels and DNS caches, where nothing can be
// watched.
const reprobe = 200 * time.Millisecond

// lookUp repeats the queries until every answer is as wanted or follows has passed, then sends all once more and judges
// those answers. It sends each query to the vantage's own servers, over UDP and over TCP, and to each pod of the cluster's
// DNS: behind one address a client reaches any of them, so one wrong pod would often stay unseen.
func lookUp(ctx context.Context, env Env, args lookupArgs) ([]string, error) {
	resolver, ok := env.Prober.(Resolver)
	if !ok {
		return nil, errors.New("this prober cannot send DNS queries")
	}
	lookups, wants, err := args.prepare(env.site(), env.Timeouts.Answered)
	if err != nil {
		return nil, err
	}
	pods, err := dnsPods(ctx, env)
	if err != nil {
		return nil, err
	}
	lookups, wants = multiplied(lookups, wants, pods)
	for bound := time.Now().Add(follows); time.Now().Before(bound); {
		found, err := resolver.Resolve(ctx, lookups)
		if err != nil {
			return nil, err
		}
		if _, err := judgeLookups(found, wants); err == nil || wait.Sleep(ctx, reprobe) != nil {
			break
		}
	}
	found, err := resolver.Resolve(ctx, lookups)
	if err != nil {
		return nil, err
	}
	return judgeLookups(found, wants)
}

// multiplied returns the lookups, then the same over TCP, then the same to each server. It leaves a name out over TCP that no
// domain of the search path must have: its last query goes to a server outside the cluster, which may not answer over TCP.
func multiplied(lookups []probe.Lookup, wants [][]string, servers []netip.AddrPort) ([]probe.Lookup, [][]string) {
	queries, all := slices.Clone(lookups), slices.Clone(wants)
	for i, l := range lookups {
		if len(wants[i]) == 0 && !strings.HasSuffix(l.Name, ".") {
			continue
		}
		l.TCP = true
		queries, all = append(queries, l), append(all, wants[i])
	}
	for _, server := range servers {
		for _, l := range lookups {
			l.Server = server
			queries = append(queries, l)
		}
		all = append(all, wants...)
	}
	return queries, all
}

// dnsPods returns the addresses at which the ready pods of the cluster's DNS answer over UDP; none without such a Service.
func dnsPods(ctx context.Context, env Env) ([]netip.AddrPort, error) {
	service, found := env.World.DNSService()
	if !found {
		return nil, nil
	}
	list, err := env.Client.DiscoveryV1().EndpointSlices(service.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service.Name})
	if err != nil {
		return nil, fmt.Errorf("list the endpoints of the cluster's DNS: %w", err)
	}
	var pods []netip.AddrPort
	for _, port := range service.Spec.Ports {
		if port.Protocol != corev1.ProtocolUDP {
			continue
		}
		for _, e := range world.Endpoints(list.Items, port.Name, port.Protocol) {
			if e.Ready {
				pods = append(pods, netip.AddrPortFrom(e.Addr, e.Port))
			}
		}
	}
	return pods, nil
}

// prepare fills in the placeholders and returns the queries with their wanted answers.
func (a lookupArgs) prepare(where table.Site, timeout time.Duration) (lookups []probe.Lookup, wants [][]string, err error) {
	from, found := where.Client(a.From)
	if !found {
		return nil, nil, fmt.Errorf("there is no vantage %q", a.From)
	}
	if len(a.Lookups) == 0 {
		return nil, nil, errors.New("there are no lookups")
	}
	for _, l := range a.Lookups {
		names, err := where.FillEach(l.Name, held(l.Record))
		if err != nil {
			return nil, nil, err
		}
		want, err := wanted(where, l)
		if err != nil {
			return nil, nil, err
		}
		for _, name := range names {
			lookups = append(lookups, probe.Lookup{Vantage: from, Name: name, Record: l.Record, Timeout: timeout})
			wants = append(wants, want)
		}
	}
	return lookups, wants, nil
}

// wanted returns the sorted answers with the placeholders filled in.
func wanted(s table.Site, l lookupWant) ([]string, error) {
	var want []string
	for _, text := range l.Want {
		each, err := s.FillEach(text, held(l.Record))
		if err != nil {
			return nil, err
		}
		want = append(want, each...)
	}
	slices.Sort(want)
	return want, nil
}

// held returns which addresses a record of a type can hold; nil: any.
func held(record probe.Record) func(netip.Addr) bool {
	switch record {
	case probe.A:
		return netip.Addr.Is4
	case probe.AAAA:
		return netip.Addr.Is6
	default:
		return nil
	}
}

// judgeLookups compares the answers with what is wanted. No reply and an error of the DNS are wrong too.
func judgeLookups(found []probe.Found, wants [][]string) (lines []string, err error) {
	var (
		wrong  []string
		unsent error // a wrong answer that was observed goes before it
	)
	for i, f := range found {
		question := fmt.Sprintf("%s %s from %s%s", cmp.Or(string(f.Record), "A and AAAA"), f.Name, f.Vantage.Name, way(f.Lookup))
		got := answers(f)
		if way(f.Lookup) == "" { // the other ways give the same answer, or are listed as wrong
			lines = append(lines, question+": "+orNoRecord(got))
		}
		switch o := f.Observation; {
		case o.Outcome == reach.ProbeFailed || o.Outcome == reach.Unprobed:
			unsent = fmt.Errorf("the query %s could not be sent: %s", question, o.Detail)
		case o.Outcome != reach.Reached && o.Outcome != reach.NoSuchHost:
			wrong = append(wrong, fmt.Sprintf("%s: %s (%s)", question, o.Outcome, o.Detail))
		case o.Outcome == reach.NoSuchHost && slices.Equal(wants[i], []string{code(f)}):
		case !slices.Equal(got, wants[i]):
			wrong = append(wrong, fmt.Sprintf("%s: got %s, want %s; repeat it with: %s", question, orText(got, "no such record ("+code(f)+")"), orNoRecord(wants[i]), f.Repeat))
		}
	}
	if len(wrong) > 0 {
		return lines, reach.Failf("%s", strings.Join(wrong, "; "))
	}
	return lines, unsent
}

// way says how a lookup was sent; empty for the way in which every program sends it.
func way(l probe.Lookup) string {
	switch {
	case l.Server.IsValid():
		return ", to " + l.Server.Addr().String()
	case l.TCP:
		return ", over TCP"
	default:
		return ""
	}
}

// answers returns a lookup's sorted answers in the form of lookupWant.
func answers(f probe.Found) []string {
	texts := slices.Clone(f.Names)
	switch f.Record {
	case probe.TXT:
		texts = append(texts, f.Texts...)
	case probe.CNAME:
		texts = append(texts, f.Chain...)
	case probe.SRV:
		for _, s := range f.Services {
			texts = append(texts, fmt.Sprintf("%d %d %s", s.Priority, s.Port, s.Target))
		}
	default:
		for _, addr := range f.Observation.Addresses {
			texts = append(texts, addr.String())
		}
	}
	slices.Sort(texts)
	return texts
}

// code is the answer's that has no record, as lookupWant has it.
func code(f probe.Found) string {
	if f.NoData {
		return "NODATA"
	}
	return "NXDOMAIN"
}

func orNoRecord(texts []string) string { return orText(texts, "no such record") }
