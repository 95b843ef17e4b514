package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/onsi/ginkgo/v2/types"
	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/tether"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/lesson"
)

func (a *app) e2e() *cobra.Command {
	var (
		keep, verbose, plain bool
		procs                int
		labels, focus        string
		shard                scenario.Shard
	)
	cmd := &cobra.Command{
		Use:   "e2e",
		Short: "Set everything up, run the whole suite with Ginkgo, take everything down",
		Long: `Does what make e2e does: prepares the machine, lets Ginkgo create the cluster and run every scenario as a spec, several at
once, prints the tables, writes the reports to the output folder, and deletes the cluster unless --keep is given.

It deletes only a cluster that it made itself in this run. One that is there and fits the flags is used and stays. It
refuses one that differs from them, and one in which an exercise of svclab learn is under way.

Exit codes: 0 every scenario passed, 1 one failed, 2 no verdict was possible.`,
		Example: "  svclab e2e\n  svclab e2e --mode iptables --focus nodeport --keep\n  svclab e2e --label-filter scenario:nodeport\n  svclab e2e --shard 2/4",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runE2E(cmd.Context(), suite{keep: keep, procs: procs, labels: labels, focus: focus, shard: shard, verbose: verbose, plain: plain})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&keep, "keep", os.Getenv("KEEP") == "1", "keep the cluster after the run [KEEP=1]")
	flags.IntVar(&procs, "procs", runner.Defaults().Workers, "how many specs run at once")
	flags.StringVar(&labels, "label-filter", "", "run only specs whose labels match, as Ginkgo's --label-filter")
	flags.StringVar(&focus, "focus", "", "run only specs whose name matches this regular expression")
	flags.Var(&shard, "shard", shardUsage)
	flags.BoolVarP(&verbose, "verbose", "v", false, "print every cell with its reason, and each step as it begins and ends")
	flags.BoolVar(&plain, "plain", false, "no colour, no box drawing (also if the output is no terminal)")
	a.ClusterFlags(cmd)
	return cmd
}

// suite is one run of Ginkgo.
type suite struct {
	keep           bool
	procs          int
	labels, focus  string
	verbose, plain bool
	shard          scenario.Shard
	// chosen are the scenarios that run; see choose. part says what they are a part of.
	chosen []scenario.Scenario
	part   *report.Shard
	took   map[string]time.Duration
}

