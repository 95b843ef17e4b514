package report

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// view is a table made ready to print: its axes named, its cells found by position.
type view struct {
	table reach.Table
	// cells[target][vantage]; nil where the table has no such cell.
	cells    [][]*reach.CellVerdict
	services []string // in order of appearance
	// byService are the targets' positions, one service after the other.
	byService []int
}

func newView(t reach.Table) *view {
	v := &view{table: t, cells: make([][]*reach.CellVerdict, len(t.Targets))}
	vantages, targets := map[string]int{}, map[string]int{}
	for i, vantage := range t.Vantages {
		vantages[vantage.Name] = i
	}
	for i, target := range t.Targets {
		targets[target.Name()] = i
		v.cells[i] = make([]*reach.CellVerdict, len(t.Vantages))
		if !slices.Contains(v.services, target.Service) {
			v.services = append(v.services, target.Service)
		}
	}
	for i := range t.Cells {
		c := &t.Cells[i]
		vi, okV := vantages[c.Cell.Vantage.Name]
		ti, okT := targets[c.Cell.Target.Name()]
		if okV && okT {
			v.cells[ti][vi] = c
		}
	}
	for _, service := range v.services {
		for i, target := range t.Targets {
			if target.Service == service {
				v.byService = append(v.byService, i)
			}
		}
	}
	return v
}

// place is a target's address within its Service and kind: "10.96.0.1:80", "worker 172.18.0.3:30080". It takes at most
// room columns if the port and the remarks leave that much. With brief it has no address of a node or pod.
func place(t reach.Target, brief bool, room int, ellipsis string) string {
	addr, err := netip.ParseAddr(t.Host)
	isAddr := err == nil
	port, rest := "", ""
	if t.Port != 0 {
		port = ":" + strconv.Itoa(int(t.Port))
	}
	if t.Protocol != reach.TCP && t.Protocol != "" {
		rest = "/" + string(t.Protocol)
	}
	if t.HostHeader != "" {
		rest += " Host " + t.HostHeader
	}
	if !isAddr && t.Family != 0 {
		rest += " v" + strconv.Itoa(t.Family)
	}
	if t.Undeclared {
		rest += " undeclared"
	}
	owner := cmp.Or(t.Slot, t.Pod)
	if owner != "" && brief {
		if isAddr && addr.Is6() {
			rest = " v6" + rest
		}
		return shorten(owner, max(minHost, room-Width(port+rest)), ellipsis) + port + rest
	}
	room -= Width(port + rest)
	if owner != "" {
		owner = shorten(owner, max(minHost, room-Width(t.Host)-1), ellipsis) + " "
	}
	room = max(minHost, room-Width(owner))
	host := t.Host
	switch {
	case isAddr && addr.Is6() && port != "":
		host = "[" + shorten(host, room-2, ellipsis) + "]"
	case isAddr:
		host = shorten(host, room, ellipsis)
	default: // names of one Service end alike
		host = ShortenEnd(host, room, ellipsis)
	}
	return owner + host + port + rest
}

// minHost is the least width of a host or owner, textPlace the most of a place in running text.
const (
	minHost   = 8
	textPlace = 46
)

// label is kind and place, with the Service's name where the table has several.
func (v *view) label(t reach.Target, ellipsis string) string {
	label := string(t.Kind) + " " + place(t, true, textPlace, ellipsis)
	if len(v.services) > 1 {
		label = t.Service + " " + label
	}
	return label
}

