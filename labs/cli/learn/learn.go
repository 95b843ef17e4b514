// Package learn is svclab learn: the verbs that a learner uses, and those for people who write exercises.
package learn

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/setup"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/progress"
)

// flags are those of the learner's verbs. Each verb has the ones that it reads.
type flags struct {
	lang       string
	plain, yes bool
	answers    []string
	// unconfigured says why nothing is known of the lab's cluster, as without a checkout. Only a verb that needs the cluster fails.
	unconfigured error
}

// reads are the flags that a verb has in addition to --lang and --plain.
type reads int

const (
	// onCluster: the flags that describe the lab's cluster, and --yes to bring it up.
	onCluster reads = 1 << iota
	// confirms: --yes.
	confirms
	// predicts: --answer.
	predicts
)

// add gives cmd the flags that it reads.
func (f *flags) add(a *console.App, cmd *cobra.Command, r reads) {
	set := cmd.Flags()
	set.SortFlags = false // the learner's flags come before those of the cluster
	set.StringVar(&f.lang, "lang", "", "language: en or zh; it is stored (default: the locale's)")
	_ = cmd.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions([]string{"en\tEnglish", "zh\t中文"}, cobra.ShellCompDirectiveNoFileComp))
	set.BoolVar(&f.plain, "plain", false, "no colour, no boxes, no cursor movement (also if the output is no terminal)")
	if r&predicts != 0 {
		set.StringArrayVar(&f.answers, "answer", nil, "a prediction, as QUESTION=OPTION; may be given several times")
	}
	if r&(onCluster|confirms) != 0 {
		set.BoolVarP(&f.yes, "yes", "y", false, "answer yes to every question that asks for a confirmation")
	}
	if r&onCluster != 0 {
		a.ClusterFlags(cmd)
		configure := cmd.PreRunE
		cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
			err := configure(cmd, args)
			if errors.Is(err, setup.ErrNoCheckout) {
				f.unconfigured, err = err, nil
			}
			return err
		}
	}
}

// The groups of verbs in the help text.
const (
	groupDo    = "do"
	groupTeach = "teach"
	groupWrite = "write"
)

// Command returns svclab learn.
func Command(a *console.App) *cobra.Command {
	var (
		f   flags
		web bool
	)
	cmd := &cobra.Command{
		Use:   "learn",
		Short: "Learn Services by doing: guided exercises, checked with real traffic",
		Long: `Guided exercises on the lab's cluster (svclab up). Each has a goal that you reach with kubectl. The check sends requests
from pods, nodes, and machines outside the cluster, and says what differs from the goal; after a hint, also why. If an
exercise asks you to predict, do so before you look: your first answer is kept.

Without a verb it continues where you were, or starts with the first exercise. Your progress is stored on this machine
($XDG_STATE_HOME/svclab, or ~/.local/state/svclab), and sent nowhere unless you join a class (svclab learn join).

With --web it serves a page on this machine and prints its address: the exercise, your cluster as it is, who reaches what,
a request on its way hop by hop, and a terminal. Only who has the address can open it, and only on this machine. Ctrl-C ends it.

Exit codes of check: 0 passed, 1 not yet, 2 no verdict was possible.`,
		Example: `  svclab learn                      continue where you were
  svclab learn start 04 --lang zh   start exercise 04, in Chinese
  svclab learn shell                a shell whose kubectl is connected to the exercise
  svclab learn check
  svclab learn watch                check again whenever you change something
  svclab learn --web                all of it in a page of your browser
  svclab learn certificate          a page to print, of what you have passed`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := newSession(a, cmd, &f)
			switch {
			case err != nil:
				return err
			case web && len(args) == 0:
				return s.web(cmd.Context())
			case len(args) > 0:
				return errors.New(coach.Say(s.Language, coach.UnknownVerb, args[0], args[0]))
			}
			err = s.resume(cmd.Context())
			s.tellClass(cmd.Context())
			return err
		},
	}
	f.add(a, cmd, onCluster|predicts)
	cmd.Flags().BoolVar(&web, "web", false, "serve a page on this machine's loopback, and print its address")
	cmd.AddGroup(&cobra.Group{ID: groupDo, Title: "Do exercises:"}, &cobra.Group{ID: groupTeach, Title: "Teach a class:"}, &cobra.Group{ID: groupWrite, Title: "Write exercises:"})
	for id, verbs := range map[string][]*cobra.Command{groupDo: learnerVerbs(a), groupTeach: {classVerb(a), gradeVerb(a)}, groupWrite: {newVerb(a), lintVerb(a), proveVerb(a)}} {
		for _, verb := range verbs {
			verb.GroupID = id
			cmd.AddCommand(verb)
		}
	}
	return cmd
}

