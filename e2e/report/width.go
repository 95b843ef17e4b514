package report

import (
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"
)

// measure is the width of text in a terminal that draws ambiguous marks in one column. It ignores the locale, because the
// output must not depend on the machine. Style.Plain is for terminals that draw them in two.
func measure() *runewidth.Condition {
	return &runewidth.Condition{EastAsianWidth: false, StrictEmojiNeutral: true}
}

// Printable replaces the characters with which text could control a terminal or change the order in which others are shown:
// names, messages and answers come from the cluster, and not all of them were checked there. It keeps line feeds.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// Width is the number of terminal columns s takes.
func Width(s string) int { return measure().StringWidth(s) }

// Wrap breaks s into lines of at most columns at blanks, and between wide characters, which have none. A word that is
// too long stays whole. Line feeds break as well.
func Wrap(s string, columns int) []string { return wrap(s, columns, columns) }

// WrapHard is Wrap, and cuts the words that are too long, as the column of a table needs it.
func WrapHard(s string, columns int) []string {
	return strings.Split(measure().Wrap(strings.Join(Wrap(s, columns), "\n"), columns), "\n")
}

func padRight(s string, columns int) string {
	return s + strings.Repeat(" ", max(0, columns-Width(s)))
}

// shorten cuts s in the middle to at most columns, keeping both ends: names differ at either.
func shorten(s string, columns int, ellipsis string) string {
	if Width(s) <= columns {
		return s
	}
	m := measure()
	room := max(2, columns-Width(ellipsis))
	tail := m.TruncateLeft(s, Width(s)-room/2, "")
	return m.Truncate(s, room-Width(tail), "") + ellipsis + tail
}

// ShortenEnd cuts the end of s off.
func ShortenEnd(s string, columns int, ellipsis string) string {
	return measure().Truncate(s, columns, ellipsis)
}

// wrap breaks s at blanks, and between wide characters, which have none, into a first line of at most first
// columns and further ones of at most rest. A word that is too long stays whole. Line feeds break as well.
func wrap(s string, first, rest int) []string {
	var lines []string
	room := first
	for _, paragraph := range strings.Split(strings.TrimRight(s, "\n"), "\n") {
		line, used := "", 0
		for _, word := range words(paragraph) {
			bare := strings.TrimRight(word, " ")
			if used > 0 && used+Width(bare) > room {
				lines = append(lines, strings.TrimRight(line, " "))
				line, used, room = "", 0, rest
			}
			line += word
			used += Width(word)
		}
		lines = append(lines, strings.TrimRight(line, " "))
		room = rest
	}
	return lines
}

// words splits s into unbreakable parts, each with the blanks that follow it. Punctuation stays with the wide character
// before it.
func words(s string) []string {
	var (
		out  []string
		word strings.Builder
		last rune
	)
	flush := func() {
		if word.Len() > 0 {
			out = append(out, word.String())
			word.Reset()
		}
	}
	m := measure()
	for _, r := range s {
		wide := m.RuneWidth(r) == 2
		switch {
		case last == ' ' && r != ' ',
			wide && last != 0 && !closes(r),
			!wide && r != ' ' && m.RuneWidth(last) == 2 && !closes(r):
			flush()
		}
		word.WriteRune(r)
		last = r
	}
	flush()
	return out
}

// closes reports whether a line must not begin with r.
func closes(r rune) bool {
	return strings.ContainsRune("，。、；：？！）》」』”’,.;:?!)", r)
}
