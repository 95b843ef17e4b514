package page

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/oracle"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/e2e/world"
)

// A vantage has two lanes of probes, so that what is silent does not delay what is answered. A probe of the quick lane that is not
// answered in time shows nothing: its cell goes to the slow lane.
const (
	quickly, slowly = 250 * time.Millisecond, 1200 * time.Millisecond
	// A cell is probed at once when the world changes. Until it is as predicted it is probed again soon, for a while, because
	// kube-proxy and DNS follow the objects. Then it is looked at from time to time.
	soon, forAWhile, later, seldom = 200 * time.Millisecond, 10 * time.Second, 2 * time.Second, 4 * time.Second
	// remembered is how many probes of a cell the page knows: the pods that answered them are shown.
	remembered = 12
	// retryAfter is the pause after the API server did not answer.
	retryAfter = 2 * time.Second
)

// live shows a cluster, one set of namespaces after the other.
type live struct {
	Options
	hub *hub

	mu    sync.Mutex
	view  View
	scene *scene
}

// scene is what is known of the namespaces that are shown.
type scene struct {
	world    world.World
	vantages []reach.Vantage
	targets  []reach.Target
	cells    map[string]*cell
	changed  time.Time
	// kicks wake the lanes: of each vantage the quick one, then the slow one.
	kicks []chan struct{}
}

// cell is a vantage and a target.
type cell struct {
	vantage    reach.Vantage
	target     reach.Target
	prediction reach.Prediction
	seen       []reach.Observation
	repeat     string
	slow       bool
	due        time.Time
}

func key(v reach.Vantage, t reach.Target) string { return v.Name + "|" + t.Name() }

// run shows the namespaces of a view until ctx ends. When the API server does not answer it says so, and tries again.
func (l *live) run(ctx context.Context, view View) {
	for {
		err := l.follow(ctx, view)
		if ctx.Err() != nil {
			return
		}
		l.mu.Lock()
		view = l.view // it may have changed meanwhile
		l.mu.Unlock()
		if err != nil {
			l.hub.publish("trouble", err.Error())
			if wait.Sleep(ctx, retryAfter) != nil {
				return
			}
		}
	}
}

// allow changes what may be shown of the same namespaces.
func (l *live) allow(view View) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.view = view
	if l.scene != nil {
		l.scene.kick()
	}
	l.tell()
}

// follow shows the namespaces until ctx ends, which is no error, or until the nodes are others.
func (l *live) follow(ctx context.Context, view View) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l.mu.Lock()
	l.view, l.scene = view, nil
	l.mu.Unlock()
	if len(view.Namespaces) == 0 {
		l.hub.publish("world", Picture{})
		<-ctx.Done()
		return nil
	}
	facts, err := l.Cluster.Facts(ctx)
	if err != nil {
		return err
	}
	base, err := world.Take(ctx, l.Cluster.Client(), l.Cluster.Client().Discovery(), l.Cluster.Dynamic(), facts, view.Namespaces...)
	if err != nil {
		return err
	}
	vantages, err := l.Cluster.Vantages(ctx)
	if err != nil {
		return err
	}
	vantages = slices.DeleteFunc(vantages, func(v reach.Vantage) bool { return v.Unusable != "" })
	objects := []wait.Objects{{Resource: corev1.SchemeGroupVersion.WithResource("nodes")}}
	for _, namespace := range view.Namespaces {
		for _, o := range wait.Deciding(l.Cluster.Client().Discovery(), namespace) {
			if !slices.Contains(objects, o) {
				objects = append(objects, o)
			}
		}
	}
	watch, err := wait.Follow(ctx, l.Cluster.Dynamic(), objects...)
	if err != nil {
		return err
	}
	if err := watch.Listed(ctx); err != nil {
		return err
	}
	s := &scene{vantages: vantages, cells: map[string]*cell{}}
	for range 2 * len(vantages) {
		s.kicks = append(s.kicks, make(chan struct{}, 1))
	}
	l.mu.Lock()
	l.scene = s
	l.mu.Unlock()
	var lanes sync.WaitGroup
	defer lanes.Wait()
	defer stop()
	if l.Prober != nil {
		for i, v := range vantages {
			lanes.Go(func() { l.lane(ctx, s, v.Name, false, s.kicks[2*i]) })
			lanes.Go(func() { l.lane(ctx, s, v.Name, true, s.kicks[2*i+1]) })
		}
	}
	for {
		listed, err := watch.List()
		if err != nil {
			return err
		}
		now, err := base.With(listed)
		if err != nil {
			return err
		}
		if !sameNodes(base, now) {
			return nil // the vantages are others
		}
		l.mu.Lock()
		s.update(now)
		l.hub.publish("world", picture(now))
		l.hub.publish("trouble", "")
		l.tell()
		s.kick()
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case err := <-watch.Lost():
			return fmt.Errorf("the cluster does not answer: %w", err)
		case <-watch.Changed():
		case <-l.hub.opened:
		}
	}
}

