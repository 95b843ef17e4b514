package report

import (
	"strings"
	"testing"
	"time"

	"github.com/svclab/svclab/e2e/reach"
)

// moved is a flow whose backend changes one second after an operation began, with one connection refused between.
func moved() reach.Timeline {
	from := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(ms int) time.Time { return from.Add(time.Duration(ms) * time.Millisecond) }
	row := reach.TimelineRow{Name: "new TCP connections from pod/worker to my-service clusterIP:80/TCP"}
	for ms := 0; ms < 10000; ms += 250 {
		r := reach.TimelineRequest{At: at(ms), Outcome: reach.Reached, Backend: "app-one"}
		switch {
		case ms == 2000:
			r.Outcome, r.Backend = reach.Refused, ""
		case ms > 2000:
			r.Backend = "app-<two>"
		}
		row.Requests = append(row.Requests, r)
	}
	return reach.Timeline{From: from, To: at(10000), Rows: []reach.TimelineRow{row},
		Changes: []reach.TimelineChange{{What: "1. pod-unready app-one", Began: at(1000), InForce: at(4000)}, {What: "2. never in force", Began: at(9000)}}}
}

func TestTimelineText(t *testing.T) {
	got := strings.Split(TimelineText(moved()), "\n")
	want := []string{
		"10s from 03:04:05.000 UTC on, 100ms a character",
		strings.Repeat(" ", 10) + "| 1. pod-unready app-one",
		strings.Repeat(" ", 90) + "| 2. never in force",
		strings.Repeat(" ", 10) + "|" + strings.Repeat(" ", 29) + "!" + strings.Repeat(" ", 49) + "|" + strings.Repeat(" ", 9),
	}
	for i, line := range want {
		if got[i] != line {
			t.Errorf("line %d is %q, want %q", i, got[i], line)
		}
	}
	row := got[4]
	if at := strings.IndexByte(row, 'R'); at != 20 || strings.LastIndexByte(row[:100], 'a') != 17 || strings.IndexByte(row, 'b') != 22 || !strings.HasSuffix(row, moved().Rows[0].Name) {
		t.Errorf("the row is %q", row)
	}
	if legend := got[len(got)-1]; !strings.HasPrefix(legend, "a app-one, b app-<two>, R refused") {
		t.Errorf("the legend is %q", legend)
	}
}

// A request that got no answer stays visible where many requests share a column.
func TestTimelineHidesNoLoss(t *testing.T) {
	timeline := moved()
	timeline.To = timeline.From.Add(1000 * time.Second)
	if text := TimelineText(timeline); !strings.Contains(strings.Split(text, "\n")[4], "R") {
		t.Errorf("the refusal is hidden:\n%s", text)
	}
	many := reach.Timeline{From: timeline.From, To: timeline.From.Add(time.Minute)}
	row := reach.TimelineRow{Name: "many"}
	for i := range 70 {
		row.Requests = append(row.Requests, reach.TimelineRequest{At: many.From.Add(time.Duration(i) * 500 * time.Millisecond), Outcome: reach.Reached, Backend: strings.Repeat("x", i+1)})
	}
	many.Rows = []reach.TimelineRow{row}
	seen := map[rune]bool{}
	for _, mark := range []rune(strings.Split(TimelineText(many), "\n")[2])[:60] {
		seen[mark] = true
	}
	if len(seen) < 50 {
		t.Errorf("70 backends have %d marks", len(seen))
	}
}

func TestTimelineOnThePage(t *testing.T) {
	timeline := moved()
	run := Run{Tool: "svclab", Verdicts: []reach.Verdict{{Scenario: "fuzz-1-history-0", Result: reach.Fail,
		Steps: []reach.Step{{Name: "shrink", Result: reach.Fail, Timeline: &timeline}}}}}
	var b strings.Builder
	if err := HTML(&b, run); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{
		`<rect x="0" y="`, `1 × refused, from 2s on`, `8 × app-one, from 0s on`, `31 × app-&lt;two&gt;, from 2.25s on`,
		`<line class="in-force" x1="344"`, `class="hue1"`, `text-anchor="end">2. never in force`, "100ms a character",
	} {
		if !strings.Contains(strings.ToLower(page), strings.ToLower(want)) {
			t.Errorf("the page has no %q", want)
		}
	}
	if n := strings.Count(page, `class="in-force"`); n != 1 {
		t.Errorf("%d operations are in force on the page, want 1", n)
	}
}
