package runner

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/table"
	"github.com/svclab/svclab/e2e/world"
)

// reprobe is the pause between two rounds of convergence: what is waited for is in kernels and DNS caches,
// where nothing can be watched.
const reprobe = 200 * time.Millisecond

// expect observes and judges tables, in three phases.
//
// Settle: the API's objects come to agree; that can be watched. Then kube-proxy is waited for, see followed.
//
// Converge: the DNS, load balancers and other proxies follow the objects without saying when they are done. So the
// cells are asked with few probes, and those that are not as predicted are asked again, until all are, or until
// within has passed since the objects settled. Nothing seen in this phase is judged.
//
// Judge: every cell of the table is asked, once, in full, and every observation is kept and judged. Denials
// are asked a second time when the pass is over, so that a hole which opens late is seen.
//
// This cannot hide flapping. The first phases decide only when the judged pass begins, never what it finds: it
// asks all cells, those that converged at once and those that did not, it is not repeated, and no cell of it is
// asked again because of what was seen. A path that works now and then must work in each of its probes there
// (at least 8, see MaxProbes), whatever it did before; that it happened to work in a converging round gives it
// no credit. What the phases do hide is one thing on purpose: a delay up to the bound, which is a setting and
// is told in the report.
func (s *session) expect(ctx context.Context, names []string, within time.Duration) (stepReport, error) {
	var report stepReport
	if s.scenario.Serial { // an earlier step may have restarted what the vantages stand on
		if err := s.survey(ctx); err != nil {
			return report, err
		}
	}
	var allow []string
	for _, name := range names {
		allow = append(allow, s.scenario.Tables[name].Allow...)
	}
	settled, err := s.settle(ctx, allow)
	if err != nil {
		return report, err
	}
	if line := s.followed(ctx); line != "" {
		report.lines = append(report.lines, line)
	}
	if err := s.newcomer(ctx, names); err != nil {
		return report, err
	}
	plans, line, err := s.converge(ctx, names, settled, within)
	if line != "" {
		report.lines = append(report.lines, line)
	}
	if err != nil {
		return report, err
	}
	cells, err := s.judged(ctx, plans)
	if err != nil {
		return report, err
	}
	for _, plan := range plans {
		table := reach.Table{Title: plan.title, Vantages: plan.vantages, Targets: plan.targets}
		for _, f := range plan.forecasts {
			written := f.written
			if s.goal {
				table.Cells = append(table.Cells, judgeGoal(cells[0], f.oracle, written))
			} else {
				table.Cells = append(table.Cells, reach.Judge(cells[0], f.oracle, &written))
			}
			cells = cells[1:]
		}
		if len(table.Cells) > 0 || !s.goal {
			report.tables = append(report.tables, table)
		}
	}
	if line := s.moved(ctx, report.tables, plans); line != "" {
		report.lines = append(report.lines, line)
	}
	return report, amiss(plans)
}

// amiss is the failure that something the tables speak of is not there to be asked; nil when all is.
func amiss(plans []plan) error {
	var missing []string
	for _, plan := range plans {
		missing = append(missing, plan.missing...)
	}
	if len(missing) == 0 {
		return nil
	}
	return failf("%s", strings.Join(missing, "; "))
}

// plan is a table about to be observed.
type plan struct {
	title     string
	vantages  []reach.Vantage
	targets   []reach.Target
	forecasts []forecast
	world     world.World
	// missing is what the table speaks of and is not there to be asked; only a goal may miss anything.
	missing []string
}

// plans predicts every cell of the named tables in a snapshot.
func (s *session) plans(w world.World, names []string) ([]plan, error) {
	var (
		plans []plan
		errs  []error
		where = table.Site{Namespace: s.namespace, World: w, Vantages: s.vantages, Former: s.former}
	)
	for _, name := range names {
		table := s.scenario.Tables[name]
		grid, missing, err := s.grid(where, table)
		if err != nil {
			errs = append(errs, fmt.Errorf("table %q: %w", name, err))
			continue
		}
		p := plan{title: table.Title, vantages: grid.Vantages, targets: grid.Targets, world: w, missing: missing}
		if p.title == "" {
			p.title = name
		}
		for _, cell := range grid.Cells {
			written, err := where.Expected(table, cell)
			if err != nil && !s.goal {
				errs = append(errs, fmt.Errorf("table %q: %w", name, err))
				continue
			}
			if err != nil { // who is to answer is not there: nobody else will do
				written.Backends = []string{table.Rows[cell.Row].By.String()}
			}
			p.forecasts = append(p.forecasts, forecast{vantage: cell.Vantage, target: cell.Target, written: written,
				oracle: s.runner.predict(w, cell.Vantage, cell.Target), goal: s.goal})
		}
		plans = append(plans, p)
	}
	return plans, errors.Join(errs...)
}

