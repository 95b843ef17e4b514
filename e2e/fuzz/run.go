package fuzz

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/svclab/svclab/e2e/mutants"
	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/world"
)

// Cluster is what a run needs of the cluster it runs on.
type Cluster interface {
	mutants.Lab
	Dynamic() dynamic.Interface
	RestartProxy(ctx context.Context, node string) error
	// SwitchProxy starts a node's kube-proxy again in another mode; NodeModes are the modes of the nodes for which that was done, and
	// ProxyLeftovers what of the other mode's rules is left there.
	SwitchProxy(ctx context.Context, node, mode string) error
	NodeModes() map[string]string
	ProxyLeftovers(ctx context.Context, node string) ([]string, error)
	RestartAPIServer(ctx context.Context) error
}

// Prober sends probes and runs flows; probe.Client is one.
type Prober interface {
	observe.Prober
	Flow(ctx context.Context, r probe.FlowRequest) (*probe.Flow, error)
}

// MaxBatch is how many Services a batch may have: each eighth of them wants an address of the load balancer's pool, which
// is small.
const MaxBatch = 60

// MaxSide is how many histories may be played side by side: each has a dozen pods.
const MaxSide = 8

// Settings say what is run, and bound it. Begin with Defaults.
type Settings struct {
	// Seed decides everything that is random. Count is how many Services are tried, Batch how many at a time.
	Seed         uint64
	Count, Batch int
	// Histories is how many histories are played in place of Services that are tried once, beginning with the one of number First, Operations how
	// many operations each has, and Side how many are played side by side.
	Histories, First, Operations, Side int
	// Inject is the mutant whose fault each history suffers; nil: none. A run with one must fail.
	Inject *Mutant
	// Cells is how many cells of each Service are probed at most.
	Cells int
	// Settle bounds the wait for the objects of a batch, Convergence what traffic may take to follow them.
	Settle, Convergence time.Duration
	// Shrink bounds the shrinking of one disagreement; Shrinks is how many are shrunk in one run.
	Shrink  time.Duration
	Shrinks int
	// Cleanup bounds the removal of what was made, which is done after a cancelled run too.
	Cleanup  time.Duration
	Timeouts observe.Timeouts
	// Log gets progress, a line at a time.
	Log io.Writer
}

// Defaults are the settings that hold when nothing is said.
func Defaults() Settings {
	d := runner.Defaults()
	return Settings{Count: 200, Batch: 40, Cells: 60, Operations: 10, Side: 4, Settle: d.StepTimeout, Convergence: d.Convergence,
		Shrink: 90 * time.Second, Shrinks: 3, Cleanup: d.Cleanup, Timeouts: d.Timeouts, Log: io.Discard}
}

// Validate says what is wrong with the settings, and the fix.
func (s Settings) Validate() error {
	switch {
	case s.Count < 1:
		return fmt.Errorf("%d Services to try; give --count 1 or more", s.Count)
	case s.Batch < 1 || s.Batch > MaxBatch:
		return fmt.Errorf("a batch of %d Services is not possible; give --batch 1 to %d", s.Batch, MaxBatch)
	case s.Histories < 0 || s.First < 0:
		return fmt.Errorf("%d histories from number %d on; give --histories 1 or more", s.Histories, s.First)
	case s.Inject != nil && (s.Histories < 1 || s.Side > 1):
		return errors.New("a fault is injected into one history at a time; give --histories and --side-by-side 1 with --inject")
	case s.Operations < 1:
		return fmt.Errorf("%d operations of a history; give --operations 1 or more", s.Operations)
	case s.Side < 1 || s.Side > MaxSide:
		return fmt.Errorf("%d histories side by side are not possible; give --side-by-side 1 to %d", s.Side, MaxSide)
	case s.Shrink < 0:
		return fmt.Errorf("a disagreement cannot be shrunk for %s; give --shrink 0s or more", s.Shrink)
	case s.Cells < 1:
		return fmt.Errorf("%d cells of a Service to probe; give --cells 1 or more", s.Cells)
	}
	return nil
}

// Outcome is all that is known after a run.
type Outcome struct {
	Settings Settings
	// Planned are the names of the batches; Verdicts those of the batches that were run, each as a scenario.
	Planned  []string
	Verdicts []reach.Verdict
	// Disagreements are the kinds of them that were seen, in the order they were.
	Disagreements []Disagreement
	// Services counts those that were tried. Possible counts the cells they have, Probed those that were probed, the
	// others being left out by chance.
	Services, Possible, Probed int
	// Operations counts those that were done, Programming is how long each of those that a flow could notice took until the last
	// client followed.
	Operations  int
	Programming []time.Duration
	// Switches are those of a proof.
	Switches []Switched
	// Flows counts the records that were judged, Requests those of them.
	Flows, Requests int
	// Rules counts the cells that were probed by the oracle's rule.
	Rules   map[string]int
	Elapsed time.Duration
}

