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

// watch checks the exercise again whenever something changes, and runs the commands of the keys, until q.
func (s *session) watch(ctx context.Context) error {
	e, err := s.here(ctx)
	if err != nil {
		return err
	}
	if err := s.predicted(e); err != nil {
		return err
	}
	defer (&follower{folder: s.folder}).follow(ctx)()
	// From here on the watcher decides when the exercise ends, and sets the terminal's state.
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

// watcher watches one exercise, until the learner starts another one or resets it.
type watcher struct {
	*session
	keys *keyboard
	e    course.Exercise

	changes *lesson.Watch
	burst   burst
	// base is the cluster's state when the running check began or, if none runs, the last one.
	base lesson.Print
	// known is the cluster's state when the last finished check began.
	known lesson.Print
	// why says why the check began. byItself: because of a change by a controller, not by the learner.
	why      string
	byItself bool
	check    *checking
	// last is the last finding that was printed, or nil.
	last *finding
	// trouble is the printed error of the last check. Empty: it had none.
	trouble string
	away    *inquiry
	// debriefed: the debrief was shown.
	debriefed bool
}

// checking is a running check.
type checking struct {
	began, said time.Time
	cancel      context.CancelFunc
	done        chan sight
}

// sight is what a check observed.
type sight struct {
	seen coach.Seen
	err  error
}

// run watches until q, or until another exercise or a reset must be watched: again. With idle it begins without a check.
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

// changed begins a check if something changed. A change by the learner replaces a running check. again is true if the learner
// started another exercise in another window.
func (w *watcher) changed(ctx context.Context) (again bool, err error) {
	now, err := w.changes.Print()
	if err != nil {
		return false, err
	}
	change := now.Since(w.base)
	if change.None() || w.check != nil && !change.Hand {
		return false, nil // finish looks for changes during a check
	}
	if other, err := w.elsewhere(); other || err != nil {
		return other, err
	}
	if all := now.Since(w.known); !all.None() { // also the changes for which the replaced check began
		change.Objects = all.Objects
	}
	w.begin(ctx, coach.WatchChanged, strings.Join(change.Objects, ", "))
	w.byItself = !change.Hand
	return false, nil
}

// begin begins a check, and stops a running one.
func (w *watcher) begin(ctx context.Context, why coach.Message, args ...any) {
	w.stop()
	w.burst.end()
	now, err := w.changes.Print()
	w.base, w.byItself = now, false
	if missing := w.unanswered(w.e); missing != nil { // a result would show the answer
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

// stop cancels the running check and ignores its result.
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

// finish ends a check: it prints and stores the result, and looks for changes during the check.
func (w *watcher) finish(ctx context.Context, s sight) error {
	w.stop()
	now, err := w.changes.Print()
	if err != nil {
		return err
	}
	w.known = w.base
	change := now.Since(w.base)
	if !change.Hand && lesson.Stirred(w.e.Goal, s.seen.Verdict) {
		w.base, w.known, change = now, now, lesson.Change{} // the check itself made these changes
	}
	if !change.None() {
		w.burst.more()
	}
	w.keys.close()
	w.spinner.clear()
	if s.err != nil {
		if ctx.Err() == nil && w.away == nil { // otherwise the error follows from that, and that is printed
			w.explain(s.err)
		}
		return nil
	}
	return w.say(ctx, s.seen)
}

// say prints and stores the result of a check. A result that has not changed is one line or, if the learner changed nothing, none.
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
	w.report(w.e, f)
	switch {
	case f.passed && !w.debriefed:
		w.debriefed = true
		w.debrief(ctx, w.e)
		w.Say(coach.WatchPassed)
	case f.diagnosis.Question != "":
		w.Say(coach.WatchAnew)
	case !f.passed:
		w.missed(ctx, w.e)
	}
	return w.Done()
}

// explain prints an error. The same error is printed once.
func (w *watcher) explain(err error) {
	if text := err.Error(); text != w.trouble {
		w.trouble = text
		w.Blank()
		w.Field("!", text)
	}
}

// state returns the result of the last check in a few words.
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

// draw shows on the last line of a terminal what svclab does. Otherwise it prints a line every ten seconds during a check.
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
