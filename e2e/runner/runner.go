// Package runner runs scenarios on a cluster: it applies, settles, observes and hands all to be judged. It is
// the only package that does; suites, the command and the labs call it.
//
// A scenario gets a namespace of its own and its verdict is about what was seen there. The steps of one
// scenario run one after the other; scenarios run side by side as far as their claims allow. One that disturbs the cluster is set up next to
// others too, and goes on when it is alone. Nothing sleeps:
// what the API can tell is watched, and a wait that runs out says what it waited for and what it last saw.
package runner

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/svclab/svclab/e2e/observe"
	"github.com/svclab/svclab/e2e/probe"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
)

type (
	// Cluster is what a runner needs of the cluster that it runs on.
	Cluster = steps.Cluster
	// NodeController is implemented by a Cluster whose nodes can be stopped and started.
	NodeController = steps.NodeController
	// Commander is implemented by a Cluster that can run programs at its vantages.
	Commander = steps.Commander
	// Prober sends requests; see ForClient.
	Prober = steps.Prober
	// Flow is traffic that has not been stopped.
	Flow = steps.Flow
	// Snapshot is objects as they were.
	Snapshot = steps.Snapshot
)

// ForClient makes a Prober of a probe.Client.
func ForClient(c *probe.Client) Prober { return steps.ForClient(c) }

// Settings bound what a runner does. Begin with Defaults.
type Settings struct {
	// StepTimeout bounds each step that does not say otherwise. The probes of an expect come on top of it.
	StepTimeout time.Duration
	// Convergence bounds how long traffic may differ from the prediction after the objects have settled:
	// kube-proxy, DNS and load balancers follow the objects, and no object tells when they have.
	Convergence time.Duration
	// Late bounds how much later than on the other nodes kube-proxy may be seen to follow the objects on one, again and again. It
	// writes at most once a second by default (minSyncPeriod), and a machine that is busy slows all nodes. What is seen may be up to
	// 2 s less than the delay: a SYN is sent again after 1 and 3 seconds.
	Late time.Duration
	// Cleanup bounds the removal of a scenario's namespace, which happens after a cancelled run too.
	Cleanup time.Duration
	// Heartbeat is how long a step may say nothing.
	Heartbeat time.Duration
	// Workers is how many scenarios run at once.
	Workers int
	// Kubectl is the program that run steps call.
	Kubectl string
	// Keep leaves the namespaces of scenarios that did not pass.
	Keep bool
	// LeaveTerminating has Run return while its namespaces are still terminating. Their node ports and load-balancer addresses
	// are free by then; Sweep waits for the rest.
	LeaveTerminating bool
	// TraceAll: a connection of every cell is traced, where the cluster can do that, not only of those that differ.
	TraceAll bool
	// Took is how long scenarios took, by name, for the order in which they begin; without it that is the order given.
	Took map[string]time.Duration
	// Labels and Annotations are those of the scenarios' namespaces, in addition to svclab's own.
	Labels, Annotations map[string]string
	Timeouts            observe.Timeouts
}

// Defaults are the settings that hold when nothing is said. Each bound is far above what a loaded two-core
// machine needs.
func Defaults() Settings {
	return Settings{
		StepTimeout: 60 * time.Second, Convergence: 10 * time.Second, Late: 4 * time.Second, Cleanup: 90 * time.Second,
		Heartbeat: 15 * time.Second, Workers: 4, Kubectl: "kubectl",
		Timeouts: observe.DefaultTimeouts(),
	}
}

// Runner runs scenarios on one cluster. It keeps no state between runs.
type Runner struct {
	cluster  Cluster
	prober   Prober
	settings Settings
	reporter Reporter
	failed   func(ctx context.Context, scenario, namespace string) error
	before   Before
}

// Before is called before each step of a scenario, in whose namespace objects are as the step finds them. An error
// keeps the step from being done and makes it Inconclusive.
type Before func(ctx context.Context, scenario string, step scenario.Step, namespace string) error

// Option changes a Runner.
type Option func(*Runner)

// WithSettings replaces Defaults; fields left zero keep them.
func WithSettings(s Settings) Option {
	return func(r *Runner) {
		d := Defaults()
		r.settings = Settings{
			StepTimeout: cmp.Or(s.StepTimeout, d.StepTimeout), Convergence: cmp.Or(s.Convergence, d.Convergence),
			Late: cmp.Or(s.Late, d.Late), Cleanup: cmp.Or(s.Cleanup, d.Cleanup), Heartbeat: cmp.Or(s.Heartbeat, d.Heartbeat),
			Workers: cmp.Or(s.Workers, d.Workers), Kubectl: cmp.Or(s.Kubectl, d.Kubectl), Keep: s.Keep, LeaveTerminating: s.LeaveTerminating, TraceAll: s.TraceAll,
			Took: s.Took, Labels: s.Labels, Annotations: s.Annotations, Timeouts: s.Timeouts.Or(d.Timeouts),
		}
	}
}

// WithReporter sends progress to reporter; the default discards it.
func WithReporter(reporter Reporter) Option { return func(r *Runner) { r.reporter = reporter } }

// WithFailed calls f for each scenario that did not pass while its objects are still there. The verdict gets a step for its error.
func WithFailed(f func(ctx context.Context, scenario, namespace string) error) Option {
	return func(r *Runner) { r.failed = f }
}

// WithBefore calls f before each step. It is how a test of the harness breaks what a scenario has just built.
func WithBefore(f Before) Option { return func(r *Runner) { r.before = f } }

// New returns a runner for a cluster.
func New(c Cluster, prober Prober, opts ...Option) *Runner {
	r := &Runner{cluster: c, prober: prober, settings: Defaults(), reporter: quiet{},
		failed: func(context.Context, string, string) error { return nil },
		before: func(context.Context, string, scenario.Step, string) error { return nil }}
	for _, opt := range opts {
		opt(r)
	}
	return r
}

// ErrNothingRan is returned by Run when no scenario was run: a run that proves nothing is no success.
var ErrNothingRan = errors.New("no scenario was run")

// Skip is a scenario that was not run, and why.
type Skip struct{ Scenario, Reason string }

// Outcome is all that is known after a run. Its result is that of the report made of it: see report.Run.Result.
type Outcome struct {
	// Verdicts are in the order the scenarios were given, skipped ones included. A scenario that a cancelled run
	// did not begin has none.
	Verdicts []reach.Verdict
	// Planned, Ran and Skipped are counts of scenarios.
	Planned, Ran, Skipped int
	// Skips are the reasons for the skipped ones.
	Skips []Skip
	// Unprobed counts the cells that were left out on purpose, by reason.
	Unprobed map[string]int
	// Elapsed is how long the run took, waiting for its namespaces to be gone included.
	Elapsed time.Duration
}
