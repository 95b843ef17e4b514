package learn

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
)

// watch checks the exercise again whenever something changes, and does what the learner's keys say, until q.
func (s *session) watch(ctx context.Context) error {
	e, err := s.here(ctx)
	if err != nil {
		return err
	}
	if err := s.predicted(e); err != nil {
		return err
	}
	// From here on the exercise's end and the terminal's state are the watcher's.
	keys := s.keyboard(ctx)
	defer keys.close()
	for fresh := false; ; fresh = true {
		w := &watcher{session: s, keys: keys, e: e}
		again, err := w.run(ctx, fresh && len(e.Questions) == 0)
		if err != nil || !again {
			return err
		}
		name, err := s.current()
		if err != nil {
			return err
		}
		if e, _, err = s.open(ctx, name); err != nil {
			return err
		}
	}
}

// watcher watches one exercise, from its beginning to a new one.
type watcher struct {
	*session
	keys *keyboard
	e    course.Exercise

	changes *lesson.Watch
	burst   burst
	// base is the cluster as it was when the check under way, or the last one, began.
	base lesson.Print
	// known is the cluster as it was when the last check that was finished began.
	known lesson.Print
	// why says what the check under way was begun for. byItself: nobody did anything.
	why      string
	byItself bool
	check    *checking
	// last is the last finding that was told; nil: none was.
	last *finding
	// trouble is what kept the last check from being one, as it was told.
	trouble string
	away    *inquiry
	// debriefed: the debrief was shown.
	debriefed bool
}

// checking is a check under way.
type checking struct {
	began, said time.Time
	cancel      context.CancelFunc
	done        chan sight
}

// sight is what a check saw.
type sight struct {
	seen coach.Seen
	err  error
}

// run watches until there is another exercise, or the same anew, to be watched. idle: what is there now is known.
func (w *watcher) run(ctx context.Context, idle bool) (again bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = w.spinner.run(coach.Connecting, func() (err error) {
		w.changes, err = w.env.Watch(ctx, w.e, lesson.Namespace(w.e))
		return err
	})
	if err != nil {
		return false, w.gone(ctx, err)
	}
	if w.base, err = w.changes.Print(); err != nil {
		return false, err
	}
	w.known = w.base
	w.Blank()
	w.Quiet(coach.WatchOn, w.e.ID, w.e.Title(w.Language))
	if w.keys.terminal < 0 {
		w.Quiet(coach.WatchLines)
	}
	if !idle {
		w.begin(ctx, coach.WatchFirst)
	}
	defer func() { w.keys.close(); w.spinner.clear() }()
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	for {
		if err := errors.Join(w.Done(), w.keys.open()); err != nil {
			return false, err
		}
		w.draw()
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-ticks.C:
		case <-w.changes.Changed():
			w.burst.more()
		case <-w.burst.over():
			w.burst.end()
			if again, err = w.changed(ctx); again || err != nil {
				return again, err
			}
		case s := <-w.result():
			if err := w.finish(ctx, s); err != nil {
				return false, err
			}
		case err := <-w.changes.Lost():
			w.inquire(ctx, err)
		case err := <-w.answer():
			if w.away = nil; err != nil {
				return false, w.gone(ctx, err)
			}
			w.burst.more()
		case chunk := <-w.keys.chunks:
			for _, key := range w.keys.keys(chunk) {
				if end, err := w.press(ctx, key); end != watchOn || err != nil {
					return end == restart, err
				}
			}
		}
	}
}

// changed looks at what changed. It begins a check, anew if one is under way that the learner's change has overtaken.
// Another exercise that was begun in another window is gone over to.
func (w *watcher) changed(ctx context.Context) (again bool, err error) {
	now, err := w.changes.Print()
	if err != nil {
		return false, err
	}
	change := now.Since(w.base)
	if change.None() || w.check != nil && !change.Hand {
		return false, nil // what comes of a change during a check is seen at its end
	}
	if other, err := w.elsewhere(); other || err != nil {
		return other, err
	}
	if all := now.Since(w.known); !all.None() { // with what the check under way was begun for
		change.Objects = all.Objects
	}
	w.begin(ctx, coach.WatchChanged, strings.Join(change.Objects, ", "))
	w.byItself = !change.Hand
	return false, nil
}

