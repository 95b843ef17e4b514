package learn

import (
	"context"

	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/progress"
)

// ending says what follows after a key.
type ending int

const (
	watchOn ending = iota
	quit
	// restart: watch another exercise, or the same one from its start.
	restart
)

// press runs the command of a key.
func (w *watcher) press(ctx context.Context, key rune) (ending, error) {
	switch key {
	case 'q', ctrlD:
		w.stop()
		return quit, nil
	case ctrlC:
		return quit, console.ErrInterrupted
	}
	if other, err := w.elsewhere(); other || err != nil {
		return restart, err
	}
	switch key {
	case 'h':
		w.aside(ctx, func() error { return w.hint(ctx, "") })
	case 's':
		w.aside(ctx, w.solution)
	case 'c':
		if w.aside(ctx, func() error { return w.predicted(w.e) }) {
			w.last = nil // so the result is printed completely, even if it has not changed
			w.begin(ctx, coach.WatchAsked)
		}
	case 'r':
		w.stop()
		if w.aside(ctx, func() error { return w.reset(ctx) }) {
			return restart, nil
		}
	case 'n':
		w.stop()
		if w.aside(ctx, func() error { return w.next(ctx) }) && w.progress.Current != w.e.ID {
			return restart, nil
		}
	default:
		if w.keys.terminal < 0 {
			w.Quiet(coach.WatchLines)
		}
	}
	return watchOn, nil
}

// aside runs a verb with the terminal in its normal state, and reports whether it succeeded. It prints the error if not.
func (w *watcher) aside(ctx context.Context, do func() error) bool {
	w.keys.close()
	w.spinner.clear()
	w.Blank()
	err := do()
	if err != nil && ctx.Err() == nil {
		w.trouble = ""
		w.explain(err)
	}
	return err == nil
}

// elsewhere reports whether the learner started another exercise in another window.
func (w *watcher) elsewhere() (bool, error) {
	kept, err := progress.Load(w.folder)
	if err != nil {
		return false, err
	}
	w.progress = kept
	return kept.Current != "" && kept.Current != w.e.ID, nil
}