// converge asks until the cells are as predicted or the bound has passed. Each round has a snapshot of its
// own, and a cell whose prediction changed with it is asked anew. It returns the plans of the last one, and
// what is to be told.
func (s *session) converge(ctx context.Context, names []string, w world.World, bound time.Duration) (plans []plan, line string, err error) {
	var (
		start = time.Now()
		asked = map[string]bool{} // cells seen as predicted, by what they are and what is predicted
	)
	for turn := 1; ; turn++ {
		if turn > 1 {
			if w, err = s.snapshot(ctx); err != nil {
				return nil, "", err
			}
		}
		if plans, err = s.plans(w, names); err != nil {
			return nil, "", err
		}
		var (
			open     []forecast
			requests []probe.Request
		)
		for _, p := range plans {
			for _, f := range p.forecasts {
				if !asked[f.key()] {
					open = append(open, f)
					requests = append(requests, s.request(p.world, f, true))
				}
			}
		}
		cells, err := s.runner.prober.Observe(ctx, requests)
		if err != nil {
			return nil, "", fmt.Errorf("observe: %w", err)
		}
		var differing []string
		for i, f := range open {
			if f.matches(cells[i]) {
				asked[f.key()] = true
			} else {
				differing = append(differing, f.vantage.Name+" → "+f.target.Name())
			}
		}
		since := time.Since(start)
		switch {
		case len(differing) == 0 && turn == 1:
			return plans, "as predicted at once", nil
		case len(differing) == 0:
			return plans, fmt.Sprintf("as predicted %s after the objects settled, in round %d", round(since), turn), nil
		case since >= bound:
			silence(plans, open, cells)
			return plans, fmt.Sprintf("%d cells were not as predicted %s after the objects settled (the bound is %s), first %s",
				len(differing), round(since), bound, differing[0]), nil
		}
		s.progress.say("traffic to be as predicted", fmt.Sprintf("%d cells are not, first %s", len(differing), differing[0]))
		if !pause(ctx, reprobe) {
			return nil, "", s.ranOut(ctx, "traffic to be as predicted", fmt.Sprintf("%d cells are not, first %s", len(differing), differing[0]))
		}
	}
}

// key identifies a cell together with what is predicted of it.
func (f forecast) key() string {
	return fmt.Sprintf("%s|%s|%v|%v", f.vantage.Name, f.target.Name(), f.oracle, f.written)
}

// judged makes the full pass: every cell once, then the denied ones again; both passes' observations are kept.
// The cells come in the plans' order.
func (s *session) judged(ctx context.Context, plans []plan) ([]reach.Cell, error) {
	s.progress.say("the judged pass to end", "")
	defer s.progress.say("", "")
	var (
		requests []probe.Request
		denied   []int
	)
	for _, p := range plans {
		for _, f := range p.forecasts {
			if !f.answered() {
				denied = append(denied, len(requests))
			}
			requests = append(requests, s.request(p.world, f, false))
		}
	}
	cells, err := s.runner.prober.Observe(ctx, requests)
	if err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	again := make([]probe.Request, len(denied))
	for i, index := range denied {
		again[i] = requests[index]
	}
	held, err := s.runner.prober.Observe(ctx, again)
	if err != nil {
		return nil, fmt.Errorf("observe denials again: %w", err)
	}
	if len(cells) != len(requests) || len(held) != len(again) {
		return nil, fmt.Errorf("asked about %d and %d cells, got %d and %d", len(requests), len(again), len(cells), len(held))
	}
	for i, index := range denied {
		cells[index].Observations = append(slices.Clone(cells[index].Observations), held[i].Observations...)
	}
	return cells, nil
}

// request is how a cell is asked. A node has no cluster DNS in its own resolver, but daemons on it can ask the
// DNS Service; so do its probes.
func (s *session) request(w world.World, f forecast, quick bool) probe.Request {
	r := f.request(quick, s.runner.settings.Timeouts)
	if f.vantage.Kind == reach.Node && (f.target.Kind == reach.DNSName || f.target.Kind == reach.ExternalName) {
		r.DNSServer = clusterDNS(w)
	}
	return r
}

// clusterDNS is the address of the cluster's DNS Service; the zero value where there is none.
func clusterDNS(w world.World) netip.AddrPort {
	if service, found := dnsService(w); found {
		return netip.AddrPortFrom(world.ClusterIPs(&service)[0], 53)
	}
	return netip.AddrPort{}
}

// dnsService is the cluster's DNS Service that has an address.
func dnsService(w world.World) (service corev1.Service, found bool) {
	for _, list := range [][]corev1.Service{w.Elsewhere, w.Services} {
		for i := range list {
			if list[i].Namespace == "kube-system" && list[i].Labels["k8s-app"] == "kube-dns" && len(world.ClusterIPs(&list[i])) > 0 {
				return list[i], true
			}
		}
	}
	return service, false
}

// moved tells, when a table did not pass, that the objects changed while it was observed: the prediction it
// was judged by may then be of a world that is gone. The verdict stands: objects were settled, so something
// changed them that the scenario did not.
func (s *session) moved(ctx context.Context, tables []reach.Table, plans []plan) string {
	if !slices.ContainsFunc(tables, func(t reach.Table) bool { return t.Result() == reach.Fail }) || len(plans) == 0 {
		return ""
	}
	now, err := s.snapshot(ctx)
	if err != nil {
		return "what the objects were after the table was observed is not known: " + err.Error()
	}
	if before, after := versions(plans[0].world), versions(now); before != after {
		return "objects changed while the table was observed: " + before + " before, " + after + " after"
	}
	return ""
}

// versions names what a prediction rests on in a few words.
func versions(w world.World) string {
	text := ""
	for i := range w.Services {
		text += fmt.Sprintf("service %s@%s ", w.Services[i].Name, w.Services[i].ResourceVersion)
	}
	for i := range w.Slices {
		text += fmt.Sprintf("slice %s@%s ", w.Slices[i].Name, w.Slices[i].ResourceVersion)
	}
	for i := range w.Pods {
		text += fmt.Sprintf("pod %s ready=%t ", w.Pods[i].Name, world.Ready(&w.Pods[i]))
	}
	return text
}
