package learn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/lab"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/proof"
)

// source is the source of the exercises that are built into the program.
func source(a *console.App) course.Source {
	return course.Source{Exercises: a.Exercises, Manifests: a.Manifests, Kinds: steps.Kinds(checks.Names()...)}
}

func proveVerb(a *console.App) *cobra.Command {
	var (
		procs int
		only  []string
	)
	cmd := &cobra.Command{
		Use:   "prove [EXERCISE…]",
		Short: "Prove on the lab's cluster that the exercises work, all of them by default",
		Long: `For people who write exercises. It reads labs/exercises of the checkout, not what is built into the program. On the
cluster that svclab up brought up, in namespaces of its own, it proves for every exercise: at its start it is not passed
and shows no misconception; every solution passes; every wrong answer fails with its own misconception; a reset restores
the start, object by object; the commands that the text quotes print what it says; and a trace of one connection takes the
hops that the section packet tells.

It refuses a cluster in which an exercise of svclab learn is under way: see svclab learn stop.

Exit codes: 0 all is proven, 1 something is not so, 2 something could not be checked.`,
		Example:           "  svclab learn prove\n  svclab learn prove 04 05 --procs 2\n  svclab learn prove 04 --only 01",
		ValidArgsFunction: completeExercises(a),
		RunE:              func(cmd *cobra.Command, args []string) error { return runProve(cmd.Context(), a, args, procs, only) },
	}
	cmd.Flags().IntVar(&procs, "procs", 6, "how many answers of exercises are tried at once, each in namespaces of its own")
	cmd.Flags().StringSliceVar(&only, "only", nil, "try only these answers, by their folders: 01 is the first solution, which proves all that depends on no answer")
	a.ClusterFlags(cmd)
	return cmd
}

// completeExercises lists the exercises for a shell that completes an argument.
func completeExercises(a *console.App) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		exercises, err := source(a).LoadAll()
		if err != nil && len(exercises) == 0 {
			return nil, cobra.ShellCompDirectiveError
		}
		var list []string
		for _, e := range exercises {
			list = append(list, e.ID+"\t"+e.Title(course.English))
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

func runProve(ctx context.Context, a *console.App, args []string, procs int, only []string) error {
	if err := console.CheckProcs(procs); err != nil {
		return err
	}
	source, _ := checkout(a)
	names, err := chosen(source, args)
	if err != nil {
		return err
	}
	if err := answers(source, names, only); err != nil {
		return err
	}
	v, err := vacant(ctx, a)
	if err != nil {
		return err
	}
	defer v.remove()
	began := time.Now()
	prover := proof.Prover{Cluster: v.Cluster, Runner: v.Runner(a.Config.Output), Source: source, Walker: v.Cluster, Values: v.values,
		Folder: v.snapshots, Workers: procs, Only: only, Log: a.Err}
	claims, err := prover.Prove(ctx, names)
	if err != nil && len(claims) == 0 {
		return err
	}
	result, text := summary(claims, len(names), time.Since(began))
	if _, printed := io.WriteString(a.Out, text); printed != nil {
		return printed
	}
	if err != nil {
		return errors.Join(err, console.Judged(reach.Worse(result, reach.Inconclusive)))
	}
	return console.Judged(result)
}

// vacancy is the lab's cluster for a verb that tries answers. No exercise is open in it, and no other verb uses it.
type vacancy struct {
	lab.Cluster
	values course.Values
	// snapshots is a temporary folder. remove removes it.
	snapshots string
}

// vacant attaches to the lab's cluster for one verb alone. It refuses a cluster in which an exercise is open.
func vacant(ctx context.Context, a *console.App) (v vacancy, err error) {
	settings, err := a.Config.Settings(ctx)
	if err != nil {
		return v, err
	}
	attached, err := cluster.Attach(ctx, settings, cluster.Alone)
	if err != nil {
		return v, err
	}
	v.Cluster = lab.Cluster{Cluster: attached}
	if err := lesson.NoneOpen(ctx, attached.Client(), attached.Name()); err != nil {
		return v, err
	}
	if v.values, err = clusterValues(ctx, attached); err != nil {
		return v, err
	}
	if v.snapshots, err = os.MkdirTemp("", "svclab-learn-"); err != nil {
		return v, fmt.Errorf("make a folder for snapshots: %w", err)
	}
	return v, nil
}

func (v vacancy) remove() { _ = os.RemoveAll(v.snapshots) } // files left in a temporary folder do no harm

// answers returns an error if only has a name that no answer of the exercises has.
func answers(source course.Source, names, only []string) error {
	if len(only) == 0 {
		return nil
	}
	exercises, err := source.LoadAll(names...)
	if err != nil {
		return err
	}
	for _, name := range only {
		has := func(a course.Answer) bool { return a.Name == name }
		if !slices.ContainsFunc(exercises, func(e course.Exercise) bool { return slices.ContainsFunc(slices.Concat(e.Solutions, e.Wrong), has) }) {
			return fmt.Errorf("--only %s is no answer of these exercises; name the folder of one, such as 01", name)
		}
	}
	return nil
}

// summary returns the result of the claims and the text that reports it. An exercise that the cluster cannot run is left out, with its
// reason. If nothing is proven, the result is Inconclusive.
func summary(claims []proof.Claim, exercises int, elapsed time.Duration) (reach.Result, string) {
	result, text := reach.Skipped, ""
	counts := map[reach.Result]int{}
	for _, c := range claims {
		result = reach.Worse(result, c.Result)
		counts[c.Result]++
		if c.Result != reach.Pass {
			text += fmt.Sprintf("%s  %s: %s: %s\n", c.Result, c.Exercise, c.What, c.Why)
		}
	}
	if len(claims) == counts[reach.Skipped] {
		result = reach.Inconclusive
	}
	left := ""
	if n := counts[reach.Skipped]; n > 0 {
		left = fmt.Sprintf(", %s left out", count(n, "exercise"))
	}
	return result, text + fmt.Sprintf("%s  %s, %s: %d proven, %d not so, %d could not be checked%s; %s\n", result, count(exercises, "exercise"), count(len(claims)-counts[reach.Skipped], "claim"),
		counts[reach.Pass], counts[reach.Fail], counts[reach.Inconclusive], left, elapsed.Round(time.Second))
}

// clusterValues are the values of the cluster that the exercises' files refer to.
func clusterValues(ctx context.Context, c *cluster.Cluster) (course.Values, error) {
	values := course.Sample()
	pools, err := c.Pool(ctx)
	if err != nil {
		return values, fmt.Errorf("find the addresses for load balancers: %w", err)
	}
	if len(pools) > 0 {
		values.Pool = pools[0].String()
	}
	for _, addr := range c.OutsideAddrs() {
		if addr.Is4() {
			values.Outside = addr.String()
		}
	}
	return values, nil
}
