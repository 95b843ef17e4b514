package learn

import (
	"context"

	"github.com/svclab/svclab/labs/cli/console"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/progress"
)

// ending is what a key comes to.
type ending int

const (
	watchOn ending = iota
	quit
	// restart: another exercise is to be watched, or the same one from its start.
	restart
)

// press does what a key says.
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
			w.last = nil // who asks wants to see all
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

// aside does what a verb does, on the terminal as it always is, and reports whether it was done. What kept it from that is
// told.
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

// elsewhere reports whether another exercise was begun in another window.
func (w *watcher) elsewhere() (bool, error) {
	kept, err := progress.Load(w.folder)
	if err != nil {
		return false, err
	}
	w.progress = kept
	return kept.Current != "" && kept.Current != w.e.ID, nil
}
