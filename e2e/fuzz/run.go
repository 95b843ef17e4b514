package fuzz

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/world"
)

// Cluster is what a run needs of the cluster it runs on.
type Cluster interface {
	probe.Exec
	Client() kubernetes.Interface
	Dynamic() dynamic.Interface
	Vantages(ctx context.Context) ([]reach.Vantage, error)
	Facts(ctx context.Context) (world.Facts, error)
}

// MaxBatch is how many Services a batch may have: each eighth of them wants an address of the load balancer's pool, which
// is small.
const MaxBatch = 60

// Settings say what is run, and bound it. Begin with Defaults.
type Settings struct {
	// Seed decides everything that is random. Count is how many Services are tried, Batch how many at a time.
	Seed         uint64
	Count, Batch int
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
	return Settings{Count: 200, Batch: 40, Cells: 60, Settle: d.StepTimeout, Convergence: d.Convergence,
		Shrink: 90 * time.Second, Shrinks: 3, Cleanup: d.Cleanup, Timeouts: d.Timeouts, Log: io.Discard}
}

// Validate says what is wrong with the settings, and the fix.
func (s Settings) Validate() error {
	switch {
	case s.Count < 1:
		return fmt.Errorf("%d Services to try; give --count 1 or more", s.Count)
	case s.Batch < 1 || s.Batch > MaxBatch:
		return fmt.Errorf("a batch of %d Services is not possible; give --batch 1 to %d", s.Batch, MaxBatch)
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
	// Rules counts the cells that were probed by the oracle's rule.
	Rules   map[string]int
	Elapsed time.Duration
}

// session is a run under way.
type session struct {
	Settings
	sandbox  sandbox
	observer observer
	vantages []reach.Vantage
	plan     Plan
	outcome  *Outcome
	known    map[string]int // the place of a disagreement in the outcome, by its signature
}

// Run tries the Services of a seed on a cluster, and removes all it made, whatever happens. A disagreement is no error; the
// error is that the settings make no sense, that the cluster could not be used, or the cause of a ctx that ended. What came
// of the batches until then is returned with it.
func Run(ctx context.Context, c Cluster, prober observe.Prober, settings Settings) (out Outcome, err error) {
	start := time.Now()
	out = Outcome{Settings: settings, Rules: map[string]int{}}
	defer func() { out.Elapsed = time.Since(start) }()
	if err := settings.Validate(); err != nil {
		return out, err
	}
	facts, err := c.Facts(ctx)
	if err != nil {
		return out, fmt.Errorf("learn the cluster's facts: %w", err)
	}
	facts.NodesUseClusterDNS = true // package observe sends their lookups to the DNS Service
	vantages, err := c.Vantages(ctx)
	if err != nil {
		return out, fmt.Errorf("list the vantages: %w", err)
	}
	nodes, err := c.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return out, fmt.Errorf("list the nodes: %w", err)
	}
	name := fmt.Sprintf("svclab-fuzz-%d", settings.Seed)
	scene := SceneOf(name, facts, nodes.Items)
	if len(scene.Nodes) == 0 {
		return out, errors.New("no node of the cluster takes pods")
	}
	plan := Generate(settings.Seed, scene, settings.Count)
	n := &namespace{cluster: c, name: name, seed: settings.Seed, facts: facts, pods: plan.Pods, bound: settings.Settle}
	live, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), settings.Cleanup)
		defer cancel()
		if cleaned := n.close(cleaning); cleaned != nil {
			err = errors.Join(err, fmt.Errorf("clean up: %w", cleaned))
		}
	}()
	s := &session{Settings: settings, sandbox: n, vantages: vantages, plan: plan, outcome: &out, known: map[string]int{},
		observer: observer{
			engine: observe.Engine{Policy: observe.Fuzz(), Prober: prober, Timeouts: settings.Timeouts, Snapshot: n.snapshot,
				Predict: predictByOracle, Seed: settings.Seed, Programmed: func(ctx context.Context) (map[string]time.Duration, string) {
					return observe.WaitForKubeProxy(ctx, c, vantages, settings.Convergence)
				}}}}
	s.say("seed %d: %d Services in batches of %d, over %d pods in namespace %s", settings.Seed, settings.Count, settings.Batch, len(plan.Pods), name)
	if err := n.open(live); err != nil {
		return out, err
	}
	s.say("backends are there after %s", round(time.Since(start)))
	return out, s.run(live)
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

