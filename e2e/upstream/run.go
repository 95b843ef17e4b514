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
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/svclab/svclab/e2e/tether"
)

// Programs are the programs that scripts/upstream.sh builds.
type Programs struct {
	// Version is their Kubernetes release: "v1.37.2".
	Version string
	// Test is e2e.test; Ginkgo runs it in several processes, and it calls Kubectl. All are files.
	Test, Ginkgo, Kubectl string
}

// Settings say how upstream's specs are run.
type Settings struct {
	Programs
	// Kubeconfig is a file, Context a context of it.
	Kubeconfig, Context string
	// Client is a client of the same cluster. It finds and removes what the specs leave.
	Client kubernetes.Interface
	// Output is the folder for Ginkgo's report and the specs' own log.
	Output string
	// Processes is how many specs run at once. Most of a spec's time is waiting.
	Processes int
	// Timeout bounds the run.
	Timeout time.Duration
	// Keep are files that stay open until no process of the run is left, even if this one is killed: a lock.
	Keep []*os.File
	// Log gets a line for each spec that ends.
	Log io.Writer
}

// Names of files in the output folder.
const (
	reportFile = "ginkgo.json"
	logFile    = "e2e.log"
)

// grace is how long the specs have to clean up after an interrupt.
const grace = 2 * time.Minute

// Run runs the specs and returns how each ended. A failed spec is not an error. On cancel Run interrupts the specs, lets them
// clean up, and removes what they leave.
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
	existing, err := namespaces(ctx, s.Client)
	if err != nil {
		return outcome, err
	}
	before := map[string]bool{}
	for _, n := range existing {
		before[n.Name] = true
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
		err = ran // no result of a spec explains it
	}
	return outcome, err
}

// start runs Ginkgo until it ends.
func (s Settings) start(ctx context.Context, specs []Spec, report string) error {
	home, err := os.MkdirTemp("", "svclab-upstream-")
	if err != nil {
		return fmt.Errorf("make a home for kubectl: %w", err)
	}
	defer func() { _ = os.RemoveAll(home) }() // it has only kubectl's caches, which do no harm in the temporary folder
	log, err := os.Create(filepath.Join(s.Output, logFile))
	if err != nil {
		return fmt.Errorf("write the specs' log: %w", err)
	}
	defer func() { _ = log.Close() }()
	reports, err := listen(s.Log, len(specs))
	if err != nil {
		return err
	}
	defer reports.close()

	cmd := exec.CommandContext(ctx, s.Ginkgo, s.arguments(specs, report, reports.url)...)
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "HOME="+home, "KUBECONFIG="+s.Kubeconfig, "KUBECTL_KUBERC=false")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = grace
	// Ginkgo does not forward an interrupt to its children, and the specs clean up only after one.
	if err := tether.Run(cmd, syscall.SIGINT, s.Keep...); err != nil {
		return fmt.Errorf("run upstream's specs (their log is %s): %w", log.Name(), err)
	}
	return nil
}

// arguments returns the arguments of ginkgo, followed by those of e2e.test.
func (s Settings) arguments(specs []Spec, report, progress string) []string {
	return []string{"run", "--procs=" + strconv.Itoa(s.Processes), "--no-color", "--silence-skips", "--timeout=" + s.Timeout.String(),
		"--keep-going", "--focus=" + Focus(specs), "--output-dir=" + filepath.Dir(report), "--json-report=" + filepath.Base(report),
		s.Test, "--",
		"--kubeconfig=" + s.Kubeconfig, "--context=" + s.Context, "--kubectl-path=" + s.Kubectl, "--provider=skeleton",
		"--progress-report-url=" + progress}
}
