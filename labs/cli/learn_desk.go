package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/labs/coach"
	"github.com/svclab/svclab/labs/course"
	"github.com/svclab/svclab/labs/lesson"
	"github.com/svclab/svclab/labs/progress"
)

// desk is what a learner has at hand: the exercises, the progress, the paper to read on, and, once entered, the room.
type desk struct {
	*app
	coach.Paper
	flags *learnFlags
	// folder keeps the progress and all else that lasts.
	folder   string
	progress progress.Progress
	source   course.Source
	input    *bufio.Reader
	// lively: there is a person at a terminal, who can be asked.
	lively bool
	// given are the command's flags that name the cluster, for commands that are shown.
	given string
	enter entrance
	room  *room
	clock *clock
}

// desk opens the learner's state.
func (a *app) desk(cmd *cobra.Command, f *learnFlags) (*desk, error) {
	folder, err := progress.Folder(os.Getenv)
	if err != nil {
		return nil, err
	}
	kept, err := progress.Load(folder)
	if err != nil {
		return nil, err
	}
	l, err := language(f.lang, kept.Language, os.Getenv)
	if err != nil {
		return nil, err
	}
	d := &desk{app: a, flags: f, folder: folder, progress: kept, source: a.source(), input: bufio.NewReader(a.In),
		lively: !f.plain && terminal(a.In) && terminal(a.Out), given: givenFlags(cmd)}
	d.enter = d.attach
	plain := f.plain || !terminal(a.Out)
	d.Paper = coach.Paper{W: a.Out, Style: a.style(false, plain), Language: l}
	d.clock = newClock(a.Err, d.Language, !plain && terminal(a.Err))
	if f.lang != "" && kept.Language != f.lang {
		return d, d.update(func(p *progress.Progress) { p.Language = f.lang })
	}
	return d, nil
}

func terminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// givenFlags are the flags that say which cluster is meant, as a person types them.
func givenFlags(cmd *cobra.Command) string {
	var b strings.Builder
	cmd.Root().PersistentFlags().VisitAll(func(flag *pflag.Flag) {
		if flag.Changed {
			fmt.Fprintf(&b, " --%s=%s", flag.Name, flag.Value)
		}
	})
	return b.String()
}

// command is a command of svclab's, for the cluster that is meant.
func (d *desk) command(verb string) string { return "svclab " + verb + d.given }

// update changes the progress as it is kept now: a verb in another window may have changed it since this one began.
func (d *desk) update(change func(*progress.Progress)) error {
	kept, err := progress.Load(d.folder)
	if err != nil {
		return err
	}
	change(&kept)
	d.progress = kept
	return progress.Save(d.folder, kept)
}

// change changes what is kept of an exercise.
func (d *desk) change(id string, change func(*progress.Exercise)) error {
	return d.update(func(p *progress.Progress) { p.Change(id, change) })
}

// load loads an exercise, filled in for a cluster or with samples.
func (d *desk) load(name string, values course.Values) (course.Exercise, error) {
	id, _, _ := strings.Cut(name, "-")
	values.Namespace = lesson.Namespace(course.Exercise{ID: id})
	e, err := d.source.Load(name, values)
	if err != nil {
		return e, damaged(d.Language, name, err)
	}
	return e, nil
}

// current is the folder of the exercise under way.
func (d *desk) current() (string, error) {
	if d.progress.Current == "" {
		return "", errors.New(coach.Say(d.Language, coach.NoCurrent))
	}
	return d.source.Find(d.progress.Current)
}

// following is the first exercise not passed after the one with that ID, going round; empty: all are passed.
func (d *desk) following(id string) (string, error) {
	names, err := d.source.Names()
	if err != nil {
		return "", err
	}
	var before string
	for _, name := range names {
		number, _, _ := strings.Cut(name, "-")
		switch {
		case d.progress.Done(number) || number == id:
		case number > id:
			return name, nil
		case before == "":
			before = name
		}
	}
	if before == "" && id != "" && !d.progress.Done(id) {
		return d.source.Find(id)
	}
	return before, nil
}

// passed says how many of the course's exercises are.
func (d *desk) passed() (done, all int) {
	names, err := d.source.Names()
	if err != nil {
		return 0, 0
	}
	for _, name := range names {
		id, _, _ := strings.Cut(name, "-")
		if d.progress.Done(id) {
			done++
		}
	}
	return done, len(names)
}

// seenFile keeps the verdict of the last check of an exercise, for the next one to compare with.
func (d *desk) seenFile(id string) string { return filepath.Join(d.folder, "seen-"+id+".json") }

func (d *desk) keepSeen(id string, v reach.Verdict) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("keep what the check saw: %w", err)
	}
	if err := progress.Replace(d.seenFile(id), data); err != nil {
		return fmt.Errorf("keep what the check saw: %w", err)
	}
	return nil
}

// lastSeen is what the last check saw. One that cannot be read is none: it is only compared with.
func (d *desk) lastSeen(id string) reach.Verdict {
	var v reach.Verdict
	data, err := os.ReadFile(d.seenFile(id))
	if err != nil || json.Unmarshal(data, &v) != nil {
		return reach.Verdict{}
	}
	return v
}

func (d *desk) forgetSeen(id string) error {
	if err := os.Remove(d.seenFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what the check saw: %w", err)
	}
	return nil
}

// ask writes a message and reads a line. At the end of the input it returns io.EOF.
func (d *desk) ask(id coach.ID, args ...any) (string, error) {
	if _, err := io.WriteString(d.Out, coach.Say(d.Language, id, args...)); err != nil {
		return "", err
	}
	line, err := d.input.ReadString('\n')
	if err != nil && line == "" {
		return "", err
	}
	return strings.TrimSpace(line), nil
}
