package table

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/world"
)

// Cell is one cell of a table and the row that covers it.
type Cell struct {
	Vantage reach.Vantage
	Target  reach.Target
	Row     int // index in the table's Rows
}

// Grid is a table's axes and its cells, row-major. Cells that cannot exist (see world.Applicable) are left out.
type Grid struct {
	Vantages []reach.Vantage
	Targets  []reach.Target
	Cells    []Cell
}

// Gaps are the differences between what a table names and what the world has, one message each.
type Gaps struct {
	// Services: named in the table but missing in the world. Targets: extra targets whose host cannot be filled in, or
	// that the table lists twice. Cells: covered by no row.
	Services, Targets, Cells []string
	// Rows cover no cell.
	Rows []reach.Missing
	// Declared are the names of extra targets that the table calls undeclared although a Service declares them.
	Declared []string
	// Families: rows of a table with eachFamily that cover addresses of one IP family and none of the other.
	Families []string
}

// Match lays out a table and finds the row of each cell. The error joins everything that makes the table ambiguous or
// incomplete: a cell without a row, a cell with two, a row without a cell. Rows for an IP family that the cluster does
// not have may be without a cell. ResultOf the error is Fail only where the cluster lacks addresses of a family.
func (s Site) Match(t scenario.Table) (Grid, error) {
	g, gaps, err := s.Lay(t)
	errs := []error{err}
	for _, name := range gaps.Declared {
		gaps.Targets = append(gaps.Targets, fmt.Sprintf("extra target %s is in the table already", name))
	}
	for _, line := range slices.Concat(gaps.Services, gaps.Targets, gaps.Cells) {
		errs = append(errs, errors.New(line))
	}
	for _, row := range gaps.Rows {
		errs = append(errs, errors.New(row.What))
	}
	if len(gaps.Services) > 0 || len(gaps.Targets) > 0 {
		errs = errs[:1+len(gaps.Services)+len(gaps.Targets)] // the other gaps follow from these
	}
	if len(g.Cells) == 0 {
		errs = append(errs, errors.New("the table has no cell"))
	}
	for _, line := range gaps.Families {
		errs = append(errs, reach.Failf("%s", line))
	}
	return g, errors.Join(errs...)
}

// Lay lays out a table and returns its gaps next to the cells that have a row. The error says which cells two rows cover:
// such a table contradicts itself in any world.
func (s Site) Lay(t scenario.Table) (Grid, Gaps, error) {
	g := Grid{}
	for _, v := range s.clients(t) {
		if len(t.From) == 0 || scenario.MatchVantage(t.From, v) {
			g.Vantages = append(g.Vantages, v)
		}
	}
	var (
		gaps    Gaps
		errs    []error
		used    = make([]bool, len(t.Rows))
		covered = map[use]bool{}
	)
	g.Targets = s.targets(t, &gaps)
	for _, v := range g.Vantages {
		for _, target := range g.Targets {
			if !world.Applicable(v, target) {
				continue
			}
			var rows []int
			// The row that the author wrote for an undeclared port covers it also where a Service declares the port.
			wanted := target
			wanted.Undeclared = target.Undeclared || slices.Contains(gaps.Declared, target.Name())
			for i, row := range t.Rows {
				if scenario.MatchVantage(row.From, v) && s.Selects(row.To, v, wanted) {
					rows = append(rows, i)
					used[i] = true
					if family := familyOf(target); family != "" {
						covered[use{row: i, kind: target.Kind, family: family}] = true
					}
				}
			}
			switch len(rows) {
			case 1:
				g.Cells = append(g.Cells, Cell{Vantage: v, Target: target, Row: rows[0]})
			case 0:
				gaps.Cells = append(gaps.Cells, fmt.Sprintf("no row covers the cell from %s to %s", v.Name, label(wanted)))
			default:
				errs = append(errs, fmt.Errorf("rows %s all cover the cell from %s to %s", numbers(rows), v.Name, label(wanted)))
			}
		}
	}
	for i, row := range t.Rows {
		if !used[i] && s.World.Facts.HasFamily(row.To.Family) {
			gaps.Rows = append(gaps.Rows, reach.Missing{What: fmt.Sprintf("row %d (%s) covers no cell", i+1, row),
				From: strings.Join(row.From, ", "), To: row.To.String()})
		}
	}
	if t.EachFamily {
		gaps.Families = s.uncovered(t, covered)
	}
	return g, gaps, errors.Join(errs...)
}