// batch tries cases together. Only what was not as predicted is kept of the cells: a run has ten thousands.
func (s *session) batch(ctx context.Context, b int, cases []Case) reach.Verdict {
	start := time.Now()
	v := reach.Verdict{Result: reach.Pass}
	add := func(began time.Time, step reach.Step) {
		step.Elapsed = time.Since(began)
		v.Steps = append(v.Steps, step)
		v.Result = reach.Worse(v.Result, step.Result)
		v.Elapsed = time.Since(start)
	}
	settling := reach.Step{Name: "apply and settle", Result: reach.Pass, Lines: []string{mixture(cases)}}
	unsettled, err := s.sandbox.apply(ctx, cases, nil)
	if err != nil || unsettled != "" {
		settling.Result, settling.Why = reach.Inconclusive, unsettled
	}
	if err != nil {
		settling.Why = err.Error()
	}
	add(start, settling)
	if err != nil {
		return v
	}
	s.say("batch %d: %s; settled after %s", b+1, mixture(cases), round(time.Since(start)))

	began := time.Now()
	observing := reach.Step{Name: "observe", Result: reach.Inconclusive}
	seen, err := s.observeAll(ctx, b, cases)
	found, lines := seen.cells, seen.lines
	observing.Lines = lines
	if err != nil {
		observing.Why = err.Error()
		add(began, observing)
		return v
	}
	all := tableOf("", found)
	all.Behind = seen.behind
	if observing.Result = all.Result(); observing.Result != reach.Pass {
		observing.Tables = troubled(found)
		observing.Why = firstOf(found)
	}
	add(began, observing)
	if overall, ok := reach.Overall([]reach.Step{{Name: observing.Name, Tables: []reach.Table{all}}}, 0); ok {
		add(time.Now(), overall)
	}
	for _, line := range lines {
		s.say("batch %d: %s", b+1, line)
	}
	for _, d := range disagreements(found) {
		if at, again := s.known[d.Signature]; again {
			s.outcome.Disagreements[at].Again = append(s.outcome.Disagreements[at].Again, d.Service)
			continue
		}
		began := time.Now()
		s.known[d.Signature] = len(s.outcome.Disagreements)
		s.reduce(ctx, &d, cases)
		s.outcome.Disagreements = append(s.outcome.Disagreements, d)
		add(began, reach.Step{Name: "shrink " + d.Service, Result: reach.Fail, Why: d.Cells[0].Why, Lines: []string{d.Ended}})
	}
	return v
}

// observeAll probes a sample of the cells of all cases.
func (s *session) observeAll(ctx context.Context, b int, cases []Case) (observation, error) {
	w, err := s.sandbox.snapshot(ctx)
	if err != nil {
		return observation{}, err
	}
	var (
		r        = rand.New(rand.NewPCG(s.Seed, podStream+1+uint64(b)))
		list     []pair
		possible int
	)
	for _, c := range cases {
		all := pairs(w, s.vantages, c.Service.Namespace+"/"+c.Name())
		possible += len(all)
		list = append(list, sample(r, all, s.Cells)...)
	}
	seen, err := s.observer.observe(ctx, list, s.Convergence)
	if err != nil {
		return observation{}, err
	}
	s.outcome.Services += len(cases)
	s.outcome.Possible += possible
	s.outcome.Probed += len(list)
	var probes, unprobed int
	for _, c := range seen.cells {
		if s.outcome.Rules[c.Oracle.Rule]++; c.Result == reach.Skipped {
			unprobed++
		}
		probes += len(c.Cell.Observations)
	}
	lines := []string{fmt.Sprintf("%d of %d cells probed, the others left out by chance (at most %d of each Service), %d probes in the judged pass", len(list), possible, s.Cells, probes)}
	if unprobed > 0 {
		lines = append(lines, fmt.Sprintf("%d cells could not be probed", unprobed))
	}
	seen.lines = append(lines, seen.lines...)
	return seen, nil
}

func (s *session) say(format string, args ...any) {
	// that progress cannot be shown is no reason to stop
	_, _ = fmt.Fprintf(s.Log, "fuzz: "+format+"\n", args...)
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