func (a *app) runE2E(ctx context.Context, s suite) (err error) {
	settings, lock, err := a.forRun(ctx, &s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	run, ran := a.suite(ctx, s, settings, lock)
	if run == nil {
		return ran
	}
	if err := report.Text(a.Out, *run, a.ReportStyle(s.verbose, s.plain)); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if run.Result() == reach.Pass && ran != nil {
		return ran // no scenario failed, but the suite did
	}
	return console.Judged(run.Result())
}

// suite runs the suite on the cluster that the settings describe, which is locked. The run is nil where there is no result to be told; where there is one,
// the error says what Ginkgo said, which includes that a scenario failed.
func (a *app) suite(ctx context.Context, s suite, settings cluster.Settings, lock *cluster.Lock) (*report.Run, error) {
	s.took = a.lastTimes()
	result := filepath.Join(a.Config.Output, report.JSONFile)
	if err := os.Remove(result); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("begin a new result: %w", err)
	}
	ran := a.ginkgo(ctx, s, lock)
	if !s.keep {
		// Ginkgo deletes the cluster at the end of the suite, if the suite made it. That it is gone is made sure of here, for
		// a suite that was cut off as well.
		clean, cancel := console.Cleaning(ctx)
		defer cancel()
		if _, err := cluster.Down(clean, settings); err != nil {
			ran = errors.Join(ran, err)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	file, err := os.Open(result)
	switch {
	case errors.Is(err, os.ErrNotExist) && ran != nil:
		return nil, fmt.Errorf("the suite left no result: %w", ran)
	case err != nil:
		return nil, errors.Join(ran, fmt.Errorf("read the suite's result: %w", err))
	}
	defer func() { _ = file.Close() }()
	run, err := report.Decode(file)
	if err != nil {
		return nil, errors.Join(ran, err)
	}
	return &run, ran
}

// forRun chooses the scenarios, makes the machine ready for a run of the suite and takes its cluster's lock. It begins a run: see cluster.Use.
func (a *app) forRun(ctx context.Context, s *suite) (settings cluster.Settings, lock *cluster.Lock, err error) {
	// What cannot be right is refused before anything is built.
	all, err := a.scenarios(nil)
	if err != nil {
		return settings, nil, err
	}
	if s.chosen, err = s.choose(all); err != nil {
		return settings, nil, err
	}
	if s.chosen, s.part, err = a.take(s.shard, s.chosen); err != nil {
		return settings, nil, err
	}
	a.Config.Use.Run = rand.Text()[:8]
	if settings, err = a.Config.Settings(ctx); err != nil {
		return settings, nil, err
	}
	if lock, err = cluster.Acquire(ctx, settings, cluster.Alone); err != nil {
		return settings, nil, err
	}
	there, err := cluster.Attach(ctx, settings, cluster.Free)
	if err != nil {
		return settings, lock, nil // the suite creates it, or says why not
	}
	if err := lesson.NoneOpen(ctx, there.Client(), settings.Name); err != nil {
		return settings, nil, errors.Join(err, lock.Release())
	}
	return settings, lock, nil
}

// choose returns the scenarios that the flags of a run leave, or what is wrong with the flags.
func (s suite) choose(all []scenario.Scenario) ([]scenario.Scenario, error) {
	if err := console.CheckProcs(s.procs); err != nil {
		return nil, err
	}
	focus, err := regexp.Compile(s.focus)
	if err != nil {
		return nil, fmt.Errorf("--focus: %w", err)
	}
	matches, err := types.ParseLabelFilter(s.labels)
	if err != nil {
		return nil, fmt.Errorf("--label-filter=%s is no label filter of Ginkgo; write one such as 'scenario:nodeport || clusterip.basic'", s.labels)
	}
	chosen := slices.DeleteFunc(slices.Clone(all), func(one scenario.Scenario) bool {
		return !matches(append(slices.Clone(one.Behaviours), "scenario:"+one.Name)) || !focus.MatchString(one.Name+": "+one.Title)
	})
	if len(chosen) == 0 {
		return nil, fmt.Errorf("--label-filter=%s and --focus=%s leave no scenario; svclab verify --list shows all, and their labels are scenario:NAME and the behaviours that they verify",
			s.labels, s.focus)
	}
	return chosen, nil
}

// ginkgo runs the suite in the checkout. It writes its progress to a file, which is shown as it grows: Ginkgo holds back what a spec
// prints until that ends.
func (a *app) ginkgo(ctx context.Context, s suite, lock *cluster.Lock) error {
	if err := os.MkdirAll(a.Config.Output, 0o755); err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}
	progress := filepath.Join(a.Config.Output, "progress.log")
	if err := os.WriteFile(progress, nil, 0o644); err != nil {
		return fmt.Errorf("write the progress: %w", err)
	}
	args := []string{"tool", "ginkgo", "run", "--no-color", "--silence-skips", "--succinct",
		"--timeout=55m", "--poll-progress-after=0s", "--keep-going", "--fail-on-empty"}
	if s.labels != "" || s.focus != "" || s.part != nil {
		args = append(args, "--label-filter=scenario: containsAny {"+strings.Join(names(s.chosen), ", ")+"}")
	}
	program, err := a.suiteProgram(ctx)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append(args, program)...)
	cmd.Dir = a.Config.Root
	cmd.Env = append(os.Environ(), a.Config.Environ()...)
	part, err := json.Marshal(s.part)
	if err != nil {
		return fmt.Errorf("tell the suite its part: %w", err)
	}
	cmd.Env = append(cmd.Env, "SVCLAB_PROGRESS="+progress, "SVCLAB_KEEP="+strconv.FormatBool(s.keep), "SVCLAB_PROCS="+strconv.Itoa(s.procs), "SVCLAB_PART="+string(part))
	log, err := os.Create(filepath.Join(a.Config.Output, "ginkgo.log"))
	if err != nil {
		return fmt.Errorf("write Ginkgo's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = 3 * time.Minute

	reporter, stopShowing := a.showing(s.verbose, s.plain, names(s.chosen), s.took)
	defer stopShowing()
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	followed := make(chan struct{})
	go func() { defer close(followed); follow(following, progress, &replayed{to: reporter, rest: a.Err}) }()
	// Ctrl-C reaches this process only: the suite's get one interrupt from it, and end in good order.
	err = tether.Run(cmd, syscall.SIGINT, lock.Files()...)
	stop()
	<-followed
	if err != nil {
		return fmt.Errorf("run the suite (its own log is %s): %w", log.Name(), err)
	}
	return nil
}

// suiteProgram compiles the suite, and returns the program's absolute path. Go leaves one that is up to date as it is;
// Ginkgo, left to itself, links a new one for every run.
func (a *app) suiteProgram(ctx context.Context) (string, error) {
	program, err := filepath.Abs(filepath.Join(a.Config.Output, "bin", "suites.test"))
	if err != nil {
		return "", fmt.Errorf("compile the suite: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-trimpath", "-gcflags=all=-dwarf=false", "-tags=e2e", "-o", program, "./e2e/suites")
	cmd.Dir = a.Config.Root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as make builds svclab, so that what both have is compiled once
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	a.beating("compiling the suite", func() { err = tether.Run(cmd, syscall.SIGINT) })
	if err != nil {
		return "", fmt.Errorf("compile the suite: %w\n%s", err, said.Bytes())
	}
	return program, nil
}

// beating does something, and says every 15 s that it is still at it.
func (a *app) beating(what string, do func()) {
	var (
		began = time.Now()
		tick  = time.NewTicker(15 * time.Second)
		done  = make(chan struct{})
	)
	defer tick.Stop()
	go func() { defer close(done); do() }()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			_, _ = fmt.Fprintf(a.Err, "  … %s, %.0f s\n", what, time.Since(began).Seconds())
		}
	}
}
