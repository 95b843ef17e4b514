// Package dryrun follows the steps of a scenario without a cluster, and finds what is wrong with its expected tables: cells
// that no row covers, rows that cover no cell, cells that two rows cover, rows that expect an answer of pods that do not
// exist.
//
// It keeps a model of the cluster that svclab makes: three nodes, every vantage, MetalLB, and what the API server and the
// controllers make of the objects that steps apply and change. The model knows names, addresses, ports, and which pods are
// ready. It sends no traffic and predicts none: whether a row is right is for the run on a cluster to show.
package dryrun

import (
	"fmt"
	"slices"
	"strings"

	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/e2e/world"
)

// Finding is one thing that is wrong with a scenario.
type Finding struct {
	Step string
	// Table is the name of the expected table; empty where the step itself cannot be followed. The steps after such a step
	// are not followed either.
	Table string
	// Text says what is wrong. Labs are the clusters in which it is wrong.
	Text string
	Labs []string
}

// String is the finding in one line.
func (f Finding) String() string {
	where := fmt.Sprintf("step %q", f.Step)
	if f.Table != "" {
		where += fmt.Sprintf(", table %q", f.Table)
	}
	if len(f.Labs) < len(labs()) {
		where += " (" + strings.Join(f.Labs, "; ") + ")"
	}
	return where + ": " + f.Text
}

// lab is one of the clusters that svclab can make.
type lab struct {
	mode string // of kube-proxy
	dual bool
}

// labs are all of them. The proxy mode decides which outcomes a row expects, the IP families which targets there are.
func labs() []lab {
	return []lab{{world.ModeNFTables, false}, {world.ModeIPTables, false}, {world.ModeNFTables, true}, {world.ModeIPTables, true}}
}

func (l lab) String() string {
	if l.dual {
		return l.mode + ", dual-stack"
	}
	return l.mode + ", IPv4"
}

// has reports whether the scenario can run in the lab: svclab's own clusters have every feature but one of the two stacks.
func (l lab) has(needs scenario.Needs) bool {
	if len(needs.ProxyModes) > 0 && !slices.Contains(needs.ProxyModes, l.mode) {
		return false
	}
	missing := scenario.DualStack
	if l.dual {
		missing = scenario.SingleStack
	}
	return !slices.Contains(needs.Features, missing)
}

// Check follows the steps in each lab that can run the scenario, and returns what is wrong, in the order of the steps.
func Check(sc scenario.Scenario) []Finding {
	var findings []Finding
	for _, l := range labs() {
		if !l.has(sc.Needs) {
			continue
		}
		for _, f := range follow(sc, l) {
			i := slices.IndexFunc(findings, func(o Finding) bool { return o.Step == f.Step && o.Table == f.Table && o.Text == f.Text })
			if i < 0 {
				findings, i = append(findings, f), len(findings)
			}
			findings[i].Labs = append(findings[i].Labs, l.String())
		}
	}
	return findings
}

// follow follows the steps in one lab. The findings have no Labs yet.
func follow(sc scenario.Scenario, l lab) []Finding {
	var findings []Finding
	step, err := visit(sc, l, func(step scenario.Step, site table.Site) {
		for _, name := range step.Tables() {
			for _, line := range gaps(site, sc.Tables[name]) {
				findings = append(findings, Finding{Step: step.Name, Table: name, Text: line})
			}
		}
	})
	if err != nil {
		findings = append(findings, Finding{Step: step, Text: err.Error()})
	}
	return findings
}

// visit calls see after each step, with the state of the lab. With an error it returns the name of the step that it could
// not follow.
func visit(sc scenario.Scenario, l lab, see func(scenario.Step, table.Site)) (string, error) {
	m := newModel("svclab-"+sc.Name, l)
	for _, step := range sc.Steps {
		if !m.facts().HasFamily(step.Family) {
			continue
		}
		if err := m.do(sc, step); err != nil {
			return step.Name, err
		}
		see(step, m.site())
	}
	return "", nil
}

// gaps lists what is wrong with a table at a site. A row that no pod can answer is listed once, not for each cell.
func gaps(site table.Site, t scenario.Table) []string {
	grid, err := site.Match(t)
	if err != nil {
		return strings.Split(err.Error(), "\n")
	}
	var (
		lines  []string
		listed = map[int]bool{}
	)
	for _, cell := range grid.Cells {
		if _, err := site.Expected(t, cell); err != nil && !listed[cell.Row] {
			listed[cell.Row] = true
			lines = append(lines, err.Error())
		}
	}
	return lines
}
