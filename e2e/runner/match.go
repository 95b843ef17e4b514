package runner

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// site is where a table is looked at: the scenario's namespace in a snapshot, and all vantages.
type site struct {
	namespace string
	world     world.World
	vantages  []reach.Vantage
	// former are the ClusterIPs that Services of the namespace have or had, by name.
	former map[string][]netip.Addr
}

// matched is a cell and the one row of the expected table that is about it.
type matched struct {
	vantage reach.Vantage
	target  reach.Target
	row     int
}

// grid is a table's axes and its cells, row-major.
type grid struct {
	vantages []reach.Vantage
	targets  []reach.Target
	cells    []matched
}

// gaps are where a table and what is there do not meet.
type gaps struct {
	// services the table names and there are none of, targets that cannot be made out, cells that no row is about, and
	// rows that are about no cell.
	services, targets, cells, rows []string
	// opened are the names of the table's extra targets, undeclared by its word, that a Service does declare.
	opened []string
	// families are rows of a table for each family that are about some address of one IP family and none of another.
	families []string
}

// match lays out a table's cells and finds each one's row. A cell that no row is about, a cell that two are
// about, and a row that is about no cell are errors, all told at once: a table that does not say what is to
// be expected, or says it of nothing, is not a table. Rows about an IP family that the cluster does not have are left out.
func (s site) match(t scenario.Table) (grid, error) {
	g, missing, err := s.lay(t)
	errs := []error{err}
	for _, name := range missing.opened {
		missing.targets = append(missing.targets, fmt.Sprintf("extra target %s is asked anyway", name))
	}
	for _, lines := range [][]string{missing.services, missing.targets, missing.cells, missing.rows} {
		for _, line := range lines {
			errs = append(errs, errors.New(line))
		}
	}
	if len(missing.services) > 0 || len(missing.targets) > 0 {
		errs = errs[:1+len(missing.services)+len(missing.targets)] // the rest follows from these
	}
	if len(g.cells) == 0 {
		errs = append(errs, errors.New("the table has no cell"))
	}
	for _, line := range missing.families {
		errs = append(errs, failf("%s", line))
	}
	return g, errors.Join(errs...)
}

// lay lays out a table's cells and tells what it does not cover. The error is that rows contradict each other.
func (s site) lay(t scenario.Table) (grid, gaps, error) {
	g := grid{}
	for _, v := range s.askers(t) {
		if len(t.From) == 0 || scenario.MatchVantage(t.From, v) {
			g.vantages = append(g.vantages, v)
		}
	}
	var (
		missing gaps
		errs    []error
		uses    = make([]int, len(t.Rows))
		spoken  = map[use]bool{}
	)
	g.targets = s.targets(t, &missing)
	for _, v := range g.vantages {
		for _, target := range g.targets {
			if !world.Applicable(v, target) {
				continue
			}
			var rows []int
			wanted := target // as the table sees it
			wanted.Undeclared = target.Undeclared || slices.Contains(missing.opened, target.Name())
			for i, row := range t.Rows {
				if scenario.MatchVantage(row.From, v) && s.matches(row.To, v, wanted) {
					rows = append(rows, i)
					uses[i]++
					if family := familyOf(target); family != "" {
						spoken[use{row: i, kind: target.Kind, family: family}] = true
					}
				}
			}
			switch len(rows) {
			case 1:
				g.cells = append(g.cells, matched{vantage: v, target: target, row: rows[0]})
			case 0:
				missing.cells = append(missing.cells, fmt.Sprintf("no row says what to expect from %s to %s", v.Name, target.Name()))
			default:
				errs = append(errs, fmt.Errorf("rows %s all say what to expect from %s to %s", numbers(rows), v.Name, target.Name()))
			}
		}
	}
	for i, n := range uses {
		if n == 0 && s.world.Facts.HasFamily(t.Rows[i].To.Family) {
			missing.rows = append(missing.rows, fmt.Sprintf("row %d (%s) is about no cell", i+1, t.Rows[i]))
		}
	}
	if t.EachFamily {
		missing.families = s.unspoken(t, spoken)
	}
	return g, missing, errors.Join(errs...)
}

// use is what a row is about: addresses of a kind, of one IP family.
type use struct {
	row    int
	kind   reach.TargetKind
	family string
}

// given reports whether addresses of a kind come from a load balancer of which nothing is known: it may give one family
// only to who prefers both. MetalLB's pool in svclab's own clusters has both.
func (s site) given(kind reach.TargetKind) bool {
	return s.world.Announcers == nil && (kind == reach.LoadBalancer || kind == reach.ExternalIP)
}

// familyOf is a target's IP family as tables write it; empty where the client may take either.
func familyOf(t reach.Target) string {
	return map[int]string{4: string(corev1.IPv4Protocol), 6: string(corev1.IPv6Protocol)}[t.IPFamily()]
}

