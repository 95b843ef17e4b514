package learn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/checks"
	"github.com/svclab/svclab/e2e/cluster"
	"github.com/svclab/svclab/e2e/mutants"
	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/drill"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/progress"
)

// mostFaults is how many faults one incident can have: those of the mutants are on one node each, and the lab has three.
const mostFaults = 3

// incidentFlags are the flags of incident.
type incidentFlags struct {
	seed   uint64
	faults int
	prove  bool
}

func incidentVerb(a *console.App) *cobra.Command {
	var (
		f flags
		i incidentFlags
	)
	cmd := &cobra.Command{
		Use:   "incident",
		Short: "Solve an incident of random faults: a new one for each seed",
		Long: `Sets up the app of a scenario in the namespace ` + drill.Namespace + `, injects faults of svclab's own mutants into it and into the
packet filters of the nodes, and asks you to find and repair them. The check is the scenario's own expected table. The pods
node-view-SLOT are root on their nodes. It prints the KUBECONFIG with which kubectl, in another window, reaches all this.

The clock runs from the moment of the faults. A hint costs points, and so does each minute beyond ten for each fault.

Keys, each followed by Enter: c check, h hint, s solution (which repairs the faults), q quit. In the end all is removed. With --prove
no key is read: the check must pass before the faults, fail with them, and pass after their repair.

It refuses a cluster in which an exercise is open: see svclab learn stop.

Exit codes: 0 solved, 1 not solved, 2 no verdict was possible.`,
		Example:           "  svclab learn incident\n  svclab learn incident --seed 7 --faults 2\n  svclab learn incident --seed 7 --faults 2 --prove",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if i.faults < 1 || i.faults > mostFaults {
				return fmt.Errorf("--faults %d makes no incident; give --faults 1 to %d", i.faults, mostFaults)
			}
			if !cmd.Flags().Changed("seed") {
				i.seed = uint64(rand.IntN(1_000_000))
			}
			s, err := newSession(a, cmd, &f)
			if err != nil {
				return err
			}
			return s.incident(cmd.Context(), i)
		},
	}
	cmd.Flags().Uint64Var(&i.seed, "seed", 0, "seed of the incident (default: a new one, which is printed)")
	cmd.Flags().IntVar(&i.faults, "faults", 2, "how many faults are injected at once, 1 to 3")
	cmd.Flags().BoolVar(&i.prove, "prove", false, "read no key: prove that the faults are noticed and their repair solves the incident")
	f.add(a, cmd, onCluster)
	return cmd
}

// incident sets an incident up, and removes all of it in the end, whatever happens.
func (s *session) incident(ctx context.Context, f incidentFlags) (err error) {
	attached, leave, err := s.alone(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leave()) }()
	d, err := s.chooseIncident(ctx, attached, f)
	if err != nil {
		return err
	}
	defer func() {
		clean, cancel := console.Cleaning(ctx)
		defer cancel()
		left := s.spinner.run(coach.Clearing, func() error {
			return errors.Join(d.Repair(clean, attached), s.env.Leave(clean, []string{drill.Namespace}, true))
		})
		err = errors.Join(err, left)
	}()
	if err := s.spinner.run(coach.Setting, func() error { return s.env.Begin(ctx, d.Exercise, drill.Namespace) }); err != nil {
		return err
	}
	if before, err := s.look(ctx, d.Exercise); err != nil {
		return err
	} else if before.Verdict.Result != reach.Pass {
		s.Feedback(d.Exercise, reach.Verdict{}, before, true)
		return fmt.Errorf("the app of scenario %s does not work without a fault: no incident can be made of it", d.Exercise.Goal.Name)
	}
	if err := d.Inject(ctx, attached); err != nil {
		return err
	}
	if err := s.wire(d.Exercise); err != nil {
		return err
	}
	r := response{session: s, drill: d, lab: attached, began: time.Now()}
	if f.prove {
		return r.prove(ctx)
	}
	return r.respond(ctx)
}

// alone attaches to the lab's cluster, for this verb only, and sets the session's environment. leave detaches; call it unless there is
// an error.
func (s *session) alone(ctx context.Context) (attached *cluster.Cluster, leave func() error, err error) {
	err = s.spinner.run(coach.Connecting, func() (err error) { attached, s.env, err = s.attachWith(ctx, cluster.Alone); return err })
	if err != nil {
		return nil, nil, err
	}
	leave = func() error {
		clean, cancel := console.Cleaning(ctx)
		defer cancel()
		return attached.Close(clean)
	}
	if err := lesson.NoneOpen(ctx, attached.Client(), attached.Name()); err != nil {
		return nil, nil, errors.Join(err, leave())
	}
	return attached, leave, nil
}

// chooseIncident chooses the faults of a seed, after it has reverted what an earlier process may have left.
func (s *session) chooseIncident(ctx context.Context, c *cluster.Cluster, f incidentFlags) (drill.Drill, error) {
	scenarios, err := scenario.LoadAll(s.Manifests, steps.Kinds(checks.Names()...))
	if err != nil {
		return drill.Drill{}, err
	}
	all, err := mutants.Load(s.Manifests)
	if err != nil {
		return drill.Drill{}, err
	}
	if why := c.Lacks(scenario.NodeControl); why != "" {
		return drill.Drill{}, fmt.Errorf("an incident injects faults into the nodes of the cluster: %s", why)
	}
	facts, err := c.Facts(ctx)
	if err != nil {
		return drill.Drill{}, err
	}
	var slots []string
	for slot := range facts.Slots {
		slots = append(slots, slot)
	}
	slices.Sort(slots)
	lacks := func(sc scenario.Scenario) string {
		why, err := s.env.Lacks(ctx, course.Exercise{Needs: sc.Needs})
		if err != nil {
			return err.Error()
		}
		return why
	}
	d, err := drill.Choose(s.Manifests, scenarios, all, slots, lacks, f.seed, f.faults)
	if err != nil {
		return d, err
	}
	return d, d.Repair(ctx, c)
}

