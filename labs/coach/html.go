package coach

import (
	"html"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/report"
)

// element writes an element for Renderer.HTML. inner is HTML.
func (p *Renderer) element(name, class, inner string) {
	if class != "" {
		class = ` class="` + class + `"`
	}
	p.line("<" + name + class + ">" + inner + "</" + name + ">")
}

// class is the CSS class of a mark.
func class(m mark) string {
	return map[mark]string{dim: "muted", good: "good", bad: "bad"}[m]
}

// Inline returns a text with **bold** and `code` as HTML.
func Inline(text string) string { return inlineHTML(report.Printable(text)) }

func inlineHTML(text string) string {
	var (
		out  strings.Builder
		now  = plain
		tags = map[mark]string{bold: "strong", code: "code"}
	)
	change := func(to mark) {
		if tags[now] != "" {
			out.WriteString("</" + tags[now] + ">")
		}
		if now = to; tags[now] != "" {
			out.WriteString("<" + tags[now] + ">")
		}
	}
	for _, l := range inline(text, false) {
		if l.m != now {
			change(l.m)
		}
		out.WriteString(html.EscapeString(string(l.r)))
	}
	change(plain)
	return out.String()
}

// markdownHTML writes an exercise's message as HTML: paragraphs, lists, tables and blocks of code.
func (p *Renderer) markdownHTML(text string) {
	var (
		open, list, block string // the paragraph or item, the list's element, the lines of a block
		rows              []string
		fenced            bool
	)
	endText := func() {
		switch {
		case open != "" && list != "":
			p.element("li", "", inlineHTML(open))
		case open != "":
			p.element("p", "", inlineHTML(open))
		}
		open = ""
	}
	end := func() {
		endText()
		if list != "" {
			p.line("</" + list + ">")
		}
		if len(rows) > 0 {
			p.tableHTML(rows)
		}
		list, rows = "", nil
	}
	for line := range strings.Lines(report.Printable(text) + "\n") {
		line = strings.TrimSuffix(line, "\n")
		item := listItem.FindStringSubmatch(line)
		switch {
		case strings.HasPrefix(line, "```") && fenced:
			p.line(`<pre tabindex="0"><code>` + strings.TrimSuffix(block, "\n") + `</code></pre>`)
			fenced, block = false, ""
		case strings.HasPrefix(line, "```"):
			end()
			fenced = true
		case fenced && strings.HasPrefix(line, "$ "):
			block += `<b><span class="prompt">$ </span>` + html.EscapeString(line[len("$ "):]) + "</b>\n" // it is not copied with the command
		case fenced:
			block += html.EscapeString(line) + "\n"
		case strings.TrimSpace(line) == "":
			end()
		case strings.HasPrefix(line, "|"):
			endText()
			rows = append(rows, line)
		case item != nil:
			if kind := listKind(item[1]); list != kind {
				end()
				list = kind
				p.line("<" + list + ">")
			}
			endText()
			open = item[2]
		default:
			open = join(open, strings.TrimSpace(line))
		}
	}
	end()
}

func listKind(sign string) string {
	if strings.ContainsAny(sign, "-*") {
		return "ul"
	}
	return "ol"
}

// tableHTML writes the lines of a table, the first of which is its head.
func (p *Renderer) tableHTML(rows []string) {
	p.line(`<div class="scroll" tabindex="0"><table>`)
	cell := "th"
	for _, row := range rows {
		if strings.Trim(row, "|-: ") == "" {
			continue
		}
		text := ""
		for _, c := range strings.Split(strings.Trim(row, "| "), "|") {
			text += "<" + cell + ">" + inlineHTML(strings.TrimSpace(c)) + "</" + cell + ">"
		}
		p.element("tr", "", text)
		cell = "td"
	}
	p.line("</table></div>")
}

// gridHTML writes a table of cells.
func (p *Renderer) gridHTML(t reach.Table) {
	var b strings.Builder
	if err := report.HTMLGrid(&b, t); err != nil {
		p.err = err
		return
	}
	p.line(b.String())
}