// unspoken tells of rows that name no family and are about addresses of one that the cluster has, but not of the other.
func (s site) unspoken(t scenario.Table, spoken map[use]bool) []string {
	var lines []string
	for u := range spoken {
		for _, family := range []string{string(corev1.IPv4Protocol), string(corev1.IPv6Protocol)} {
			other := use{row: u.row, kind: u.kind, family: family}
			if t.Rows[u.row].To.Family == "" && s.world.Facts.HasFamily(family) && !spoken[other] && !s.given(u.kind) {
				lines = append(lines, fmt.Sprintf("there is no %s %s for row %d (%s), which is about each IP family", family, u.kind, u.row+1, t.Rows[u.row]))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func numbers(rows []int) string {
	texts := make([]string, len(rows))
	for i, r := range rows {
		texts[i] = fmt.Sprint(r + 1)
	}
	return strings.Join(texts, " and ")
}

// targets are those of the table's Services and its extra ones. What there is none of is added to missing.
func (s site) targets(t scenario.Table, missing *gaps) []reach.Target {
	var targets []reach.Target
	names := slices.Clone(t.Services)
	if len(names) == 0 {
		for _, service := range s.world.Services {
			if service.Namespace == s.namespace {
				names = append(names, service.Name)
			}
		}
	}
	for _, name := range names {
		full := s.namespace + "/" + name
		if _, found := s.world.Service(full); !found {
			missing.services = append(missing.services, fmt.Sprintf("there is no Service %q", name))
			continue
		}
		for _, target := range s.world.Targets(full) {
			if len(t.Kinds) == 0 || slices.Contains(t.Kinds, target.Kind) {
				targets = append(targets, target)
			}
		}
	}
	for i, x := range t.Extra {
		extras, err := s.extra(x)
		if err != nil {
			missing.targets = append(missing.targets, fmt.Sprintf("extra target %d: %v", i+1, err))
		}
		for _, target := range extras {
			switch asked := slices.ContainsFunc(targets, func(other reach.Target) bool { return other.Name() == target.Name() }); {
			case !asked:
				targets = append(targets, target)
			case target.Undeclared:
				missing.opened = append(missing.opened, target.Name())
			default:
				missing.targets = append(missing.targets, fmt.Sprintf("extra target %d: %s is asked anyway", i+1, target.Name()))
			}
		}
	}
	return targets
}

// extra makes out an extra target: one, or as many as its host has addresses.
func (s site) extra(x scenario.Extra) ([]reach.Target, error) {
	protocol := x.Protocol
	if protocol == "" {
		protocol = reach.TCP
	}
	full := s.namespace + "/" + x.Service
	hosts := []string{s.fill(x.Host)}
	if placeholder.MatchString(x.Host) {
		var err error
		if hosts, err = s.filledEach(x.Host, nil); err != nil {
			return nil, fmt.Errorf("host %w", err)
		}
	}
	var targets []reach.Target
	for _, host := range hosts {
		if strings.Contains(host, "{") {
			service, found := s.world.Service(full)
			if !found {
				return nil, fmt.Errorf("there is no Service %q", x.Service)
			}
			for _, addr := range world.ClusterIPs(&service) {
				host = strings.ReplaceAll(host, "{clusterIP}", addr.String())
			}
			for _, ingress := range world.Ingresses(&service) {
				host = strings.ReplaceAll(host, "{loadBalancerIP}", ingress.Addr.String())
			}
		}
		if strings.Contains(host, "{") {
			return nil, fmt.Errorf("host %q: nothing to fill in for %s", x.Host, host)
		}
		target := reach.Target{Kind: x.Kind, Service: full, Host: host, Port: x.Port, Protocol: protocol,
			HostHeader: s.fill(x.HostHeader), Undeclared: x.Undeclared}
		if x.Kind == reach.NodePort {
			target.Node = s.nodeAt(host)
			target.Slot = s.world.Slot(target.Node)
		}
		targets = append(targets, target)
	}
	return targets, nil
}

// fill fills in what only the run knows.
func (s site) fill(text string) string {
	return strings.NewReplacer("{namespace}", s.namespace, "{domain}", s.world.Facts.ClusterDomain()).Replace(text)
}

// matches reports whether a selector is about the target, asked from v.
func (s site) matches(to scenario.To, v reach.Vantage, t reach.Target) bool {
	_, service, _ := strings.Cut(t.Service, "/")
	switch {
	case to.Undeclared != t.Undeclared,
		len(to.Kind) > 0 && !slices.Contains(to.Kind, t.Kind),
		to.Service != "" && to.Service != service,
		to.Port != 0 && to.Port != t.Port,
		to.Protocol != "" && to.Protocol != t.Protocol,
		to.Name != "" && s.fill(to.Name) != t.Host:
		return false
	}
	if to.Family != "" && to.Family != familyOf(t) {
		return false
	}
	node := s.nodeOf(t)
	switch to.Node {
	case "":
		return true
	case "own":
		return node != "" && node == v.Node
	case "other":
		return node != "" && node != v.Node
	default:
		return node != "" && node == s.world.Facts.Slots[to.Node]
	}
}

// nodeOf is the node at which the target's address lives; empty for addresses that live on none.
func (s site) nodeOf(t reach.Target) string {
	if t.Node != "" || t.Pod == "" {
		return t.Node
	}
	for _, pod := range s.world.Pods {
		if pod.Name == t.Pod && pod.Namespace == s.namespace {
			return pod.Spec.NodeName
		}
	}
	return ""
}
