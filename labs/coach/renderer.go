package coach

import (
	"fmt"
	"html"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/svclab/svclab/e2e/report"
	"github.com/svclab/svclab/labs/course"
)

// Renderer writes what a learner reads. It wraps text, counts wide characters as two columns, renders the Markdown of messages,
// and replaces characters that would control the terminal: the learner's own files and objects are quoted. After a write error it writes no more, and Done returns the error.
type Renderer struct {
	W        io.Writer
	Style    report.Style
	Language course.Language
	// HTML: write the elements of a web page instead of lines of text.
	HTML bool

	err error
}

// Done returns the first write error.
func (p *Renderer) Done() error { return p.err }

// mark is the style of a part of a text.
type mark string

// The marks; the texts are ANSI SGR parameters.
const (
	plain mark = ""
	bold  mark = "1"
	code  mark = "36"
	dim   mark = "2"
	good  mark = "1;32"
	bad   mark = "1;31"
)

func (p *Renderer) paint(m mark, s string) string {
	if !p.Style.Color || p.Style.Plain || m == plain || s == "" {
		return s
	}
	return "\x1b[" + string(m) + "m" + s + "\x1b[0m"
}

func (p *Renderer) line(s string) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.W, strings.TrimRight(s, " "))
	}
}

// Blank ends a paragraph.
func (p *Renderer) Blank() {
	if !p.HTML {
		p.line("")
	}
}

// Say writes a message of the verbs as a paragraph.
func (p *Renderer) Say(m Message, args ...any) { p.para(0, 0, plain, Say(p.Language, m, args...)) }

// Quiet writes a less important message, dimmed.
func (p *Renderer) Quiet(m Message, args ...any) { p.para(0, 0, dim, Say(p.Language, m, args...)) }

// Head writes a heading, underlined except in plain style.
func (p *Renderer) Head(text string) {
	if p.HTML {
		p.element("h3", "", Inline(text))
		return
	}
	p.para(0, 0, bold, text)
	if !p.Style.Plain {
		p.line(p.paint(dim, strings.Repeat("─", min(report.Width(text), p.columns()))))
	}
}

// Field writes a label and a text next to it. All lines of the text are aligned.
func (p *Renderer) Field(label, text string) {
	if p.HTML {
		p.element("p", "", `<span class="muted">`+html.EscapeString(strings.TrimSpace(label))+"</span> "+Inline(text))
		return
	}
	room := report.Width(label) + 1
	lines := report.Wrap(report.Printable(text), max(20, p.columns()-room))
	for i, l := range lines {
		if i == 0 {
			p.line(p.paint(dim, label) + " " + l)
			continue
		}
		p.line(strings.Repeat(" ", room) + l)
	}
}

// Raw writes a line without wrapping it.
func (p *Renderer) Raw(s string) {
	if s = report.Printable(s); p.HTML {
		s = "<p>" + html.EscapeString(s) + "</p>"
	}
	p.line(s)
}

func (p *Renderer) columns() int {
	if p.Style.Width == 0 {
		return 100
	}
	return min(p.Style.Width, 110)
}

// para writes a paragraph. Lines after the first are indented by hang more columns. A mark other than plain replaces the styles in
// the text, except bold.
func (p *Renderer) para(indent, hang int, m mark, text string) {
	if p.HTML {
		p.element("p", class(m), Inline(text))
		return
	}
	letters := inline(report.Printable(text), p.Style.Plain || !p.Style.Color)
	var bare strings.Builder
	for _, l := range letters {
		bare.WriteRune(l.r)
	}
	at := 0
	for i, broken := range report.Wrap(bare.String(), max(20, p.columns()-indent-hang)) {
		var (
			out strings.Builder
			run strings.Builder
			now = m
		)
		flush := func() { out.WriteString(p.paint(now, run.String())); run.Reset() }
		for _, r := range broken {
			for at < len(letters) && letters[at].r != r {
				at++ // Wrap drops the blanks at which it breaks a line
			}
			want := m
			if at < len(letters) {
				if m == plain || letters[at].m == bold {
					want = letters[at].m
				}
				at++
			}
			if want != now {
				flush()
				now = want
			}
			run.WriteRune(r)
		}
		flush()
		pad := indent
		if i > 0 {
			pad += hang
		}
		p.line(strings.Repeat(" ", pad) + out.String())
	}
}

// letter is a character with its style.
type letter struct {
	r rune
	m mark
}

// inline reads **bold** and `code`. With keep the backticks stay: without colour nothing else would show what is code.
func inline(text string, keep bool) []letter {
	var (
		letters        []letter
		isBold, isCode bool
		runes          = []rune(text)
	)
	for i := 0; i < len(runes); i++ {
		switch {
		case !isCode && runes[i] == '*' && i+1 < len(runes) && runes[i+1] == '*':
			isBold = !isBold
			i++
			continue
		case runes[i] == '`':
			isCode = !isCode
			if !keep {
				continue
			}
		}
		m := plain
		if isBold {
			m = bold
		}
		if isCode {
			m = code
		}
		letters = append(letters, letter{runes[i], m})
	}
	return letters
}

var listItem = regexp.MustCompile(`^(\s*(?:[-*]|[0-9]+\.) )(.*)$`)

// Markdown writes an exercise's message: paragraphs, lists, and blocks of code, which are indented and never wrapped.
func (p *Renderer) Markdown(text string) {
	if p.HTML {
		p.markdownHTML(text)
		return
	}
	var (
		fenced bool
		open   string
		hang   int
	)
	flush := func() {
		if open != "" {
			p.para(0, hang, plain, open)
		}
		open, hang = "", 0
	}
	for _, l := range strings.Split(report.Printable(text), "\n") {
		item := listItem.FindStringSubmatch(l)
		switch {
		case strings.HasPrefix(l, "```"):
			flush()
			fenced = !fenced
		case fenced && strings.HasPrefix(l, "$ "):
			p.line("    " + p.paint(bold, l))
		case fenced:
			p.line("    " + p.paint(dim, l))
		case strings.TrimSpace(l) == "":
			flush()
			p.Blank()
		case strings.HasPrefix(l, "|"):
			flush()
			p.line(l)
		case item != nil:
			flush()
			open, hang = l, report.Width(item[1])
		default:
			open = join(open, strings.TrimSpace(l))
		}
	}
	flush()
}

// join joins two lines of a paragraph with a blank. It adds no blank between two wide characters, or between one and punctuation,
// because Chinese text has none there.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	runes := []rune(a)
	last, first := runes[len(runes)-1], []rune(b)[0]
	wide := report.Width(string(last)) == 2 || report.Width(string(first)) == 2
	if wide && last >= utf8.RuneSelf && (first >= utf8.RuneSelf || unicode.IsPunct(last)) {
		return a + b
	}
	return a + " " + b
}
