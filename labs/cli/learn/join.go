package learn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/svclab/svclab/e2e/wait"
	"github.com/svclab/svclab/labs/class"
	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/progress"
)

func joinVerb(a *console.App) *cobra.Command {
	var (
		f    flags
		name string
	)
	cmd := &cobra.Command{
		Use:   "join URL CODE",
		Short: "Join a class: your progress is sent to your teacher's machine",
		Long: `Joins the class whose address and code your teacher reads out. From then on each svclab learn command, and the page of svclab
learn --web, sends to the teacher's machine: the name that you choose here, and for each exercise when you started, checked
and passed it, the hints, whether you saw the solution, and the misconception that the last check showed. With them goes a random
ID. Nothing else, and nothing before you join. It is not encrypted. If the teacher's machine does not answer, you can work on, and a later command sends everything.

svclab learn leave ends it.`,
		Example: "  svclab learn join http://192.168.1.10:8090 7KQ2-M4XA --name Ann",
		Args:    cobra.ExactArgs(2), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := newSession(a, cmd, &f)
			if err != nil {
				return err
			}
			return s.join(cmd.Context(), args[0], args[1], name)
		},
	}
	f.add(a, cmd, 0)
	cmd.Flags().StringVar(&name, "name", "", nameUsage)
	return cmd
}

func leaveVerb(a *console.App) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Leave your class: nothing is sent any more",
		Long: `Ends what svclab learn join began, and has the teacher's machine forget your progress, if it answers. Your progress on this
machine is kept.`,
		Example: "  svclab learn leave",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newSession(a, cmd, &f)
			if err != nil {
				return err
			}
			return s.leave(cmd.Context())
		},
	}
	f.add(a, cmd, 0)
	return cmd
}

// nameUsage describes the flag --name of the verbs that show a learner's name to others.
const nameUsage = "your name, as others see it; it is stored (default: the one stored, which may be none)"

// rename stores a name that was given.
func (s *session) rename(name string) error {
	if err := class.CheckName(name); err != nil {
		return fmt.Errorf("--name: %w", err)
	}
	if name == "" || name == s.progress.Learner {
		return nil
	}
	return s.update(func(p *progress.Progress) { p.Learner = name })
}

// join sends the progress to a class and, if the class accepts it, stores that the learner is in it.
func (s *session) join(ctx context.Context, url, code, name string) error {
	m, err := class.NewMember(url, code)
	if err != nil {
		return err
	}
	if before, joined, err := class.Load(s.folder); err != nil {
		return err
	} else if joined && before.URL == m.URL {
		m.ID = before.ID // the learner keeps the row
	} else if joined {
		return errors.New(coach.Say(s.Language, coach.ClassOther, before.URL))
	}
	if err := s.rename(name); err != nil {
		return err
	}
	if err := m.Send(ctx, s.progress); err != nil {
		return err
	}
	if err := m.Save(s.folder); err != nil {
		return err
	}
	s.member(m)
	s.Say(coach.ClassGets)
	return s.Done()
}

// member says in which class the learner is.
func (s *session) member(m class.Member) {
	s.Say(coach.InClass, m.URL, class.Short(m.ID), s.progress.Learner)
}

// membership says in which class the learner is, if any.
func (s *session) membership() {
	m, joined, err := class.Load(s.folder)
	switch {
	case err != nil:
		s.Say(coach.ClassTrouble, err)
	case joined:
		s.member(m)
	}
}

// leave ends the membership in a class. The class forgets the learner if it can be reached.
func (s *session) leave(ctx context.Context) error {
	m, joined, err := class.Load(s.folder)
	if err := class.Forget(s.folder); err != nil {
		return err
	}
	switch {
	case err != nil: // the file was damaged, and is gone now
		s.Say(coach.ClassLeft)
	case !joined:
		s.Say(coach.ClassNone)
	default:
		s.Say(coach.ClassLeft)
		if err := m.Leave(ctx); err != nil {
			s.Say(coach.ClassKeeps, err)
		}
	}
	return s.Done()
}

// send sends the progress to the learner's class, if there is one.
func send(ctx context.Context, folder string) error {
	m, joined, err := class.Load(folder)
	if err != nil || !joined {
		return err
	}
	p, err := progress.Load(folder)
	if err != nil {
		return err
	}
	return m.Send(ctx, p)
}

// tellClass sends the progress to the learner's class after a verb. That it cannot is no error of the verb: a later one sends all.
func (s *session) tellClass(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	if err := send(ctx, s.folder); err != nil {
		_, _ = fmt.Fprintln(s.Err, coach.Say(s.Language, coach.ClassTrouble, err)) // the verb has said what it has to say
	}
}

const (
	// followEvery is how often a follower looks for a change of the progress.
	followEvery = 250 * time.Millisecond
	// againAfter is when it sends again without one, because the teacher's machine may have been away or restarted.
	againAfter = 20 * time.Second
)

// follower sends the progress to the learner's class whenever it changes, by whichever command.
type follower struct {
	folder string

	mu      sync.Mutex
	trouble error
}

// follow sends until stop is called.
func (f *follower) follow(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var due time.Time
		for sent := ""; wait.Sleep(ctx, followEvery) == nil; {
			now := stamp(f.folder, progress.File, class.File)
			if now == sent && time.Now().Before(due) {
				continue
			}
			err := send(ctx, f.folder)
			f.mu.Lock()
			f.trouble = err
			f.mu.Unlock()
			sent, due = now, time.Now().Add(againAfter)
		}
	}()
	return func() { cancel(); <-ended }
}

// problem is why the last report could not be sent, or nil.
func (f *follower) problem() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trouble
}

// stamp changes when one of the files in a folder does.
func stamp(folder string, files ...string) (text string) {
	for _, name := range files {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil {
			text += err.Error() + "\n"
			continue
		}
		text += fmt.Sprintln(info.ModTime().UnixNano(), info.Size())
	}
	return text
}
