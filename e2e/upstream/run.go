package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/client-go/kubernetes"
)

// Programs are what scripts/upstream.sh builds.
type Programs struct {
	// Version is that of the Kubernetes release they are of: "v1.37.2".
	Version string
	// Test is e2e.test; Ginkgo runs it in several processes, and it calls Kubectl. All are files.
	Test, Ginkgo, Kubectl string
}

// Settings say how upstream's specs are run.
type Settings struct {
	Programs
	// Kubeconfig is a file, Context a context of it.
	Kubeconfig, Context string
	// Client is of the same cluster: what the specs leave there is found and removed by it.
	Client kubernetes.Interface
	// Output is the folder for Ginkgo's report and the specs' own log.
	Output string
	// Processes is how many specs run at once. Most of a spec's time is waiting.
	Processes int
	// Timeout bounds the whole.
	Timeout time.Duration
	// Interruptible, when set, is given the command before it starts: it sees to it that on cancel the interrupt reaches the
	// command's children as well. Ginkgo passes none on, and the specs clear up only when they get one.
	Interruptible func(*exec.Cmd)
	// Log gets a line for each spec that ends.
	Log io.Writer
}

// Names of files in the output folder.
const (
	reportFile = "ginkgo.json"
	logFile    = "e2e.log"
)

// grace is how long the specs have to clear up after an interrupt.
const grace = 2 * time.Minute

// Run runs the specs and returns how each ended. A spec that fails is no error. On cancel the specs are interrupted, clear
// up, and what they still leave is removed.
func Run(ctx context.Context, s Settings, specs []Spec) (outcome Outcome, err error) {
	began := time.Now()
	outcome = Outcome{Version: s.Version, Processes: s.Processes}
	if err := os.MkdirAll(s.Output, 0o755); err != nil {
		return outcome, fmt.Errorf("make the output folder: %w", err)
	}
	report := filepath.Join(s.Output, reportFile)
	if err := os.Remove(report); err != nil && !errors.Is(err, os.ErrNotExist) {
		return outcome, fmt.Errorf("begin a new report: %w", err)
	}
	before, err := namespaces(ctx, s.Client)
	if err != nil {
		return outcome, err
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		err = errors.Join(err, sweep(clean, s.Client, before, s.Log))
	}()
	ran := s.start(ctx, specs, report)
	outcome.Elapsed = time.Since(began)
	if ctx.Err() != nil {
		return outcome, fmt.Errorf("run upstream's specs: %w", context.Cause(ctx))
	}
	file, err := os.Open(report)
	if err != nil {
		return outcome, errors.Join(ran, fmt.Errorf("upstream's specs left no report: %w", err))
	}
	defer func() { _ = file.Close() }()
	outcome.Specs, err = read(file, specs)
	var exit *exec.ExitError
	if err == nil && ran != nil && (!errors.As(ran, &exit) || outcome.Passed() == len(specs)) {
		err = ran // no spec says why it ended like that
	}
	return outcome, err
}

// start runs Ginkgo until it ends.
func (s Settings) start(ctx context.Context, specs []Spec, report string) error {
	home, err := os.MkdirTemp("", "svclab-upstream-")
	if err != nil {
		return fmt.Errorf("make a home for kubectl: %w", err)
	}
	defer func() { _ = os.RemoveAll(home) }() // nothing of ours is in it; a rest in the temporary folder does no harm
	log, err := os.Create(filepath.Join(s.Output, logFile))
	if err != nil {
		return fmt.Errorf("write the specs' log: %w", err)
	}
	defer func() { _ = log.Close() }()
	told, err := listen(s.Log, len(specs))
	if err != nil {
		return err
	}
	defer told.close()

	cmd := exec.CommandContext(ctx, s.Ginkgo, s.arguments(specs, report, told.url)...)
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "HOME="+home, "KUBECONFIG="+s.Kubeconfig, "KUBECTL_KUBERC=false")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if s.Interruptible != nil {
		s.Interruptible(cmd)
	}
	cmd.WaitDelay = grace
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run upstream's specs (their log is %s): %w", log.Name(), err)
	}
	return nil
}

// arguments are those of ginkgo, then those of e2e.test.
func (s Settings) arguments(specs []Spec, report, progress string) []string {
	return []string{"run", "--procs=" + strconv.Itoa(s.Processes), "--no-color", "--silence-skips", "--timeout=" + s.Timeout.String(),
		"--keep-going", "--focus=" + Focus(specs), "--output-dir=" + filepath.Dir(report), "--json-report=" + filepath.Base(report),
		s.Test, "--",
		"--kubeconfig=" + s.Kubeconfig, "--context=" + s.Context, "--kubectl-path=" + s.Kubectl, "--provider=skeleton",
		"--progress-report-url=" + progress}
}
