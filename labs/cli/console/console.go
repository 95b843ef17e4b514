// Package console holds what the verbs of the svclab command share: the streams they read and write, the flags that
// describe the lab's cluster, how reports fit a terminal, and how a verdict becomes an exit code. It knows no verb.
package console

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/e2e/setup"
)

// ErrInterrupted is the cause of a context that Ctrl-C or SIGTERM cancelled.
var ErrInterrupted = errors.New("interrupted")

// ClearLine empties the line of a terminal that the cursor is on.
const ClearLine = "\r\x1b[K"

// ClearBelow empties the line of a terminal that the cursor is on, and all below it.
const ClearBelow = "\r\x1b[J"

// ClearScreen empties a terminal, and moves the cursor to its start.
const ClearScreen = "\x1b[2J\x1b[H"

// cleanUpWithin bounds the removal of what a verb has made, also after an interrupt.
const cleanUpWithin = 3 * time.Minute

// Streams are what the command reads and writes. Verdicts and tables go to Out, progress and errors to Err.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// App is one run of the command, as its verbs see it.
type App struct {
	Streams
	// Manifests is rooted at manifests/, Exercises at labs/exercises/.
	Manifests, Exercises fs.FS
	// Config describes the lab's cluster. It is set before a verb runs that has flags for it.
	Config setup.Config
}

// Terminal reports whether a stream is a terminal.
func Terminal(stream any) bool {
	_, ok := width(stream)
	return ok
}

// width returns the columns of a terminal. ok is false if the stream is no terminal.
func width(stream any) (columns int, ok bool) {
	file, isFile := stream.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	columns, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		columns = 0
	}
	return columns, true
}

// Width returns the columns of the terminal that stream is, or otherwise if stream is no terminal or does not know its size.
func Width(stream any, otherwise int) int {
	if columns, _ := width(stream); columns > 0 {
		return columns
	}
	return otherwise
}

// Size returns the columns and rows of a terminal; 80 and 24 if it does not know them, 0 and 0 if the stream is none.
func Size(stream any) (columns, rows int) {
	file, isFile := stream.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return 0, 0
	}
	columns, rows, err := term.GetSize(int(file.Fd()))
	if err != nil || columns == 0 || rows == 0 {
		return 80, 24
	}
	return columns, rows
}

// Rewritable reports whether a stream is a terminal in which lines can be rewritten.
func Rewritable(stream any) bool { return Terminal(stream) && !plainEnvironment() }

// plainEnvironment reports whether the terminal is one without colours or UTF-8, by the environment.
func plainEnvironment() bool {
	locale := cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG"))
	charset := strings.ToLower(strings.ReplaceAll(locale, "-", ""))
	return os.Getenv("TERM") == "dumb" || locale != "" && !strings.Contains(charset, "utf8")
}

// ReportStyle returns how a report is printed on Out: 60 to 160 columns wide; plain if wanted, if Out is no terminal, and on a
// terminal without colours or UTF-8.
func (a *App) ReportStyle(verbose, plain bool) report.Style {
	plain = plain || !Terminal(a.Out) || plainEnvironment()
	style := report.Style{Width: max(60, min(Width(a.Out, 120), 160)), Verbose: verbose, Plain: plain}
	style.Color = !plain && os.Getenv("NO_COLOR") == ""
	return style
}

// Cleaning returns a context for removing what was made under ctx, whether or not ctx was cancelled.
func Cleaning(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanUpWithin)
}

// VerdictError ends a verb whose verdict is not a pass. The verb has printed the verdict already.
type VerdictError struct{ Result reach.Result }

func (e VerdictError) Error() string { return "the verdict is " + string(e.Result) }

// Judged returns nil for a pass and a VerdictError for every other result.
func Judged(result reach.Result) error {
	if result == reach.Pass {
		return nil
	}
	return VerdictError{result}
}

// NotVerdict returns err, or nil if err holds a verdict.
func NotVerdict(err error) error {
	if verdict := (VerdictError{}); errors.As(err, &verdict) {
		return nil
	}
	return err
}