// look judges an incident.
func (s *session) look(ctx context.Context, e course.Exercise) (seen coach.Seen, err error) {
	err = s.spinner.run(coach.Checking, func() (err error) { seen, err = s.env.Check(ctx, e, drill.Namespace); return err })
	return seen, err
}

// response is what a learner does in an incident.
type response struct {
	*session
	drill drill.Drill
	lab   mutants.Lab
	began time.Time
	hints int
	// told: the solution was shown.
	told bool
	last reach.Verdict
}

// incidentHints is how many hints there are: the layers, the nodes, the effects.
const incidentHints = 3

// prove proves that the faults are noticed, and that their repair solves the incident.
func (r *response) prove(ctx context.Context) error {
	broken, err := r.look(ctx, r.drill.Exercise)
	if err != nil {
		return err
	}
	if broken.Verdict.Result != reach.Fail {
		r.effects()
		return fmt.Errorf("the faults are not noticed: the check says %s", broken.Verdict.Result)
	}
	if err := r.drill.Repair(ctx, r.lab); err != nil {
		return err
	}
	repaired, err := r.look(ctx, r.drill.Exercise)
	if err != nil {
		return err
	}
	r.Say(coach.IncidentProved, r.drill.Seed, len(r.drill.Faults), repaired.Verdict.Result)
	r.effects()
	if err := r.Done(); err != nil {
		return err
	}
	return console.Judged(repaired.Verdict.Result)
}

// respond reads keys until the incident is solved, or the learner quits.
func (r *response) respond(ctx context.Context) error {
	r.Head(coach.Say(r.Language, coach.IncidentHead, r.drill.Seed, len(r.drill.Faults)))
	r.Say(coach.IncidentStory, drill.Namespace)
	r.Blank()
	r.Say(coach.IncidentWire)
	r.wiring()
	if err := r.check(ctx); err != nil {
		return err
	}
	lines := r.lines()
	for {
		r.Quiet(coach.ClockRuns, time.Since(r.began).Round(time.Second), time.Duration(r.drill.Exercise.Par))
		if _, err := io.WriteString(r.Out, coach.Say(r.Language, coach.IncidentKeys)); err != nil {
			return err
		}
		key, open := "", true
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case key, open = <-lines:
		}
		switch {
		case !open || key == "q":
			r.Blank()
			r.effects()
			return errors.Join(r.Done(), console.Judged(reach.Fail))
		case key == "h":
			r.hint()
		case key == "s":
			r.told = true
			r.effects()
			if err := r.drill.Repair(ctx, r.lab); err != nil {
				return err
			}
			fallthrough
		case key == "c" || key == "":
			if err := r.check(ctx); err != nil {
				return err
			}
			if r.last.Result == reach.Pass {
				r.solved()
				return r.Done()
			}
		default:
			r.Say(coach.IncidentNoKey, key)
		}
	}
}

// lines reads the input, a line at a time, trimmed. The channel is closed at its end.
func (r *response) lines() <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for {
			line, err := r.input.ReadString('\n')
			if err != nil && line == "" {
				return
			}
			lines <- strings.TrimSpace(line)
		}
	}()
	return lines
}

func (r *response) check(ctx context.Context) error {
	seen, err := r.look(ctx, r.drill.Exercise)
	if err != nil {
		return err
	}
	r.Feedback(r.drill.Exercise, r.last, seen, r.hints > 0 || r.told)
	r.Blank()
	r.last = seen.Verdict
	return r.Done()
}

// hint prints the next hint: which layers, then which nodes, then the effects.
func (r *response) hint() {
	r.hints = min(r.hints+1, incidentHints)
	r.Head(coach.Say(r.Language, coach.HintHead, r.hints, incidentHints))
	for _, m := range r.drill.Faults {
		switch {
		case r.hints == 1 && m.Fault.Kind == mutants.KindEdit:
			r.Say(coach.IncidentObject)
		case r.hints == 1:
			r.Say(coach.IncidentFilter)
		case r.hints == 2 && len(m.Fault.Slots) > 0:
			r.Say(coach.IncidentNode, strings.Join(m.Fault.Slots, ", "), m.Fault.Slots[0])
		case r.hints == 2:
			r.Say(coach.IncidentCompare)
		}
	}
	if r.hints == incidentHints {
		r.effects()
	}
	r.Blank()
}

// effects prints what each fault does.
func (r *response) effects() {
	for i, m := range r.drill.Faults {
		r.Say(coach.IncidentFault, i+1, m.Effect)
	}
}

// solved prints the post-mortem.
func (r *response) solved() {
	took, par := time.Since(r.began).Round(time.Second), time.Duration(r.drill.Exercise.Par)
	r.Head(coach.Say(r.Language, coach.PostMortem))
	r.effects()
	r.Blank()
	if r.told {
		r.Say(coach.Unscored, took)
		return
	}
	r.Say(coach.Scored, took, r.hints, progress.Score(took, par, r.hints), progress.FullScore, par, progress.HintCosts, progress.MinuteCost)
}