func sameNodes(a, b world.World) bool {
	return slices.EqualFunc(a.Nodes, b.Nodes, func(x, y corev1.Node) bool { return x.Name == y.Name })
}

// update makes the cells those of a new world. What was seen before is forgotten where the prediction changed.
func (s *scene) update(w world.World) {
	s.world, s.targets, s.changed = w, nil, time.Now()
	predictor := oracle.New(w)
	for i := range w.Services {
		for _, t := range w.Targets(world.Name(&w.Services[i])) {
			if !t.Undeclared {
				s.targets = append(s.targets, t)
			}
		}
	}
	before := s.cells
	s.cells = map[string]*cell{}
	for _, v := range s.vantages {
		for _, t := range s.targets {
			if !world.Applicable(v, t) {
				continue
			}
			c := before[key(v, t)]
			if c == nil {
				c = &cell{vantage: v, target: t}
			}
			p := predictor.Predict(v, t)
			if fmt.Sprint(p) != fmt.Sprint(c.prediction) {
				c.seen, c.due = c.seen[max(0, len(c.seen)-1):], time.Time{}
				c.slow = !p.Allows(reach.Reached) && p.Allows(reach.TimedOut)
			} else if again := s.changed.Add(soon); c.due.After(again) {
				c.due = again
			}
			c.target, c.prediction = t, p
			s.cells[key(v, t)] = c
		}
	}
}

// kick has the lanes look at once for cells that are due.
func (s *scene) kick() {
	for _, k := range s.kicks {
		poke(k)
	}
}

// lane probes the cells of a vantage when they are due, until ctx ends. It rests while no page is open.
func (l *live) lane(ctx context.Context, s *scene, vantage string, slow bool, kick chan struct{}) {
	for ctx.Err() == nil {
		l.mu.Lock()
		requests, next := s.batch(vantage, slow)
		idle := !l.view.Traffic || l.scene != s
		l.mu.Unlock()
		if idle || !l.hub.watched() {
			requests, next = nil, time.Now().Add(seldom)
		}
		if len(requests) > 0 {
			began := time.Now()
			cells, err := l.Prober.Observe(ctx, requests)
			if err != nil {
				if ctx.Err() == nil {
					l.hub.publish("trouble", err.Error())
				}
				next = time.Now().Add(later)
			} else {
				l.mu.Lock()
				s.saw(cells, began)
				l.tell()
				l.mu.Unlock()
				continue
			}
		}
		pause, cancel := context.WithDeadline(ctx, next)
		select {
		case <-pause.Done():
		case <-kick:
		}
		cancel()
	}
}

// batch returns one probe for each cell of a lane that is due, and when the next one is.
func (s *scene) batch(vantage string, slow bool) (requests []probe.Request, next time.Time) {
	now := time.Now()
	next = now.Add(seldom)
	for _, c := range s.cells {
		switch {
		case c.vantage.Name != vantage || c.slow != slow:
		case !c.due.After(now):
			timeout := quickly
			if slow {
				timeout = slowly
			}
			requests = append(requests, observe.Once(s.world, c.vantage, c.target, timeout))
		case c.due.Before(next):
			next = c.due
		}
	}
	return requests, next
}

// saw keeps what was observed in probes that began then.
func (s *scene) saw(observed []reach.Cell, began time.Time) {
	now := time.Now()
	for _, found := range observed {
		c := s.cells[key(found.Vantage, found.Target)]
		if c == nil || len(found.Observations) == 0 {
			continue
		}
		o := found.Observations[0]
		switch {
		case o.Outcome == reach.TimedOut && began.Before(s.changed):
			continue // it is due again
		case o.Outcome == reach.TimedOut && !c.slow:
			c.slow, c.due = true, time.Time{}
			poke(s.slowLane(found.Vantage.Name))
			continue
		}
		c.slow = o.Outcome == reach.TimedOut
		c.repeat = found.Repeat
		if len(c.seen) > 0 && c.seen[len(c.seen)-1].Outcome != o.Outcome {
			c.seen = nil
		}
		c.seen = append(c.seen, o)
		c.seen = c.seen[max(0, len(c.seen)-remembered):]
		switch {
		case c.settled() && len(c.seen) >= min(remembered, 2*len(c.prediction.Backends)):
			c.due = now.Add(seldom)
		case now.Sub(s.changed) < forAWhile:
			c.due = now.Add(soon)
		default:
			c.due = now.Add(later)
		}
		if began.Before(s.changed) {
			c.due = time.Time{}
		}
	}
}

