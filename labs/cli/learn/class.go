package learn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/labs/class"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/page"
)

// loopback is where a class is received unless another address is given: no other machine reaches it.
const loopback = "127.0.0.1:0"

// serving are the flags of a class that is served.
type serving struct {
	serve, text  bool
	listen, code string
}

func classVerb(a *console.App) *cobra.Command {
	var (
		f flags
		o serving
	)
	cmd := &cobra.Command{
		Use:   "class [FILE…]",
		Short: "For a teacher: sum up a class, or see live who is where",
		Long: `Sums up the files that learners exported: one table for the class.

With --serve it shows a class live: where each learner is, and which misconception the last checks showed. It prints the
command by which learners join, and the address of a page for you, which only opens on this machine. With --text the same is
printed here, without a page.

Nothing is received from other machines unless --listen names an address of yours. Then learners' machines send there, without
encryption: the name that the learner chose, and for each exercise when it was started, checked and passed, the hints, whether
the solution was shown, and the misconception that the last check showed. Only machines that know the class's code are listened to. Nothing is stored: what was
received is gone when the command ends. In the next lesson use the same --listen and --code, and learners need not join again.`,
		Example: `  svclab learn class ann.json ben.json
  svclab learn class --serve --listen 192.168.1.10:8090
  svclab learn class --serve --listen 192.168.1.10:8090 --code 7KQ2-M4XA --text`,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := newSession(a, cmd, &f)
			switch {
			case err != nil:
				return err
			case o.serve && len(args) > 0:
				return errors.New("--serve reads no files; leave out --serve, or the files")
			case o.serve:
				if !cmd.Flags().Changed("code") {
					o.code = class.NewCode()
				}
				return s.serveClass(cmd.Context(), o)
			case cmd.Flags().Changed("listen") || cmd.Flags().Changed("code") || o.text:
				return errors.New("--listen, --code and --text are for --serve")
			}
			return s.class(args)
		},
	}
	f.add(a, cmd, 0)
	cmd.Flags().BoolVar(&o.serve, "serve", false, "show the class live, until Ctrl-C")
	cmd.Flags().StringVar(&o.listen, "listen", loopback, "address of this machine, and port, at which learners' machines may send")
	cmd.Flags().StringVar(&o.code, "code", "", "code of an earlier lesson (default: a new one)")
	cmd.Flags().BoolVar(&o.text, "text", false, "print the class here, without a page")
	return cmd
}

