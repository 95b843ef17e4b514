//go:build e2e

package suites_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/lab"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/setup"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/manifests"
)

func TestServices(t *testing.T) {
	RegisterFailHandler(Fail)
	left := PreviewSpecs(suiteName).SpecReports.WithLeafNodeType(types.NodeTypeIt).WithState(types.SpecStatePassed) // by the filters
	for _, s := range scenarios {
		if slices.ContainsFunc(left, func(spec SpecReport) bool { return slices.Contains(spec.Labels(), scenarioLabel+s.Name) }) {
			chosen = append(chosen, s)
		}
	}
	RunSpecs(t, suiteName)
}

const (
	suiteName     = "Kubernetes Services"
	scenarioLabel = "scenario:"
)

var (
	scenarios          = mustLoad()
	progress, reporter = openProgress()
	// chosen are the scenarios that run, and theRun is their run, once BeforeSuite has begun it.
	chosen []scenario.Scenario
	theRun *run
)

// run is the run of the scenarios.
type run struct {
	runner.Reporter
	output   string
	began    time.Time
	cluster  report.Cluster
	verdicts map[string]chan reach.Verdict // by scenario; closed at the end
	ended    chan struct{}                 // closed when the following are set
	outcome  runner.Outcome
	err      error
}

// Finished tells a scenario's spec too.
func (r *run) Finished(v reach.Verdict) {
	r.Reporter.Finished(v)
	r.verdicts[v.Scenario] <- v
}

// do runs the scenarios.
func (r *run) do(ctx context.Context, on *runner.Runner) {
	defer close(r.ended)
	r.outcome, r.err = on.Run(ctx, chosen)
	for _, v := range r.outcome.Verdicts {
		if v.Result == reach.Skipped { // these do not run, and so do not finish
			r.verdicts[v.Scenario] <- v
		}
	}
	for _, verdict := range r.verdicts {
		close(verdict)
	}
}

func mustLoad() []scenario.Scenario {
	all, err := scenario.LoadAll(manifests.FS(), steps.Kinds(checks.Names()...))
	if err != nil {
		panic(err) // the specs are made from them; make test finds the same
	}
	return all
}

// openProgress is where progress is written: a file that svclab e2e reads as it grows, and shows, else standard error.
func openProgress() (io.Writer, runner.Reporter) {
	path := os.Getenv("SVCLAB_PROGRESS")
	if path == "" {
		return os.Stderr, runner.Lines(os.Stderr)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	return file, runner.Events(file)
}

var _ = BeforeSuite(func(ctx SpecContext) {
	began := time.Now()
	suite, _ := GinkgoConfiguration()
	Expect(suite.ParallelTotal).To(Equal(1), "the suite runs scenarios side by side in one process: set SVCLAB_PROCS instead of --procs")
	config, err := setup.FromEnv(manifests.FS(), progress)
	Expect(err).NotTo(HaveOccurred())
	procs, err := strconv.Atoi(cmp.Or(os.Getenv("SVCLAB_PROCS"), "0")) // 0: as many as svclab verify
	Expect(err).NotTo(HaveOccurred())
	took, err := scenario.Durations(manifests.FS())
	Expect(err).NotTo(HaveOccurred())
	config.Use.Command = "the Ginkgo suite"
	if config.Use.Run == "" { // not started by svclab e2e
		config.Use.Run = rand.Text()[:8]
	}
	settings, err := config.Settings(ctx)
	Expect(err).NotTo(HaveOccurred())
	owner, err := cluster.Up(ctx, settings)
	if err != nil {
		_, _ = fmt.Fprintf(progress, "svclab: error: %v\n", err) // Ginkgo's own account is in its log
		Fail(err.Error())
	}
	DeferCleanup(func(ctx SpecContext) {
		if os.Getenv("SVCLAB_KEEP") == "true" {
			Expect(owner.Close(ctx)).To(Succeed())
			return
		}
		Expect(owner.Delete(ctx)).To(Succeed())
	}, NodeTimeout(4*time.Minute))
	lab := lab.Cluster{Cluster: owner}
	described, err := lab.Describe(ctx)
	Expect(err).NotTo(HaveOccurred())

	theRun = &run{Reporter: reporter, output: config.Output, began: began, cluster: described, verdicts: map[string]chan reach.Verdict{}, ended: make(chan struct{})}
	for _, s := range chosen {
		theRun.verdicts[s.Name] = make(chan reach.Verdict, 1)
	}
	running, cancel := context.WithCancelCause(context.WithoutCancel(ctx)) // ctx ends with this node
	go theRun.do(running, lab.Runner(config.Output, runner.WithReporter(theRun), runner.WithSettings(runner.Settings{
		Workers: procs, Took: took, LeaveTerminating: true, // the cluster goes, or the next run sweeps
	})))
	DeferCleanup(func(ctx SpecContext) {
		cancel(errors.New("the suite ends"))
		Eventually(ctx, theRun.ended).Should(BeClosed())
	}, NodeTimeout(4*time.Minute))
}, NodeTimeout(50*time.Minute))

var _ = Describe("Service", func() {
	for _, s := range scenarios {
		It(fmt.Sprintf("%s: %s", s.Name, s.Title), Label(s.Behaviours...), Label(scenarioLabel+s.Name), func(ctx SpecContext) {
			var verdict reach.Verdict
			Eventually(ctx, theRun.verdicts[s.Name]).Should(Receive(&verdict), "the run ended without a verdict")
			if verdict.Result == reach.Skipped {
				Skip(verdict.Skip)
			}
			Expect(problems(verdict)).To(BeEmpty())
		}, SpecTimeout(50*time.Minute))
	}
})

// problems lists what keeps a verdict from being a pass; empty for one that is.
func problems(v reach.Verdict) []string {
	if v.Result == reach.Pass {
		return nil
	}
	list := []string{string(v.Result)}
	for _, step := range v.Steps {
		if step.Result != reach.Pass && step.Result != reach.Skipped {
			list = append(list, fmt.Sprintf("%s: %s: %s", step.Name, step.Result, step.Why))
		}
	}
	return list
}

var _ = ReportAfterSuite("reports", func(ctx SpecContext, _ Report) {
	if theRun == nil { // the suite ended before it began
		return
	}
	Eventually(ctx, theRun.ended).Should(BeClosed())
	names := make([]string, len(chosen))
	for i, s := range chosen {
		names[i] = s.Name
	}
	run := report.Run{Tool: "svclab", Version: version(), Started: theRun.began, Elapsed: time.Since(theRun.began),
		Cluster: theRun.cluster, Plan: report.PlanFor(names, theRun.outcome.Verdicts), Verdicts: theRun.outcome.Verdicts}
	if part := os.Getenv("SVCLAB_PART"); part != "" {
		Expect(json.Unmarshal([]byte(part), &run.Shard)).To(Succeed())
	}
	Expect(report.WriteAll(theRun.output, run)).To(Succeed())
	Expect(theRun.err).NotTo(HaveOccurred())
}, NodeTimeout(time.Minute))

// version is the module's version as the build recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}