// session is a run under way in one sandbox. Those that run side by side share what is a pointer.
type session struct {
	Settings
	cluster     Cluster
	sandbox     sandbox
	sandboxName string
	observer    observer
	vantages    []reach.Vantage
	plan        Plan
	scene       Scene
	facts       world.Facts
	addresses   addresses
	heldWithin  time.Duration // and heldFor: see the constants
	heldFor     time.Duration
	starter     func(ctx context.Context, r probe.FlowRequest) (standing, error)
	disturbed   *disturbances
	turns       *turns
	mu          *sync.Mutex // of outcome and known
	outcome     *Outcome
	proof       *Switch        // nil: nothing is proven
	known       map[string]int // the place of a disagreement in the outcome, by its signature
}

// count changes the outcome.
func (s *session) count(change func(*Outcome)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.outcome)
}

// Run tries the Services or plays the histories of a seed on a cluster, and removes all it made, whatever happens. A disagreement
// is no error; the error is that the settings make no sense, that the cluster could not be used, or the cause of a ctx that
// ended. What came of the run until then is returned with it.
func Run(ctx context.Context, c Cluster, prober Prober, settings Settings) (out Outcome, err error) {
	start := time.Now()
	out = Outcome{Settings: settings, Rules: map[string]int{}}
	defer func() { out.Elapsed = time.Since(start) }()
	if err := settings.Validate(); err != nil {
		return out, err
	}
	shared, err := prepare(ctx, c, prober, settings)
	if err != nil {
		return out, err
	}
	shared.outcome = &out
	if settings.Histories > 0 {
		return out, shared.runHistories(ctx)
	}
	return out, shared.within(ctx, fmt.Sprintf("svclab-fuzz-%d", settings.Seed), (*session).run)
}

// prepare learns what the sessions of a run share.
func prepare(ctx context.Context, c Cluster, prober Prober, settings Settings) (*session, error) {
	facts, err := c.Facts(ctx)
	if err != nil {
		return nil, fmt.Errorf("learn the cluster's facts: %w", err)
	}
	facts.NodesUseClusterDNS = true // package observe sends their lookups to the DNS Service
	vantages, err := c.Vantages(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the vantages: %w", err)
	}
	nodes, err := c.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	scene := SceneOf("", facts, nodes.Items)
	if len(scene.Nodes) == 0 {
		return nil, errors.New("no node of the cluster takes pods")
	}
	s := &session{Settings: settings, cluster: c, vantages: vantages, scene: scene, facts: facts, heldWithin: heldWithin, heldFor: heldFor, known: map[string]int{},
		disturbed: &disturbances{}, turns: &turns{}, mu: &sync.Mutex{},
		starter: func(ctx context.Context, r probe.FlowRequest) (standing, error) { return prober.Flow(ctx, r) }}
	s.sandbox = &namespace{cluster: c, vantages: vantages, seed: settings.Seed, facts: facts, bound: settings.Settle, given: map[string]corev1.Service{}}
	s.observer.engine = observe.Engine{Policy: observe.Fuzz(), Prober: prober, Timeouts: settings.Timeouts, Predict: predictByOracle, Seed: settings.Seed,
		Programmed: s.programmed(settings.Convergence)}
	if settings.Histories > 0 {
		s.observer.engine.Policy = observe.Histories()
	}
	return s, nil
}

// programmed waits for kube-proxy on all nodes, for at most bound.
func (s *session) programmed(bound time.Duration) func(context.Context) (map[string]time.Duration, string) {
	return func(ctx context.Context) (map[string]time.Duration, string) {
		return observe.WaitForKubeProxy(ctx, s.cluster, s.vantages, bound)
	}
}

