package report

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"strings"

	"github.com/svclab/svclab/e2e/reach"
)

// mostDetail bounds, in bytes, what a job summary shows of the steps that did not pass: GitHub refuses a summary of more
// than 1 MiB.
const mostDetail = 400 << 10

// Markdown writes a summary for a CI job's page: the verdict, a row per scenario, and folded below them the steps that
// did not pass, and what was skipped and why.
func Markdown(w io.Writer, run Run) error {
	var b strings.Builder
	t := run.Totals()
	g := Style{}.glyphs()
	fmt.Fprintf(&b, "## %s: %s %s\n\n", cmp.Or(run.Tool, "svclab"), g.mark(run.Result()), run.Result())
	fmt.Fprintf(&b, "%s after %s%s\n\n", escapeMarkdown(clusterLine(run.Cluster, " ·")), short(run.Elapsed), closing(run, t))
	fmt.Fprintf(&b, "- scenarios: %s\n- cells: %s\n- probes: %s\n\n", scenarioCounts(t), cellCounts(t.Cells), thousands(t.Probes))
	if run.Conformance != nil {
		markdownConformance(&b, *run.Conformance)
	}
	b.WriteString("| result | scenario | verifies | steps | cells | probes | time |\n|---|---|---|--:|--:|--:|--:|\n")
	for _, v := range run.Verdicts {
		var tables []reach.Table
		for _, s := range v.Steps {
			tables = append(tables, s.Tables...)
		}
		cells, probes := cellTotals(tables...)
		fmt.Fprintf(&b, "| %s %s | **%s** %s | %s | %d | %s | %s | %s |\n", g.mark(v.Result), v.Result, escapeMarkdown(v.Scenario),
			escapeMarkdown(v.Title), escapeMarkdown(strings.Join(v.Behaviours, ", ")), len(v.Steps), cellShare(cells), thousands(probes), elapsedText(v))
	}
	for _, name := range run.Lost() {
		fmt.Fprintf(&b, "| %s lost | **%s** planned, but the run ended without it | | | | | |\n", g.unsure, escapeMarkdown(name))
	}
	b.WriteString("\n")
	markdownTroubles(&b, run)
	markdownReasons(&b, "Skipped scenarios", len(run.Skips()), func(i int) string {
		return "**" + escapeMarkdown(run.Skips()[i].Scenario) + "**: " + escapeMarkdown(run.Skips()[i].Reason)
	})
	markdownReasons(&b, "Cells not probed on purpose", len(t.Unprobed), func(i int) string {
		return plural(t.Unprobed[i].Count, "cell") + ": " + escapeMarkdown(t.Unprobed[i].Reason)
	})
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	return nil
}

// elapsedText is empty for a scenario that was not run.
func elapsedText(v reach.Verdict) string {
	if v.Result == reach.Skipped {
		return ""
	}
	return short(v.Elapsed)
}

// cellShare is how many of the probed cells are as expected: "23/24".
func cellShare(c CellTotals) string {
	if c.Cells == c.Unprobed {
		return ""
	}
	return fmt.Sprintf("%s/%s", thousands(c.AsExpected), thousands(c.Cells-c.Unprobed))
}

func markdownTroubles(b *strings.Builder, run Run) {
	g := Style{}.glyphs()
	left := 0
	for _, v := range run.Verdicts {
		for _, s := range v.Steps {
			if s.Result != reach.Fail && s.Result != reach.Inconclusive {
				continue
			}
			text := stepText(s)
			if b.Len()+len(text) > mostDetail {
				left++
				continue
			}
			fence := fenceFor(text)
			fmt.Fprintf(b, "<details><summary>%s %s / %s</summary>\n\n%s\n\n%stext\n%s%s\n\n</details>\n\n", g.mark(s.Result),
				html.EscapeString(v.Scenario), html.EscapeString(s.Name), escapeMarkdown(stepWhy(s)), fence, text, fence)
		}
	}
	if left > 0 {
		fmt.Fprintf(b, "%d more %s did not pass: see the full report.\n\n", left, verb(left, "step", "steps"))
	}
}

func markdownReasons(b *strings.Builder, title string, n int, item func(int) string) {
	if n == 0 {
		return
	}
	fmt.Fprintf(b, "<details><summary>%s (%d)</summary>\n\n", title, n)
	for i := range n {
		fmt.Fprintf(b, "- %s\n", item(i))
	}
	b.WriteString("\n</details>\n\n")
}

// fenceFor is a run of back-ticks longer than any in text.
func fenceFor(text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence
}

// escapeMarkdown keeps text from being read as markup, in a table's cell as well.
func escapeMarkdown(s string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "<", "&lt;", ">", "&gt;", "&", "&amp;", "*", "\\*", "_", "\\_", "`", "\\`",
		"[", "\\[", "]", "\\]", "~", "\\~", "\r", "", "\n", "<br>").Replace(s)
}