// begin begins a check, in the place of one under way.
func (w *watcher) begin(ctx context.Context, why coach.Message, args ...any) {
	w.stop()
	w.burst.end()
	now, err := w.changes.Print()
	w.base, w.byItself = now, false
	if missing := w.unanswered(w.e); missing != nil { // what there is to see is the answer
		w.keys.close()
		w.spinner.clear()
		w.explain(missing)
		return
	}
	checked, cancel := context.WithCancel(ctx)
	w.why = coach.Say(w.Language, why, append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
	w.check = &checking{began: time.Now(), said: time.Now(), cancel: cancel, done: make(chan sight, 1)}
	done, e := w.check.done, w.e
	go func() {
		defer w.keys.rescue()
		s := sight{err: err}
		if s.err == nil {
			s.err = w.sound(checked, e)
		}
		if s.err == nil {
			s.seen, s.err = w.env.Check(checked, e, lesson.Namespace(e))
		}
		done <- s
	}()
}

// stop gives up the check under way. What it sees is not looked at.
func (w *watcher) stop() {
	if w.check != nil {
		w.check.cancel()
		w.check = nil
		w.spinner.Waiting("", "", 0, "")
	}
}

func (w *watcher) result() <-chan sight {
	if w.check == nil {
		return nil
	}
	return w.check.done
}

// finish ends a check: what it found is kept and told, and what changed meanwhile is looked at.
func (w *watcher) finish(ctx context.Context, s sight) error {
	w.stop()
	now, err := w.changes.Print()
	if err != nil {
		return err
	}
	w.known = w.base
	change := now.Since(w.base)
	if !change.Hand && lesson.Stirred(w.e.Goal, s.seen.Verdict) {
		w.base, w.known, change = now, now, lesson.Change{} // the check's own doing
	}
	if !change.None() {
		w.burst.more()
	}
	w.keys.close()
	w.spinner.clear()
	if s.err != nil {
		if ctx.Err() == nil && w.away == nil { // else that is what is told
			w.explain(s.err)
		}
		return nil
	}
	return w.say(ctx, s.seen)
}

// say keeps and tells what a check found. What was found before is told in a line, or not at all if the learner did nothing.
func (w *watcher) say(ctx context.Context, seen coach.Seen) error {
	f, err := w.judge(w.e, seen)
	if err != nil {
		return err
	}
	same := w.last != nil && w.trouble == "" && f.same(*w.last)
	w.last, w.trouble = &f, ""
	if same && w.byItself {
		return nil
	}
	w.Blank()
	w.Head(w.why)
	if same {
		w.Say(coach.WatchSame, w.state())
		return w.Done()
	}
	if err := w.keep(w.e, f); err != nil {
		return err
	}
	w.tell(w.e, f)
	switch {
	case f.passed && !w.debriefed:
		w.debriefed = true
		w.debrief(w.e)
		w.Say(coach.WatchPassed)
	case f.diagnosis.Question != "":
		w.Say(coach.WatchAnew)
	case !f.passed:
		w.missed(ctx, w.e)
	}
	return w.Done()
}

// explain tells what kept something from being done; the same once.
func (w *watcher) explain(err error) {
	if text := err.Error(); text != w.trouble {
		w.trouble = text
		w.Blank()
		w.Field("!", text)
	}
}

// state says in a word or two what the last check found.
func (w *watcher) state() string {
	id := coach.WatchIdle
	switch {
	case w.trouble != "":
		id = coach.WatchUnsure
	case w.last == nil:
	case w.last.result() == reach.Pass:
		id = coach.WatchMet
	case w.last.result() == reach.Fail:
		id = coach.WatchNotYet
	default:
		id = coach.WatchUnsure
	}
	return coach.Say(w.Language, id)
}

// draw shows what goes on in the pinned line, or says now and then that a check takes its time.
func (w *watcher) draw() {
	text := w.state()
	switch {
	case w.away != nil:
		text = coach.Say(w.Language, coach.WatchAway)
	case w.check != nil:
		text = w.spinner.text(coach.Checking, time.Since(w.check.began))
	case w.last != nil && !w.last.passed:
		text = coach.Say(w.Language, coach.WatchHints, text, w.progress.Exercises[w.e.ID].Hints, course.Hints)
	}
	switch {
	case w.spinner.terminal:
		w.spinner.show(text, coach.Say(w.Language, coach.WatchKeys))
	case w.check != nil && time.Since(w.check.said) >= logEvery:
		w.check.said = time.Now()
		w.spinner.put(text + "\n")
	}
}