// within runs something in a namespace of its own, and removes it.
func (s *session) within(ctx context.Context, name string, do func(*session, context.Context) error) (err error) {
	own := *s
	n := *s.sandbox.(*namespace)
	own.scene.Namespace, own.sandboxName, n.name = name, name, name
	own.plan = Generate(s.Seed, own.scene, s.Count)
	if s.proof != nil {
		own.plan = Plan{Seed: s.Seed, Pods: standInPods(own.scene), Cases: s.proof.StandIns.in(own.scene)}
	}
	if n.programs, err = s.programs(ctx); err != nil {
		return err
	}
	if s.Histories > 0 && s.proof == nil {
		own.plan = Plan{Seed: s.Seed, Pods: gated(own.plan.Pods)}
	}
	n.pods, n.given, n.now = own.plan.Pods, map[string]corev1.Service{}, State{}
	own.sandbox, own.observer.engine.Snapshot, own.addresses = &n, n.snapshot, metalLB{&own}
	live, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		defer s.turns.take(kind{}, true).end() // Services of the sandbox may have addresses of the pool
		cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Cleanup)
		defer cancel()
		if cleaned := n.close(cleaning); cleaned != nil {
			err = errors.Join(err, fmt.Errorf("clean up: %w", cleaned))
		}
	}()
	own.say("seed %d: %d pods in namespace %s", s.Seed, len(own.plan.Pods), name)
	began := time.Now()
	if err := n.open(live); err != nil {
		return err
	}
	own.say("backends of %s are there after %s", name, round(time.Since(began)))
	return do(&own, live)
}

// run runs the batches.
func (s *session) run(ctx context.Context) error {
	batches := (len(s.plan.Cases) + s.Batch - 1) / s.Batch
	name := func(b int) string { return fmt.Sprintf("fuzz-%d-batch-%d", s.Seed, b+1) }
	for b := range batches {
		s.outcome.Planned = append(s.outcome.Planned, name(b))
	}
	for b := range batches {
		if ctx.Err() != nil {
			return fmt.Errorf("run batch %d of %d: %w", b+1, batches, context.Cause(ctx))
		}
		cases := s.plan.Cases[b*s.Batch : min((b+1)*s.Batch, len(s.plan.Cases))]
		verdict := s.batch(ctx, b, cases)
		verdict.Scenario = name(b)
		verdict.Title = fmt.Sprintf("%d random Services, %s to %s", len(cases), cases[0].Name(), cases[len(cases)-1].Name())
		verdict.Behaviours = []string{"fuzz"}
		s.outcome.Verdicts = append(s.outcome.Verdicts, verdict)
		s.say("batch %d of %d: %s after %s", b+1, batches, verdict.Result, round(verdict.Elapsed))
	}
	if ctx.Err() != nil {
		return fmt.Errorf("run %d batches: %w", batches, context.Cause(ctx))
	}
	return nil
}

// batch tries cases together: a history without operations. Only what was not as predicted is kept of the cells: a run has ten
// thousands.
func (s *session) batch(ctx context.Context, b int, cases []Case) reach.Verdict {
	start := time.Now()
	v := reach.Verdict{Result: reach.Inconclusive}
	add := func(step reach.Step) { v.Steps, v.Elapsed = append(v.Steps, step), time.Since(start) }
	p, err := s.play(ctx, History{Start: State{Cases: cases}, Seed: s.Seed + uint64(b)})
	m := p.moments[0]
	if v.Result = m.verdict.Result; err != nil {
		m.verdict.Result, m.verdict.Why, v.Result = reach.Inconclusive, err.Error(), reach.Inconclusive
	}
	add(m.verdict)
	if overall, ok := reach.Overall([]reach.Step{{Name: m.verdict.Name, Tables: []reach.Table{m.all}}}, 0); ok {
		add(overall)
		v.Result = reach.Worse(v.Result, overall.Result)
	}
	for _, line := range m.verdict.Lines {
		s.say("batch %d: %s", b+1, line)
	}
	for _, d := range disagreements(m.cells) {
		began := time.Now()
		if !s.new(&d) {
			continue
		}
		s.reduce(ctx, &d, cases)
		s.count(func(out *Outcome) { out.Disagreements[s.known[d.Signature]] = d })
		add(reach.Step{Name: "shrink " + d.Service, Result: reach.Fail, Why: d.Cells[0].Why, Lines: []string{d.Ended}, Elapsed: time.Since(began)})
	}
	return v
}

// new enters a disagreement in the outcome, and reports whether it is the first of its kind.
func (s *session) new(d *Disagreement) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, again := s.known[d.Signature]; again {
		s.outcome.Disagreements[at].Again = append(s.outcome.Disagreements[at].Again, d.Service)
		return false
	}
	s.known[d.Signature] = len(s.outcome.Disagreements)
	s.outcome.Disagreements = append(s.outcome.Disagreements, *d)
	return true
}

func (s *session) say(format string, args ...any) {
	// that progress cannot be shown is no reason to stop
	_, _ = fmt.Fprintf(s.Log, "fuzz: "+format+"\n", args...)
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
