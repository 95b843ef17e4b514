package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/conformance"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/runner"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/labs/cli/console"
)

// conformanceFlags are the flags of conformance.
type conformanceFlags struct {
	kubeconfig, context, profile, features string
	image, registry, kubectl, output       string
	extras                                 extrasFlags
	only                                   []string
	shard                                  scenario.Shard
	sample                                 int
	seed                                   uint64
	addressWithin, within                  time.Duration
	publicBalancers                        bool
	inCluster, nodesFromHere, dryRun       bool
	clean, redact                          bool
	runner                                 bool
	verbose, plain                         bool
}

func (a *app) conformance() *cobra.Command {
	f := conformanceFlags{}
	cmd := &cobra.Command{
		Use:   "conformance --kubeconfig FILE",
		Short: "Check that any cluster behaves as Services promise, and report it",
		Long: `Runs the scenarios that fit a cluster, no matter who created it, and reports for each behaviour of Services whether it
holds. Profile core, the default, is what the Kubernetes API promises in every cluster. Profile extended adds what a
cluster may have: load balancers, dual-stack, traffic policies, node ports on localhost.

The cluster is the one that --kubeconfig names, or with --in-cluster the one whose pod svclab runs in. The ambient
kubeconfig ($KUBECONFIG, ~/.kube/config) is never used. Before anything is created, the user's permissions are checked,
and the plan of what is created and where is printed; --dry-run ends there. Everything is created in labelled namespaces
that are removed at the end, also after Ctrl-C. A run removes what an earlier run that was killed left behind. While a
run is alive, another one on the same cluster, from any machine, ends at once and says who runs it. Needs kubectl.

While a scenario runs, everyone who can reach a node can reach its sample app at a node port. The app answers its pod's
name, the client's address and an echo, and does nothing else. Load balancers are asked for internal addresses; one that
assigns an address of the internet is not used without --public-load-balancers. --time-limit bounds the run, and how long
pods of a killed run live.

The clients are pods and host-network pods on a sample of the nodes, and this machine if its packets to the nodes do not
leave it. The image of all pods is agnhost, from registry.k8s.io or --image-registry, or one the nodes have; it needs sh,
and svclab brings its prober into the pods, which also serves the sample app. What admission refuses is found by a dry
run, and printed with what to do. Pods opt out of service meshes. Node ports that are taken are replaced by free ones.
A check that is impossible, such as one from outside the cluster, is left out with the reason and
never counts as a pass.

--clean removes what a killed run left behind, and runs nothing; with --dry-run it only names it. It removes only
namespaces that carry the label app.kubernetes.io/managed-by=svclab. --redact replaces in all reports and in the result on
stdout, the same everywhere, the names of the context, the API server, the nodes and the registry, account numbers, host
names of clouds and addresses. Progress on stderr stays as it is.

Each flag except --kubeconfig, --context and --in-cluster can be set by an environment variable too: --image-registry by
SVCLAB_IMAGE_REGISTRY, and so on. The cluster is named on the command line each time.

Writes conformance.yaml, conformance.json, junit.xml, summary.md, report.html, report.txt and result.json.

Exit codes: 0 everything that was checked holds, 1 something does not, 2 no verdict was possible.`,
		Example: `  svclab conformance --kubeconfig staging.yaml --dry-run
  svclab conformance --kubeconfig staging.yaml --profile extended --output report
  svclab conformance --kubeconfig big.yaml --sample 10 --seed 7 --image-registry registry.example.com/mirror
  svclab conformance --kubeconfig staging.yaml --clean
  svclab diff before/conformance.yaml after/conformance.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.LocalFlags()); err != nil {
				return err
			}
			if !f.runner {
				return a.runConformance(cmd.Context(), f)
			}
			return a.underRunner(cmd, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "the cluster's kubeconfig file")
	flags.StringVar(&f.context, "context", "", "context in that kubeconfig (default: its current one)")
	flags.BoolVar(&f.inCluster, "in-cluster", false, "the cluster whose pod this is, as its service account")
	flags.StringVar(&f.profile, "profile", string(scenario.Core), "what is checked: core or extended")
	flags.StringVar(&f.features, "features", "", "features it has, and after a minus those it lacks, such as loadBalancer,-dualStack (default: detected)")
	flags.StringSliceVar(&f.only, "behaviour", nil, "only these behaviours of the profile, by ID")
	flags.Var(&f.shard, "shard", shardUsage)
	flags.StringVar(&f.image, "image", "", "the image of all pods, an agnhost")
	flags.StringVar(&f.registry, "image-registry", "", "registry to pull e2e-test-images/agnhost from, instead of registry.k8s.io")
	f.extras.add(flags, "")
	flags.IntVar(&f.sample, "sample", conformance.DefaultSample, "how many nodes send and receive requests, at most")
	flags.Uint64Var(&f.seed, "seed", 1, "seed of the choice of the sampled nodes")
	flags.DurationVar(&f.addressWithin, "load-balancer-within", 15*time.Second, "how long a load balancer may take to assign an address when it is detected")
	flags.DurationVar(&f.within, "time-limit", 2*time.Hour, "how long the run and each of its pods may last")
	flags.BoolVar(&f.publicBalancers, "public-load-balancers", false, "use load balancers that assign addresses of the internet, and do not ask for internal ones")
	flags.BoolVar(&f.nodesFromHere, "probe-nodes-from-here", false, "probe the nodes' addresses from this machine even if the packets leave it")
	flags.StringVar(&f.kubectl, "kubectl", "kubectl", "the kubectl to run commands with")
	flags.StringVar(&f.output, "output", "svclab-conformance", "folder for the reports")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only print what would be created, and where; create nothing")
	flags.BoolVar(&f.clean, "clean", false, "only remove what killed runs left behind")
	flags.BoolVar(&f.redact, "redact", false, "replace names and addresses that say whose cluster it is, in reports to be published")
	flags.BoolVar(&f.runner, "under-runner", false, "read the E2E_ variables of hydrophone and Sonobuoy, and write e2e.log, junit_01.xml and done for them")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "print every cell with its reason, and each step as it begins and ends")
	flags.BoolVar(&f.plain, "plain", false, "no colour, no box drawing (also if the output is no terminal)")
	return cmd
}

// extrasFlags are the flags about what the objects of a run have in addition, on clusters whose policies require it.
type extrasFlags struct {
	pullSecret, priorityClass string
	labels, annotations       map[string]string
}

// add adds the flags. prefix is put before what they say.
func (e *extrasFlags) add(flags *pflag.FlagSet, prefix string) {
	flags.StringVar(&e.pullSecret, "pull-secret", "", prefix+"a Docker config.json with credentials of the registry, which becomes a Secret in svclab's namespaces")
	flags.StringToStringVar(&e.labels, "label", nil, prefix+"labels of svclab's namespaces and pods, such as team=net,pod-security.kubernetes.io/enforce=privileged")
	flags.StringToStringVar(&e.annotations, "annotation", nil, prefix+"annotations of svclab's namespaces and pods")
	flags.StringVar(&e.priorityClass, "priority-class", "", prefix+"PriorityClass of svclab's pods")
	for _, name := range []string{"label", "annotation"} {
		flags.Lookup(name).DefValue = "" // else the help says [], which is no value of the flag
	}
}

// read returns what the flags say, with the file of the pull secret.
func (e *extrasFlags) read() (cluster.Extras, error) {
	extras := cluster.Extras{Labels: e.labels, Annotations: e.annotations, PriorityClass: e.priorityClass}
	if e.pullSecret == "" {
		return extras, nil
	}
	config, err := os.ReadFile(e.pullSecret)
	if err != nil {
		return extras, fmt.Errorf("--pull-secret: %w; name a config.json of Docker", err)
	}
	if !json.Valid(config) {
		return extras, fmt.Errorf("--pull-secret: %s is not JSON; name a config.json of Docker", e.pullSecret)
	}
	extras.PullSecret = string(config)
	return extras, nil
}

// fromEnvironment sets the flags that were not given from SVCLAB_ variables: --image-registry from SVCLAB_IMAGE_REGISTRY.
// The cluster is not among them: it is named on the command line each time.
func fromEnvironment(flags *pflag.FlagSet) error {
	var errs []error
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed || flag.Name == "kubeconfig" || flag.Name == "context" || flag.Name == "in-cluster" {
			return
		}
		name := "SVCLAB_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		if value := os.Getenv(name); value != "" {
			if err := flags.Set(flag.Name, value); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	})
	return errors.Join(errs...)
}

// options checks the flags.
func (f conformanceFlags) options() (conformance.Options, error) {
	features, err := conformance.ParseFeatures(f.features)
	if err != nil {
		return conformance.Options{}, fmt.Errorf("--features: %w", err)
	}
	profile := scenario.Profile(f.profile)
	switch {
	case f.kubeconfig == "" && !f.inCluster:
		return conformance.Options{}, errors.New("name the cluster by --kubeconfig FILE, or run in a pod of it with --in-cluster; the ambient kubeconfig is never used")
	case f.inCluster && (f.kubeconfig != "" || f.context != ""):
		return conformance.Options{}, errors.New("--in-cluster and --kubeconfig name two clusters; use one of them")
	case profile != scenario.Core && profile != scenario.Extended:
		return conformance.Options{}, fmt.Errorf("--profile %s is unknown; use core or extended", f.profile)
	case f.within < time.Minute || f.within > 7*24*time.Hour:
		return conformance.Options{}, fmt.Errorf("--time-limit %s: use 1m to 168h", f.within)
	case f.addressWithin <= 0:
		return conformance.Options{}, fmt.Errorf("--load-balancer-within %s is no time; use one such as 15s", f.addressWithin)
	case f.output == "":
		return conformance.Options{}, errors.New("--output is empty; name a folder for the reports")
	}
	if _, err := exec.LookPath(f.kubectl); err != nil && f.kubectl != "kubectl" {
		return conformance.Options{}, fmt.Errorf("--kubectl: %w; name the program, or install it", err)
	}
	extras, err := f.extras.read()
	if err != nil {
		return conformance.Options{}, err
	}
	options := conformance.Options{Profile: profile, Features: features, Only: f.only,
		ClientOptions: conformance.ClientOptions{Image: f.image, Registry: f.registry, Sample: f.sample, Seed: f.seed, NodesFromHere: f.nodesFromHere, InPod: f.inCluster, Extras: extras},
		AddressWithin: f.addressWithin, Within: f.within, PublicBalancers: f.publicBalancers, Kubectl: f.kubectl, Reproduce: f.command()}
	return options, options.Check()
}

// command returns the command line that repeats the run. It leaves out the kubeconfig's folder, which a report need not
// reveal.
func (f conformanceFlags) command() string {
	args := []string{"svclab", "conformance"}
	if f.inCluster {
		args = append(args, "--in-cluster")
	} else {
		args = append(args, "--kubeconfig", filepath.Base(f.kubeconfig))
	}
	for _, flag := range []struct{ name, value string }{{"--context", f.context}, {"--profile", f.profile}, {"--features", f.features},
		{"--behaviour", strings.Join(f.only, ",")},
		{"--image", f.image}, {"--image-registry", f.registry}, {"--priority-class", f.extras.priorityClass}} {
		if flag.value != "" {
			args = append(args, flag.name, flag.value)
		}
	}
	args = append(args, fmt.Sprintf("--sample=%d", f.sample), fmt.Sprintf("--seed=%d", f.seed))
	if f.shard.Of != 0 {
		args = append(args, "--shard="+f.shard.String())
	}
	if f.publicBalancers {
		args = append(args, "--public-load-balancers")
	}
	for flag, all := range map[string]map[string]string{"--label=": f.extras.labels, "--annotation=": f.extras.annotations} {
		for _, key := range slices.Sorted(maps.Keys(all)) {
			args = append(args, flag+key+"="+all[key])
		}
	}
	if f.nodesFromHere {
		args = append(args, "--probe-nodes-from-here")
	}
	return shellescape.QuoteCommand(args)
}

// underRunner is runConformance in a container that a standard runner started. The file that the runner waits for is
// written even if the run failed, as long as there are reports.
func (a *app) underRunner(cmd *cobra.Command, f conformanceFlags) (err error) {
	began := time.Now()
	defer func() {
		if _, said := fmt.Fprintf(a.Out, goodbye, time.Since(began).Round(time.Millisecond)); err == nil {
			err = said
		}
	}()
	if err := f.fromRunner(cmd.LocalFlags()); err != nil {
		return err
	}
	end, err := a.logToo(f.output)
	if err != nil {
		return err
	}
	verdict := a.runConformance(cmd.Context(), f)
	if closed := end(); closed != nil {
		return closed
	}
	if f.dryRun || verdict != nil && console.NotVerdict(verdict) != nil {
		return verdict
	}
	if err := finish(f.output); err != nil {
		return err
	}
	return verdict
}

func (a *app) runConformance(ctx context.Context, f conformanceFlags) (err error) {
	options, err := f.options()
	if err != nil {
		return err
	}
	scenarios, err := a.scenarios(nil)
	if err != nil {
		return err
	}
	if !f.dryRun && !f.clean {
		if err := os.MkdirAll(f.output, 0o755); err != nil {
			return fmt.Errorf("--output=%s: %w; name a folder that can be written", f.output, err)
		}
	}
	if f.inCluster {
		folder, err := os.MkdirTemp("", "svclab-")
		if err != nil {
			return fmt.Errorf("make a folder for the kubeconfig: %w", err)
		}
		defer func() { _ = os.RemoveAll(folder) }() // it names the token's file, and holds no token
		if f.kubeconfig, err = cluster.InCluster(folder); err != nil {
			return err
		}
	}
	took, err := scenario.Durations(a.Manifests)
	if err != nil {
		return err
	}
	options.Manifests, options.Log, options.Shard, options.Took = a.Manifests, a.log(), f.shard, took
	c, err := cluster.Connect(ctx, f.kubeconfig, f.context, cluster.Settings{Manifests: a.Manifests, PodsFor: f.within, Extras: options.Extras, Log: a.log()})
	if err != nil {
		return err
	}
	if f.clean {
		return a.cleanConformance(ctx, c, options.Extras, f.dryRun)
	}
	plan, err := conformance.Survey(ctx, c, scenarios, options)
	if err != nil {
		return err
	}
	if f.dryRun {
		return plan.Text(a.Out)
	}
	if err := plan.Text(a.Err); err != nil {
		return err
	}
	locked, release, err := conformance.Lock(ctx, c.Client(), options.Extras, a.Err)
	if err != nil {
		return err
	}
	reporter, stop := a.showing(f.verbose, f.plain, nil, took)
	run, err := plan.Run(locked, c, reporter)
	stop()
	clean, cancel := console.Cleaning(ctx)
	defer cancel()
	err = errors.Join(err, release(clean, c.Close))
	if run.Conformance == nil {
		return err
	}
	if f.redact {
		names := plan.Names()
		names[f.kubeconfig], names[filepath.Base(f.kubeconfig)] = "kubeconfig", "kubeconfig"
		redacted, failed := report.Redact(run, names)
		if failed != nil {
			return errors.Join(err, failed)
		}
		run = redacted
	}
	published := a.publishConformance(run, f)
	if err == nil || errors.Is(err, runner.ErrNothingRan) {
		return errors.Join(err, published)
	}
	// A failure that was observed stays one even if the run ended with an error; the error is printed as well.
	_, _ = fmt.Fprintln(a.Err, "svclab: error:", errors.Join(err, console.NotVerdict(published)))
	return console.Judged(reach.Worse(run.Result(), reach.Inconclusive))
}

// cleanConformance removes what killed runs left behind. A run that is alive keeps its own.
func (a *app) cleanConformance(ctx context.Context, c *cluster.Cluster, extras cluster.Extras, dryRun bool) error {
	left, err := conformance.Leftovers(ctx, c.Client())
	if err != nil {
		return err
	}
	did := "would be removed"
	if !dryRun {
		did = "removed"
		locked, release, err := conformance.Lock(ctx, c.Client(), extras, a.Err)
		if err != nil {
			return err
		}
		err = conformance.Clean(locked, c)
		clean, cancel := console.Cleaning(ctx)
		defer cancel()
		if err := errors.Join(err, release(clean, func(context.Context) error { return nil })); err != nil {
			return err
		}
	}
	if len(left) == 0 {
		_, err = fmt.Fprintln(a.Out, "no run has left a namespace behind")
		return err
	}
	_, err = fmt.Fprintf(a.Out, "%s: namespace %s\n", did, strings.Join(left, ", "))
	return err
}

// publishConformance writes the reports, prints the result, and returns the verdict; nil if nothing ran.
func (a *app) publishConformance(run report.Run, f conformanceFlags) error {
	run.Tool, run.Version = "svclab", version()
	run.Conformance.Tool, run.Conformance.Version = run.Tool, run.Version
	if err := report.WriteAll(f.output, run); err != nil {
		return err
	}
	if err := report.ConformanceText(a.Out, run, a.ReportStyle(f.verbose, f.plain)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.Err, "svclab: the reports are in %s\n", f.output); err != nil {
		return err
	}
	if len(run.Plan.Run) == 0 {
		return nil
	}
	return console.Judged(run.Result())
}
