package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// mostCells is how many cells a comparison lists of one kind unless Verbose.
const mostCells = 20

// Text writes the changes, regressions first, and then their counts.
func (c Changes) Text(w io.Writer, style Style) error {
	p := newPrinter(style)
	p.row("before", p.runLine(c.Before))
	p.row("after", p.runLine(c.After))
	altered := "≠"
	if p.Plain {
		altered = "~"
	}
	for _, kind := range []struct {
		kind  ChangeKind
		title string
		ink   ink
		mark  string
	}{
		{Regression, "Regressions", inkBad, p.bad},
		{Fix, "Fixed", inkGood, p.good},
		{New, "New", inkNone, "+"},
		{Gone, "Gone", inkWarn, p.skipped},
		{Altered, "Different, neither better nor worse", inkNone, altered},
	} {
		p.changes(c, kind.kind, kind.title, kind.mark, kind.ink)
	}
	p.blank()
	p.para(0, 2, c.ink(), c.summary())
	return p.flush(w)
}

func (p *printer) runLine(run Run) string {
	return fmt.Sprintf("%s, %s, %s", strings.TrimSpace(run.Tool+" "+run.Version), run.Started.UTC().Format("2006-01-02 15:04"), clusterLine(run.Cluster, p.dot))
}

func (p *printer) changes(c Changes, kind ChangeKind, title, mark string, i ink) {
	titled := false
	for _, level := range levels() {
		shown, hidden := 0, 0
		for _, x := range c.List {
			if x.Kind != kind || x.Level != level {
				continue
			}
			if level == LevelCell && shown == mostCells && !p.Verbose {
				hidden++
				continue
			}
			if !titled {
				p.blank()
				p.line(0, p.paint(inkBold, title))
				titled = true
			}
			if shown++; shown == 1 {
				p.line(2, p.paint(inkDim, string(level)+"s"))
			}
			p.para(4, 2, i, fmt.Sprintf("%s %s: %s", mark, x.Name, x.words()))
			// The steps say why a scenario or a behaviour regressed.
			if x.Why != "" && (x.vanished() || level == LevelStep || level == LevelCell) {
				p.para(6, 2, inkDim, x.Why)
			}
		}
		if hidden > 0 {
			p.line(4, p.paint(inkDim, fmt.Sprintf("and %d more", hidden)))
		}
	}
}

// words describes a change: "was Pass, now Fail".
func (x Change) words() string {
	switch {
	case x.Before == "":
		return x.After
	case x.After == "":
		return fmt.Sprintf("was %s, now without a result", x.Before)
	}
	return fmt.Sprintf("was %s, now %s", x.Before, x.After)
}

// vanished reports whether the second run has no result.
func (x Change) vanished() bool { return x.After == "" || x.After == string(reach.Skipped) }

func (c Changes) ink() ink {
	if c.Regressed() {
		return inkBad
	}
	return inkGood
}

// summary counts the changes by kind and level.
func (c Changes) summary() string {
	type group struct {
		kind  ChangeKind
		level Level
	}
	count := map[group]int{}
	for _, x := range c.List {
		count[group{x.Kind, x.Level}]++
	}
	if len(c.List) == 0 {
		return "no difference"
	}
	var parts []string
	for _, k := range []struct {
		kind ChangeKind
		word string
	}{{Regression, "regressed"}, {Fix, "fixed"}, {New, "new"}, {Gone, "gone"}, {Altered, "different"}} {
		var counts []string
		for _, level := range levels() {
			if n := count[group{k.kind, level}]; n > 0 {
				counts = append(counts, plural(n, string(level)))
			}
		}
		if len(counts) > 0 {
			parts = append(parts, k.word+": "+strings.Join(counts, ", "))
		}
	}
	return strings.Join(parts, "; ")
}
