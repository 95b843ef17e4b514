package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/template"

	"github.com/svclab/svclab/e2e/reach"
)

// mostDetail bounds, in bytes, what a job summary shows of the steps that did not pass: GitHub refuses a summary of more
// than 1 MiB.
const mostDetail = 400 << 10

// Markdown writes a summary for a CI job's page: the verdict, a row per scenario, and folded below them the steps that
// did not pass, and what was skipped and why.
func Markdown(w io.Writer, run Run) error {
	run.Tool = cmp.Or(run.Tool, "svclab")
	data := struct {
		Run
		Closing  string
		Totals   Totals
		Troubles []markdownStep
		Hidden   string
	}{Run: run, Totals: run.Totals()}
	data.Closing = closing(run, data.Totals)
	data.Troubles, data.Hidden = markdownTroubles(run)
	summary, err := template.New("summary.md").Funcs(template.FuncMap{
		"cells": cellCounts, "cluster": func(c Cluster) string { return clusterLine(c, " ·") }, "elapsed": elapsedText, "join": strings.Join,
		"mark": Style{}.glyphs().mark, "md": escapeMarkdown, "partly": partly, "plural": plural, "probes": func(v reach.Verdict) string {
			_, probes := cellTotals(tablesOf(v)...)
			return thousands(probes)
		},
		"scenarios": scenarioCounts, "share": cellShare, "short": short, "thousands": thousands, "vantages": vantageLine,
	}).ParseFS(assets, "summary.md")
	if err == nil {
		err = summary.Execute(w, data)
	}
	if err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	return nil
}

func tablesOf(v reach.Verdict) []reach.Table {
	var tables []reach.Table
	for _, s := range v.Steps {
		tables = append(tables, s.Tables...)
	}
	return tables
}

// elapsedText is empty for a scenario that was not run.
func elapsedText(v reach.Verdict) string {
	if v.Result == reach.Skipped {
		return ""
	}
	return short(v.Elapsed)
}

// cellShare is how many of the probed cells of a scenario are as expected: "23/24".
func cellShare(v reach.Verdict) string {
	c, _ := cellTotals(tablesOf(v)...)
	if c.Cells == c.Unprobed {
		return ""
	}
	return fmt.Sprintf("%s/%s", thousands(c.AsExpected), thousands(c.Cells-c.Unprobed))
}

// markdownStep is a step that did not pass, with the text that is folded below it.
type markdownStep struct {
	Scenario         string
	Step             reach.Step
	Why, Text, Fence string
}

// markdownTroubles are the steps that did not pass, and how many more there are.
func markdownTroubles(run Run) (shown []markdownStep, hidden string) {
	size, left := 0, 0
	for _, v := range run.Verdicts {
		for _, s := range v.Steps {
			if s.Result != reach.Fail && s.Result != reach.Inconclusive {
				continue
			}
			text := stepText(s)
			if size += len(text); size > mostDetail {
				left++
				continue
			}
			shown = append(shown, markdownStep{Scenario: v.Scenario, Step: s, Why: stepWhy(s), Text: text, Fence: fenceFor(text)})
		}
	}
	if left > 0 {
		hidden = plural(left, "more step")
	}
	return shown, hidden
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
