//go:build e2e

package suites_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
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
	RunSpecs(t, "Kubernetes Services")
}

// shared is what the first process hands to all.
type shared struct {
	Started time.Time
	Cluster report.Cluster
	Use     cluster.Use
}

// suite is one process's view of the run.
type suite struct {
	config setup.Config
	lab    lab.Cluster
	runner *runner.Runner
	shared shared
	owner  *cluster.Cluster // in the first process
}

var (
	theSuite           suite
	scenarios          = mustLoad()
	progress, reporter = openProgress()
)

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

var _ = SynchronizedBeforeSuite(func(ctx SpecContext) []byte {
	began := time.Now()
	config, err := setup.FromEnv(manifests.FS(), progress)
	Expect(err).NotTo(HaveOccurred())
	config.Use.Command = "the Ginkgo suite"
	if config.Use.Run == "" { // not started by svclab e2e
		config.Use.Run = rand.Text()[:8]
	}
	settings, err := config.Settings(ctx)
	Expect(err).NotTo(HaveOccurred())
	if theSuite.owner, err = cluster.Up(ctx, settings); err != nil {
		_, _ = fmt.Fprintf(progress, "svclab: error: %v\n", err) // Ginkgo's own account is in its log
		Fail(err.Error())
	}
	DeferCleanup(func(ctx SpecContext) {
		if os.Getenv("SVCLAB_KEEP") == "true" {
			Expect(theSuite.owner.Close(ctx)).To(Succeed())
			return
		}
		Expect(theSuite.owner.Delete(ctx)).To(Succeed())
	}, NodeTimeout(4*time.Minute))
	described, err := lab.Cluster{Cluster: theSuite.owner}.Describe(ctx)
	Expect(err).NotTo(HaveOccurred())
	handed, err := json.Marshal(shared{Started: began, Cluster: described, Use: config.Use})
	Expect(err).NotTo(HaveOccurred())
	return handed
}, func(ctx SpecContext, handed []byte) {
	Expect(json.Unmarshal(handed, &theSuite.shared)).To(Succeed())
	var err error
	theSuite.config, err = setup.FromEnv(manifests.FS(), progress)
	Expect(err).NotTo(HaveOccurred())
	theSuite.config.Use = theSuite.shared.Use
	settings, err := theSuite.config.Settings(ctx)
	Expect(err).NotTo(HaveOccurred())
	attached, err := cluster.Attach(ctx, settings, cluster.Shared)
	Expect(err).NotTo(HaveOccurred())
	theSuite.lab = lab.Cluster{Cluster: attached}
	theSuite.runner = theSuite.lab.Runner(theSuite.config.Output, runner.WithReporter(reporter),
		runner.WithSettings(runner.Settings{LeaveTerminating: true})) // the cluster goes, or the next run sweeps
}, NodeTimeout(50*time.Minute))

var _ = Describe("Service", func() {
	took, err := scenario.Durations(manifests.FS())
	if err != nil {
		panic(err) // as in mustLoad
	}
	for _, i := range scenario.Order(scenarios, took) {
		s := scenarios[i]
		decorators := []any{Label(s.Behaviours...), Label("scenario:" + s.Name)}
		if s.Serial {
			decorators = append(decorators, Serial)
		}
		It(fmt.Sprintf("%s: %s", s.Name, s.Title), append(decorators, SpecTimeout(15*time.Minute), func(ctx SpecContext) {
			release, err := claim(ctx, filepath.Join(theSuite.config.Output, "claims"), s.Claims, s.Shares)
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(release)
			verdict := runOne(ctx, s)
			text, err := json.Marshal(verdict)
			Expect(err).NotTo(HaveOccurred())
			AddReportEntry(verdictEntry, string(text), ReportEntryVisibilityNever)
			if verdict.Result == reach.Skipped {
				Skip(verdict.Skip)
			}
			Expect(verdict).To(Pass())
		})...)
	}
})

// runOne runs a scenario and returns its verdict, also where the runner says that nothing ran.
func runOne(ctx context.Context, s scenario.Scenario) reach.Verdict {
	outcome, err := theSuite.runner.Run(ctx, []scenario.Scenario{s})
	if len(outcome.Verdicts) == 1 {
		return outcome.Verdicts[0]
	}
	return reach.Verdict{Scenario: s.Name, Title: s.Title, Behaviours: s.Behaviours, Result: reach.Inconclusive,
		Steps: []reach.Step{{Name: "run", Result: reach.Inconclusive, Why: fmt.Sprint(err)}}}
}

// verdictEntry names the report entry that carries a spec's verdict to the first process.
const verdictEntry = "verdict"

var _ = ReportAfterSuite("reports", func(_ SpecContext, r Report) {
	var (
		planned  []string
		verdicts []reach.Verdict
		found    = map[string]reach.Verdict{}
	)
	for _, spec := range r.SpecReports {
		for _, entry := range spec.ReportEntries {
			if entry.Name != verdictEntry {
				continue
			}
			var v reach.Verdict
			Expect(json.Unmarshal([]byte(entry.StringRepresentation()), &v)).To(Succeed())
			found[v.Scenario] = v
		}
	}
	for _, s := range scenarios {
		if !selected(r, s) {
			continue
		}
		planned = append(planned, s.Name)
		if v, ok := found[s.Name]; ok {
			verdicts = append(verdicts, v)
		}
	}
	run := report.Run{Tool: "svclab", Version: version(), Started: theSuite.shared.Started, Elapsed: time.Since(theSuite.shared.Started),
		Cluster: theSuite.shared.Cluster, Plan: report.PlanFor(planned, verdicts), Verdicts: verdicts}
	if part := os.Getenv("SVCLAB_PART"); part != "" {
		Expect(json.Unmarshal([]byte(part), &run.Shard)).To(Succeed())
	}
	output := theSuite.config.Output
	if output == "" { // the suite ended before it began
		return
	}
	Expect(report.WriteAll(output, run)).To(Succeed())
})

// selected reports whether Ginkgo's filters left the scenario's spec in the run.
func selected(r Report, s scenario.Scenario) bool {
	for _, spec := range r.SpecReports {
		for _, label := range spec.Labels() {
			if label == "scenario:"+s.Name {
				// A spec that the filters left out has neither run nor said why it was skipped.
				return spec.State != 0 && (spec.State.String() != "skipped" || spec.Failure.Message != "")
			}
		}
	}
	return false
}