// label names a target in messages. Rows are for declared or for undeclared ports, so it says which of them the port is.
func label(t reach.Target) string {
	if t.Undeclared {
		return t.Name() + " (undeclared port)"
	}
	return t.Name()
}

// use says that a row covers addresses of a kind and an IP family.
type use struct {
	row    int
	kind   reach.TargetKind
	family string
}

// uncovered returns a message for each row that names no IP family and covers addresses of one family that the cluster has,
// but none of the other.
func (s Site) uncovered(t scenario.Table, covered map[use]bool) []string {
	var lines []string
	for u := range covered {
		for _, family := range []string{string(corev1.IPv4Protocol), string(corev1.IPv6Protocol)} {
			other := use{row: u.row, kind: u.kind, family: family}
			if t.Rows[u.row].To.Family == "" && s.World.Facts.HasFamily(family) && !covered[other] && !s.mayLackFamily(u.kind) {
				lines = append(lines, fmt.Sprintf("there is no %s %s for row %d (%s), which covers each IP family", family, u.kind, u.row+1, t.Rows[u.row]))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// mayLackFamily reports whether addresses of a kind come from a load balancer that svclab knows nothing about. Such a load
// balancer may assign one family to a Service that prefers both. MetalLB in svclab's own clusters has pools of both.
func (s Site) mayLackFamily(kind reach.TargetKind) bool {
	return s.World.Announcers == nil && (kind == reach.LoadBalancer || kind == reach.ExternalIP)
}

// numbers are the rows' numbers as messages print them, beginning with 1.
func numbers(rows []int) string {
	texts := make([]string, len(rows))
	for i, r := range rows {
		texts[i] = fmt.Sprint(r + 1)
	}
	return strings.Join(texts, " and ")
}

// targets returns the targets of the table's Services and its extra targets. It adds what is missing to gaps.
func (s Site) targets(t scenario.Table, gaps *Gaps) []reach.Target {
	var targets []reach.Target
	names := slices.Clone(t.Services)
	if len(names) == 0 {
		for _, service := range s.World.Services {
			if service.Namespace == s.Namespace {
				names = append(names, service.Name)
			}
		}
	}
	for _, name := range names {
		full := s.Namespace + "/" + name
		if _, found := s.World.Service(full); !found {
			gaps.Services = append(gaps.Services, fmt.Sprintf("there is no Service %q", name))
			continue
		}
		for _, target := range s.World.Targets(full) {
			if len(t.Kinds) == 0 || slices.Contains(t.Kinds, target.Kind) {
				targets = append(targets, target)
			}
		}
	}
	for i, x := range t.Extra {
		extras, err := s.extra(x)
		if err != nil {
			gaps.Targets = append(gaps.Targets, fmt.Sprintf("extra target %d: %v", i+1, err))
		}
		for _, target := range extras {
			switch known := slices.ContainsFunc(targets, func(other reach.Target) bool { return other.Name() == target.Name() }); {
			case !known:
				targets = append(targets, target)
			case target.Undeclared:
				gaps.Declared = append(gaps.Declared, target.Name())
			default:
				gaps.Targets = append(gaps.Targets, fmt.Sprintf("extra target %d: %s is in the table already", i+1, target.Name()))
			}
		}
	}
	return targets
}

// extra returns the targets of one Extra: one for each address that its host stands for.
func (s Site) extra(x scenario.Extra) ([]reach.Target, error) {
	protocol := x.Protocol
	if protocol == "" {
		protocol = reach.TCP
	}
	full := s.Namespace + "/" + x.Service
	hosts := []string{s.fillNames(x.Host)}
	if placeholder.MatchString(x.Host) {
		var err error
		if hosts, err = s.FillEach(x.Host, nil); err != nil {
			return nil, fmt.Errorf("host %w", err)
		}
	}
	var targets []reach.Target
	for _, host := range hosts {
		if strings.Contains(host, "{") { // {clusterIP} and {loadBalancerIP} of the extra target's own Service
			service, found := s.World.Service(full)
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
			return nil, fmt.Errorf("host %q: no value is known for %s", x.Host, host)
		}
		target := reach.Target{Kind: x.Kind, Service: full, Host: host, Port: x.Port, Protocol: protocol,
			HostHeader: s.fillNames(x.HostHeader), Undeclared: x.Undeclared}
		if x.Kind == reach.NodePort {
			target.Node = s.nodeAt(host)
			target.Slot = s.World.Slot(target.Node)
		}
		targets = append(targets, target)
	}
	return targets, nil
}