// slowLane is the channel that wakes the slow lane of a vantage.
func (s *scene) slowLane(vantage string) chan struct{} {
	i := slices.IndexFunc(s.vantages, func(v reach.Vantage) bool { return v.Name == vantage })
	return s.kicks[2*i+1]
}

// settled reports whether the last probe of a cell came out as predicted. It is no verdict: one connection shows little.
func (c *cell) settled() bool {
	if len(c.seen) == 0 {
		return false
	}
	o, p := c.seen[len(c.seen)-1], c.prediction
	return p.Allows(o.Outcome) && (o.Outcome != reach.Reached || len(p.Backends) == 0 || slices.Contains(p.Backends, o.Backend))
}

// Reach is who reaches what, as the page shows it.
type Reach struct {
	// Shown: it may be shown.
	Shown    bool     `json:"shown"`
	Vantages []string `json:"vantages,omitempty"`
	Rows     []Row    `json:"rows,omitempty"`
}

// Row is a target with a cell for each vantage; a nil cell is none.
type Row struct {
	Name    string  `json:"name"`
	Service string  `json:"service"`
	Kind    string  `json:"kind"`
	Place   string  `json:"place"`
	Cells   []*Seen `json:"cells"`
}

// Seen is what was seen in a cell, and what is predicted.
type Seen struct {
	Outcome string   `json:"outcome,omitempty"`
	Pods    []string `json:"pods,omitempty"`
	Source  string   `json:"source,omitempty"`
	Detail  string   `json:"detail,omitempty"`
	Repeat  string   `json:"repeat,omitempty"`
	Took    int64    `json:"took,omitempty"` // milliseconds
	// At is when the last probe began, in milliseconds since 1970.
	At        int64    `json:"at,omitempty"`
	Predicted []string `json:"predicted,omitempty"`
	Backends  []string `json:"backends,omitempty"`
	Why       string   `json:"why,omitempty"`
	Doc       string   `json:"doc,omitempty"`
	// Differs: the last probe did not come out as predicted. A while after a change that is normal.
	Differs bool `json:"differs,omitempty"`
}

// tell publishes who reaches what. The caller holds mu.
func (l *live) tell() {
	if l.scene == nil || !l.view.Traffic {
		l.hub.publish("reach", Reach{})
		return
	}
	s, r := l.scene, Reach{Shown: true}
	for _, v := range s.vantages {
		r.Vantages = append(r.Vantages, v.Name)
	}
	for _, t := range s.targets {
		row := Row{Name: t.Name(), Service: t.Service, Kind: string(t.Kind), Place: place(t)}
		for _, v := range s.vantages {
			row.Cells = append(row.Cells, s.cells[key(v, t)].shown(l.view.Reasons))
		}
		r.Rows = append(r.Rows, row)
	}
	l.hub.publish("reach", r)
}

// place is a target's address within its Service and kind. A name that is looked up in each IP family says in which.
func place(t reach.Target) string {
	text := fmt.Sprintf("%s:%d", t.Host, t.Port)
	if addr, err := netip.ParseAddr(t.Host); err == nil {
		text = netip.AddrPortFrom(addr, t.Port).String()
	}
	if t.Protocol != reach.TCP {
		text += "/" + string(t.Protocol)
	}
	if t.Family != 0 {
		text += fmt.Sprintf(" v%d", t.Family)
	}
	return cmp.Or(t.Pod, t.Slot) + " " + text
}

func (c *cell) shown(reasons bool) *Seen {
	if c == nil {
		return nil
	}
	var s Seen
	if len(c.seen) > 0 {
		last := c.seen[len(c.seen)-1]
		s = Seen{Outcome: string(last.Outcome), Detail: last.Detail, Repeat: c.repeat, Took: last.Latency.Milliseconds(), At: last.At.UnixMilli()}
		if last.Source.IsValid() {
			s.Source = last.Source.String()
		}
		for _, o := range c.seen {
			if o.Backend != "" && !slices.Contains(s.Pods, o.Backend) {
				s.Pods = append(s.Pods, o.Backend)
			}
		}
		slices.Sort(s.Pods)
	}
	if reasons {
		p := c.prediction
		for _, o := range p.Outcomes {
			s.Predicted = append(s.Predicted, string(o))
		}
		s.Backends, s.Why, s.Doc = p.Backends, p.Reason, p.Doc
		s.Differs = len(c.seen) > 0 && s.Outcome != string(reach.Unprobed) && !c.settled()
	}
	return &s
}