// verb is a learner's verb.
type verb struct {
	use, short, long, example string
	reads                     reads
	// exercises: the argument is an exercise, which a shell completes.
	exercises bool
	run       func(s *session, cmd *cobra.Command, args []string) error
}

func learnerVerbs(a *console.App) []*cobra.Command {
	var commands []*cobra.Command
	for _, v := range []verb{
		{use: "list", short: "List the exercises, and which you have passed",
			long:    "Lists every exercise with its number, its kind, its title, and how far you are. It needs no cluster.",
			example: "  svclab learn list\n  svclab learn list --lang zh",
			run:     func(s *session, _ *cobra.Command, _ []string) error { return s.list() }},
		{use: "start [EXERCISE]", short: "Start an exercise, by default the first that you have not passed",
			long: `Removes what an earlier exercise left in the cluster, sets this one up in a namespace of its own, and shows the goal. If
you have started it before and not passed it, everything is as you left it: see svclab learn reset.`,
			example: "  svclab learn start\n  svclab learn start 04\n  svclab learn start 07 --answer number=refused",
			reads:   onCluster | predicts, exercises: true,
			run: func(s *session, cmd *cobra.Command, args []string) error { return s.start(cmd.Context(), first(args)) }},
		{use: "check", short: "Check whether the goal is reached; say what differs",
			long: `Sends requests as the goal says, compares the answers with it, and names the misconception behind a wrong answer. After
the first hint it also says why something differs. A question that you have not answered is asked first.

Exit codes: 0 passed, 1 not yet, 2 no verdict was possible.`,
			example: "  svclab learn check\n  svclab learn check --answer number=reached",
			reads:   onCluster | predicts,
			run:     func(s *session, cmd *cobra.Command, _ []string) error { return s.check(cmd.Context()) }},
		{use: "hint [1|2|3]", short: "Show the next hint, or one again",
			long:    "Shows the next of three hints. Some hints depend on what you have done so far, which is looked up in the cluster.",
			example: "  svclab learn hint\n  svclab learn hint 1",
			reads:   onCluster,
			run:     func(s *session, cmd *cobra.Command, args []string) error { return s.hint(cmd.Context(), first(args)) }},
		{use: "solution", short: "Show the solution: after passing, or if you confirm",
			long:    "Shows every way to reach the goal. Before you have passed, it asks for a confirmation. It needs no cluster.",
			example: "  svclab learn solution\n  svclab learn solution --yes",
			reads:   confirms,
			run:     func(s *session, _ *cobra.Command, _ []string) error { return s.solution() }},
		{use: "reset", short: "Restore the start of the exercise, and what belongs to the cluster",
			long:    "Sets the exercise up again, and restores the objects of the cluster that an exercise may change, such as CoreDNS.",
			example: "  svclab learn reset",
			reads:   onCluster,
			run:     func(s *session, cmd *cobra.Command, _ []string) error { return s.reset(cmd.Context()) }},
		{use: "stop", short: "Remove the exercise from the cluster, for other commands that need it",
			long: `Removes the exercise's namespaces, with what you did in them, and restores the objects of the cluster that an exercise may
change. Your progress is kept, and svclab learn start sets the exercise up again. While an exercise is open, svclab e2e,
verify, fuzz, mutants, upstream, matrix and learn prove refuse to use its cluster.`,
			example: "  svclab learn stop && svclab verify nodeport",
			reads:   onCluster,
			run:     func(s *session, cmd *cobra.Command, _ []string) error { return s.stop(cmd.Context()) }},
		{use: "next", short: "Start the next exercise that you have not passed",
			long:    "Starts the next exercise that you have not passed. After the last one it returns to those that you left out.",
			example: "  svclab learn next",
			reads:   onCluster | predicts,
			run:     func(s *session, cmd *cobra.Command, _ []string) error { return s.next(cmd.Context()) }},
		{use: "status", short: "Say where you are",
			long:    "Prints the exercise that you are doing, your checks and hints, and where your progress is stored. It needs no cluster.",
			example: "  svclab learn status",
			run:     func(s *session, _ *cobra.Command, _ []string) error { return s.status() }},
		{use: "words", short: "Explain the words: endpoint, selector, targetPort and others",
			long:    "Prints a picture of the way from a Service's name to a pod, and a glossary. It needs no cluster.",
			example: "  svclab learn words\n  svclab learn words --lang zh",
			run:     func(s *session, _ *cobra.Command, _ []string) error { return s.words() }},
		{use: "shell", short: "Open your shell, connected to the exercise's namespace",
			long: `Opens $SHELL in the folder of the exercise's manifests. Its kubectl is connected to the lab's cluster and the exercise's
namespace, and svclab is on its PATH.`,
			example: "  svclab learn shell",
			reads:   onCluster,
			run:     func(s *session, cmd *cobra.Command, _ []string) error { return s.shell(cmd.Context()) }},
		{use: "watch", short: "Check again whenever you change something",
			long: `Shows what check shows, and checks again within a second of every change in the exercise: a change you made with kubectl
in another window, a pod that became ready, an address that was assigned. If the result stays the same, one line says so.

Keys: h hint, s solution, r reset, c check now, n next exercise, q quit. On a terminal the last line shows them, and
what is being done for how long. With --plain, or if the output is no terminal, there is no such line, and each key is
followed by Enter. Ctrl-C ends it too.

Exit codes: 0 ended by q, 2 the cluster went away, or interrupted.`,
			example: "  svclab learn watch\n  svclab learn watch --plain",
			reads:   onCluster | predicts,
			run:     func(s *session, cmd *cobra.Command, _ []string) error { return s.watch(cmd.Context()) }},
	} {
		var f flags
		cmd := &cobra.Command{Use: v.use, Short: v.short, Long: v.long, Example: v.example, Args: arguments(v.use), ValidArgsFunction: cobra.NoFileCompletions,
			RunE: func(cmd *cobra.Command, args []string) error {
				s, err := newSession(a, cmd, &f)
				if err != nil {
					return err
				}
				err = v.run(s, cmd, args)
				s.tellClass(cmd.Context())
				return err
			}}
		if v.exercises {
			cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
				if len(args) > 0 {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
				return completeExercises(a)(cmd, args, toComplete)
			}
		}
		f.add(a, cmd, v.reads)
		commands = append(commands, cmd)
	}
	return append(commands, incidentVerb(a), predictVerb(a), exportVerb(a), certificateVerb(a), joinVerb(a), leaveVerb(a))
}