// serveClass shows a class live until ctx ends.
func (s *session) serveClass(ctx context.Context, o serving) error {
	at, err := class.Address(o.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	code, err := class.ParseCode(o.code)
	if err != nil {
		return fmt.Errorf("--code: %w", err)
	}
	exercises, err := s.source.LoadAll()
	if err != nil {
		return err
	}
	room := class.NewRoom(code)
	c := &classroom{room: room, exercises: map[string]course.Exercise{}}
	for _, e := range exercises {
		c.exercises[e.ID] = e
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	received, url := make(chan error, 1), make(chan string, 1)
	go func() { received <- room.Serve(ctx, at, func(at string) { url <- at }) }()
	select {
	case err := <-received:
		return err
	case at := <-url:
		c.join = "svclab learn join " + at + " " + code
	}
	shown := make(chan error, 1)
	go func() { shown <- s.showClass(ctx, c, at, o.text) }()
	select {
	case err = <-received:
		stop()
		return errors.Join(err, <-shown)
	case err = <-shown:
		stop()
		return errors.Join(err, <-received)
	}
}

// showClass shows a class in a page, or as text.
func (s *session) showClass(ctx context.Context, c *classroom, at netip.AddrPort, text bool) error {
	s.Say(coach.ClassJoin, c.join)
	if at.Addr().IsLoopback() {
		s.Quiet(coach.ClassLocal)
	} else {
		s.Quiet(coach.ClassOpen, at.Addr())
	}
	if text {
		return s.printClass(ctx, c)
	}
	return page.ServeClass(ctx, c, string(s.Language), func(url string) {
		s.Say(coach.WebOn, url)
		s.Quiet(coach.WebRules)
	})
}

// printEvery bounds how often a class is printed.
const printEvery = time.Second

// printClass prints a class whenever it has changed, on a terminal in place of what was printed before.
func (s *session) printClass(ctx context.Context, c *classroom) error {
	for {
		roster, err := c.Roster(string(s.Language))
		if err != nil {
			return err
		}
		if !s.Style.Plain {
			_, _ = fmt.Fprint(s.Out, console.ClearScreen) // an error of the stream is that of the next line
			s.Say(coach.ClassJoin, c.join)
		}
		s.roster(roster)
		if err := s.Done(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.Changed():
		}
		if wait.Sleep(ctx, printEvery) != nil {
			return nil
		}
	}
}

// roster prints a line for each learner, then one for each misconception that the last checks showed.
func (s *session) roster(r page.Roster) {
	s.Blank()
	s.Raw(time.Now().Format(time.TimeOnly) + "  " + r.Summary)
	width := 0
	for _, l := range r.Learners {
		width = max(width, len([]rune(s.called(l))))
	}
	for _, l := range r.Learners {
		line := pad(s.called(l), width+2) + cmp.Or(l.Exercise, "-")
		if l.Since > 0 {
			line += ": " + coach.Say(s.Language, coach.ClassAt, coach.Say(s.Language, stateWord(l.State)), int(time.Since(time.UnixMilli(l.Since)).Minutes()), l.Hints, l.Passed)
		}
		if l.Misconception != "" {
			line += "; " + l.Misconception
		}
		s.Raw(line)
	}
	for _, stuck := range r.Stuck {
		s.Say(coach.ClassStuck, stuck.Exercise, stuck.ID, len(stuck.Learners), strings.Join(stuck.Learners, ", "))
	}
}

// called is a learner's name, and the code that the learner's page shows.
func (s *session) called(l page.Learner) string { return strings.TrimSpace(l.Name + " " + l.Code) }

func stateWord(state string) coach.Message {
	switch state {
	case statePassed:
		return coach.WatchMet
	case stateSolution:
		return coach.UsedAnswer
	case stateUnchecked:
		return coach.ClassUnchecked
	}
	return coach.WatchNotYet
}

// The states of a page.Learner.
const (
	stateNone      = "none"
	stateUnchecked = "unchecked"
	stateOpen      = "open"
	statePassed    = "passed"
	stateSolution  = "solution"
)

// classroom is the class that a page shows: what a room received, with the texts of the exercises.
type classroom struct {
	room      *class.Room
	exercises map[string]course.Exercise
	join      string
}

var _ page.Class = (*classroom)(nil)

// Changed implements page.Class.
func (c *classroom) Changed() <-chan struct{} { return c.room.Changed() }

// Roster implements page.Class. The newest report of a learner may name an exercise or a misconception that this svclab does not have.
func (c *classroom) Roster(in string) (page.Roster, error) {
	l, learners := course.Language(in), c.room.Learners()
	r := page.Roster{Join: c.join, Summary: coach.Say(l, coach.ClassCount, len(learners)), Stuck: []page.Stuck{}, Learners: []page.Learner{}}
	for _, learner := range learners {
		shown := c.learner(l, learner)
		r.Learners = append(r.Learners, shown)
		if shown.Misconception == "" {
			continue
		}
		same := func(s page.Stuck) bool { return s.Exercise == learner.Current && s.ID == shown.Misconception }
		at := slices.IndexFunc(r.Stuck, same)
		if at < 0 {
			var text strings.Builder
			p := coach.Renderer{W: &text, Language: l, HTML: true}
			p.Markdown(c.exercises[learner.Current].Say(l, "misconception/"+shown.Misconception))
			if err := p.Done(); err != nil {
				return r, err
			}
			at = len(r.Stuck)
			r.Stuck = append(r.Stuck, page.Stuck{ID: shown.Misconception, Exercise: learner.Current, Text: text.String()})
		}
		r.Stuck[at].Learners = append(r.Stuck[at].Learners, cmp.Or(shown.Name, shown.Code))
	}
	slices.SortStableFunc(r.Stuck, func(a, b page.Stuck) int { return cmp.Compare(len(b.Learners), len(a.Learners)) })
	return r, nil
}

// learner is a learner as the page shows one. A misconception counts until the exercise is passed.
func (c *classroom) learner(l course.Language, of class.Learner) page.Learner {
	at, started := of.Exercises[of.Current]
	shown := page.Learner{Name: of.Name, Code: class.Short(of.ID), State: stateNone, Hints: at.Hints, Heard: of.Heard.UnixMilli()}
	for _, e := range of.Exercises {
		if !e.Passed.IsZero() {
			shown.Passed++
		}
	}
	if of.Current == "" || !started {
		return shown
	}
	shown.Exercise = of.Current
	if e, known := c.exercises[of.Current]; known {
		shown.Exercise += " " + e.Title(l)
	}
	if !at.Started.IsZero() {
		shown.Since = of.Since(at.Started).UnixMilli()
	}
	switch {
	case !at.Passed.IsZero():
		shown.State = statePassed
	case at.Solution:
		shown.State = stateSolution
	case at.Checked.IsZero():
		shown.State = stateUnchecked
	default:
		shown.State = stateOpen
	}
	if at.Passed.IsZero() {
		shown.Misconception = at.Misconception
	}
	return shown
}