// where names a set of cells in words: "every nodePort from every pod and outside; clusterIP 10.96.0.1:80 from host".
func (v *view) where(cells []position, ellipsis string) string {
	type clause struct {
		vantages []int
		targets  []int
	}
	var clauses []clause
	for _, ti := range v.byService {
		var from []int
		for _, c := range cells {
			if c.target == ti {
				from = append(from, c.vantage)
			}
		}
		if len(from) == 0 {
			continue
		}
		slices.Sort(from)
		at := slices.IndexFunc(clauses, func(c clause) bool { return slices.Equal(c.vantages, from) })
		if at < 0 {
			clauses = append(clauses, clause{vantages: from})
			at = len(clauses) - 1
		}
		clauses[at].targets = append(clauses[at].targets, ti)
	}
	var parts []string
	left := 0
	for i, c := range clauses {
		if i >= mostClauses {
			left += len(c.targets) * len(c.vantages)
			continue
		}
		parts = append(parts, v.targetsText(c.targets, ellipsis)+" from "+v.vantagesText(c.vantages))
	}
	text := strings.Join(parts, "; ")
	if left > 0 {
		text += fmt.Sprintf("; and %d more", left)
	}
	return text
}

// scattered reports whether the cells are too irregular for where to name them all.
func (v *view) scattered(cells []position) bool {
	froms := map[string]bool{}
	for ti := range v.table.Targets {
		from := ""
		for _, c := range cells {
			if c.target == ti {
				from += fmt.Sprint(c.vantage, " ")
			}
		}
		froms[from] = true
	}
	delete(froms, "")
	return len(froms) > mostClauses
}

// kinds names the kinds of the cells' targets and vantages: "nodePort, clusterIP from pod, host".
func (v *view) kinds(cells []position) string {
	var targets, vantages []string
	add := func(to *[]string, s string) {
		if !slices.Contains(*to, s) {
			*to = append(*to, s)
		}
	}
	for _, c := range cells {
		add(&targets, string(v.table.Targets[c.target].Kind))
		head, _ := splitVantage(v.table.Vantages[c.vantage].Name)
		add(&vantages, head)
	}
	return strings.Join(targets, ", ") + " from " + strings.Join(vantages, ", ")
}

// mostClauses is how many clauses where spells out.
const mostClauses = 4

// position is a cell's place in a view.
type position struct{ target, vantage int }

// vantagesText names vantages, a whole kind by "every pod".
func (v *view) vantagesText(list []int) string {
	if len(list) == len(v.table.Vantages) && len(list) > 1 {
		return "everywhere"
	}
	return v.collapse(list, len(v.table.Vantages),
		func(i int) string { head, _ := splitVantage(v.table.Vantages[i].Name); return head },
		func(i int) string { return v.table.Vantages[i].Name })
}

// targetsText names targets, a whole kind by "every nodePort".
func (v *view) targetsText(list []int, ellipsis string) string {
	if len(list) == len(v.table.Targets) && len(list) > 1 {
		return "every target"
	}
	return v.collapse(list, len(v.table.Targets),
		func(i int) string {
			t := v.table.Targets[i]
			if t.Undeclared {
				return "undeclared " + string(t.Kind)
			}
			return string(t.Kind)
		},
		func(i int) string { return v.label(v.table.Targets[i], ellipsis) })
}

// collapse names the members of list, which are of 0..all-1. It names a kind as "every KIND" if the list has all of its at
// least two members.
func (v *view) collapse(list []int, all int, kind, name func(int) string) string {
	const most = 5
	total, here := map[string]int{}, map[string]int{}
	for i := range all {
		total[kind(i)]++
	}
	for _, i := range list {
		here[kind(i)]++
	}
	var out []string
	said := map[string]bool{}
	for _, i := range list {
		k := kind(i)
		switch {
		case said[k]:
		case total[k] > 1 && here[k] == total[k]:
			said[k] = true
			out = append(out, "every "+k)
		default:
			out = append(out, name(i))
		}
	}
	if len(out) > most {
		return strings.Join(out[:most], ", ") + fmt.Sprintf(" and %d more", len(out)-most)
	}
	return strings.Join(out, ", ")
}

// splitVantage splits "pod/worker" into its kind and slot.
func splitVantage(name string) (head, sub string) {
	head, sub, _ = strings.Cut(name, "/")
	return head, sub
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