// arguments checks the number of arguments that a usage line shows: one optional argument, or none.
func arguments(use string) cobra.PositionalArgs {
	if use[len(use)-1] == ']' {
		return cobra.MaximumNArgs(1)
	}
	return cobra.NoArgs
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// Language returns the language that was given, else the one that learn has stored, else the locale's.
func Language(given string) (course.Language, error) {
	folder, err := progress.Folder(os.Getenv)
	if err != nil {
		return "", err
	}
	kept, err := progress.Load(folder)
	if err != nil {
		return "", err
	}
	return language(given, kept.Language, os.Getenv)
}

// language is the one that was given, else the one stored, else the locale's.
func language(given, stored string, getenv func(string) string) (course.Language, error) {
	for _, l := range course.Languages() {
		if given == string(l) {
			return l, nil
		}
	}
	if given != "" {
		return "", errors.New(coach.Say(course.English, coach.UnknownLang, given))
	}
	if stored == string(course.Chinese) || stored == string(course.English) {
		return course.Language(stored), nil
	}
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if locale := getenv(name); locale != "" {
			if len(locale) >= 2 && locale[:2] == "zh" {
				return course.Chinese, nil
			}
			break // the first variable that is set counts, as in setlocale(3)
		}
	}
	return course.English, nil
}

// damaged says of an exercise that cannot be loaded how to restore it.
func damaged(l course.Language, name string, err error) error {
	return fmt.Errorf("%s", coach.Say(l, coach.Edited, name, err, name))
}
