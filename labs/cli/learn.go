package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
)

// learnFlags are those of all verbs that a learner uses.
type learnFlags struct {
	lang       string
	plain, yes bool
	answers    []string
	class      bool
}

func (a *app) learn() *cobra.Command {
	f := &learnFlags{}
	cmd := &cobra.Command{
		Use:   "learn",
		Short: "Learn Services by doing: guided exercises, checked by real traffic",
		Long: `Guided exercises on the lab's cluster (svclab up). Each has a goal; you reach it with kubectl; the check asks from every
place a client can stand and says what differs and why. Where an exercise asks you to predict, do so before you look.

Without a verb it goes on where you were, and begins with the first exercise. Your progress is kept on this machine
($XDG_STATE_HOME/svclab, or ~/.local/state/svclab) and sent nowhere. With --class the arguments are files that learners
exported, and one table sums them up.

Exit codes of check: 0 passed, 1 not yet, 2 could not be judged.`,
		Example: `  svclab learn                      go on where you were
  svclab learn start 04 --lang zh   begin exercise 04, in Chinese
  svclab learn shell                a shell whose kubectl goes to the exercise
  svclab learn check
  svclab learn watch                check again by itself whenever you change something
  svclab learn export > ann.json && svclab learn --class ann.json ben.json`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.desk(cmd, f)
			if err != nil {
				return err
			}
			switch {
			case f.class:
				return d.class(args)
			case len(args) > 0:
				return errors.New(coach.Say(d.Language, coach.UnknownVerb, args[0], args[0]))
			}
			return d.goOn(cmd.Context())
		},
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&f.lang, "lang", "", "language: en or zh; it is kept (default: the locale's)")
	flags.BoolVar(&f.plain, "plain", false, "no colour, no boxes, no cursor movement (also when the output is no terminal)")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask back")
	flags.StringArrayVar(&f.answers, "answer", nil, "a prediction, as QUESTION=OPTION; may be given several times")
	cmd.Flags().BoolVar(&f.class, "class", false, "sum up the exports of many learners, whose files are the arguments")
	_ = cmd.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions([]string{"en\tEnglish", "zh\t中文"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.AddCommand(a.learnVerbs(f)...)
	cmd.AddCommand(a.learnProve(), a.learnLint())
	return cmd
}

// learnVerb is a verb of a learner's: it gets what a learner has at hand.
type learnVerb struct {
	use, short string
	args       cobra.PositionalArgs
	// exercises: the arguments are exercises, for completion.
	exercises bool
	run       func(d *desk, cmd *cobra.Command, args []string) error
}

func (a *app) learnVerbs(f *learnFlags) []*cobra.Command {
	var commands []*cobra.Command
	for _, v := range []learnVerb{
		{"list", "List the exercises, and which you have passed", cobra.NoArgs, false, func(d *desk, _ *cobra.Command, _ []string) error { return d.list() }},
		{"start [EXERCISE]", "Begin an exercise, the first that you have not passed by default", cobra.MaximumNArgs(1), true,
			func(d *desk, cmd *cobra.Command, args []string) error { return d.start(cmd.Context(), first(args)) }},
		{"check", "See whether the goal is reached, and what differs and why", cobra.NoArgs, false,
			func(d *desk, cmd *cobra.Command, _ []string) error { return d.check(cmd.Context()) }},
		{"hint [1|2|3]", "Show the next hint, or one again", cobra.MaximumNArgs(1), false,
			func(d *desk, cmd *cobra.Command, args []string) error { return d.hint(cmd.Context(), first(args)) }},
		{"solution", "Show the solution: after passing, or when you say so", cobra.NoArgs, false,
			func(d *desk, _ *cobra.Command, _ []string) error { return d.solution() }},
		{"reset", "Bring the exercise, and what belongs to the cluster, back to the start", cobra.NoArgs, false,
			func(d *desk, cmd *cobra.Command, _ []string) error { return d.reset(cmd.Context()) }},
		{"next", "Go on to the next exercise that you have not passed", cobra.NoArgs, false,
			func(d *desk, cmd *cobra.Command, _ []string) error { return d.next(cmd.Context()) }},
		{"status", "Say where you are", cobra.NoArgs, false, func(d *desk, _ *cobra.Command, _ []string) error { return d.status() }},
		{"shell", "Open your shell, wired to the lab's cluster and the exercise's namespace", cobra.NoArgs, false,
			func(d *desk, cmd *cobra.Command, _ []string) error { return d.shell(cmd.Context()) }},
	} {
		cmd := &cobra.Command{Use: v.use, Short: v.short, Args: v.args, ValidArgsFunction: cobra.NoFileCompletions,
			RunE: func(cmd *cobra.Command, args []string) error {
				d, err := a.desk(cmd, f)
				if err != nil {
					return err
				}
				return v.run(d, cmd, args)
			}}
		if v.exercises {
			cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
				if len(args) > 0 {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
				return a.completeExercises(cmd, args, toComplete)
			}
		}
		commands = append(commands, cmd)
	}
	return append(commands, a.learnWatch(f), a.learnExport(f))
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// language is the one asked for, else the one chosen last, else the locale's.
func language(asked, kept string, getenv func(string) string) (course.Language, error) {
	for _, l := range course.Languages() {
		if asked == string(l) {
			return l, nil
		}
	}
	if asked != "" {
		return "", errors.New(coach.Say(course.English, coach.UnknownLang, asked))
	}
	if kept == string(course.Chinese) || kept == string(course.English) {
		return course.Language(kept), nil
	}
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if locale := getenv(name); locale != "" {
			if len(locale) >= 2 && locale[:2] == "zh" {
				return course.Chinese, nil
			}
			break // the first that is set counts
		}
	}
	return course.English, nil
}

// damaged says of an exercise that cannot be loaded how to have it back.
func damaged(l course.Language, name string, err error) error {
	return fmt.Errorf("%s", coach.Say(l, coach.Edited, name, err, name))
}
